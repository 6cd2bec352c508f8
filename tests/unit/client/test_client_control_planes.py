"""A control plane that is not there when the client starts: a clear end, in a bounded time."""

from __future__ import annotations

import pytest
from grpc_lb_lab.load.channels import control_planes, lookaside
from grpc_lb_lab.model.errors import LabError

NOBODY = "127.98.4.1:1"


def test_no_balancer(plan, run, monkeypatch):
    monkeypatch.setattr(lookaside.LookasideChannel.__init__, "__defaults__", ((), None, 0.5, 30.0, 1))
    with pytest.raises(LabError, match=rf"the balancer at dns:///{NOBODY} named no servers for 'echo' within 0.5 s"):
        run(plan(NOBODY, "lookaside", "lookaside"))


def test_no_xds_control_plane(plan, run, monkeypatch):
    monkeypatch.setenv(control_planes.BOOTSTRAP, "")  # so that it is what it was when this test has ended
    monkeypatch.delenv(control_planes.BOOTSTRAP)
    monkeypatch.setattr(control_planes, "XDS_LIMIT_S", 1.0)
    with pytest.raises(LabError, match=rf"the xDS control plane at {NOBODY} .* within 1 s: UNAVAILABLE: .*"):
        run(plan(NOBODY, "xds", "xds"))


@pytest.mark.parametrize(("channel", "word"), [("xds", "no address"), ("pool", "no address")])
def test_a_name_that_nobody_knows(channel, word, plan, run, name_server, monkeypatch):
    monkeypatch.setattr("grpc_lb_lab.load.channels.pool.START_LIMIT_S", 0.2)
    target = "xds" if channel == "xds" else "headless"
    with pytest.raises(LabError, match=f"{word}.*nobody does not resolve"):
        run(plan("nobody:1", channel, target, dns=name_server({})))


def test_an_empty_list_of_endpoints(plan, run):
    with pytest.raises(LabError, match="the list of endpoints is empty: no replica was ready"):
        run(plan(target="endpoints", channel="round_robin", targets={"endpoints": "", "headless": NOBODY}))

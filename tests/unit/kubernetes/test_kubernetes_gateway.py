"""The gateway's address, when it is ready for a load, and whose images a report names."""

from __future__ import annotations

import itertools
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.places.kubernetes import gateway
from grpc_lb_lab.places.kubernetes.cluster.programs import Done
from grpc_lb_lab.places.kubernetes.place import used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class FakeKubectl:
    """A gateway on one node, or not on any yet."""

    def __init__(self, host: str = "10.1.1.1") -> None:
        self.host = host
        self.type = "ClusterIP"

    def run(self, *words: str) -> str:
        self.attempt(*words)
        return json.dumps({"spec": {"ports": [{"nodePort": 31234}]}})

    def attempt(self, *words: str) -> Done:
        assert words[:3] == ("patch", "service", "gateway")
        self.type = json.loads(words[3].removeprefix("--patch="))["spec"]["type"]
        return Done(0, "", "")

    def items(self, *_: str) -> list[dict[str, Any]]:
        return [{"status": {"hostIP": self.host} if self.host else {}}]


@pytest.mark.parametrize(
    ("wanted", "found", "kind"),
    [
        ("", "10.1.1.1:31234", "NodePort"),
        ("10.2.2.2", "10.2.2.2:31234", "NodePort"),
        ("10.2.2.2:443", "10.2.2.2:443", "ClusterIP"),
        ("localhost:8443", "127.0.0.1:8443", "ClusterIP"),
    ],
)
def test_address_and_the_port_that_is_opened_for_it_and_closed_again(wanted: str, found: str, kind: str) -> None:
    kubectl = FakeKubectl()
    assert gateway.address(kubectl, wanted) == found  # type: ignore[arg-type]
    assert kubectl.type == kind
    gateway.close(kubectl)  # type: ignore[arg-type]
    assert kubectl.type == "ClusterIP"


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = FakeKubectl("")
    with pytest.raises(LabError, match="has no node"):
        gateway.address(nowhere)  # type: ignore[arg-type]
    assert nowhere.type == "ClusterIP", "nobody will come, so nothing stays open"

    def unknown(host: str) -> str:
        raise socket.gaierror(-2, f"no {host}")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    with pytest.raises(UsageError, match=r"echo_gateway=edge: edge has no address \(no edge\)"):
        gateway.address(FakeKubectl(), "edge")  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    monkeypatch.setattr(gateway, "PAUSE_S", 0)
    now = itertools.count()
    return lambda: next(now)


def answers(*rounds: str) -> Callable[[], str]:
    """One letter a call; the last round goes on for ever."""
    calls: Iterator[str] = itertools.chain("".join(rounds), itertools.cycle(rounds[-1]))
    return lambda: next(calls)


def test_all_replicas_must_answer(clock: Callable[[], float]) -> None:
    call = answers("aaaaaa", "ababab", "abcabc")
    gateway.wait("g:1", {"a", "b", "c"}, call, limit_s=5, clock=clock)
    assert clock() > 2, "two rounds were not enough"


@pytest.mark.parametrize(
    ("uids", "known"),
    [
        ({"a", "b", "c", "d"}, "3 of 4 replicas after 5 s"),
        ({"a", "b"}, "2 of 2 replicas, and to 1 that should be gone, after 5 s"),
    ],
)
def test_others_than_the_replicas(clock: Callable[[], float], uids: set[str], known: str) -> None:
    with pytest.raises(LabError, match=f"the gateway at g:1 sends calls to {known}"):
        gateway.wait("g:1", uids, answers("abc"), limit_s=5, clock=clock)


def test_a_round_in_panic_tells_nothing(clock: Callable[[], float]) -> None:
    panics = itertools.chain([0, 4, 4, 8, 8], itertools.repeat(8))
    gateway.wait("g:1", {"a", "b"}, answers("ab"), lambda: next(panics), limit_s=9, clock=clock)
    assert clock() >= 3, "the third round is the first without a call in panic"


def test_a_gateway_that_does_not_answer(clock: Callable[[], float]) -> None:
    def call() -> str:
        raise OSError("UNAVAILABLE, connection refused")

    with pytest.raises(
        LabError, match=r"g:1 does not answer: UNAVAILABLE, connection refused\. Say how .*echo_gateway"
    ):
        gateway.wait("g:1", {"a"}, call, limit_s=90, clock=clock)


def test_a_call_that_fails_once_is_forgiven(clock: Callable[[], float]) -> None:
    replies = iter(["a", "b", "a", "", "a", "b", "a", "b"])

    def call() -> str:
        reply = next(replies)
        if not reply:
            raise OSError("UNAVAILABLE, no healthy upstream")
        return reply

    gateway.wait("g:1", {"a", "b"}, call, limit_s=90, clock=clock)
    assert next(replies, "") == ""


def test_a_closed_port_is_told_in_grpcs_words() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(OSError, match=r"UNAVAILABLE, .*refused"):
            gateway.caller(where, "r.gateway")()


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        ({}, {}),
        ({"envoy": {"client": "sidecar.yaml"}}, {"Envoy": "e:1"}),
        ({"gateway": {"proxy": "nginx"}}, {"nginx": "n:1"}),
        ({"gateway": {"proxy": "haproxy"}}, {}),
        ({"gateway": {"proxy": "envoy"}, "envoy": {"lbPolicy": "RANDOM"}}, {"Envoy": "e:1"}),
    ],
)
def test_the_report_names_the_proxies_that_are_used(strategy: dict[str, Any], names: dict[str, str]) -> None:
    assert used({"envoy": "e:1", "nginx": "n:1", "haproxy": ""}, Strategy.parse(strategy)) == names

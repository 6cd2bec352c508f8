"""What the client reads of Istio's sidecars, and how it ends an agent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from grpc_lb_lab.load.channels import control_planes, modes
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.observe import edge_counters, istio, istio_agent, shared_proxies

CLUSTER = "outbound|50051||echo.lab.svc.cluster.local"
HTTP = {istio.HTTP_OPTIONS: {"explicit_http_config": {"http2_protocol_options": {}}}}


@pytest.fixture
def admin():
    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.server.asked.append(f"{self.command} {self.path}")
            if self.server.body is None:  # hangs up, as an agent that crashes does
                self.close_connection = True
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.asked, server.body = [], b""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def address(admin) -> str:
    return f"127.0.0.1:{admin.server_port}"


def plan(hops=("istio-client", "istio-server"), target="service", proxy="sidecar", channel="pick_first") -> Plan:
    strategy = {
        "strategy": {"hops": list(hops)},
        "client": {"channel": channel, "target": target},
        "mesh": {"proxy": proxy},
    }
    targets = {"service": "echo:50051", "headless": "echo-headless:50051", "mesh": "echo.lab.svc.cluster.local:50051"}
    return Plan("r1", "steady", Strategy.parse(strategy), Load(), targets)


def test_the_sidecars_name_for_the_target():
    assert istio.cluster_of(plan()) == CLUSTER
    assert istio.cluster_of(plan(target="headless")) == "outbound|50051||echo-headless.lab.svc.cluster.local"


@pytest.mark.parametrize("separator", [";.", "."])
def test_counters_are_those_of_one_cluster(admin, separator):
    names = {f"{CLUSTER}{separator}upstream_rq_total": 7, f"{CLUSTER}.cn{separator}upstream_rq_total": 9, "xds.up": 3}
    stats = [{"name": f"cluster.{name}", "value": value} for name, value in names.items()]
    admin.body = json.dumps({"stats": [*stats, {"histograms": {}}]}).encode()
    found = istio.read_counters(CLUSTER, address(admin))
    assert found["upstream_rq_total"] == 7
    assert 3 not in found.values()


def test_nobody_there_is_an_error(admin):
    admin.body = b"<html>"
    with pytest.raises(OSError, match="the answer is not Envoy's"):
        istio.read_counters(CLUSTER, address(admin))
    with pytest.raises(OSError, match="refused"):
        istio.read_counters(CLUSTER, "127.0.0.1:1")


def test_two_readings_make_a_proxy():
    before = {"upstream_rq_total": 10, "upstream_rq_completed": 10, "upstream_cx_total": 5, "ssl.handshake": 5}
    after = {"upstream_rq_total": 1011, "upstream_rq_completed": 1010, "upstream_cx_total": 105, "ssl.handshake": 105}
    found = istio.compare(CLUSTER, before, after | {"upstream_rq_retry": 1})
    assert (found.hop, found.upstream_requests, found.upstream_connections, found.retries) == (
        "istio-client",
        1001,
        105,
        1,
    )
    assert (found.counters["ssl.handshake"], found.connections_only) == (105, False)


def test_a_sidecar_that_forwards_connections_saw_no_calls():
    found = istio.compare(CLUSTER, {"upstream_cx_total": 1}, {"upstream_rq_total": 2, "upstream_cx_total": 2})
    assert (found.connections_only, found.upstream_requests, found.upstream_connections) == (True, 0, 2)


def test_rules_in_the_words_of_a_destination_rule(admin):
    cluster = {
        "type": "EDS",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "30s",
        "circuit_breakers": {"thresholds": [{"max_connections": 100, "max_requests": 4294967295}]},
        "outlier_detection": {"consecutive_5xx": 5, "interval": "30s"},
        "typed_extension_protocol_options": HTTP,
    }
    admin.body = json.dumps({"configs": [{"cluster": cluster}]}).encode()
    assert istio.read_rules(CLUSTER, address(admin)) == {
        "endpoints": "EDS",
        "protocol": "http2",
        "rule": {
            "loadBalancer.simple": "LEAST_REQUEST",
            "connectionPool.tcp.connectTimeout": "30s",
            "connectionPool.tcp.maxConnections": 100,
            "outlierDetection.consecutive5xxErrors": 5,
            "outlierDetection.interval": "30s",
        },
    }
    assert "name_regex=outbound%5B%7C%5D50051" in admin.asked[0]
    admin.body = b"{}"
    assert istio.read_rules(CLUSTER, address(admin)) == {}


@pytest.mark.parametrize(
    ("options", "protocol"),
    [
        (HTTP[istio.HTTP_OPTIONS], "http2"),
        ({"use_downstream_protocol_config": {}}, "guessed"),
        ({"explicit_http_config": {"http_protocol_options": {}}}, "tcp"),
        ({}, "tcp"),
    ],
)
def test_protocol_of_a_port(options, protocol):
    told = istio.describe({"type": "EDS", "typed_extension_protocol_options": {istio.HTTP_OPTIONS: options}})
    assert told["protocol"] == protocol
    assert told["rule"]["loadBalancer.simple"] == "ROUND_ROBIN"


def test_a_servers_sidecar_is_read_from_the_agent(admin):
    admin.body = (
        b'envoy_cluster_upstream_rq_total{cluster_name="inbound|50051||"} 204\n'
        b'envoy_cluster_upstream_cx_total{cluster_name="inbound|50051||"} 3\n'
        b'envoy_cluster_upstream_rq_total{cluster_name="outbound|50051||echo.lab.svc.cluster.local"} 9\n'
    )
    assert edge_counters.read("istio", address(admin)) == {"requests": 204, "connections": 3, "retries": 0}
    admin.body = b""
    assert edge_counters.read("istio", address(admin))["requests"] == 0
    assert admin.asked == ["GET /stats/prometheus"] * 2


def test_only_sidecars_on_the_way_are_read():
    found, _ = asyncio.run(shared_proxies._proxies(plan(hops=["port-forward"])))
    assert found == []
    within = Plan("r1", "steady", plan().strategy, Load(), {"headless": "127.0.0.1:50051"})
    (beside,), _ = asyncio.run(shared_proxies._proxies(within))
    assert beside == ("istio-server", "istio", "127.0.0.1:15020")


def test_an_agent_that_listens_is_told_to_end(admin, monkeypatch):
    monkeypatch.setattr(istio_agent, "stop", lambda _: pytest.fail("it was told already"))
    istio_agent.end(plan(), address(admin))
    assert admin.asked == []
    istio_agent.end(plan(proxy="grpc-agent"), address(admin))
    assert admin.asked == ["POST /quitquitquit"]


def test_an_agent_that_crashes_on_it_gets_a_signal(admin, monkeypatch, capsys):
    admin.body = None
    stopped: list[str] = []
    monkeypatch.setattr(istio_agent, "stop", lambda program: stopped.append(program) or [7])
    istio_agent.end(plan(proxy="grpc-agent"), address(admin))
    assert stopped == ["pilot-agent"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(istio_agent, "stop", lambda _: [])
    istio_agent.end(plan(proxy="grpc-agent"), address(admin))
    assert "could not be ended" in capsys.readouterr().err


def test_the_signal_goes_to_that_program_only(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as victim:
        for number, line in ((victim.pid, "/usr/local/bin/pilot-agent\0proxy\0"), (1, "pilot-agent-2\0"), (0, "")):
            (tmp_path / str(number)).mkdir()
            (tmp_path / str(number) / "cmdline").write_text(line)
        assert istio_agent.stop("pilot-agent", tmp_path) == [victim.pid]
        assert victim.wait(5) == -15


def test_a_mesh_without_an_agent_is_told(monkeypatch):
    monkeypatch.delenv(control_planes.BOOTSTRAP_FILE, raising=False)
    asked = plan(hops=[], target="mesh", proxy="grpc-agent", channel="xds")

    async def start() -> None:
        await modes.mode_of(asked)(asked, 0).start()

    with pytest.raises(LabError, match="Istio's agent is not beside this client"):
        asyncio.run(start())

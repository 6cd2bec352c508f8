"""The service config and the keepalive of strategies/headless.yaml: each part does what it is there for."""

from __future__ import annotations

import copy
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop
import yaml
from grpc_health.v1 import health_pb2
from grpc_lb_lab.load.call_schedule import METHOD
from grpc_lb_lab.load.channels import modes
from grpc_lb_lab.servers.service import EchoService

REPO = Path(__file__).resolve().parents[3]
CLIENT = yaml.safe_load((REPO / "strategies/headless.yaml").read_text())["client"]
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class FailsFirst(EchoService):
    """Every first attempt ends with UNAVAILABLE."""

    def answer(self, request, peer, attempt, context):
        if not attempt.previous:
            import grpc

            context.abort(grpc.StatusCode.UNAVAILABLE, "the first attempt fails")
        return super().answer(request, peer, attempt, context)


@pytest.fixture
def headless(replicas, name_server, plan):
    """A plan as strategies/headless.yaml makes it, over real replicas; ``change`` edits the client block."""

    def make(count, service_class=EchoService, change=None, **load):
        client = copy.deepcopy(CLIENT)
        if change:
            change(client)
        servers = replicas(count, service_class, keepalive_min_interval_ms=5000, keepalive_permit_without_calls=True)
        dns = name_server({"echo-headless": [f"127.98.1.{number + 1}" for number in range(count)]})
        address = f"echo-headless:{servers[0].port}"
        return servers, plan(address, "round_robin", dns=dns, client=client, replicas=count, **load)

    return make


def test_retry_policy_retries_and_the_servers_count_the_attempts(headless, run):
    _, plan = headless(2, FailsFirst, requests=20)
    result = run(plan)
    assert (result.ok, result.failed) == (20, 0)
    assert sum(server.attempts for server in result.servers) == 40
    assert sum(server.retries for server in result.servers) == 20


def test_without_the_retry_policy_the_same_calls_fail(headless, run):
    _, plan = headless(2, FailsFirst, lambda client: client["serviceConfig"].pop("methodConfig"), requests=20)
    assert run(plan).errors == {"UNAVAILABLE": 20}


def test_a_replica_that_is_not_serving_gets_no_call(headless, run, monkeypatch):
    monkeypatch.setattr("grpc_lb_lab.load.warmup.LIMIT_S", 1.0)
    servers, plan = headless(3, requests=30)
    servers[1].health.set("", NOT_SERVING)
    assert {backend.uid: backend.requests for backend in run(plan).backends} == {"uid-0": 15, "uid-2": 15}


def test_without_the_health_check_it_gets_calls(headless, run):
    servers, plan = headless(3, change=lambda client: client["serviceConfig"].pop("healthCheckConfig"), requests=30)
    servers[1].health.set("", NOT_SERVING)
    assert {backend.uid: backend.requests for backend in run(plan).backends} == dict.fromkeys(
        ("uid-0", "uid-1", "uid-2"), 10
    )


@pytest.fixture
def hung():
    """A server process that was stopped after it had answered: its connection stays open, it answers nothing."""
    with socket.socket() as probe:
        probe.bind(("127.98.3.1", 0))
        port = probe.getsockname()[1]
    line = [sys.executable, "-m", "grpc_lb_lab", "server", "--listen", f"127.98.3.1:{port}"]
    line += ["--keepalive-min-interval-ms", "100", "--keepalive-permit-without-calls"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert '"listening"' in process.stderr.readline()
    yield f"127.98.3.1:{port}", process.pid
    process.kill()
    process.wait()
    process.stderr.close()


@pytest.mark.parametrize("keepalive", [True, False])
def test_keepalive_finds_a_hung_replica_and_nothing_else_does(hung, plan, keepalive):
    address, pid = hung
    client = {"keepalive": {**CLIENT["keepalive"], "timeMs": 300, "timeoutMs": 300}} if keepalive else {}
    settings = plan(address, "pick_first", client=client, dns="")

    async def main():
        channel = modes.GrpcChannel(0, f"ipv4:{address}", modes.channel_options(settings), False)
        call = channel.caller(METHOD, (), 5.0)
        reply, _ = await call(b"")
        assert reply is not None
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)  # the signal is sent at once, but the last thread stops later
        began = time.monotonic()
        _, code = await channel.caller(METHOD, (), 4.0)(b"")
        await channel.close()
        return code, time.monotonic() - began

    code, seconds = uvloop.run(main())
    if keepalive:
        assert code == "UNAVAILABLE" and seconds < 3.5  # the connection was given up, not the call's time
    else:
        assert code == "DEADLINE_EXCEEDED"

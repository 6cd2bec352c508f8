"""Faults of a replica, asked for over a real connection."""

from __future__ import annotations

import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_lb_lab import fault_token
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.servers import signals
from grpc_lb_lab.servers.faults import Fault
from grpc_lb_lab.servers.service import SERVICE

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def replica(start_echo, connect, ask_fault):
    channel = connect(start_echo())
    return echo_pb2_grpc.EchoServiceStub(channel), health_pb2_grpc.HealthStub(channel), ask_fault(channel)


def healths(health):
    return [health.Check(health_pb2.HealthCheckRequest(service=name)).status for name in ("", SERVICE)]


def wait_for(condition, limit_s=5.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_unready_replica_says_so_still_answers_and_returns(replica):
    stub, health, set_fault = replica
    reply = set_fault(unready=True, for_ms=2000)
    assert reply.backend.uid == "uid-a"
    assert healths(health) == [NOT_SERVING, NOT_SERVING]
    assert stub.Echo(echo_pb2.EchoRequest()).backend.uid == "uid-a"
    wait_for(lambda: healths(health) == [SERVING, SERVING])


def test_failing_replica_fails_with_the_code_and_counts_it(replica):
    stub, health, set_fault = replica
    set_fault(fail_code="RESOURCE_EXHAUSTED", for_ms=60_000)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Echo(echo_pb2.EchoRequest(), metadata=(("x-lab-run", "r"),))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError):
        list(stub.EchoStream(echo_pb2.EchoStreamRequest(count=1)))
    assert stub.Stats(echo_pb2.StatsRequest(run="r")).failed == 1
    assert healths(health) == [SERVING, SERVING]
    set_fault()
    assert stub.Echo(echo_pb2.EchoRequest()).backend.uid == "uid-a"


def test_slow_replica_is_slow_and_only_for_the_service_that_was_named(replica):
    stub, _, set_fault = replica
    set_fault(delay_ms=200, service=SERVICE, for_ms=60_000)
    began = time.monotonic()
    stub.Echo(echo_pb2.EchoRequest())
    assert time.monotonic() - began >= 0.2
    set_fault(delay_ms=5_000, service="greeter.Greeter", for_ms=60_000)
    stub.Echo(echo_pb2.EchoRequest(), timeout=4)


def test_a_new_fault_outlives_the_timer_of_the_one_before(replica):
    _, health, set_fault = replica
    set_fault(unready=True, for_ms=100)
    set_fault(unready=True, for_ms=60_000)
    time.sleep(0.3)
    assert healths(health) == [NOT_SERVING, NOT_SERVING]
    set_fault(unready=True, for_ms=0)
    assert healths(health) == [SERVING, SERVING]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"fail_code": "BROKEN"}, "BROKEN"), ({"for_ms": 120_001}, "for_ms"), ({"delay_ms": 120_001}, "delay_ms")],
)
def test_impossible_faults_are_refused_and_change_nothing(replica, wrong, named):
    _, health, set_fault = replica
    with pytest.raises(grpc.RpcError) as caught:
        set_fault(**{"unready": True, "for_ms": 1000, **wrong})
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in caught.value.details()
    assert healths(health) == [SERVING, SERVING]


@pytest.mark.parametrize("sent", [(), fault_token.metadata(""), fault_token.metadata("a guess")])
@pytest.mark.parametrize("known", ["what the lab knows", ""])
def test_a_fault_is_taken_from_the_lab_only(start_echo, connect, monkeypatch, sent, known):
    """Whoever reaches the port, by a gateway or a node's port, could end the replica."""
    monkeypatch.delenv(fault_token.VARIABLE, raising=False)
    stub = echo_pb2_grpc.EchoServiceStub(connect(start_echo(fault_token=known)))
    with pytest.raises(grpc.RpcError) as caught:
        stub.SetFault(echo_pb2.FaultRequest(crash=True), timeout=5, metadata=sent)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    time.sleep(2 * signals.REPLY_S)
    assert stub.Echo(echo_pb2.EchoRequest(), timeout=5).backend.uid == "uid-a", "it lives"


def test_a_draining_server_does_not_become_ready_again(start_echo, connect):
    server = start_echo(drain_delay_s=2)
    health = health_pb2_grpc.HealthStub(connect(server))
    server.service.faults.set(Fault(unready=True), 0.1)
    draining = threading.Thread(target=server.drain)
    draining.start()
    time.sleep(0.3)
    assert health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING
    draining.join()

"""The echo server over a real connection."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.servers.config import EchoConfig, identify, server_options
from grpc_lb_lab.servers.echo import start
from grpc_lb_lab.servers.service import SERVICE, EchoService

RUN = (("x-lab-run", "run-1"),)


def stats(stub, run="run-1"):
    return stub.Stats(echo_pb2.StatsRequest(run=run))


def test_reply_names_replica_peer_and_path(stub):
    reply = stub.Echo(
        echo_pb2.EchoRequest(payload=b"hello"),
        metadata=(*RUN, ("via", "envoy-client"), ("x-forwarded-for", "10.0.0.1"), ("authorization", "secret")),
    )
    assert reply.payload == b"hello"
    assert (reply.backend.pod, reply.backend.uid, reply.backend.ip) == ("pod-a", "uid-a", "127.0.0.1")
    assert abs(reply.backend.started_at - time.time()) < 60
    assert reply.peer.startswith("ipv4:127.0.0.1:")
    assert dict(reply.path_headers) == {"via": "envoy-client", "x-forwarded-for": "10.0.0.1"}


def test_cached_reply_keeps_payloads_and_paths_apart(stub):
    first = stub.Echo(echo_pb2.EchoRequest(payload=b"a"), metadata=RUN)
    again = stub.Echo(echo_pb2.EchoRequest(payload=b"a"), metadata=RUN)
    other = stub.Echo(echo_pb2.EchoRequest(payload=b"b"), metadata=RUN)
    proxied = stub.Echo(echo_pb2.EchoRequest(payload=b"a"), metadata=(*RUN, ("via", "x")))
    assert first == again
    assert other.payload == b"b"
    assert dict(proxied.path_headers) == {"via": "x"} and not first.path_headers


def test_each_call_takes_the_time_that_it_is_told_to(start_echo, connect):
    call = echo_pb2_grpc.EchoServiceStub(connect(start_echo(work_ms=80))).Echo
    took = []
    for _ in range(5):
        began = time.monotonic()
        call(echo_pb2.EchoRequest(), timeout=5)
        took.append(time.monotonic() - began)
    assert 0.08 <= min(took) < 0.16  # a busy machine makes single calls late, not all of them


def test_counts_by_run_and_phase(stub):
    for _ in range(3):
        stub.Echo(echo_pb2.EchoRequest(), metadata=RUN)
    stub.Echo(echo_pb2.EchoRequest(), metadata=(*RUN, ("x-lab-phase", "warmup")))
    stub.Echo(echo_pb2.EchoRequest(), metadata=(("x-lab-run", "run-2"),))
    counted = stats(stub)
    assert (counted.attempts, counted.warmup_attempts, counted.failed, counted.retries) == (3, 1, 0, 0)
    assert stats(stub, "run-2").attempts == 1
    assert stats(stub, "never").attempts == 0
    assert list(counted.peer_hosts) == ["127.0.0.1"]
    assert counted.cpu_seconds > 0


def test_cpu_of_a_run_counts_from_its_first_measured_attempt(stub):
    """What the server did before, and in the warm-up, is not the run's."""
    end = time.process_time() + 0.2
    while time.process_time() < end:
        stub.Echo(echo_pb2.EchoRequest(), metadata=(*RUN, ("x-lab-phase", "warmup")))
    assert stats(stub).run_cpu_seconds == 0
    stub.Echo(echo_pb2.EchoRequest(), metadata=RUN)
    begun = stats(stub).run_cpu_seconds
    assert 0 < begun < 0.1
    end = time.process_time() + 0.2
    while time.process_time() < end:
        stub.Echo(echo_pb2.EchoRequest(), metadata=RUN)
    assert begun + 0.2 <= stats(stub).run_cpu_seconds < stats(stub).cpu_seconds
    assert stats(stub, "never").HasField("run_cpu_seconds")


def test_connections_per_run_and_accepted(start_echo, connect):
    server = start_echo()
    stubs = [echo_pb2_grpc.EchoServiceStub(connect(server)) for _ in range(3)]
    for stub in stubs[:2]:
        stub.Echo(echo_pb2.EchoRequest(), metadata=RUN)
    counted = stats(stubs[2])
    assert counted.connections == 2
    assert counted.connections_accepted == 3
    assert stats(stubs[2]).connections_accepted == 3


def test_accepted_connections_of_two_servers_stay_apart(start_echo, connect):
    one, two = start_echo(), start_echo(uid="uid-b")
    stub_one, stub_two = (echo_pb2_grpc.EchoServiceStub(connect(server)) for server in (one, two))
    assert stats(stub_one).connections_accepted == 1
    assert stats(stub_two).connections_accepted == 1


class FailsFirst(EchoService):
    """Answers UNAVAILABLE until it was called twice."""

    calls = 0

    def answer(self, request, peer, attempt, context):
        type(self).calls += 1
        if type(self).calls <= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return super().answer(request, peer, attempt, context)


def test_attempts_of_a_retried_call(start_echo, connect):
    FailsFirst.calls = 0
    policy = {
        "maxAttempts": 3,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {"methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": policy}]}
    stub = echo_pb2_grpc.EchoServiceStub(connect(start_echo(FailsFirst), service_config=json.dumps(config)))
    assert stub.Echo(echo_pb2.EchoRequest(), metadata=RUN).backend.uid == "uid-a"
    counted = stats(stub)
    assert dict(counted.attempts_by_previous) == {0: 1, 1: 1, 2: 1}
    assert (counted.attempts, counted.retries, counted.failed) == (3, 2, 2)


def test_stream_comes_from_one_replica_and_counts_once(stub):
    replies = list(stub.EchoStream(echo_pb2.EchoStreamRequest(payload=b"s", count=5), metadata=RUN))
    assert [reply.payload for reply in replies] == [b"s"] * 5
    assert stats(stub).attempts == 1


def test_stream_that_is_too_long_is_refused_and_counted(stub):
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.EchoStream(echo_pb2.EchoStreamRequest(count=2_000_000), metadata=RUN))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert stats(stub).failed == 1


def test_bytes_that_are_no_request_fail_and_count(start_echo, connect):
    channel = connect(start_echo())
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/Echo")(b"\xff\xff", metadata=RUN)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert stats(echo_pb2_grpc.EchoServiceStub(channel)).failed == 1


def test_health_watches_take_no_threads(start_echo, connect):
    """Every client of `headless` holds a watch: with one thread each, the server would stop answering."""
    server = start_echo(threads=2)
    watches = [health_pb2_grpc.HealthStub(connect(server)).Watch(health_pb2.HealthCheckRequest()) for _ in range(4)]
    for watch in watches:
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    stub = echo_pb2_grpc.EchoServiceStub(connect(server))
    assert stub.Echo(echo_pb2.EchoRequest(), timeout=5).backend.uid == "uid-a"
    for watch in watches:
        watch.cancel()


def test_channelz_answers(start_echo, connect):
    stub = channelz_pb2_grpc.ChannelzStub(connect(start_echo()))
    assert stub.GetServers(channelz_pb2.GetServersRequest()).server


def test_taken_port_names_the_address(start_echo):
    address = f"127.0.0.1:{start_echo().port}"
    with pytest.raises(LabError, match=address):
        start(EchoConfig(listen=address))


def test_options_follow_the_configuration():
    plain = dict(server_options(EchoConfig(listen="127.0.0.1:1")))
    assert plain == {"grpc.so_reuseport": 0, "grpc.enable_channelz": 1}
    full = dict(
        server_options(
            EchoConfig(
                listen="127.0.0.1:1",
                max_connection_age_ms=5000,
                max_connection_age_grace_ms=1000,
                keepalive_min_interval_ms=4000,
                keepalive_permit_without_calls=True,
            )
        )
    )
    assert full["grpc.max_connection_age_ms"] == 5000
    assert full["grpc.max_connection_age_grace_ms"] == 1000
    assert full["grpc.http2.min_ping_interval_without_data_ms"] == 4000
    assert full["grpc.keepalive_permit_without_calls"] == 1


def test_max_connection_age_makes_new_connections(start_echo, connect):
    stub = echo_pb2_grpc.EchoServiceStub(
        connect(start_echo(max_connection_age_ms=200, max_connection_age_grace_ms=100))
    )
    until = time.monotonic() + 5
    peers = set()
    while len(peers) < 2 and time.monotonic() < until:
        peers.add(stub.Echo(echo_pb2.EchoRequest(), metadata=RUN, wait_for_ready=True).peer)
    assert len(peers) == 2


def test_identity_from_the_environment(monkeypatch):
    for name in ("POD_NAME", "POD_UID", "POD_IP"):
        monkeypatch.delenv(name, raising=False)
    bare = identify(EchoConfig(listen="127.0.0.1:50051"))
    assert bare.ip == "127.0.0.1" and bare.pod and len(bare.uid) == 36
    monkeypatch.setenv("POD_NAME", "echo-0")
    monkeypatch.setenv("POD_UID", "u")
    monkeypatch.setenv("POD_IP", "10.0.0.9")
    in_pod = identify(EchoConfig(listen="0.0.0.0:50051"))
    assert (in_pod.pod, in_pod.uid, in_pod.ip) == ("echo-0", "u", "10.0.0.9")


class Slow(EchoService):
    """Answers when it is let go."""

    arrived = threading.Event()
    go = threading.Event()

    def answer(self, request, peer, attempt, context):
        self.arrived.set()
        self.go.wait(5)
        return super().answer(request, peer, attempt, context)


def test_drain_lets_calls_end_and_does_not_wait_for_watches(start_echo, connect):
    Slow.arrived.clear()
    Slow.go.clear()
    server = start_echo(Slow, grace_s=30)
    channel = connect(server)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    call = echo_pb2_grpc.EchoServiceStub(channel).Echo.future(echo_pb2.EchoRequest(payload=b"last"))
    assert Slow.arrived.wait(5)
    drain = threading.Thread(target=server.drain)
    began = time.monotonic()
    drain.start()
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    time.sleep(0.4)  # longer than the quiet time after which a drain without calls is over
    assert drain.is_alive(), "the drain did not wait for the call in flight"
    Slow.go.set()
    assert call.result(5).payload == b"last"
    drain.join(10)
    assert not drain.is_alive()
    assert time.monotonic() - began < 10


def launch(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "grpc_lb_lab", "server", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )


def test_process_drains_on_sigterm_and_logs_its_counts():
    with launch("--listen", "127.0.0.1:0", "--threads", "2") as process:
        assert process.stderr is not None
        listening = json.loads(process.stderr.readline())
        assert listening["event"] == "listening"
        with grpc.insecure_channel(f"127.0.0.1:{listening['port']}") as channel:
            echo_pb2_grpc.EchoServiceStub(channel).Echo(echo_pb2.EchoRequest(), metadata=RUN)
        process.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
        assert process.wait(10) == 0
    assert [line["event"] for line in lines] == ["draining", "stats"]
    assert lines[-1]["runs"]["run-1"]["attempts"] == 1


def test_import_starts_nothing():
    code = (
        "import threading, grpc_lb_lab.servers.echo; from grpc._cython import cygrpc; import json;"
        "assert threading.active_count() == 1, threading.enumerate();"
        "assert not json.loads(cygrpc.channelz_get_servers(0)).get('server')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)

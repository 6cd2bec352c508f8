"""Whole clients against real replicas."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import grpc
import pytest
from grpc_lb_lab.load import load, stall_guard, warmup
from grpc_lb_lab.load.pacing import Pace
from grpc_lb_lab.load.stall_guard import hopeless
from grpc_lb_lab.model import latency
from grpc_lb_lab.servers.service import SERVICE, EchoService


def address(server):
    return f"127.98.1.1:{server.port}"


def check_sums(result):
    assert result.requests == result.ok + result.failed
    assert sum(bucket.ok + bucket.failed for bucket in result.timeline) == result.requests
    assert sum(result.errors.values()) == result.failed
    assert sum(backend.requests for backend in result.backends) == result.ok
    assert sum(sum(counts.values()) for counts in result.per_channel) == result.ok
    assert sum(path.requests for path in result.paths) == result.ok
    assert latency.decode(result.latency_hdr).get_total_count() == result.requests


def test_round_robin_over_a_name_is_exact(replicas, name_server, plan, run):
    servers = replicas(3)
    dns = name_server({"echo-headless": [f"127.98.1.{number}" for number in (1, 2, 3)]})
    wish = plan(
        f"echo-headless:{servers[0].port}", channel="round_robin", dns=dns, requests=31, replicas=3, concurrency=2
    )
    result = run(wish)
    check_sums(result)
    assert result.notes == []
    assert sorted(backend.requests for backend in result.backends) == [10, 10, 11]
    assert result.policy == "round_robin"
    assert result.resolved == [f"127.98.1.{number}:{servers[0].port}" for number in (1, 2, 3)]
    assert sorted(fact.remote for fact in result.connections) == result.resolved
    assert sum(server.attempts for server in result.servers) == 31
    assert sum(server.warmup_attempts for server in result.servers) == result.warmup_requests
    assert [server.uid for server in result.servers] == ["uid-0", "uid-1", "uid-2"]


def test_pick_first_over_a_name_takes_one_and_names_all(replicas, name_server, plan, run):
    servers = replicas(3)
    dns = name_server({"echo-headless": [f"127.98.1.{number}" for number in (1, 2, 3)]})
    result = run(plan(f"echo-headless:{servers[0].port}", dns=dns))
    assert [backend.requests for backend in result.backends] == [20]
    assert result.policy == "pick_first"
    assert len(result.resolved) == 3
    assert len(result.connections) == 1
    assert len(result.servers) == 3


def test_servers_are_not_asked_when_whoever_started_the_client_does(replicas, plan, run):
    (server,) = replicas(1)
    wish = plan("", target="service")
    there = {"service": address(server)}
    asked = run(replace(wish, targets={**there, "headless": ""}))
    assert (asked.servers, asked.notes) == ([], [])
    unknown = run(replace(wish, targets=there))
    assert unknown.notes == ["the servers' own counts are missing: the plan has no headless target"]


def test_connections_are_real_and_take_calls_in_turn(replicas, plan, run):
    (server,) = replicas(1)
    result = run(plan(address(server), connections=4, requests=10))
    assert [sum(counts.values()) for counts in result.per_channel] == [3, 3, 2, 2]
    assert [fact.channel for fact in result.connections] == [0, 1, 2, 3]
    assert len({fact.local for fact in result.connections}) == 4
    assert result.servers[0].connections == 4


def test_clients_split_the_calls(replicas, plan, run):
    (server,) = replicas(1)
    counts = [run(plan(address(server), requests=7, clients=3), index).requests for index in range(3)]
    assert counts == [3, 2, 2]


def test_duration_bounds_a_closed_loop(replicas, plan, run):
    (server,) = replicas(1)
    result = run(plan(address(server), requests=None, duration_s=0.3))
    assert result.ok > 10
    assert 0.29 < result.finished_at - result.started_at < 2
    check_sums(result)


def test_retries_show_on_the_servers_only(replicas, plan, run):
    class FailsOften(EchoService):
        def answer(self, request, peer, attempt, context):
            if not attempt.warmup and not attempt.previous:
                context.abort(grpc.StatusCode.UNAVAILABLE, "first attempts fail")
            return super().answer(request, peer, attempt, context)

    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.01s",  # 0.001 s hangs some calls to their deadline in grpcio 1.85, by any API
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {"methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": retry}]}
    (server,) = replicas(1, FailsOften)
    result = run(plan(address(server), requests=5, client={"serviceConfig": config}))
    assert (result.ok, result.failed) == (5, 0)
    (counted,) = result.servers
    assert (counted.attempts, counted.retries, counted.failed) == (10, 5, 5)
    assert counted.attempts_by_previous == {"0": 5, "1": 5}


def test_calls_beyond_their_deadline_are_counted(replicas, gated, plan, run):
    (server,) = replicas(1, gated)
    result = run(plan(address(server), requests=4, concurrency=4, deadline_s=0.2))
    check_sums(result)
    assert result.errors == {"DEADLINE_EXCEEDED": 4}
    assert latency.decode(result.latency_hdr).get_max_value() >= 190_000


def test_target_that_is_never_ready_fails_with_its_code(monkeypatch, plan, run):
    monkeypatch.setattr(warmup, "LIMIT_S", 0.3)
    result = run(plan("127.98.9.9:1", requests=5))
    check_sums(result)
    assert result.errors == {"UNAVAILABLE": 5}
    assert result.notes[0].startswith("warm-up ended after 0.3 s before everything was ready: channel 0: ")
    assert "no counts from 127.98.9.9:1: UNAVAILABLE" in result.notes


def test_name_that_does_not_resolve(monkeypatch, name_server, plan, run):
    monkeypatch.setattr(warmup, "LIMIT_S", 0.3)
    result = run(plan("echo-headless:50051", dns=name_server({}), requests=2))
    assert result.errors == {"UNAVAILABLE": 2}
    assert any("echo-headless does not resolve" in note for note in result.notes)
    assert result.resolved == result.servers == []


def waiting(server):
    """Measured calls that the server has taken and not answered."""
    return server.service.counters.in_flight


def open_later(gated, server):
    """Half a second from the first call on, not from now: nobody knows how long a busy machine warms up."""
    while not waiting(server):
        time.sleep(0.01)
    time.sleep(0.5)
    gated.gate.set()


def test_stop_keeps_what_was_measured(replicas, gated, plan, run):
    (server,) = replicas(1, gated)
    began = time.monotonic()
    asked = plan(address(server), requests=1000, concurrency=3, deadline_s=30)
    result = run(asked, stop_when=lambda: waiting(server) == 3)
    assert time.monotonic() - began < 10
    check_sums(result)
    assert result.errors == {"CANCELLED": 3}
    assert result.notes == ["stopped by the test after 3 of 1000 calls"]


def test_stop_of_an_open_loop_keeps_what_was_measured(replicas, gated, plan, run):
    (server,) = replicas(1, gated)
    asked = plan(address(server), requests=10_000, rate_rps=20.0, deadline_s=30)
    result = run(asked, stop_when=lambda: waiting(server) >= 2)
    check_sums(result)
    assert set(result.errors) == {"CANCELLED"}
    assert 0 < result.requests < 100


def test_hanging_server_ends_the_run(monkeypatch, replicas, gated, plan, run):
    monkeypatch.setattr(stall_guard, "GIVE_UP_S", 0.3)
    monkeypatch.setattr(stall_guard, "EVERY_S", 0.1)
    (server,) = replicas(1, gated)
    result = run(plan(address(server), requests=1000, deadline_s=0.1))
    check_sums(result)
    assert 0 < result.requests < 100
    assert result.notes[0].startswith("gave up: no call was answered for ")


def test_stalled_open_loop_sees_the_backlog_a_closed_one_hides(replicas, gated, plan, run):
    """Coordinated omission: the server stands still for half a second."""
    (server,) = replicas(1, gated)
    slow = {}
    for kind, rate in (("closed", None), ("open", 100.0)):
        gated.gate.clear()
        opener = threading.Thread(target=open_later, args=(gated, server))
        opener.start()
        result = run(plan(address(server), requests=100, rate_rps=rate, deadline_s=10))
        opener.join()
        check_sums(result)
        assert result.ok == 100
        histogram = latency.decode(result.latency_hdr)
        slow[kind] = sum(item.count_added_in_this_iter_step for item in histogram if item.value_iterated_to > 250_000)
    # Half of the pause, so that a short one of the machine's own is not taken for it.
    assert slow["closed"] == 1
    assert slow["open"] >= 20


def test_open_loop_keeps_its_rate_and_records_its_lag(replicas, plan, run):
    (server,) = replicas(1)
    result = run(plan(address(server), requests=50, rate_rps=100.0))
    check_sums(result)
    assert result.finished_at - result.started_at >= 0.49
    assert latency.decode(result.lag_hdr).get_total_count() == 50


def test_open_loop_has_a_bounded_number_of_calls_in_flight(monkeypatch, replicas, gated, plan, run):
    monkeypatch.setattr(load, "MOST_IN_FLIGHT", 3)
    (server,) = replicas(1, gated)
    most = []
    real = server.service.counters.begin

    def begin(*arguments, **named):
        real(*arguments, **named)
        most.append(server.service.counters.in_flight)

    monkeypatch.setattr(server.service.counters, "begin", begin)
    threading.Timer(0.6, gated.gate.set).start()
    result = run(plan(address(server), requests=60, rate_rps=200.0, deadline_s=10))
    assert result.ok == 60
    assert max(most) <= 3


@pytest.mark.parametrize(
    ("pace", "elapsed", "silent", "word"),
    [
        (Pace(10, None), 39.0, 39.0, ""),
        (Pace(10, None), 41.0, 41.0, "gave up"),
        (Pace(10, None), 500.0, 1.0, ""),
        (Pace(None, 60.0), 60.0, 60.0, ""),
        (Pace(100, 60.0, 10.0), 69.0, 69.0, ""),
        (Pace(100, 60.0, 10.0), 71.0, 0.0, "was not through"),
    ],
)
def test_when_a_load_is_hopeless(pace, elapsed, silent, word):
    reason = hopeless(pace, 5.0, elapsed, silent)
    assert bool(reason) == bool(word) and word in reason


def test_give_up_waits_for_several_deadlines():
    assert hopeless(Pace(10, None), 60.0, 200.0, 200.0) == ""


def test_closed_connections_stay_in_the_log(replicas, plan, run):
    (server,) = replicas(1, max_connection_age_ms=300, max_connection_age_grace_ms=100)
    result = run(plan(address(server), requests=None, duration_s=1.5))
    assert len(result.connections) >= 2
    assert {fact.channel for fact in result.connections} == {0}

"""What a client keeps when replicas come and go, and what it tells onlookers meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
import statistics
import time

import pytest
import uvloop
from grpc_lb_lab.load import stall_guard
from grpc_lb_lab.load.channels import modes
from grpc_lb_lab.load.channels.connections import ConnectionLog
from grpc_lb_lab.load.live import EVERY_S, LiveWriter
from grpc_lb_lab.load.load import Stop
from grpc_lb_lab.load.record.histogram import FastHistogram, encode_counts, percentile_ms
from grpc_lb_lab.load.record.latency_slots import MOST_SLOTS
from grpc_lb_lab.load.record.recorder import FAILURES_KEPT, Recorder
from grpc_lb_lab.load.run import Client
from grpc_lb_lab.model import latency, live_feed
from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.result import ClientResult
from grpc_lb_lab.model.scenario import Expectation, PlannedEvent, ScenarioPlan
from grpc_lb_lab.observe import names
from grpc_lb_lab.observe.dns_watch import ANSWERS_KEPT, DnsWatch
from grpc_lb_lab.pb.echo.v1 import echo_pb2
from grpc_lb_lab.views.live.state import LiveState

EPOCH = 1_800_000_000.0
COURSE = ScenarioPlan(
    "hang", "A pod hangs", "", 0.2, [PlannedEvent(0.2, "stop", "first", for_s=1)], Expectation("even")
)


def reply(uid="uid-0", pod="echo-0"):
    return echo_pb2.EchoReply(backend=echo_pb2.Backend(pod=pod, uid=uid, ip="10.0.0.1")).SerializeToString()


def values(slot):
    return latency.decode(slot.hdr).get_total_count()


def test_what_a_histogram_gained_is_what_was_recorded_since():
    draw = random.Random(3)
    histogram, alone = FastHistogram(), FastHistogram()
    for seconds in (10 ** draw.uniform(-6, 2) for _ in range(5000)):
        histogram.record(seconds)
    mark = histogram.mark()
    taken = [10 ** draw.uniform(-6, 2) for _ in range(5000)]
    for seconds in taken:
        histogram.record(seconds)
        alone.record(seconds)
    gained, mark = histogram.since(mark)
    assert encode_counts(gained) == alone.encoded()
    assert histogram.since(mark)[0] == {}
    for percent in (1, 50, 99, 100):
        exact = sorted(taken)[max(0, round(len(taken) * percent / 100) - 1)] * 1000
        assert percentile_ms(gained, percent) == pytest.approx(exact, rel=0.002, abs=0.001)


def test_nothing_has_no_percentile():
    assert percentile_ms({}, 99) is None


def test_latencies_lie_in_the_slot_that_calls_ended_in():
    recorder = Recorder(1, EPOCH, 0.25, over_time=True)
    ends = [0.3, 0.99, 1.01, 1.5, 3.0, 3.999]
    for ended in ends:
        recorder.record_ok(0, ended - 0.01, ended, reply())
    recorder.record_failed(3.1, 4.2, "DEADLINE_EXCEEDED")
    recorder.finish(4.3)
    slots = {slot.index - int(EPOCH): values(slot) for slot in recorder.slots.slots()}
    assert (recorder.slots.slot_s, slots) == (1.0, {0: 2, 1: 2, 3: 2, 4: 1})
    assert latency.decode(recorder.slots.slots()[-1].hdr).get_max_value() == pytest.approx(1_100_000, rel=0.001)


def test_slots_double_and_lose_no_call():
    recorder = Recorder(1, EPOCH, 0.0, over_time=True)
    for number in range(2000):
        recorder.record_ok(0, number * 0.3 - 0.001, number * 0.3, reply())
    recorder.finish(600.0)
    slots = recorder.slots.slots()
    assert recorder.slots.slot_s == 8.0
    assert len(slots) <= MOST_SLOTS
    assert sum(values(slot) for slot in slots) == 2000
    assert latency.encode(latency.merge(slot.hdr for slot in slots)) == recorder.latency.encoded()
    for slot in slots[1:-1]:
        assert 26 <= values(slot) <= 27


def test_the_first_failures_are_kept_one_by_one():
    recorder = Recorder(1, EPOCH, 0.0, over_time=True)
    for number in range(FAILURES_KEPT + 10):
        recorder.record_failed(number, number + 0.5, "UNAVAILABLE")
    assert (len(recorder.failures), recorder.failed) == (FAILURES_KEPT, FAILURES_KEPT + 10)
    assert dataclasses.astuple(recorder.failures[3]) == (EPOCH + 3, EPOCH + 3.5, "UNAVAILABLE")


def test_without_a_scenario_nothing_is_kept_over_time():
    recorder = Recorder(1, EPOCH, 0.0)
    recorder.record_failed(1.0, 2.5, "UNAVAILABLE")
    recorder.finish(3.0)
    assert (recorder.failures, recorder.slots) == ([], None)


def test_calls_by_pod_add_up_over_its_processes():
    recorder = Recorder(1, EPOCH, 0.0)
    for uid, pod in (("u1", "a"), ("u2", "a"), ("u3", "b")):
        recorder.record_ok(0, 0.0, 0.01, reply(uid, pod))
    recorder.fold(0.02)
    assert recorder.calls_by_pod() == {"a": 2, "b": 1}


def test_connections_have_the_times_of_the_samples_that_show_them(replicas, plan):
    (server,) = replicas(1)

    async def main():
        (channel,) = modes.open_channels(plan(f"127.98.1.1:{server.port}"))
        await channel.start()
        log = ConnectionLog([channel])
        try:
            before_any = time.time()
            log.sample()
            while not log.open:
                await asyncio.sleep(0.01)
                before_any = time.time()
                log.sample()
            seen_by, first = time.time(), log.connections()
            log.sample()
            assert log.connections() == first
            await asyncio.to_thread(server.server.stop(0).wait)
            while log.open:
                await asyncio.sleep(0.01)
                before_gone = time.time()
                log.sample()
            return first, log.connections(), before_any, seen_by, before_gone, time.time()
        finally:
            await channel.close()

    (first,), (fact,), before_any, seen_by, before_gone, gone_by = uvloop.run(asyncio.wait_for(main(), 20))
    assert (first.closed_at, fact.opened_at) == (None, first.opened_at)
    assert before_any <= fact.opened_at <= seen_by
    assert before_gone <= fact.closed_at <= gone_by


def test_connections_that_the_server_ends_follow_one_another(replicas, plan, run):
    (server,) = replicas(1, max_connection_age_ms=1000, max_connection_age_grace_ms=100)
    wish = plan(f"127.98.1.1:{server.port}", requests=None, duration_s=4.0)
    result = run(dataclasses.replace(wish, course=COURSE))
    first, *others = sorted(result.connections, key=lambda fact: fact.opened_at)
    assert first.opened_at <= result.started_at < first.closed_at
    assert len(others) >= 2
    ends = [fact.closed_at for fact in [first, *others] if fact.closed_at is not None]
    assert len(ends) >= len(others), "one may be open at the end"
    assert ends == sorted(ends)
    assert all(fact.opened_at < fact.closed_at for fact in [first, *others] if fact.closed_at is not None)


def test_a_scenario_s_result_has_failures_latencies_and_answers(replicas, gated, name_server, plan, run):
    (server,) = replicas(1, gated)
    dns = name_server({"echo-headless": ["127.98.1.1"]})
    wish = plan(f"echo-headless:{server.port}", dns=dns, requests=30, rate_rps=10.0, deadline_s=0.3)
    result = from_dict(ClientResult, to_dict(run(dataclasses.replace(wish, course=COURSE))))
    assert {failure.code for failure in result.failures} == {"DEADLINE_EXCEEDED"}
    assert len(result.failures) == result.failed == 30
    for failure in result.failures:
        assert result.started_at - 0.01 <= failure.began_at
    took = [failure.ended_at - failure.began_at for failure in result.failures]
    # The deadline. A busy machine makes single calls late, not most of them.
    assert min(took) >= 0.29
    assert statistics.median(took) == pytest.approx(0.3, abs=0.2)
    assert sum(values(slot) for slot in result.latency_slots) == 30
    assert [answer.addresses for answer in result.dns_answers] == [["127.98.1.1"]]


def test_steady_asks_dns_nothing_more(replicas, name_server, plan, run):
    (server,) = replicas(1)
    dns = name_server({"echo-headless": ["127.98.1.1"]})
    result = run(plan(f"echo-headless:{server.port}", dns=dns))
    assert (result.dns_answers, result.latency_slots, result.failures) == ([], [], [])


def ask(*said):
    """What is kept when DNS says these things one after the other."""
    asked = []

    async def resolve(address, server):
        asked.append((address, server))
        if len(asked) > len(said):
            raise asyncio.CancelledError
        answer = said[len(asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return [f"{host}:50051" for host in answer]

    dns = DnsWatch("echo-headless:50051", "127.0.0.1:53", resolve)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(dns.run())
    assert set(asked) == {("ECHO-HEADLESS:50051", "127.0.0.1:53")}
    return [answer.addresses for answer in dns.answers]


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("grpc_lb_lab.observe.dns_watch.EVERY_S", 0)


def test_only_changes_of_an_answer_are_kept(at_once):
    assert ask(["1.1.1.1"], ["1.1.1.1"], ["1.1.1.1", "2.2.2.2"], ["1.1.1.1"]) == [
        ["1.1.1.1"],
        ["1.1.1.1", "2.2.2.2"],
        ["1.1.1.1"],
    ]


def test_no_answer_is_no_news_and_no_address_is(at_once):
    assert ask(["1.1.1.1"], OSError("timeout"), ["1.1.1.1"]) == [["1.1.1.1"]]
    assert ask(["1.1.1.1"], names.NoAddressError("gone"), ["2.2.2.2"]) == [["1.1.1.1"], [], ["2.2.2.2"]]


def test_a_name_that_means_nothing_here_has_no_answers(at_once):
    assert ask(names.NoAddressError("outside of the cluster"), names.NoAddressError("still")) == []


def test_answers_are_bounded(at_once):
    assert len(ask(*([str(number)] for number in range(ANSWERS_KEPT + 5)))) == ANSWERS_KEPT


def test_a_name_without_address_is_told_from_a_silent_server(name_server):
    with pytest.raises(names.NoAddressError):
        asyncio.run(names.resolve("echo-headless:1", name_server({})))


def test_nobody_gives_up_within_an_outage(monkeypatch, replicas, gated, plan, run):
    monkeypatch.setattr(stall_guard, "GIVE_UP_S", 0.3)
    monkeypatch.setattr(stall_guard, "LOOK_EVERY_S", 0.1)
    (server,) = replicas(1, gated)
    wish = dataclasses.replace(plan(f"127.98.1.1:{server.port}", requests=1000, deadline_s=0.1), course=COURSE)
    result = run(wish)
    assert result.finished_at - result.started_at >= 1.2 + 0.4  # the fault's end, and then the usual patience
    assert result.notes[0].startswith("gave up: no call was answered for ")


def read(path):
    state = LiveState()
    lines = [live_feed.parse(line) for line in path.read_text().splitlines()]
    for line in path.read_text().splitlines():
        assert state.take(line), line
    return state, lines


def run_live(wish, target, index=0):
    async def main():
        return await Client(wish, index, Stop(), live=str(target)).run()

    return asyncio.run(main())


def test_a_client_writes_its_lines(replicas, plan, tmp_path):
    (server,) = replicas(1)
    path = tmp_path / live_feed.FILE
    path.write_text("")
    wish = plan(f"127.98.1.1:{server.port}", requests=150, rate_rps=100.0)
    result = run_live(wish, path)
    state, lines = read(path)
    assert (state.done, state.calls) == (150, {"echo-0": 150})
    assert lines[0].done == 0
    assert lines[0].start == pytest.approx(result.started_at)
    assert [line.ended for line in lines] == [False] * (len(lines) - 1) + [True]
    # Beside those in between: when the load begins, when the writer does, and at the end.
    assert 6 <= len(lines) <= (lines[-1].at - lines[0].at) / EVERY_S + 3
    assert {line.conns for line in lines} == {1}
    assert {line.total for line in lines} == {150}
    assert 0 < lines[-1].p50_ms <= lines[-1].p99_ms < 1000
    assert all(before.done <= after.done for before, after in itertools.pairwise(lines))


def test_failed_calls_are_in_the_lines(replicas, gated, plan, tmp_path):
    (server,) = replicas(1, gated)
    path = tmp_path / live_feed.FILE
    path.write_text("")
    run_live(plan(f"127.98.1.1:{server.port}", requests=3, deadline_s=0.1), path)
    state, _ = read(path)
    assert (state.failed, state.errors) == (3, {"DEADLINE_EXCEEDED": 3})


def test_lines_go_to_stderr_where_there_is_no_file(replicas, plan, capfd):
    (server,) = replicas(1)
    run_live(plan(f"127.98.1.1:{server.port}"), "-")
    lines = [live_feed.from_log(line) for line in capfd.readouterr().err.splitlines()]
    told = [live_feed.parse(line) for line in lines if line]
    assert told[-1].done == 20
    assert told[-1].ended


def test_a_feed_that_is_not_there_does_not_stop_the_load(replicas, plan, tmp_path, capfd):
    (server,) = replicas(1)
    result = run_live(plan(f"127.98.1.1:{server.port}"), tmp_path / "missing")
    assert result.ok == 20
    assert "live: nobody can watch this client:" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_stop_the_load(replicas, plan, capfd):
    (server,) = replicas(1)
    result = run_live(plan(f"127.98.1.1:{server.port}"), "/dev/full")
    assert result.ok == 20
    assert capfd.readouterr().err.count("nobody can watch this client: write: No space left on device") == 1


def test_many_clients_write_more_rarely(tmp_path):
    (tmp_path / "feed").write_text("")
    intervals = [LiveWriter(str(tmp_path / "feed"), 0, clients)._every_s for clients in (1, 5, 40, 100)]
    assert intervals == [0.25, 0.25, 2.0, 5.0]


def test_the_command_knows_the_feed(replicas, plan, tmp_path):
    from grpc_lb_lab.cli import main

    (server,) = replicas(1)
    (tmp_path / "plan.json").write_text(json.dumps(to_dict(plan(f"127.98.1.1:{server.port}"))))
    (tmp_path / "feed").write_text("")
    output = ["--output", str(tmp_path / "result.json"), "--live", str(tmp_path / "feed")]
    assert main(["client", "--plan", str(tmp_path / "plan.json"), *output]) == 0
    assert read(tmp_path / "feed")[0].done == 20

"""The figures of a scenario, on made-up runs whose answers are known."""

from __future__ import annotations

import dataclasses
import json

import course_factory as acted
import pytest
import report_factory as made
from grpc_lb_lab.judge.document import Report
from grpc_lb_lab.judge.merge import merge
from grpc_lb_lab.judge.scenario import shares
from grpc_lb_lab.judge.scenario.presence import Presence, changes, presences
from grpc_lb_lab.model.data import from_dict
from grpc_lb_lab.model.inventory import Event, Replica
from grpc_lb_lab.model.result import Failure
from grpc_lb_lab.views.render.json import render_json


def present(events, ready=True):
    replica = Replica("echo-1", "uid-1", "127.77.1.2", ready=ready)
    world = dataclasses.replace(made.inventory(0), replicas=[replica], events=events)
    one = dataclasses.replace(made.client([[0, 50]]), started_at=acted.START, finished_at=acted.START + 10)
    return presences(merge([one], world))[0]


def test_a_replica_without_events_was_ready_all_the_time_or_never():
    assert present([]).spans == [(0.0, 10.0)]
    assert present([], ready=False).spans == []


def test_a_replica_that_leaves_was_there_before():
    one = present([acted.event("replica-terminating", 4, 1), acted.event("replica-ended", 4.2, 1)], ready=False)
    assert one.spans == [(0.0, 4.0)]
    assert (one.came_s, one.left_s) == (None, 4.0)


def test_a_replica_that_comes_was_not_there_before():
    one = present([acted.event("replica-started", 3, 1), acted.event("replica-ready", 4, 1)])
    assert one.spans == [(4.0, 10.0)]
    assert (one.came_s, one.left_s) == (4.0, None)


def test_a_replica_that_hangs_for_a_while_did_not_come():
    one = present([acted.event("replica-unready", 3, 1), acted.event("replica-ready", 6, 1)])
    assert one.spans == [(0.0, 3.0), (6.0, 10.0)]
    assert (one.came_s, one.left_s) == (None, None)
    assert changes([one], 10.0) == [3.0, 6.0]
    assert one.ready_through(1, 3)
    assert not one.ready_through(2, 7)


def test_events_after_the_last_call_and_of_others_do_not_count():
    one = present([acted.event("replica-ended", 10.5, 1), acted.event("replica-ended", 5, 2)])
    assert one.spans == [(0.0, 10.0)]


def test_events_that_only_name_the_replica_in_words_count():
    one = present([Event(acted.START + 5, "replica-ended", "echo-1 (127.77.1.2): exit code 0")], ready=False)
    assert one.spans == [(0.0, 5.0)]


@pytest.mark.parametrize(
    ("counts", "good"),
    [
        ([100, 100, 100], True),
        ([145, 145, 59], True),  # just over half of 116.3
        ([145, 145, 57], False),
        ([175, 170, 5], False),
        ([150, 150, 0], False),
        ([42, 42, 16], False),  # half of 33.3 is 16.7
        ([20, 20, 5], None),  # 15 a replica: too few to tell
        ([0, 0, 0], False),
    ],
)
def test_a_window_is_good_when_every_ready_replica_has_its_share(counts, good):
    ready = [Presence(str(index), f"echo-{index}", [(0.0, 10.0)], None, None) for index in range(3)]
    window = shares.Window(2, 4, sum(counts), {str(index): calls for index, calls in enumerate(counts)})
    assert shares.look(window, ready, 0.5, exact=True).good is good


@pytest.mark.parametrize(("counts", "good"), [([40, 40, 20], True), ([44, 44, 12], True), ([50, 45, 5], False)])
def test_a_policy_that_draws_may_give_less(counts, good):
    ready = [Presence(str(index), f"echo-{index}", [(0.0, 10.0)], None, None) for index in range(3)]
    window = shares.Window(2, 4, sum(counts), {str(index): calls for index, calls in enumerate(counts)})
    # 33.3 - 4 √33.3 = 10.2
    assert shares.look(window, ready, 0.5, exact=False).good is good


def test_a_replica_that_is_not_ready_all_through_the_window_is_owed_nothing():
    ready = [Presence("0", "a", [(0.0, 10.0)], None, None), Presence("1", "b", [(2.5, 10.0)], 2.5, None)]
    assert shares.look(shares.Window(2, 4, 100, {"0": 100}), ready, 0.5, exact=True).good is True
    assert shares.look(shares.Window(3, 5, 100, {"0": 100}), ready, 0.5, exact=True).lacking == ["1"]


def test_failed_calls_are_owed_too_and_nobody_ready_is_bad():
    ready = [Presence(str(index), "", [(0.0, 10.0)], None, None) for index in range(2)]
    assert shares.look(shares.Window(2, 4, 400, {"0": 50, "1": 50}), ready, 0.5, exact=True).good is False
    assert shares.look(shares.Window(12, 14, 400, {"0": 50, "1": 50}), ready, 0.5, exact=True).good is False


@pytest.mark.parametrize("noticed", [1.7, 2.4, 5.0, 9.0])
def test_share_returns_with_the_first_call_of_the_last_new_replica(noticed):
    course = acted.scale_up(noticed).course
    assert course.share_returned_s == pytest.approx(noticed, abs=0.08)
    assert course.share_before is True


def test_share_never_returns_when_new_replicas_stay_idle():
    course = acted.scale_up(None).course
    assert course.share_returned_s is None
    assert course.lacking == ["echo-5", "echo-6"]


def test_share_comes_back_after_an_outage_and_not_in_it():
    assert acted.replaced(6.0).course.share_returned_s == pytest.approx(8.0, abs=0.05)
    assert acted.replaced(14.0).course.share_returned_s is None


def test_error_window_counts_codes_and_what_was_under_way():
    errors = acted.killed().course.errors
    assert (errors.failed, errors.by_code, errors.in_flight) == (2, {"UNAVAILABLE": 2}, 2)
    assert errors.first_s == pytest.approx(4.98, abs=0.001)
    assert errors.window_s == pytest.approx(0.032, abs=0.001)
    nothing = acted.scale_up(2.0).course.errors
    assert (nothing.failed, nothing.first_s, nothing.last_s, nothing.window_s, nothing.in_flight) == (
        0,
        None,
        None,
        0,
        0,
    )


def test_error_window_of_more_failures_than_were_kept_ends_with_the_timeline():
    world = acted.two_more()
    one = acted.client(world, lambda call, t: "UNAVAILABLE" if 6 <= t < 9 else call % 5)
    one = dataclasses.replace(one, failures=one.failures[:50])
    errors = acted.report(world, one, acted.course("scale", "skewed", by=2)).course.errors
    assert (errors.failed, errors.kept) == (300, 50)
    assert errors.first_s == pytest.approx(6.0, abs=0.01)
    assert errors.last_s == pytest.approx(9.2, abs=0.21)


def test_clocks_of_each_new_replica():
    one, other = acted.scale_up(2.4).course.clocks
    assert (one.pod, one.command_s, one.started_s, one.ready_s, one.endpoints_s, one.dns_s) == (
        "echo-5", 5.0, 6.0, 6.5, 6.52, 6.7,
    )  # fmt: skip
    assert one.first_call_s == pytest.approx(7.4, abs=0.02)
    assert one.idle_s == pytest.approx(0.9, abs=0.02)
    assert other.pod == "echo-6"
    assert acted.scale_up(None).course.clocks[0].first_call_s is None


def test_connections_opened_and_closed():
    assert dataclasses.astuple(acted.scale_up(2.4).course.connections) == (5, 3, 1, 7)
    world = acted.two_more()
    one = acted.client(world, lambda call, t: call % 5)
    untold = [dataclasses.replace(item, opened_at=0.0) for item in one.connections]
    quiet = acted.report(world, dataclasses.replace(one, connections=untold), acted.course("scale", "skewed", by=2))
    assert dataclasses.astuple(quiet.course.connections) == (None, None, None, None)


def test_latency_before_during_and_after():
    world = acted.two_more()
    slow = acted.client(world, lambda call, t: call % 5, took_ms=lambda call, t: 50.0 if 5.5 <= t < 6.4 else 2.0)
    found = acted.report(world, slow, acted.course("scale", "skewed", by=2)).course
    assert found.latency["before"].p99 == pytest.approx(2.0, rel=0.01)
    assert found.latency["during"].p99 == pytest.approx(50.0, rel=0.01)
    assert found.latency["after"].p50 == pytest.approx(2.0, rel=0.01)
    assert sum(span.calls for span in found.latency.values()) == 2000 == sum(one.calls for one in found.latency_course)


def test_the_tail_is_the_end_over_the_replicas_that_are_left():
    tail = acted.replaced().course.tail
    assert tail.from_s == pytest.approx(13.4, abs=0.21)
    assert list(tail.calls) == ["echo-3", "echo-4", "echo-5"]
    assert sum(tail.calls.values()) == pytest.approx(660, abs=25)


def test_the_timeline_adds_up_to_all_calls():
    for report in (acted.scale_up(2.0), acted.replaced(), acted.killed(), acted.hung()):
        buckets = report.timeline.buckets
        assert sum(bucket.ok for bucket in buckets) == report.actual.ok
        assert sum(bucket.failed for bucket in buckets) == report.actual.failed
        assert sum(sum(bucket.per_backend.values()) for bucket in buckets) == report.actual.ok


def test_two_clients_are_merged():
    world = acted.two_more()
    clients = [
        dataclasses.replace(
            acted.client(world, acted.in_turn(world.at), failed=1, errors={"UNAVAILABLE": 1}, requests=2001,
                         failures=[Failure(acted.START + 6 + index, acted.START + 6.1 + index, "UNAVAILABLE")]),
            index=index,
        )
        for index in range(2)
    ]  # fmt: skip
    facts = merge(clients, world.inventory())
    assert [one.began_at for one in facts.failures] == [acted.START + 6, acted.START + 7]
    assert len(facts.over_time) == 2


def test_the_report_is_read_back_as_it_was_written():
    report = acted.scale_up(2.4)
    assert from_dict(Report, json.loads(render_json(report))) == report


def test_steady_has_no_course_and_keeps_its_keys():
    data = json.loads(render_json(made.headless([200] * 5)))
    assert data["course"] is None
    assert "checks" in json.loads(render_json(acted.killed()))["course"]

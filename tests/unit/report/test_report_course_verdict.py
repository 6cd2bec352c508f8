"""Verdicts and causes of scenarios: what was expected, what happened, and why."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import course_factory as acted
import pytest
import report_factory as made
from grpc_lb_lab.model import latency
from grpc_lb_lab.model.inventory import Event, Inventory
from grpc_lb_lab.model.result import PathCount, ProxyStats
from grpc_lb_lab.model.scenario import PlannedEvent


def met(report):
    return {check.what: check.met for check in report.course.checks}


def test_new_replicas_stay_idle_because_no_connection_broke():
    report = acted.scale_up(None)
    assert (report.verdict.status, report.verdict.expected, report.verdict.observed) == ("pass", "skewed", "skewed")
    assert report.verdict.balanced is False
    assert report.verdict.cause == (
        "New replicas stayed idle: the client resolves DNS only when a connection breaks, and none broke. "
        "No call failed."
    )


def test_new_replicas_get_their_share():
    report = acted.scale_up(2.4)
    assert (report.verdict.status, report.verdict.observed, report.verdict.balanced) == ("pass", "even", True)
    assert report.verdict.cause == (
        "Every ready replica had its share again 2.41 s after the first event: echo-6 was ready 1.6 s after it and "
        "had its first call 0.81 s later, when the client asked DNS again. No call failed."
    )


def test_all_three_must_be_as_expected():
    late = acted.scale_up(9.0)
    assert late.verdict.status == "fail"
    assert met(late) == {"class": True, "share": False, "errors": True}
    assert late.verdict.cause.startswith("Every share back: expected within 6 s, observed after 9.06 s. Every ready")
    early = acted.scale_up(2.4, share="never")
    assert met(early) == {"class": True, "share": False, "errors": True}
    assert "expected not within the run, observed after 2.41 s" in early.verdict.cause
    other = acted.course("scale", "pinned", by=2)
    world = acted.two_more()
    uneven = acted.report(world, acted.client(world, acted.in_turn(world.at)), other)
    assert (uneven.verdict.status, uneven.verdict.observed) == ("fail", "even")
    assert uneven.verdict.cause.startswith("Calls at the end: expected pinned, observed even.")


def test_a_scenario_of_which_nothing_is_expected_is_measured_and_not_judged():
    world = acted.two_more()
    happens = dataclasses.replace(acted.course("scale", "pinned", by=2), expect=None)
    report = acted.report(world, acted.client(world, acted.in_turn(world.at)), happens)
    assert (report.verdict.status, report.verdict.expected, report.verdict.observed) == ("observed", "", "even")
    assert [(check.what, check.expected) for check in report.course.checks] == [
        ("class", "–"),
        ("share", "–"),
        ("errors", "–"),
    ]
    assert report.verdict.cause.startswith("Every ready replica had its share again")


@pytest.mark.parametrize(
    ("expected", "status", "words"),
    [
        ("none", "fail", "Failed calls: expected none, observed 2 calls in 0.03 s."),
        ("some", "pass", ""),
        ("any", "pass", ""),
        (0.01, "fail", "Failed calls: expected for at most 0.01 s, observed 2 calls in 0.03 s."),
        (0.5, "pass", ""),
    ],
)
def test_failed_calls_are_judged_as_the_scenario_says(expected, status, words):
    report = acted.killed(errors=expected)
    assert report.verdict.status == status
    assert report.verdict.cause.startswith(words)
    assert "2 of 2,000 calls failed (UNAVAILABLE 2 times) within 0.03 s: all were under way" in report.verdict.cause


def test_failures_that_were_expected_and_did_not_come_fail():
    report = acted.scale_up(2.4, errors="some")
    assert report.verdict.status == "fail"
    assert report.verdict.cause.startswith("Failed calls: expected some, observed none.")


def test_the_trap_of_dns_is_named():
    report = acted.replaced()
    assert report.verdict.status == "pass"
    assert (
        "no address that the client knew answered, and it asks DNS again at most once in 30 s" in report.verdict.cause
    )


def test_a_hung_replica_is_named():
    report = acted.hung()
    assert report.verdict.status == "pass"
    assert report.verdict.cause.startswith("echo-1 did not get its share: it hangs, its connections stay open")
    assert "calls to the replica that hung waited for their deadline" in report.verdict.cause


def test_a_service_is_pinned_before_and_after():
    world = acted.two_more()
    one = acted.client(world, lambda call, t: 2, opened=[(2, -1.0, None)])
    remote = [dataclasses.replace(item, remote=f"{made.SERVICE_IP}:50051") for item in one.connections]
    expected = acted.course("scale", "pinned", share="never", errors="none", by=2)
    report = acted.report(
        world, dataclasses.replace(one, connections=remote), expected, name="service", hops=("service",),
        policy="pick_first", target="service",
    )  # fmt: skip
    assert (report.verdict.status, report.verdict.observed) == ("pass", "pinned")
    assert report.verdict.cause == (
        "New replicas stayed idle: the Service picks a replica when a connection opens, and the client opened none. "
        "No call failed."
    )


def test_counts_of_replicas_that_left_are_lost_and_explained():
    report = acted.replaced()
    assert report.reconciliation.explained
    assert "answers of replicas that are gone" in report.reconciliation.detail


@dataclass(frozen=True)
class Told:
    """A world whose inventory was changed."""

    known: Inventory
    duration: float = acted.DURATION

    def inventory(self):
        return self.known


def test_invalid_when_an_event_did_not_happen():
    world = acted.World(dict.fromkeys(range(5), (0.0, None)))
    report = acted.report(
        world, acted.client(world, acted.in_turn(world.at)), acted.course("kill", "even", which="first")
    )
    assert report.verdict.status == "invalid"
    assert report.verdict.cause == "Only 0 of 1 planned event happened while the load ran."


def test_invalid_when_new_replicas_did_not_become_ready():
    world = acted.World(dict.fromkeys(range(5), (0.0, None)), events=[acted.command("scale 5 → 7")])
    report = acted.report(world, acted.client(world, acted.in_turn(world.at)), acted.course("scale", "even", by=2))
    assert report.verdict.status == "invalid"
    assert "5 of 7 replicas that should be there at the end were ready" in report.verdict.cause


def test_invalid_when_a_rollout_never_finished():
    ready = {0: (0.0, 8.0), 1: (0.0, None), 2: (7.5, None)}
    world = acted.World(ready, events=[acted.command("restart")])
    report = acted.report(
        world, acted.client(world, acted.in_turn(world.at)), acted.course("restart", "even"), replicas=2
    )
    assert report.verdict.status == "invalid"
    assert report.verdict.cause == "The replicas were not all replaced within the run: echo-1 stayed."


def test_invalid_when_counts_are_lost_without_a_reason():
    world = acted.World({0: (0.0, 5.01), 1: (0.0, None), 2: (5.5, None)}, events=[acted.command("kill echo-0")])
    one, known = acted.client(world, acted.in_turn(world.at)), world.inventory()
    expected = acted.course("kill", "even", which="first")
    assert acted.report(world, one, expected, replicas=2).verdict.status == "pass"
    slow = dataclasses.replace(expected, events=[PlannedEvent(5.0, "slow")])
    others = [event for event in known.events if event.pod != "echo-0"]
    named = Told(dataclasses.replace(known, events=others))
    assert acted.report(named, one, slow, replicas=2).verdict.status == "pass"  # the command names it
    silent = [dataclasses.replace(event, detail=event.kind) for event in others]
    report = acted.report(Told(dataclasses.replace(known, events=silent)), one, slow, replicas=2)
    assert report.verdict.status == "invalid"
    assert "echo-0 answered" in report.verdict.cause


def test_invalid_when_a_stranger_answers():
    world = acted.two_more()
    known = world.inventory()
    hidden = dataclasses.replace(known, replicas=[replica for replica in known.replicas if replica.pod != "echo-0"])
    report = acted.report(
        Told(hidden), acted.client(world, acted.in_turn(world.at)), acted.course("scale", "even", by=2), replicas=4
    )
    assert report.verdict.status == "invalid"
    assert "echo-0, not in the inventory" in report.verdict.cause


@pytest.mark.parametrize(
    ("stood_still_s", "share", "status"), [(2.9, "never", "invalid"), (0.3, "never", "fail"), (2.9, 6.0, "pass")]
)
def test_a_client_that_stood_still_is_no_verdict_on_what_was_missed(stood_still_s, share, status):
    lag = latency.new_histogram()
    latency.record(lag, stood_still_s * 1e6)
    world = acted.two_more()
    result = acted.client(world, acted.in_turn(world.at), lag_hdr=latency.encode(lag))
    report = acted.report(world, result, acted.course("scale", "even", by=2, share=share))
    assert report.verdict.status == status
    assert ("The client itself stood still: calls began up to 2.9" in report.verdict.cause) == (status == "invalid")


def test_too_few_calls_to_tell_a_share():
    world = acted.two_more()
    full = acted.client(world, acted.in_turn(world.at))
    few = [bucket for bucket in full.timeline if bucket.index % 40 == 0]
    ok = sum(bucket.ok for bucket in few)
    counts: dict[str, int] = {}
    for bucket in few:
        for uid, calls in bucket.per_backend.items():
            counts[uid] = counts.get(uid, 0) + calls
    sparse = dataclasses.replace(
        full, timeline=few, requests=ok, ok=ok, per_channel=[counts],
        backends=[dataclasses.replace(one, requests=counts[one.uid]) for one in full.backends if one.uid in counts],
        servers=[dataclasses.replace(one, attempts=counts.get(one.uid, 0)) for one in full.servers],
        paths=[dataclasses.replace(full.paths[0], requests=ok)],
    )  # fmt: skip
    report = acted.report(world, sparse, acted.course("scale", "even", by=2, share=6.0), rate_rps=None)
    assert report.course.share_told is False
    assert report.verdict.status == "invalid"
    assert "Too few calls to tell the share of a replica" in report.verdict.cause


def test_when_every_call_fails_the_code_is_the_news():
    world = acted.two_more()
    report = acted.report(
        world, acted.client(world, lambda call, t: "UNAVAILABLE"), acted.course("scale", "even", by=2)
    )
    assert report.verdict.status == "fail"
    assert report.verdict.cause == "All 2,000 calls failed (UNAVAILABLE 2,000 times)."


def test_keys_may_move_with_the_replicas_but_not_with_the_calls():
    world = acted.two_more()
    homes = {f"key-{index}": {made.uid(index % 5): 20, made.uid(index % 7): 20} for index in range(50)}
    drawn = {key: {made.uid(index): 6 for index in range(7)} for key in homes}
    one = acted.client(world, acted.in_turn(world.at))
    expected = acted.course("scale", "hashed", by=2)
    assert acted.report(world, dataclasses.replace(one, keys=homes), expected).verdict.observed == "hashed"
    assert acted.report(world, dataclasses.replace(one, keys=drawn), expected).verdict.observed == "even"


def test_events_of_others_are_kept_in_the_report():
    report = acted.scale_up(2.4)
    assert [event.kind for event in report.events][:2] == ["command", "replica-started"]
    assert report.events[1].pod == "echo-5"
    assert isinstance(acted.command("x"), Event)


def beside(replicas, counts):
    """The Envoys beside these replicas."""
    return [
        ProxyStats("envoy-server", f"{made.ip(index)}:9901", counts[index], 1, 0, {}, 0.1) for index in replicas
    ]  # fmt: skip


@pytest.mark.parametrize(("known", "status"), [([1, 2], "pass"), ([2], "invalid")])
def test_counters_of_proxies_that_left_with_their_replica_are_explained(known, status):
    world = acted.World({0: (0.0, 5.01), 1: (0.0, None), 2: (5.5, None)}, events=[acted.command("kill echo-0")])
    one = acted.client(world, acted.in_turn(world.at))
    counts = {index: server.requests for index, server in enumerate(one.backends)}
    proxies = [made.envoy(one.ok), *beside(known, counts)]
    through = dataclasses.replace(
        one, proxies=proxies, paths=[PathCount("127.0.0.1", {"via": "1.1 envoy-client, 1.1 envoy-server"}, one.ok)],
        connections=[dataclasses.replace(one.connections[0], remote="127.77.2.1:15001")],
    )  # fmt: skip
    report = acted.report(
        world, through, acted.course("kill", "even", which="first"), replicas=2, hops=("envoy-client", "envoy-server")
    )
    assert report.verdict.status == status
    assert report.path.proven is (status == "pass")


def test_a_proxy_that_keeps_replicas_that_left_is_named():
    world = acted.World({0: (0.0, 5.01), 1: (0.0, None), 2: (5.5, None)}, events=[acted.command("kill echo-0")])
    turns = acted.in_turn(world.at)
    one = acted.client(world, lambda c, t: turns(c, t) if t < 5 or c % 3 or t > 12 else "UNAVAILABLE")
    through = dataclasses.replace(
        one, proxies=[made.envoy(one.requests)], paths=[PathCount("127.0.0.1", {"via": "1.1 envoy-client"}, one.ok)],
        connections=[dataclasses.replace(one.connections[0], remote="127.77.2.1:15001")],
    )  # fmt: skip
    expected = acted.course("kill", "even", which="first")
    report = acted.report(world, through, expected, replicas=2, hops=("envoy-client",))
    assert "envoy-client went on sending calls to replicas that had left, the last of them at 5.01 s" in (
        report.verdict.cause
    )


def test_a_replica_that_is_found_unready_is_owed_nothing_and_named():
    events = [acted.command("stop echo-1"), acted.event("replica-unready", 9.0, 1)]
    world = acted.World(dict.fromkeys(range(3), (0.0, None)), events=events)
    one = acted.client(world, lambda c, t: ("DEADLINE_EXCEEDED", 1.0) if 5 <= t < 9 and c % 3 == 1 else
                       c % 3 if t < 9 else c % 2 * 2)  # fmt: skip
    report = acted.report(world, one, acted.course("stop", "even", which="first", share=6.0), replicas=3)
    assert report.verdict.status == "pass"
    assert "; echo-1 was not ready from 9 s on, so none is due to it." in report.verdict.cause

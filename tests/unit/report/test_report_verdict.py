"""Verdicts of whole runs: each expected outcome with its cause, and every reason for fail and invalid."""

from __future__ import annotations

import dataclasses

import pytest
import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.inventory import Event, Replica
from grpc_lb_lab.model.result import BackendCount
from grpc_lb_lab.views.render import lines


def judged(result, *, replicas=5, inventory=None, **asked):
    plan = made.plan(**({"requests": result.requests, "replicas": replicas} | asked))
    return build_report(plan, inventory or made.inventory(replicas), [result])


def changed(report, **words):
    return {field: getattr(report.verdict, field) for field in words} == words


def test_envoy_is_even_because_the_proxy_balances_each_call():
    report = made.through_envoy([200] * 5)
    assert changed(report, status="pass", expected="even", observed="even", balanced=True)
    assert report.verdict.cause == (
        "The 5 replicas got 200 calls each: the client's one connection ends at envoy-client, "
        "which balanced each call by ROUND_ROBIN over 5 upstream connections."
    )
    assert report.path.hops == ["client", "envoy-client", "server"]


def test_service_is_pinned_because_there_is_one_connection():
    report = made.service([0, 0, 1000, 0, 0])
    assert changed(report, status="pass", expected="pinned", observed="pinned", balanced=False)
    assert report.verdict.cause == (
        "All 1,000 calls went to one of 5 replicas: the name resolved to one address, "
        "so one HTTP/2 connection carried them all."
    )


def test_service_round_robin_is_pinned_because_one_address_leaves_nothing_to_take_in_turn():
    report = made.service([0, 0, 1000, 0, 0], policy="round_robin")
    assert report.verdict.status == "pass"
    assert "the name resolved to one address, so round_robin had one connection to take" in report.verdict.cause


def test_headless_pick_first_is_pinned_although_there_are_addresses():
    one = made.client([[0, 0, 1000, 0, 0]], policy="pick_first", remotes=["ipv4:127.77.1.3:50051"])
    report = judged(one, expect="pinned", policy="pick_first")
    assert report.verdict.status == "pass"
    assert report.verdict.cause == (
        "All 1,000 calls went to one of 5 replicas: the name resolved to 5 addresses, "
        "but pick_first opened a connection to one of them and kept it for every call."
    )


def test_headless_is_even_over_its_connections():
    report = made.headless([101, 100, 100, 100, 100, 100, 100])
    assert changed(report, status="pass", observed="even", balanced=True)
    assert report.verdict.cause == (
        "The 7 replicas got 100 or 101 calls each: the name resolved to 7 addresses, "
        "and round_robin took its 7 connections in turn."
    )


def test_baseline_has_nothing_to_balance():
    report = judged(made.client([[1000]], policy="pick_first"), replicas=1, expect="pinned", strategy={"replicas": 1})
    assert report.verdict.status == "pass"
    assert "the only replica there is" in report.verdict.cause


@pytest.mark.parametrize(("expect", "precision"), [("even", "exact"), ("even", "chance"), ("pinned", "exact")])
def test_one_replica_shows_nothing_of_balancing(expect, precision):
    report = judged(made.client([[1000]]), replicas=1, expect=expect, precision=precision)
    assert changed(report, status="invalid", balanced=False)
    assert report.verdict.cause == (
        f"One replica gets every call whatever balances them, so this does not show {expect}; "
        "at least 2 replicas are needed, for example -e lab_replicas=5."
    )
    assert judged(made.client([[500, 500]]), replicas=2, precision=precision).verdict.status == "pass"


def test_many_connections_through_the_service_are_spread():
    channels = [
        [20 if index == choice else 0 for index in range(5)]
        for choice in [0] * 7 + [1] * 12 + [2] * 9 + [3] * 11 + [4] * 11
    ]
    one = made.client(channels, policy="pick_first", remotes=[f"{made.SERVICE_IP}:50051"] * 50)
    report = judged(one, expect="spread", hops=("service",), connections=50)
    assert changed(report, status="pass", observed="spread", balanced=False)
    assert "Each of 50 connections kept to one replica" in report.verdict.cause
    assert "7 to 12 connections each" in report.verdict.cause


def test_three_clients_on_the_service_are_pinned_each():
    clients = [
        made.client([[0, 234, 0, 0, 0, 0, 0]], index=0, policy="pick_first", remotes=[f"{made.SERVICE_IP}:50051"]),
        made.client([[0, 0, 0, 234, 0, 0, 0]], index=1, policy="pick_first", remotes=[f"{made.SERVICE_IP}:50051"]),
        made.client([[0, 0, 0, 233, 0, 0, 0]], index=2, policy="pick_first", remotes=[f"{made.SERVICE_IP}:50051"]),
    ]  # fmt: skip
    clients = [dataclasses.replace(one, servers=made.client([[0, 234, 0, 467, 0, 0, 0]]).servers) for one in clients]
    plan = made.plan("pinned", ("service",), requests=701, replicas=7, clients=3)
    report = build_report(plan, made.inventory(7), clients)
    assert changed(report, status="pass", observed="pinned")
    assert "The 3 connections kept to one replica each, 2 of 7 in all: the Service picks" in report.verdict.cause


def test_hashed_keys():
    keys = {f"key-{index}": {made.uid(index % 3): 25} for index in range(40)}
    one = made.client([[350, 325, 325, 0, 0]], keys=keys)
    report = judged(one, expect="hashed", precision="chance")
    assert changed(report, status="pass", observed="hashed")
    assert "Each of 40 keys stayed on one replica, and the keys use 3 of 5 replicas" in report.verdict.cause


def test_weighted():
    one = made.client([[100, 200, 300]])
    report = judged(one, replicas=3, expect="weighted", precision="chance", strategy={"weights": [1, 2, 3]})
    assert changed(report, status="pass", observed="weighted", balanced=True)
    assert "as the weights ask" in report.verdict.cause


def test_a_plain_service_that_should_be_even_fails_and_says_what_was_observed():
    one = made.client([[0, 0, 1000, 0, 0]], policy="pick_first", remotes=[f"{made.SERVICE_IP}:50051"])
    report = judged(one, expect="even", hops=("service",))
    assert changed(report, status="fail", expected="even", observed="pinned", balanced=False)
    assert "All 1,000 calls went to one of 5 replicas" in report.verdict.cause


def test_even_counts_where_pinned_was_expected_fail():
    report = judged(made.client([[200] * 5]), expect="pinned")
    assert changed(report, status="fail", expected="pinned", observed="even", balanced=True)


def test_within_chance_is_not_exact():
    report = made.headless([210, 190, 205, 195, 200])
    assert changed(report, status="fail", observed="skewed", balanced=False)
    assert "within chance (p = 0.87), but not within ±1" in report.verdict.cause
    assert judged(made.client([[210, 190, 205, 195, 200]]), precision="chance").verdict.status == "pass"


def test_skewed_names_the_ends():
    report = made.headless([500, 50, 100, 150, 200])
    assert changed(report, status="fail", observed="skewed")
    assert "from 50 (echo-1) to 500 (echo-0) where 200 were due, more than chance explains" in report.verdict.cause


def test_a_replica_that_the_name_does_not_resolve_to_is_named():
    one = made.client([[250, 250, 0, 250, 250]], resolved=[f"{made.ip(index)}:50051" for index in (0, 1, 3, 4)])
    report = judged(one)
    assert report.verdict.status == "fail"
    assert report.verdict.cause == "echo-2 got no call: the name resolved to 4 addresses of 5 replicas, without echo-2."


def test_a_replica_that_is_not_ready_is_named():
    known = made.inventory()
    unready = [dataclasses.replace(replica, ready=replica.pod != "echo-2") for replica in known.replicas]
    report = judged(made.client([[250, 250, 0, 250, 250]]), inventory=dataclasses.replace(known, replicas=unready))
    assert report.verdict.cause == "echo-2 got no call: echo-2 was not ready."


def test_failed_calls_fail_with_their_codes():
    report = made.through_envoy([198, 198, 198, 198, 197], failed={"UNAVAILABLE": 10, "DEADLINE_EXCEEDED": 1})
    assert report.verdict.status == "fail"
    assert report.verdict.cause == (
        "11 of 1,000 calls failed (UNAVAILABLE 10 times and DEADLINE_EXCEEDED once), and steady allows none."
    )


def test_when_every_call_fails_the_code_is_the_news_not_the_path():
    report = judged(made.client([[0] * 5], failed={"UNAVAILABLE": 1000}, remotes=[]))
    assert changed(report, status="fail", balanced=False)
    assert report.verdict.cause == "All 1,000 calls failed (UNAVAILABLE 1,000 times), and steady allows none."


INVALID = {
    "no call": (made.client([[0] * 5]), {"requests": None, "duration_s": 0.1}, "No call was made"),
    "fewer calls": (made.client([[100] * 5]), {"requests": 1000}, "Only 500 of the 1,000 calls asked for were made"),
    "a client is missing": (made.client([[100] * 5]), {"clients": 3}, "Only 1 of 3 clients reported"),
    "a replica is hidden": (made.client([[100] * 5]), {"replicas": 6}, "Only 5 of the 6 replicas asked for"),
    "ended early": (made.client([[100] * 5]), {"requests": None, "duration_s": 10.0}, "ran for 0.5 s instead of 10 s"),
    "rate not kept": (
        made.client([[100] * 5]),
        {"requests": None, "duration_s": 0.5, "rate_rps": 2000.0},
        "Only 500 of 1,000 calls were offered",
    ),
    "too small to be pinned": (
        made.client([[6, 0, 0, 0, 0]]),
        {"expect": "pinned"},
        "Too small to judge: 6 calls over 1 connection cannot show pinned on 5 replicas; at least 7 calls are needed.",
    ),
    "too small to be even": (made.client([[1] * 5]), {}, "at least 10 calls are needed"),
    "too few connections to be spread": (
        made.client([[20, 0, 0, 0, 0], [0, 20, 0, 0, 0]]),
        {"expect": "spread"},
        "at least 8 connections are needed",
    ),
    "bypassed": (made.client([[200] * 5]), {"hops": ("service",)}, "a replica, instead of the Service's address"),
    "attempts nobody made": (
        made.client([[200] * 5], attempts=[200, 200, 201, 200, 200]),
        {},
        "The counts do not add up: servers counted 1,001 attempts",
    ),
    "answers nobody gave": (
        made.client([[200] * 5], attempts=[200, 200, 199, 200, 200]),
        {},
        "echo-2 answered 200 calls, but counted only 199 attempts itself",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name):
    result, asked, words = INVALID[name]
    report = (
        judged(result, **asked) if "replicas" not in asked else judged(result, inventory=made.inventory(5), **asked)
    )
    assert report.verdict.status == "invalid", report.verdict
    assert report.verdict.balanced is False
    assert words in report.verdict.cause


def test_a_stranger_that_answers_makes_the_run_invalid_unless_an_event_explains_it():
    one = made.client([[200] * 5])
    stranger = BackendCount("echo-9", "uid-9", "127.77.1.10", made.START, 0, made.START, made.START)
    moved = dataclasses.replace(one.backends[0], uid="uid-9", pod="echo-9")
    one = dataclasses.replace(one, backends=[moved, *one.backends[1:], stranger])
    report = judged(one)
    assert report.verdict.status == "invalid"
    assert "answered by echo-9, not in the inventory" in report.verdict.cause
    excused = made.inventory(events=[Event(made.START, "kill", "echo-9")])
    assert "not in the inventory" not in judged(one, inventory=excused).verdict.cause


def test_what_the_load_itself_notes_or_a_probe_does_later_excuses_nobody():
    marks = [Event(made.START - 0.1, "load-started", "run x"), Event(made.START + 60, "replica-unready", "echo-9")]
    known = made.inventory(4, events=marks)
    report = judged(made.client([[250] * 4]), inventory=known)
    assert report.verdict.status == "invalid"
    assert "Only 4 of the 5 replicas asked for are in the inventory" in report.verdict.cause


def test_a_silent_replica_of_the_inventory_counts_as_zero():
    known = made.inventory()
    more = dataclasses.replace(known, replicas=[*known.replicas, Replica("echo-5", "uid-5", "127.77.1.6")])
    report = judged(made.client([[200] * 5]), inventory=more)
    assert [backend.requests for backend in report.backends] == [200] * 5 + [0]
    assert report.verdict.status == "fail"


def unexpected(result, **asked):
    return judged(result, strategy={"expect": {}}, **asked)


@pytest.mark.parametrize(
    ("counts", "observed"), [([200] * 5, "even"), ([1000, 0, 0, 0, 0], "pinned"), ([600, 100, 100, 100, 100], "skewed")]
)
def test_what_nothing_is_expected_of_is_measured_and_not_judged(counts, observed):
    report = unexpected(made.client([counts]))
    assert changed(report, status="observed", expected="", observed=observed, balanced=observed == "even")
    assert report.verdict.cause == judged(made.client([counts]), expect=observed).verdict.cause
    assert lines.verdict_line(report) == f"OBSERVED: {observed} (nothing was expected)"


def test_failed_calls_are_told_also_where_nothing_was_expected():
    report = unexpected(made.client([[200, 200, 200, 200, 190]], failed={"UNAVAILABLE": 10}))
    assert report.verdict.status == "observed"
    assert report.verdict.cause.startswith("10 of 1,000 calls failed (UNAVAILABLE 10 times). ")
    nothing = unexpected(made.client([[0] * 5], failed={"UNAVAILABLE": 10}))
    assert changed(nothing, status="observed", cause="All 10 calls failed (UNAVAILABLE 10 times).")


def test_what_cannot_be_trusted_is_invalid_also_where_nothing_was_expected():
    report = unexpected(made.client([[200] * 5]), requests=2000)
    assert changed(report, status="invalid", expected="")
    assert lines.verdict_line(report) == "INVALID: cannot be trusted"


def test_a_class_that_does_not_exist_is_a_usage_error():
    with pytest.raises(UsageError, match="fair"):
        build_report(made.plan(expect="fair"), made.inventory(), [made.client([[200] * 5])])


def test_the_classes_that_fit_are_all_named():
    assert made.headless([200] * 5).verdict.fits == ["even"]
    report = judged(made.client([[1000]]), replicas=1, expect="pinned")
    assert report.verdict.fits == ["even", "pinned"]

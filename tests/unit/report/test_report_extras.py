"""Keys, methods and probes: from clients' results to figures and lines."""

from __future__ import annotations

import pytest
import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.judge.document import Report
from grpc_lb_lab.model import latency
from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.views.render.html import render_html
from grpc_lb_lab.views.render.markdown import render_markdown
from grpc_lb_lab.views.render.special_figures import extra_lines
from grpc_lb_lab.views.render.terminal import render_terminal

MOVE = {
    "keys": 200,
    "moved": 48,
    "moved_share": 0.24,
    "removed_keys": 47,
    "removed_share": 0.235,
    "others_moved": 1,
    "replica": "echo-0",
    "replicas": 5,
    "out_after_s": 0.3,
    "back_after_s": 0.9,
    "keys_back": 200,
}


def keyed(moved: int = 0, **changes) -> Report:
    """20 keys over 2 replicas, 10 calls each; the first ``moved`` ones had a call on the other replica too."""
    keys = {f"key-{n}": {made.uid(n % 2): 10} for n in range(20)}
    for n in range(moved):
        keys[f"key-{n}"] = {made.uid(0): 9 - n % 2 * 8, made.uid(1): 1 + n % 2 * 8}
    first = sum(found.get(made.uid(0), 0) for found in keys.values())
    one = made.client([[first, 200 - first]], keys=keys, **changes)
    asked = made.plan("hashed", precision="chance", requests=200, replicas=2)
    return build_report(asked, made.inventory(2), [one])


def test_keys_stay_home():
    report = keyed()
    assert (report.verdict.status, report.verdict.observed) == ("pass", "hashed")
    assert report.keys.per_backend == {"echo-0": 10, "echo-1": 10}
    assert dict(extra_lines(report))["keys"] == "20 keys, 10 a replica; none moved during the run"


def test_one_key_that_moved_fails_the_run():
    report = keyed(moved=1)
    assert (report.verdict.status, report.keys.moved) == ("fail", 1)
    assert report.verdict.cause.startswith("1 of 20 keys were answered by several replicas")
    assert "1 moved between replicas" in dict(extra_lines(report))["keys"]


def test_keys_of_several_clients_are_put_together():
    results = [
        made.client([[50, 50]], index=index, keys={"a": {made.uid(0): 50}, f"only-{index}": {made.uid(1): 50}})
        for index in range(2)
    ]
    report = build_report(made.plan("hashed", requests=200, replicas=2, clients=2), made.inventory(2), results)
    assert (report.keys.count, report.keys.per_backend) == (3, {"echo-0": 1, "echo-1": 2})


def test_a_probe_is_told_in_every_view_and_survives_json():
    report = keyed(probes={"keys-move": MOVE})
    line = dict(extra_lines(report))["keys-move"]
    assert line.startswith("one of 5 replicas left: 48 of 200 keys moved (24.0 %), 47 of its own and 1 of others")
    assert "48 of 200 keys moved" in " ".join(render_terminal(report).split())
    assert "48 of 200 keys moved" in render_markdown(report)
    again = from_dict(Report, to_dict(report))
    assert (again.keys, again.probes) == (report.keys, report.probes)


def test_a_probe_that_found_a_problem_and_one_without_words_of_its_own():
    report = keyed(probes={"keys-move": {"problem": "it did not leave"}, "other": {"calls_made": 3}})
    assert dict(extra_lines(report))["keys-move"] == "not shown: it did not leave"
    assert dict(extra_lines(report))["other"] == "calls made 3"


def test_methods_are_listed_where_there_are_several():
    methods = {"greeter.Greeter/SayHello": {made.uid(0): 60, made.uid(1): 40}, "a.B/C": {made.uid(0): 100}}
    assert extra_lines(made.headless([100, 100])) == []
    one = made.client([[160, 40]], methods=methods)
    report = build_report(made.plan(requests=200, replicas=2), made.inventory(2), [one])
    assert report.methods["a.B/C"] == {"echo-0": 100, "echo-1": 0}
    assert dict(extra_lines(report))["SayHello"] == "100 calls, 40 to 60 a replica"


def overloaded(seconds: float, late_s: float, **load) -> Report:
    """6 s of 100 calls a second, which took ``seconds``; the latest call began ``late_s`` after it was due."""
    lag = latency.new_histogram()
    latency.record(lag, round(late_s * 1e6))
    one = made.client([[120] * 5], lag_hdr=latency.encode(lag), finished_at=made.START + seconds)
    asked = made.plan(**({"requests": None, "duration_s": 6.0, "rate_rps": 100.0} | load))
    return build_report(asked, made.inventory(), [one])


def test_a_rate_that_the_client_could_not_keep_is_told_in_every_view():
    report = overloaded(10.0, 3.9)
    words = "asked 100 calls/s, reached 60: the client could not keep the rate and began calls up to 3.9 s late."
    assert report.verdict.status == "pass"  # calls that begin late go where they would have gone
    assert words in " ".join(render_terminal(report, width=80).split())
    assert words in render_markdown(report)
    assert words in render_html(report)


@pytest.mark.parametrize(
    "report",
    [
        overloaded(6.0, 0.0),
        overloaded(6.3, 3.9),  # a pause that was caught up: 5 % short is the most that is let pass
        overloaded(10.0, 0.2),  # slow answers: the client began all calls in time
        overloaded(10.0, 3.9, rate_rps=None, requests=600),  # a closed loop keeps no rate
    ],
)
def test_a_rate_that_was_kept_is_not_told(report):
    assert "rate" not in dict(extra_lines(report))

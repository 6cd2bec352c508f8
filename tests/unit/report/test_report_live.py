"""The live feed: what is written is read, and lines add up to the run's picture."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.scenario import Expectation, ScenarioPlan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.run.feed import LiveFeed
from grpc_lb_lab.views.live.state import LiveState
from grpc_lb_lab.views.live.view import make_view

if TYPE_CHECKING:
    from pathlib import Path

RUN = live_feed.RunLine(100.0, "r1", "headless", "Headless", "steady", "local", 2, 3, requests=100)


def client(at: float, done: int, i: int = 0, **more: Any) -> live_feed.ClientLine:
    per = more.pop("per", {"a": done})
    return live_feed.ClientLine(at, i, 101.0, done, sum(per.values()), done - sum(per.values()), per=per, **more)


def state_of(*lines: live_feed.Line) -> LiveState:
    state = LiveState()
    for line in lines:
        assert state.take(live_feed.render(line))
    return state


@pytest.mark.parametrize(
    "line",
    [
        RUN,
        client(102.0, 3, total=50, errors={"UNAVAILABLE": 2}, per={"a": 1}, conns=3, p50_ms=0.5, p99_ms=2.5),
        live_feed.EventLine(103.0, "replica-ready", "a (127.0.0.1)", "a"),
        live_feed.ReplicasLine(103.0, ["a", "b"]),
        live_feed.EndLine(104.0, "the client died"),
    ],
)
def test_a_line_is_read_as_it_was_written(line: live_feed.Line) -> None:
    assert live_feed.parse(live_feed.render(line)) == line


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"kind":"else"}', '{"kind":"end"}', '{"kind":[]}', "progress 0 1"]
)
def test_other_lines_are_none_of_the_feed(text: str) -> None:
    assert live_feed.parse(text) is None
    assert not LiveState().take(text)


def test_a_newer_writer_may_add_keys() -> None:
    assert live_feed.parse('{"kind":"end","at":1,"problem":"","colour":"red"}') == live_feed.EndLine(1)


def test_a_run_line_tells_strategy_and_scenario() -> None:
    course = ScenarioPlan("scale-up", "Two more replicas", "", 4, [], Expectation("even"))
    strategy = Strategy(name="envoy", title="Envoy beside the client")
    plan = Plan("r2", "scale-up", strategy, Load(None, 30.0, 100.0, clients=4), {}, course=course)
    line = live_feed.run_line(plan, "kind", 5.0)
    assert (line.strategy, line.title, line.scenario) == ("envoy", "Envoy beside the client", "scale-up")
    assert (line.scenario_title, line.cluster, line.clients, line.duration_s) == ("Two more replicas", "kind", 4, 30.0)
    assert live_feed.run_line(dataclasses.replace(plan, course=None), "kind", 5.0).scenario_title == ""


def test_a_log_gives_its_live_lines_only() -> None:
    text = live_feed.render(live_feed.EndLine(1))
    assert live_feed.from_log(f"live {text}\n") == text
    assert live_feed.from_log("progress 0 1/2") is None


def test_clients_add_up() -> None:
    state = state_of(
        RUN,
        client(102.0, 10, total=50, per={"a": 6, "b": 4}, conns=2, p99_ms=3.0),
        client(102.1, 12, i=1, total=50, per={"b": 10}, errors={"UNAVAILABLE": 2}, conns=3, p99_ms=9.0),
    )
    assert (state.done, state.failed, state.total, state.connections) == (22, 2, 100, 5)
    assert state.calls == {"a": 6, "b": 14}
    assert (state.errors, state.p99_ms, state.p50_ms) == ({"UNAVAILABLE": 2}, 9.0, None)
    assert state.started_at == 101.0


def test_the_total_is_the_plan_s_until_every_client_has_told_its_own() -> None:
    assert state_of(RUN, client(102.0, 1, total=50)).total == 100
    assert state_of(dataclasses.replace(RUN, requests=None, clients=1), client(102.0, 1)).total is None


def test_rates_are_of_the_last_second() -> None:
    lines = [client(101.0 + step / 4, 10 * step if step <= 8 else 80) for step in range(17)]
    assert state_of(RUN, *lines[:9]).rates().per == {"a": 40.0}
    assert state_of(RUN, *lines[:15]).rates().per == {"a": 0.0}


def test_failed_calls_have_a_rate_and_count_in_the_total() -> None:
    state = state_of(RUN, client(102.0, 0, per={}), client(103.0, 30, per={"a": 10}, errors={"UNAVAILABLE": 20}))
    assert (state.rates().failed, state.rates().total) == (20.0, 30.0)


def test_rarer_lines_give_rates_too() -> None:
    state = state_of(RUN, client(102.0, 0), client(107.0, 50), client(112.0, 150))
    assert state.rates().per == {"a": 20.0}


def test_nothing_happens_any_more_once_the_run_is_over() -> None:
    running = [RUN, client(102.0, 10), client(103.0, 20)]
    assert state_of(*running).rates().total == 10.0
    assert not state_of(*running, client(104.0, 30, ended=True)).over  # the other client is still to come
    for last in (live_feed.EndLine(104.0), client(104.0, 30, ended=True)):
        state = state_of(dataclasses.replace(RUN, clients=1), *running[1:], last)
        assert state.over
        assert state.rates().total == 0.0


def test_what_ended_the_clients_is_waited_for() -> None:
    lines = [RUN, client(102.0, 10, ended=True), client(103.0, 10, i=1, ended=True)]
    view = make_view(state_of(*lines), 103.1)
    assert (view.phase, view.final) == ("over", False)
    assert make_view(state_of(*lines, live_feed.EndLine(103.1, "whoever started it has gone")), 103.2).final
    assert make_view(state_of(*lines), 120.0).final  # nobody was left to say it
    assert not make_view(state_of(*lines[:2]), 120.0).final


def test_new_pods_are_added_at_the_end_and_gone_ones_stay() -> None:
    state = state_of(RUN, live_feed.ReplicasLine(101.0, ["c", "a"]), client(102.0, 2, per={"a": 1, "b": 1}))
    assert state.pods == {"a": "ready", "c": "ready", "b": "not ready"}
    assert state_of(RUN, client(102.0, 1)).pods == {"a": "ready"}


def test_a_pod_comes_and_goes() -> None:
    state = state_of(RUN, live_feed.ReplicasLine(101.0, ["a"]))
    seen = []
    for line in (
        live_feed.EventLine(102.0, "replica-started", "", "b"),
        live_feed.EventLine(103.0, "replica-ready", "", "b"),
        live_feed.ReplicasLine(103.0, ["a", "b"]),
        live_feed.EventLine(104.0, "replica-terminating", "", "a"),
        live_feed.ReplicasLine(104.0, ["b"]),
        live_feed.EventLine(105.0, "replica-ended", "", "a"),
        live_feed.ReplicasLine(106.0, []),
    ):
        state.take(live_feed.render(line))
        seen.append(tuple(state.pods.values()))
    assert seen == [
        ("ready", "starting"),
        ("ready", "ready"),
        ("ready", "ready"),
        ("leaving", "ready"),
        ("leaving", "ready"),
        ("gone", "ready"),
        ("gone", "not ready"),
    ]
    assert state.met_at == {"a": 101.0, "b": 102.0}


def test_seconds_hold_every_call_once() -> None:
    lines = [client(101.0, 0), client(101.5, 10), client(103.5, 50, per={"a": 30}), client(104.0, 50, per={"a": 30})]
    state = state_of(RUN, *lines)
    assert [round(state.seconds[number].per["a"], 6) for number in range(3)] == [15.0, 10.0, 5.0]
    assert sum(second.failed for second in state.seconds.values()) == pytest.approx(20)


def test_a_line_that_comes_twice_counts_once() -> None:
    line = client(102.0, 10)
    state = state_of(RUN, client(101.0, 0), line, line)
    assert sum(second.per["a"] for second in state.seconds.values()) == pytest.approx(10)


def test_another_run_starts_anew() -> None:
    state = state_of(
        RUN, client(102.0, 10), live_feed.EventLine(1, "kill"), live_feed.EndLine(3), dataclasses.replace(RUN, run="r2")
    )
    assert (state.done, list(state.events), state.end, state.pods) == (0, [], None, {})
    assert state.run is not None
    assert state.run.run == "r2"


def test_a_feed_is_one_file_a_run(tmp_path: Path) -> None:
    feed = LiveFeed(tmp_path / "state" / live_feed.FILE)
    feed.event("early", "before the start")
    feed.start(RUN)
    inode = feed.path.stat().st_ino
    feed.event("kill", "a was killed", "a", at=5.0)
    feed.replicas(["b"], at=6.0)
    feed.end("broken")
    feed.event("late", "after the end")
    lines = [live_feed.parse(line) for line in feed.path.read_text().splitlines()]
    assert lines[:3] == [RUN, live_feed.EventLine(5.0, "kill", "a was killed", "a"), live_feed.ReplicasLine(6.0, ["b"])]
    assert isinstance(lines[3], live_feed.EndLine)
    assert (lines[3].problem, len(lines)) == ("broken", 4)
    feed.start(RUN)
    feed.end()
    assert feed.path.stat().st_ino != inode
    assert [entry.name for entry in feed.path.parent.iterdir()] == [live_feed.FILE]


def test_a_feed_that_cannot_be_written_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    feed = LiveFeed(tmp_path / "file" / live_feed.FILE)
    feed.start(RUN)
    feed.event("kill", "a")
    feed.end()
    assert not feed.path.exists()

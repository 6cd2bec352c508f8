"""The scenario's runner on an injector that only writes down: what is ordered when, of whom, and what is said of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.inventory import Replica
from grpc_lb_lab.model.scenario import Expectation, PlannedEvent, ScenarioPlan
from grpc_lb_lab.run import scenario_runner as scenario_module
from grpc_lb_lab.run.scenario_runner import ScenarioRunner, choose

THREE = [Replica(f"echo-{letter}", f"uid-{letter}", f"10.0.0.{number}") for number, letter in enumerate("abc", 1)]


class Clock:
    """Time that passes while somebody sleeps and not otherwise: here nothing is late on a busy machine."""

    now = 1000.0

    @classmethod
    def time(cls) -> float:
        return cls.now

    @classmethod
    async def sleep(cls, seconds: float) -> None:
        cls.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("asyncio", "time"):
        monkeypatch.setattr(scenario_module, name, Clock)


@dataclass
class Paper:
    """An injector that notes each order and when it came; ``broken`` is an order that cannot be carried out."""

    present: list[Replica] = field(default_factory=lambda: list(THREE))
    broken: str = ""
    orders: list[tuple[float, str, tuple]] = field(default_factory=list)
    history: list[str] = field(default_factory=list)  # orders and, from ``play``, what was logged

    async def replicas(self) -> list[Replica]:
        return self.present

    def __getattr__(self, name: str):
        async def order(*arguments) -> None:
            if name == self.broken:
                raise LabError("it cannot be done")
            self.orders.append((Clock.now, name, arguments))
            self.history.append(name)

        return order

    def told(self) -> list[tuple[str, tuple]]:
        return [(name, arguments) for _, name, arguments in self.orders]


def course(*events: PlannedEvent, base_delay_ms: int = 0) -> ScenarioPlan:
    return ScenarioPlan(
        "test", "T", "S", events[0].at_s, list(events), Expectation("even"), base_delay_ms=base_delay_ms
    )


def play(injector: Paper, *events: PlannedEvent, duration_s: float = 1.0, calls=None) -> list[tuple]:
    """Run the course; return what was logged: time since the start, kind, detail, replica."""
    began, said = Clock.now, []

    def log(kind: str, detail: str, replica: Replica | None = None) -> None:
        said.append((Clock.now - began, kind, detail, replica))
        injector.history.append(kind)

    runner = ScenarioRunner(course(*events), duration_s, injector, log, lambda: calls or {})
    asyncio.run(runner.run(began))
    return said


def test_events_come_at_their_times_and_each_is_logged_before_it_is_ordered():
    injector, began = Paper(), Clock.now
    said = play(injector, PlannedEvent(0.1, "scale", by=2), PlannedEvent(0.3, "restart"))
    assert injector.told() == [("scale", (5,)), ("restart", ()), ("settled", ())]
    assert [detail for _, _, detail, _ in said] == ["scale 3 → 5 replicas", "restart 3 replicas, one by one"]
    assert [at for at, *_ in said] == pytest.approx([0.1, 0.3])
    assert [at - began for at, *_ in injector.orders] == pytest.approx([0.1, 0.3, 0.3])
    assert injector.history == ["command", "scale", "command", "restart", "settled"]


@pytest.mark.parametrize(
    ("event", "order"),
    [
        (PlannedEvent(0, "kill", which="busiest"), ("kill", ("echo-b",))),
        (PlannedEvent(0, "delete", which="first"), ("delete", ("echo-a",))),
        (PlannedEvent(0, "stop", which="3", for_s=20), ("stop", ("echo-c", 20.0))),
        (PlannedEvent(0, "slow", which="busiest", delay_ms=100, for_s=7), ("slow", ("echo-b", 100, 7.0))),
        (PlannedEvent(0, "fail", which="busiest", code="INTERNAL", for_s=7), ("fail", ("echo-b", "INTERNAL", 7.0))),
        (PlannedEvent(0, "replace"), ("replace", ())),
        (PlannedEvent(0, "scale", by=-1), ("scale", (2,))),
    ],
)
def test_each_event_is_one_order(event, order):
    injector = Paper()
    said = play(injector, event, calls={"echo-a": 5, "echo-b": 9, "stranger": 99}, duration_s=0.2)
    assert injector.told() == [order, ("settled", ())]
    assert said[0][1] == "command"
    assert (said[0][3] is None) == (event.do in ("replace", "scale"))


def test_a_fault_without_an_end_lasts_to_the_end_of_the_run_and_never_longer_than_replicas_allow():
    injector = Paper()
    play(injector, PlannedEvent(0.05, "fail", which="first", code="INTERNAL"), duration_s=10)
    assert injector.told()[0][1][2] == pytest.approx(14.95)
    injector = Paper()
    play(injector, PlannedEvent(0.05, "fail", which="first", code="INTERNAL"), duration_s=118)
    assert injector.told()[0][1][2] == 120


def test_the_end_of_a_fault_is_told_when_it_comes():
    said = play(
        Paper(),
        PlannedEvent(0, "slow", which="first", delay_ms=50, for_s=0.2),
        PlannedEvent(0.4, "slow", which="2", delay_ms=50, for_s=0.3),
        duration_s=5,
    )
    ends = [(round(at, 1), replica.pod) for at, kind, _, replica in said if kind == "recovered"]
    assert ends == [(0.2, "echo-a"), (0.7, "echo-b")]
    assert [kind for _, kind, *_ in said] == ["command", "recovered", "command", "recovered"]


def test_all_replicas_can_have_a_delay_before_the_first_call():
    injector = Paper()
    asyncio.run(ScenarioRunner(course(PlannedEvent(1, "restart")), 30, injector, lambda *_: None, dict).prepare())
    assert injector.told() == []
    runner = ScenarioRunner(course(PlannedEvent(1, "restart"), base_delay_ms=5), 30, injector, lambda *_: None, dict)
    asyncio.run(runner.prepare())
    assert injector.told() == [("slow", (replica.pod, 5, 40.0)) for replica in THREE]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("kill", "scenario test, kill at 0.0 s: it cannot be done"),
        ("settled", "scenario test: it cannot be done"),
    ],
)
def test_an_event_that_goes_wrong_is_named(broken, words):
    with pytest.raises(LabError) as caught:
        play(Paper(broken=broken), PlannedEvent(0, "kill", which="first"))
    assert str(caught.value) == words


def test_a_replica_that_does_not_exist():
    with pytest.raises(LabError, match=r"kill at 0\.0 s: there is no replica '4'; there are 3"):
        play(Paper(), PlannedEvent(0, "kill", which="4"))
    with pytest.raises(LabError, match="there is no replica 'busiest'; there are 0"):
        play(Paper(present=[]), PlannedEvent(0, "kill", which="busiest"))


def test_an_event_that_nobody_knows():
    with pytest.raises(LabError, match="no injector knows 'explode'"):
        play(Paper(), PlannedEvent(0, "explode", which="first"))


def test_replicas_that_are_not_ready_are_passed_over_where_others_are():
    unready = [Replica("old", "1", "a", ready=False), Replica("young", "2", "b")]
    assert [replica.pod for replica in choose("first", unready, {})] == ["young"]
    assert [replica.pod for replica in choose("busiest", unready, {"old": 9})] == ["young"]
    assert [replica.pod for replica in choose("first", unready[:1], {})] == ["old"]
    assert [replica.pod for replica in choose("all", THREE, {})] == ["echo-a", "echo-b", "echo-c"]

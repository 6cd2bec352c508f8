"""The scenario files: which there are, whether a strategy can have one, and the course that it takes then."""

from __future__ import annotations

import dataclasses
import json
import random
from functools import cached_property
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.scenario import FAULT_MOST_S, Expectation, PlannedEvent, ScenarioPlan
from grpc_lb_lab.settings import grammar
from grpc_lb_lab.settings.problems import Problem
from grpc_lb_lab.settings.values import RefusedError, show, unknown
from grpc_lb_lab.settings.ways import WAYS, way_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from grpc_lb_lab.model.plan import Load
    from grpc_lb_lab.model.strategy import Strategy

SCHEMA = "scenarios/schema.json"
STEADY = "steady"
"""Nothing happens but the load: the one scenario that has no file, as the strategy files say what to expect of it."""

TAKES = {
    "scale": ("by",),
    "restart": (),
    "replace": (),
    "delete": ("which",),
    "kill": ("which",),
    "stop": ("which", "for_s"),
    "slow": ("which", "delay_ms", "for_s"),
    "fail": ("which", "code", "for_s"),
}
"""What an event takes beside its time."""

_GOLDEN = 0.6180339887498949


class Scenarios:
    """The scenarios of one folder, one YAML file each, and ``steady``."""

    def __init__(self, folder: Path, repo: Path) -> None:
        """Look into ``folder``; ``repo`` holds the grammar."""
        self.folder = folder
        self._repo = repo

    def names(self) -> tuple[str, ...]:
        """Return the names of all scenarios, ``steady`` first."""
        return (STEADY, *(name for name in grammar.names(self.folder) if name != STEADY))

    def load(self, name: Any) -> dict[str, Any]:
        """Read and check one scenario file; empty for ``steady``.

        Raises ``RefusedError`` naming the scenarios that exist, or the file, the key and what is allowed.
        """
        if not isinstance(name, str) or name not in self.names():
            raise RefusedError(unknown(name if isinstance(name, str) else show(name), self.names()))
        if name == STEADY:
            return {}
        path = self.folder / f"{name}.yaml"
        shown = grammar.shown_name(path, self._repo)
        data = grammar.read(path, shown, self._schema)
        found = list(contradictions(data, name))
        if found:
            grammar.refuse("\n".join(f"{shown}: {problem}" for problem in found[: grammar.MOST_PROBLEMS]))
        return data

    @cached_property
    def _schema(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self._repo / SCHEMA).read_text(encoding="utf-8"))
        return data


def contradictions(data: dict[str, Any], name: str) -> Iterator[str]:
    """Tell what the parts of the file of scenario ``name``, each right by itself, make impossible together."""
    told, load = data["scenario"], data["load"]
    from_s, to_s = told["phase"]["from_s"], told["phase"]["to_s"]
    if told["name"] != name:
        yield f"scenario.name is {told['name']}; allowed is {name}, the name of the file"
    if to_s < from_s:
        yield f"scenario.phase.to_s={to_s}: allowed is from_s or more"
    if to_s + load["needs_s"] > load["duration_s"]:
        least = to_s + load["needs_s"]
        yield f"load.duration_s={load['duration_s']}: allowed is at least {least:g}, phase.to_s and needs_s together"
    for index, event in enumerate(data["events"]):
        if event["after_s"] >= load["needs_s"]:
            yield (
                f"events.{index}.after_s={event['after_s']}: comes after the load's end; allowed is less than "
                f"load.needs_s, {load['needs_s']:g}"
            )
        for key in sorted(event.keys() - {"after_s", "do", *TAKES[event["do"]]}):
            takes = ", ".join(("after_s", *TAKES[event["do"]]))
            yield f"events.{index}.{key}={show(event[key])}: {event['do']} takes no notice of it; allowed is {takes}"
    for key in sorted(data["expect"].keys() & data["refuse"].keys()):
        yield f"refuse.{key}: expect has it too; allowed is one of both"
    if "retried" in data and not _failing_codes(data):
        yield "retried: no event fails calls with a code; allowed is with an event that does"


def expected_of(scenario: dict[str, Any], strategy: Strategy) -> dict[str, Any] | None:
    """Return what a scenario expects of a strategy, as ``expect`` of its file has it; None: nothing.

    What the scenario says of the strategy by its name comes first, then what the strategy's file says of the scenario,
    then what the scenario says of the strategy's way of learning addresses.
    """
    named = {} if strategy.name in WAYS else scenario["expect"].get(strategy.name)
    if named:
        return dict(named)
    entry = dict(scenario["expect"].get(way_of(strategy), {}))
    if entry.get("errors") == "some" and all(map(strategy.client.retries, _failing_codes(scenario))):
        entry |= scenario.get("retried", {})
    entry |= strategy.expect.get(scenario["scenario"]["name"], {})
    return {"share": "any", "errors": "any", **entry} if "class" in entry else None


def refusal_of(scenario: dict[str, Any], strategy: Strategy) -> str:
    """Return why a scenario makes no sense with a strategy, empty where it does; the order is ``expected_of``'s."""
    name = scenario["scenario"]["name"]
    if strategy.name not in WAYS and strategy.name in {*scenario["expect"], *scenario["refuse"]}:
        return str(scenario["refuse"].get(strategy.name, ""))
    if name in strategy.refuse or name in strategy.expect:
        return strategy.refuse.get(name, "")
    return str(scenario["refuse"].get(way_of(strategy), ""))


def make_scenario_plan(scenario: dict[str, Any], strategy: Strategy, seed: int) -> ScenarioPlan:
    """Return the course of a scenario for one strategy, with the first phase that ``seed`` draws."""
    told = scenario["scenario"]
    expected = expected_of(scenario, strategy)
    course = ScenarioPlan(
        name=told["name"],
        title=told["title"],
        shows=told["shows"],
        phase_s=0.0,
        events=[_event(entry) for entry in sorted(scenario["events"], key=lambda entry: float(entry["after_s"]))],
        expect=expectation(expected) if expected else None,
        window_s=float(told.get("window_s", ScenarioPlan.window_s)),
        tolerance=float(told.get("tolerance", ScenarioPlan.tolerance)),
        phase_from_s=float(told["phase"]["from_s"]),
        phase_to_s=float(told["phase"]["to_s"]),
        base_delay_ms=told.get("baseDelayMs", 0),
    )
    return draw_phase(course, seed)


def draw_phase(course: ScenarioPlan, seed: int, repeat: int = 1) -> ScenarioPlan:
    """Return the course with its events at the times of one repeat (counted from 1).

    The seed draws the first phase, the same for every strategy; golden-ratio steps spread the phases of further repeats
    over the range, so that a few of them already meet early and late ones.
    """
    first = random.Random(f"{seed}/{course.name}").random()
    part = (first + (repeat - 1) * _GOLDEN) % 1
    phase = round(course.phase_from_s + part * (course.phase_to_s - course.phase_from_s), 3)
    shift = phase - course.phase_s
    events = [dataclasses.replace(event, at_s=round(event.at_s + shift, 3)) for event in course.events]
    return dataclasses.replace(course, phase_s=phase, events=events)


def problems(scenario: dict[str, Any], course: ScenarioPlan, load: Load, most_replicas: int) -> Iterator[str]:
    """Tell why the course cannot be run with this load, where ``most_replicas`` is what the cluster carries."""
    needs_s, duration_s = course.phase_to_s + scenario["load"]["needs_s"], load.duration_s or 0.0
    if duration_s < needs_s:
        yield Problem(
            f"lab_duration={duration_s:g}: too short for scenario={course.name}, whose first event comes up to "
            f"{course.phase_to_s:g} s after the first call",
            f"at least {needs_s:g}",
        )
    lasting = [event for event in course.events if event.do in ("stop", "slow", "fail") and not event.for_s]
    if (lasting or course.base_delay_ms) and duration_s > FAULT_MOST_S:
        yield Problem(
            f"lab_duration={duration_s:g}: too long for scenario={course.name}, whose faults last {FAULT_MOST_S} s at "
            "most",
            f"at most {FAULT_MOST_S}",
        )
    least, most = _replicas(course, load.replicas)
    if least < 1 or (load.replicas < 2 and most <= load.replicas):
        needed = max(2, load.replicas - least + 1)
        yield Problem(f"lab_replicas={load.replicas}: too few for scenario={course.name}", f"at least {needed}")
    if most > most_replicas:
        allowed = next((n for n in range(load.replicas, 0, -1) if _replicas(course, n)[1] <= most_replicas), 1)
        yield Problem(
            f"lab_replicas={load.replicas}: scenario={course.name} brings them to {most}, and this cluster carries "
            f"{most_replicas}",
            f"at most {allowed}",
        )
    for event in course.events:
        if event.which.isdigit() and int(event.which) > load.replicas:
            yield Problem(
                f"{course.name}: its file names replica {event.which} for {event.do}, and there are {load.replicas}",
                f"lab_replicas of at least {event.which}",
                variable="scenario",
            )


def _replicas(course: ScenarioPlan, replicas: int) -> tuple[int, int]:
    """Return the least and the most replicas that there are in a course."""
    least = most = now = replicas
    for event in course.events:
        now += event.by
        extra = {"restart": 1, "replace": now}.get(event.do, 0)
        least, most = min(least, now), max(most, now + extra)
    return least, most


def _failing_codes(scenario: dict[str, Any]) -> list[str]:
    return [event["code"] for event in scenario["events"] if event["do"] == "fail"]


def _event(entry: dict[str, Any]) -> PlannedEvent:
    return PlannedEvent(
        at_s=float(entry["after_s"]),
        do=entry["do"],
        which=str(entry.get("which", "")),
        by=entry.get("by", 0),
        delay_ms=entry.get("delay_ms", 0),
        code=entry.get("code", ""),
        for_s=float(entry.get("for_s", 0)),
    )


def expectation(entry: dict[str, Any]) -> Expectation:
    """Return an entry under ``expect`` of a scenario's file in the words of the model."""
    expect = Expectation(observed=entry["class"], share=entry["share"], errors=entry["errors"])
    if not isinstance(entry["share"], str):
        expect = dataclasses.replace(expect, share="within", share_s=float(entry["share"]))
    if not isinstance(entry["errors"], str):
        expect = dataclasses.replace(expect, errors="within", errors_s=float(entry["errors"]))
    return expect

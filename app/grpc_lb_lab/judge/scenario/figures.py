"""The figures of a scenario: key ``course`` of ``report.json``, null in the scenario ``steady``.

Times ending in ``_s`` count from the first measured call, except durations: ``share_returned_s``, ``window_s``,
``errors.window_s`` and ``idle_s``. docs/verdicts.md has every formula.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.scenario import clocks, outage, presence
from grpc_lb_lab.judge.scenario.clocks import ReplicaClocks
from grpc_lb_lab.judge.scenario.outage import ErrorWindow, Span
from grpc_lb_lab.judge.scenario.shares import measure_shares
from grpc_lb_lab.judge.scenario.tail import Tail, measure_tail
from grpc_lb_lab.model.scenario import Expectation, PlannedEvent

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.judge.scenario.presence import Presence
    from grpc_lb_lab.model.scenario import ScenarioPlan

FAULTS = frozenset({"stop", "slow", "fail"})
"""Events that last: for ``for_s`` seconds, or to the end of the run."""


@dataclass(frozen=True)
class ReadyReplica:
    """When a replica was ready: ``spans`` of seconds. ``came_s``/``left_s``: None for one that was there, or stayed."""

    pod: str
    spans: list[list[float]]
    came_s: float | None
    left_s: float | None


@dataclass(frozen=True)
class ScenarioConnections:
    """TCP connections of the client: open when the first event came, opened and closed from then on, open at the end.

    None where the client did not tell the times.
    """

    before: int | None
    opened: int | None
    closed: int | None
    at_end: int | None


@dataclass(frozen=True)
class Check:
    """One thing that was expected: ``class``, ``share`` or ``errors``."""

    what: str
    expected: str
    observed: str
    met: bool


@dataclass(frozen=True)
class ScenarioReport:
    """A scenario as it happened. ``share_returned_s``: None when not every ready replica got its share again.

    ``share_told``: whether the calls were many enough to tell. ``phase_s``: planned, ``first_event_s``: measured
    time of the first event. ``over_s``: when all events, changes of replicas and failed calls were over and the shares
    were back, if they came back.
    ``lacking``: replicas without their share in the last window in which one lacked it. ``clocks_apart_s``: how far
    apart clocks of several machines are at least.
    """

    title: str
    shows: str
    phase_s: float
    first_event_s: float
    over_s: float
    planned: list[PlannedEvent]
    expect: Expectation | None
    share_returned_s: float | None
    share_told: bool
    share_before: bool
    window_s: float
    tolerance: float
    lacking: list[str]
    errors: ErrorWindow
    latency: dict[str, Span]
    latency_course: list[Span]
    connections: ScenarioConnections
    replicas: list[ReadyReplica]
    clocks: list[ReplicaClocks]
    machines: int
    clocks_apart_s: float
    tail: Tail
    checks: list[Check] = field(default_factory=list)


def measure_scenario(facts: Facts, course: ScenarioPlan, exact: bool) -> ScenarioReport:
    """All figures of a scenario; nothing is judged. ``exact``: the strategy's policy counts, it does not draw."""
    present = presence.presences(facts)
    ordered = presence.commands(facts)
    first_s = ordered[0].at - facts.started_at if ordered else course.phase_s
    shares = measure_shares(facts, course, exact, present, first_s)
    errors = outage.error_window(facts)
    over_s = max(_over_s(facts, course, present, first_s, errors), first_s + (shares.returned_s or 0.0))
    return ScenarioReport(
        title=course.title,
        shows=course.shows,
        phase_s=course.phase_s,
        first_event_s=round(first_s, 3),
        over_s=round(over_s, 3),
        planned=course.events,
        expect=course.expect,
        share_returned_s=shares.returned_s,
        share_told=shares.told,
        share_before=shares.before,
        window_s=shares.window_s,
        tolerance=course.tolerance,
        lacking=[facts.label(uid) for uid in shares.lacking],
        errors=errors,
        latency=outage.latency_spans(facts, first_s, over_s),
        latency_course=outage.latency_course(facts),
        connections=_connections(facts, first_s),
        replicas=[_replica(one) for one in present],
        clocks=clocks.clocks(facts, present, first_s),
        machines=len({replica.node for replica in facts.replicas if replica.node}) or 1,
        clocks_apart_s=clocks.clocks_apart_s(facts),
        tail=measure_tail(facts, present),
    )


def _over_s(facts: Facts, course: ScenarioPlan, present: list[Presence], first_s: float, errors: ErrorWindow) -> float:
    """When everything that was to happen had happened, at most the end of the run."""
    late = first_s - course.phase_s
    ends = [
        facts.duration_s if one.do in FAULTS and not one.for_s else one.at_s + one.for_s + late for one in course.events
    ]
    moved = presence.changes(present, facts.duration_s)
    return min(facts.duration_s, max([first_s, *ends, *moved[-1:], errors.last_s or 0.0]))


def _replica(one: Presence) -> ReadyReplica:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    spans = [[round(begin, 3), round(end, 3)] for begin, end in one.spans]
    return ReadyReplica(one.label, spans, rounded(one.came_s), rounded(one.left_s))


def _connections(facts: Facts, first_s: float) -> ScenarioConnections:
    if not any(one.opened_at for one in facts.connections):
        return ScenarioConnections(None, None, None, None)
    event_at, end_at = facts.started_at + first_s, facts.finished_at
    lives = [(one.opened_at, end_at + 1 if one.closed_at is None else one.closed_at) for one in facts.connections]
    return ScenarioConnections(
        before=sum(1 for opened, closed in lives if opened <= event_at < closed),
        opened=sum(1 for opened, _ in lives if opened > event_at),
        closed=sum(1 for _, closed in lives if event_at < closed <= end_at),
        at_end=sum(1 for _, closed in lives if closed > end_at),
    )

"""Which replicas were ready when, told from the events of a run. Times are seconds from the first measured call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpc_lb_lab.judge.facts import Facts, ReplicaFacts
    from grpc_lb_lab.model.inventory import Event

COMMAND = "command"
"""The kind of the event that a scenario ordered something."""

_READY_AFTER = {
    "replica-started": False,
    "replica-ready": True,
    "replica-unready": False,
    "replica-terminating": False,
    "replica-ended": False,
}
_READY_BEFORE = {"replica-unready", "replica-terminating", "replica-ended"}
"""Kinds that only a replica that was ready can begin with."""

_LEAVES = {"replica-terminating", "replica-ended"}


@dataclass(frozen=True)
class Presence:
    """One replica's life: ``spans`` when it was ready, cut at the start and the end of the run.

    ``came_s`` is when it became ready for the first time (None: before the run), ``left_s`` when it began to leave
    (None: it stayed).
    """

    uid: str
    label: str
    spans: list[tuple[float, float]]
    came_s: float | None
    left_s: float | None

    def ready_through(self, begin: float, end: float) -> bool:
        """Whether it was ready from ``begin`` to ``end``, without a break."""
        return any(first <= begin and end <= last for first, last in self.spans)

    def ready_at(self, at: float) -> bool:
        """Whether it was ready at that moment."""
        return self.ready_through(at, at)


def concerns(event: Event, replica: ReplicaFacts) -> bool:
    """Whether an event is about this replica: by UID, else by the pod's name, else by the words of the event."""
    if event.uid:
        return event.uid == replica.uid
    return event.pod == replica.pod if event.pod else replica.pod in event.detail.split()


def presences(facts: Facts) -> list[Presence]:
    """One for each replica, in the report's order. What happened after the last call does not count."""
    return [_presence(facts, replica) for replica in facts.replicas]


def commands(facts: Facts) -> list[Event]:
    """The events that the scenario ordered, oldest first."""
    return [event for event in facts.events if event.kind == COMMAND]


def changes(everyone: Iterable[Presence], duration_s: float) -> list[float]:
    """When the set of ready replicas changed, in order; the start and the end of the run are no change."""
    edges = {edge for one in everyone for span in one.spans for edge in span}
    return sorted(edge for edge in edges if 0 < edge < duration_s)


def _presence(facts: Facts, replica: ReplicaFacts) -> Presence:
    told = [
        event
        for event in facts.events
        if event.kind in _READY_AFTER and event.at <= facts.finished_at and concerns(event, replica)
    ]
    ready = told[0].kind in _READY_BEFORE if told else replica.ready
    spans: list[tuple[float, float]] = []
    since = 0.0
    came = left = None
    for event in told:
        t_s = max(0.0, event.at - facts.started_at)
        after = _READY_AFTER[event.kind]
        if after and not ready:
            since = t_s
            came = t_s if came is None and t_s > 0 and not spans else came
        elif ready and not after:
            spans.append((since, t_s))
        left = t_s if event.kind in _LEAVES and left is None else left
        ready = after
    if ready:
        spans.append((since, facts.duration_s))
    return Presence(replica.uid, replica.label, [span for span in spans if span[1] > 0], came, left)

"""When every ready replica has its share of the calls again. docs/verdicts.md has the rule with an example.

Windows slide over the timeline, one bucket at a time. In a window e calls are due to each replica that is ready all
through it: the calls that ended in it, failed ones too, by the number of those replicas. A replica has its share with
at least tolerance · e answers, of a policy that draws e - 4 √e if that is less: chance hardly ever takes more than 4 √e
from one that is drawn for each call. A window with less than ``ENOUGH`` calls a replica cannot tell; one without any
call is bad.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts, TimelineBucket
    from grpc_lb_lab.judge.scenario.presence import Presence
    from grpc_lb_lab.model.scenario import ScenarioPlan

ENOUGH = 17
"""Calls due to a replica from which e - 4 √e is more than nothing. Windows are made long enough for 20 of them."""


@dataclass(frozen=True)
class Shares:
    """``returned_s``: seconds from the first event until every ready replica had its share for good; None: never.

    ``told``: whether any window had calls enough to tell. ``before``: whether every replica had its share before the
    first event. ``window_s``: the length of the windows. ``lacking``: UIDs without their share in the last bad window.
    """

    returned_s: float | None
    told: bool
    before: bool
    window_s: float
    lacking: list[str]


@dataclass(frozen=True)
class Look:
    """What one window shows. ``told``: its calls are enough to tell; one without any is bad, but tells nothing."""

    begin: float
    good: bool | None
    lacking: list[str]
    told: bool


@dataclass(frozen=True)
class Window:
    """Calls that ended between two times; ``answered`` by UID."""

    begin: float
    end: float
    calls: int
    answered: dict[str, int]


def measure_shares(facts: Facts, course: ScenarioPlan, exact: bool, present: list[Presence], first_s: float) -> Shares:
    """``exact``: the policy counts, it does not draw. ``first_s``: when the first event was ordered."""
    length = _length(facts, course, len(present))
    windows = cut(facts, length)
    before = [look(window, present, course.tolerance, exact) for window in windows if window.end <= first_s]
    after = [look(window, present, course.tolerance, exact) for window in windows if window.begin >= first_s]
    bad = [index for index, one in enumerate(after) if one.good is False]
    good = [one for one in after[bad[-1] + 1 if bad else 0 :] if one.good]
    returned = None
    if good:
        waited = good[0].begin - first_s if bad else 0.0
        returned = round(max([waited, *_first_answers(facts, present, first_s)]), 3)
    return Shares(
        returned_s=returned,
        told=any(one.told for one in after),
        before=bool(before) and before[-1].good is True,
        window_s=round(length, 3),
        lacking=after[bad[-1]].lacking if bad else [],
    )


def cut(facts: Facts, length: float) -> list[Window]:
    """All windows of ``length`` seconds (rounded up to whole buckets) that lie in the run."""
    buckets = facts.timeline.buckets
    size = max(1, math.ceil(length / facts.timeline.interval_s - 1e-6))
    edges = [bucket.t_s for bucket in buckets] + [max(facts.duration_s, buckets[-1].t_s)] if buckets else []
    return [
        _window(buckets[start : start + size], edges[start], edges[start + size])
        for start in range(len(buckets) - size + 1)
    ]


def look(window: Window, present: list[Presence], tolerance: float, exact: bool) -> Look:
    """Judge one window."""
    ready = [one.uid for one in present if one.ready_through(window.begin, window.end)]
    if not ready or not window.calls:
        return Look(window.begin, False, ready, told=False)
    due = window.calls / len(ready)
    least = tolerance * due if exact else min(tolerance * due, due - 4 * math.sqrt(due))
    missing = [uid for uid in ready if window.answered.get(uid, 0) < least]
    return Look(window.begin, not missing if due >= ENOUGH else None, missing, told=due >= ENOUGH)


def _window(buckets: list[TimelineBucket], begin: float, end: float) -> Window:
    answered: dict[str, int] = {}
    for bucket in buckets:
        for uid, calls in bucket.per_backend.items():
            answered[uid] = answered.get(uid, 0) + calls
    return Window(begin, end, sum(bucket.ok + bucket.failed for bucket in buckets), answered)


def _length(facts: Facts, course: ScenarioPlan, replicas: int) -> float:
    """The course's window, longer where the calls are few; never more than a quarter of the run."""
    rate = facts.requests / facts.duration_s if facts.duration_s else 0.0
    needed = 20 * replicas / rate if rate else 0.0
    return max(course.window_s, min(needed, facts.duration_s / 4))


def _first_answers(facts: Facts, present: list[Presence], first_s: float) -> list[float]:
    """When each replica that came after the first event, and stayed, answered its first call."""
    came = {one.uid for one in present if one.came_s is not None and one.came_s >= first_s and one.left_s is None}
    return [
        replica.first_seen_at - facts.started_at - first_s
        for replica in facts.replicas
        if replica.uid in came and replica.first_seen_at is not None
    ]

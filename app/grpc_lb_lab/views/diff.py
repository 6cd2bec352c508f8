"""``lb-lab diff``: two bundles side by side. What changed in class and verdict, and which figures moved beyond noise.

The noise rule. Where both sides ran a cell at least twice, a figure moved when each median lies outside the other
side's minimum to maximum and the medians differ by more than ``REPEATED`` (10 %). Where a side has a single run, the
ratio of the figures must pass that of its row in ``columns``, which is wider for figures that jump more from run to
run: three single runs of one strategy within seconds differed by up to 1.3 in calls/s, 1.2 in p50 and 2.8 in p99.
Figures are compared only under the same load.

Repeats within seconds do not show how a busy machine drifts: minutes apart and beside other work, medians of three
differed by up to 2.6 in calls/s and 7 in p99. No rule tells that from a change, but it moves most cells the same way:
``_drift`` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from grpc_lb_lab.judge.scenario.repeats import spread_words
from grpc_lb_lab.judge.text import verdict_words
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.verdict import GOOD
from grpc_lb_lab.views.columns import RATE, REPEATED, Exact, Jitter, figures

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Range
    from grpc_lb_lab.judge.scenario.repeats import Spread
    from grpc_lb_lab.views.cells import Cell
    from grpc_lb_lab.views.columns import Figure
    from grpc_lb_lab.views.summary import Summary

COURSE_S = 1.0
"""Seconds by which the figures of a scenario must differ at least; windows are hardly finer than that."""

COURSE_SINGLE = 2.0
"""As ``Jitter.single``, for the seconds of a scenario: what DNS does depends on when it was asked the last time."""

Kind = Literal["verdict", "class", "figure"]


@dataclass(frozen=True)
class Change:
    """One thing that differs. ``better`` is None where neither side is better in itself."""

    strategy: str
    scenario: str
    kind: Kind
    what: str
    before: str
    after: str
    better: bool | None


@dataclass(frozen=True)
class Diff:
    """Two bundles, ``a`` first. ``changed``: a class or a verdict differs. ``notes``: what was not compared."""

    a: str
    b: str
    a_cluster: str
    b_cluster: str
    compared: int
    changed: bool
    changes: list[Change]
    only_a: list[str]
    only_b: list[str]
    notes: list[str]


def compare(a: Summary, b: Summary) -> Diff:
    """Compare two bundles cell by cell. Raises ``UsageError`` when they have no cell in common."""
    left, right = ({cell.place: cell for cell in side.cells} for side in (a, b))
    both = [place for place in left if place in right]
    if not both:
        raise UsageError(f"{a.run} and {b.run} have no cell in common, so there is nothing to compare")
    changes = [change for place in both for change in _changes(left[place], right[place])]
    return Diff(
        a=a.run,
        b=b.run,
        a_cluster=a.cluster,
        b_cluster=b.cluster,
        compared=len(both),
        changed=any(change.kind != "figure" for change in changes),
        changes=changes,
        only_a=[place for place in left if place not in right],
        only_b=[place for place in right if place not in left],
        notes=[*_notes(a, b, [(left[place], right[place]) for place in both]), *_drift(changes, len(both))],
    )


def _changes(a: Cell, b: Cell) -> list[Change]:
    found = []
    if a.status != b.status:
        found.append(_change(a, "verdict", "verdict", _verdict(a), _verdict(b), b.status in GOOD))
    if a.observed != b.observed:
        better = None if a.status == b.status else b.status in GOOD
        found.append(_change(a, "class", "class", a.observed or "no report", b.observed or "no report", better))
    if a.counts and b.counts and a.load == b.load:
        found += [change for figure in figures() if (change := _jittering(a, b, figure))]
        found += [change for figure in figures() if (change := _exact(a, b, figure))]
        found += _course(a, b)
    return found


def _course(a: Cell, b: Cell) -> list[Change]:
    """The two figures of a scenario: sooner is better, and never is worse than any time."""
    if a.course is None or b.course is None:
        return []
    pairs = [
        ("shares back", a.course.share_returned_s, b.course.share_returned_s),
        ("error window", a.course.error_window_s, b.course.error_window_s),
    ]
    repeated = min(a.repeats, b.repeats) > 1
    return [
        _change(a, "figure", what, spread_words(one), spread_words(two), _later(two.median) < _later(one.median))
        for what, one, two in pairs
        if scenario_moved(one, two, repeated=repeated)
    ]


def scenario_moved(a: Spread, b: Spread, *, repeated: bool) -> bool:
    """Whether a figure in seconds differs by more than noise; between never and a time it always does."""
    one, two = _later(a.median), _later(b.median)
    if one == two:
        return False
    low, high = sorted((one, two))
    if high - low < COURSE_S:
        return False
    if repeated:
        return not _later(b.min) <= one <= _later(b.max) and not _later(a.min) <= two <= _later(a.max)
    return high > COURSE_SINGLE * low


def _later(value: float | None) -> float:
    return math.inf if value is None else value


def _verdict(cell: Cell) -> str:
    words = verdict_words(cell.status, cell.expected, cell.observed) if cell.report else cell.verdict_line
    return words if cell.status in GOOD else f"{words}: {cell.cause}"


def _exact(a: Cell, b: Cell, figure: Figure) -> Change | None:
    one, two = figure.of(a), figure.of(b)
    if not isinstance(figure.noise, Exact) or not figure.noise.comparable(a, b) or one is None or two is None:
        return None
    return _moved(a, figure, one, two) if one != two else None


def _jittering(a: Cell, b: Cell, figure: Figure) -> Change | None:
    one, two = a.figures.get(figure.key), b.figures.get(figure.key)
    if not isinstance(figure.noise, Jitter) or one is None or two is None:
        return None
    if not moved(figure.noise, one, two, repeated=min(a.repeats, b.repeats) > 1):
        return None
    ratio = two.median / one.median if one.median else float("inf")
    return _moved(a, figure, one.median, two.median, f" (×{ratio:.2f})")


def _moved(cell: Cell, figure: Figure, before: float, after: float, more: str = "") -> Change:
    better = None if figure.more_is_better is None else (after > before) == figure.more_is_better
    return _change(cell, "figure", figure.name, figure.words(before), figure.words(after) + more, better)


def moved(noise: Jitter, a: Range, b: Range, *, repeated: bool) -> bool:
    """Whether a figure differs by more than its noise; ``repeated``: both sides ran at least twice."""
    low, high = sorted((a.median, b.median))
    ratio = high / low if low > 0 else float("inf") if high > 0 else 1.0
    if not repeated:
        return ratio > noise.single
    apart = not b.min <= a.median <= b.max and not a.min <= b.median <= a.max
    return apart and ratio > REPEATED


def _change(cell: Cell, kind: Kind, what: str, before: str, after: str, better: bool | None) -> Change:
    return Change(cell.strategy, cell.scenario, kind, what, before, after, better)


def _notes(a: Summary, b: Summary, pairs: list[tuple[Cell, Cell]]) -> list[str]:
    notes = []
    if a.cluster != b.cluster:
        notes.append(
            f"Figures of {a.cluster} and {b.cluster} are of different worlds; only their order can be compared."
        )
    other = [one.place for one, two in pairs if one.load and two.load and one.load != two.load]
    if other:
        notes.append(f"Not under the same load, so only class and verdict were compared: {', '.join(other)}.")
    single = [one.place for one, two in pairs if min(one.repeats, two.repeats) < 2]
    if single:
        notes.append(
            f"{len(single)} of {len(pairs)} cells ran once on a side: only large differences count as more than noise; "
            "repeats show smaller ones."
        )
    return notes


def _drift(changes: list[Change], cells: int) -> list[str]:
    """A note where more than half of at least three cells became faster, or slower, together."""
    rates = [change.better for change in changes if change.what == RATE.name]
    slower, faster = rates.count(False), rates.count(True)
    if cells < 3 or max(slower, faster) * 2 <= cells:
        return []
    word, number_of = ("slower", slower) if slower > faster else ("faster", faster)
    return [
        f"{number_of} of {cells} cells became {word} together: that is the machine (other work beside the run, another "
        "clock speed) rather than a change of each strategy."
    ]

"""The two figures of a scenario over the repeats of a cell. Not every repeat gets its shares back: None is "never"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

from grpc_lb_lab.judge.text import listing, number, seconds


@dataclass(frozen=True)
class ScenarioFigures:
    """One repeat: when the first event came, the two figures, failed calls and what was lost under way."""

    phase_s: float
    share_returned_s: float | None
    error_window_s: float
    failed: int
    in_flight: int


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum in seconds; None: never. Never is later than any time."""

    min: float | None
    median: float | None
    max: float | None


@dataclass(frozen=True)
class ScenarioRanges:
    """The two figures over all repeats that left a report, and failed calls of the worst of them."""

    repeats: int
    share_returned_s: Spread
    error_window_s: Spread
    failed: int
    in_flight: int


def scenario_figures(report: dict[str, Any]) -> ScenarioFigures | None:
    """The figures of a parsed report; None in the scenario ``steady``."""
    course = report.get("course")
    if course is None:
        return None
    errors = course["errors"]
    return ScenarioFigures(
        course["first_event_s"], course["share_returned_s"], errors["window_s"], errors["failed"], errors["in_flight"]
    )


def scenario_ranges(reports: list[dict[str, Any]]) -> ScenarioRanges | None:
    """The figures over the repeats; None where none of them has any."""
    found = [figures for figures in map(scenario_figures, reports) if figures is not None]
    if not found:
        return None
    return ScenarioRanges(
        repeats=len(found),
        share_returned_s=_spread([one.share_returned_s for one in found]),
        error_window_s=_spread([one.error_window_s for one in found]),
        failed=max(one.failed for one in found),
        in_flight=max(one.in_flight for one in found),
    )


def missed_words(report: dict[str, Any]) -> str:
    """What, besides the class, was not as expected; "calls failed" in the scenario ``steady``."""
    course = report.get("course")
    if course is None:
        return "calls failed"
    names = {"share": "shares", "errors": "errors"}
    return missed([names[one["what"]] for one in course["checks"] if not one["met"] and one["what"] in names])


def missed(names: list[str]) -> str:
    """``shares and errors were not``."""
    return f"{listing(names)} were not" if names else "calls failed"


def spread_words(spread: Spread) -> str:
    """``2.1 / 2.4 / 3 s``, ``never`` for all the same, ``0 s``."""
    values = [spread.min, spread.median, spread.max]
    if len(set(values)) == 1:
        return time_words(values[0])
    words = [time_words(value).removesuffix(" s") for value in values]
    return f"{' / '.join(words)}{'' if values[-1] is None else ' s'}"


def time_words(value: float | None) -> str:
    """``2.4 s``, ``never``."""
    return "never" if value is None else seconds(value)


def failed_words(ranges: ScenarioRanges) -> str:
    """``17 failed, 3 under way``: calls of the worst repeat."""
    return f"{number(ranges.failed)} failed" + (f", {number(ranges.in_flight)} under way" if ranges.in_flight else "")


def _spread(values: list[float | None]) -> Spread:
    known = [math.inf if value is None else value for value in values]

    def told(value: float) -> float | None:
        return None if math.isinf(value) else round(value, 3)

    return Spread(told(min(known)), told(median(known)), told(max(known)))

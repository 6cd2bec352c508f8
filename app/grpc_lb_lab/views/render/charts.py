"""The charts of a cell's page as Vega-Lite specs, each with its description in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import milliseconds, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.judge.document import BucketRow, Report

WIDTH, HEIGHT = 1020, 220
MAX_COLUMNS = 120
MAX_POINTS = 2400
"""Replicas × columns of the timeline: 60 replicas get 40 columns, so that the page stays small."""

COLOURS = 10
WORDS = {
    "type": "text",
    "limit": 320,
    "align": {"expr": "datum.late ? 'right' : 'left'"},
    "dx": {"expr": "datum.late ? -5 : 5"},
}
"""Words beside a line, on the side where there is room."""

FAILED = "failed"


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite spec and what it shows in words, for those who do not see it."""

    spec: dict[str, Any]
    description: str


@dataclass(frozen=True)
class Span:
    """Calls that ended between two times, by replica, failed ones under ``FAILED``."""

    begin: float
    end: float
    calls: dict[str, int]


def colour(index: int, replicas: int) -> str:
    """The class and the CSS variable of a replica's colour; more replicas than colours get two in turn."""
    return f"c{index}" if replicas <= COLOURS else ("c0", "c5")[index % 2]


def timeline_chart(report: Report) -> Chart | None:
    """Calls a second by replica as stacked areas, failed calls on top, events as lines; None without a call."""
    spans = timeline_spans(report)
    if not spans:
        return None
    end = spans[-1].end
    rates = [sum(span.calls.values()) / (span.end - span.begin) for span in spans]
    events = [
        {"t": event.t_s, "text": f"{event.kind} {event.detail}", "late": event.t_s > 0.75 * end}
        for event in report.events
        if 0 < event.t_s < end and not event.kind.startswith("load-")
    ]
    return Chart(
        spec={"width": WIDTH, "height": HEIGHT, "layer": [areas(report, spans), *event_lines(events)]},
        description=(
            f"Calls a second over {end:.1f} seconds, stacked by replica: from {number(round(min(rates)))} to "
            f"{number(round(max(rates)))}; {number(report.actual.failed)} calls failed."
        ),
    )


def areas(report: Report, spans: list[Span]) -> dict[str, Any]:
    """The layer of stacked areas, a colour a replica, failed calls on top."""
    names = [backend.pod for backend in report.backends] + ([FAILED] if report.actual.failed else [])
    end = spans[-1].end
    rows = [
        {"t": round(span.begin, 3), "i": index, "rate": round(span.calls.get(name, 0) / (span.end - span.begin), 2)}
        for span in [*spans, Span(end, 2 * end - spans[-1].begin, spans[-1].calls)]  # closes the last step
        for index, name in enumerate(names)
    ]
    colours = [
        f"var(--{'bad' if name == FAILED else colour(index, len(report.backends))})" for index, name in enumerate(names)
    ]
    return {
        "data": {"values": rows},
        "mark": {"type": "area", "interpolate": "step-after", "clip": True},
        "encoding": {
            "x": {"field": "t", "type": "quantitative", "title": "seconds since the first measured call",
                  "scale": {"domain": [0, end], "nice": False}, "axis": {"grid": False}},
            "y": {"field": "rate", "type": "quantitative", "stack": "zero", "title": "calls a second"},
            "order": {"field": "i"},
            "color": {"field": "i", "type": "ordinal", "legend": None,
                      "scale": {"domain": list(range(len(names))), "range": colours}},
        },
    }  # fmt: skip


def event_lines(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A dashed line at each event, with its words; none without events."""
    if not events:
        return []
    x = {"field": "t", "type": "quantitative"}
    rows = [event | {"y": 10 + index % 4 * 16} for index, event in enumerate(events)]
    line = {"type": "rule", "color": "var(--ink)", "strokeDash": [4, 3]}
    return [
        {"data": {"values": rows}, "mark": line, "encoding": {"x": x}},
        {"data": {"values": rows}, "mark": WORDS,
         "encoding": {"x": x, "y": {"field": "y", "type": "quantitative", "scale": None, "axis": None},
                      "text": {"field": "text"}}},
    ]  # fmt: skip


def timeline_spans(report: Report, most: int = MAX_COLUMNS) -> list[Span]:
    """The timeline in few enough columns, each with its real length: the first and the last are often cut short."""
    buckets = report.timeline.buckets
    if not buckets or not report.actual.requests:
        return []
    columns = max(1, min(most, MAX_POINTS // max(1, len(report.backends))))
    size = max(1, math.ceil(len(buckets) / columns))
    begins = [bucket.t_s for bucket in buckets[::size]]
    ends = [*begins[1:], max(report.actual.duration_s, begins[-1] + 0.001)]
    groups = [buckets[start : start + size] for start in range(0, len(buckets), size)]
    spans = [Span(begin, end, _calls(group)) for begin, end, group in zip(begins, ends, groups, strict=True)]
    return _without_slivers(spans)


def _without_slivers(spans: list[Span]) -> list[Span]:
    """A first or last column of a few milliseconds says nothing as a rate: it joins its neighbour."""
    longest = max(span.end - span.begin for span in spans)
    for here, there in ((0, 1), (-1, -2)):
        if len(spans) > 1 and spans[here].end - spans[here].begin < longest / 3:
            one, two = sorted((spans[here], spans[there]), key=lambda span: span.begin)
            names = dict.fromkeys([*one.calls, *two.calls])
            joined = Span(one.begin, two.end, {n: one.calls.get(n, 0) + two.calls.get(n, 0) for n in names})
            spans = [joined, *spans[2:]] if here == 0 else [*spans[:-2], joined]
    return spans


def _calls(rows: Sequence[BucketRow]) -> dict[str, int]:
    total: dict[str, int] = {}
    for row in rows:
        for name, calls in [*row.per_backend.items(), (FAILED, row.failed)]:
            total[name] = total.get(name, 0) + calls
    return total


def latency_chart(report: Report) -> Chart | None:
    """Calls by latency on a logarithmic scale, with lines at p50 and p99; None without a call."""
    bars, times = report.latency_bars, report.latency_ms
    if not bars:
        return None
    domain = [round(bars[0].from_ms, 5), round(bars[-1].to_ms, 5)]

    def late(value: float) -> bool:
        """Whether a word to the right of ``value`` would leave the chart."""
        return math.log(value / domain[0]) > 0.85 * math.log(domain[1] / domain[0])

    rows = [{"a": round(bar.from_ms, 5), "b": round(bar.to_ms, 5), "calls": bar.calls} for bar in bars]
    lines = [
        {"at": value, "text": f"{name} {milliseconds(value)}", "y": 10 + 16 * index, "late": late(value)}
        for index, (name, value) in enumerate((("p50", times.p50), ("p99", times.p99)))
        if value
    ]
    x = {"type": "quantitative", "scale": {"type": "log", "domain": domain, "nice": False}}
    title = {
        "title": "milliseconds, logarithmic scale",
        "axis": {"grid": False, "values": ticks(*domain), "format": "~g"},
    }
    return Chart(
        spec={
            "width": WIDTH,
            "height": HEIGHT,
            "layer": [
                {"data": {"values": rows}, "mark": {"type": "bar", "color": "var(--c0)", "binSpacing": 1},
                 "encoding": {"x": x | title | {"field": "a"}, "x2": {"field": "b"},
                              "y": {"field": "calls", "type": "quantitative", "title": "calls"}, "y2": {"datum": 0}}},
                {"data": {"values": lines}, "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [4, 3]},
                 "encoding": {"x": x | {"field": "at"}}},
                {"data": {"values": lines}, "mark": WORDS | {"fontWeight": 600},
                 "encoding": {"x": x | {"field": "at"}, "text": {"field": "text"},
                              "y": {"field": "y", "type": "quantitative", "scale": None, "axis": None}}},
            ],
        },
        description=(
            f"Calls by latency, logarithmic: half took at most {milliseconds(times.p50)}, "
            f"99 % at most {milliseconds(times.p99)}."
        ),
    )  # fmt: skip


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of every power of ten in between; only the powers where that would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 5 else (1,)
    return [
        tick for power in powers for tick in (round(step * 10.0**power, 6) for step in steps) if low <= tick <= high
    ]


def replicas_chart(report: Report) -> Chart:
    """A column a replica, in the report's order, with a line at the equal share: for more than a table can show."""
    due = report.distribution.expected_per_server
    rows = [
        {"i": index + 1, "calls": backend.requests, "c": f"var(--{colour(index, len(report.backends))})"}
        for index, backend in enumerate(report.backends)
    ]
    counts = [backend.requests for backend in report.backends]
    step = next(step for step in (5, 10, 20, 50, 100, 1000, 10**9) if len(counts) <= step * 20)
    numbers = [1, *range(step, len(counts) + 1, step)]
    return Chart(
        spec={
            "width": WIDTH,
            "height": HEIGHT,
            "layer": [
                {"data": {"values": rows}, "mark": {"type": "bar"},
                 "encoding": {"x": {"field": "i", "type": "ordinal", "title": "replica, in the order of the table",
                                    "axis": {"labelAngle": 0, "ticks": False, "values": numbers}},
                              "y": {"field": "calls", "type": "quantitative", "title": "calls"},
                              "color": {"field": "c", "type": "nominal", "scale": None}}},
                {"data": {"values": [{"due": due}]},
                 "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [4, 3], "strokeWidth": 1.5},
                 "encoding": {"y": {"field": "due", "type": "quantitative"}}},
            ],
        },
        description=(
            f"Calls of each of {number(len(counts))} replicas: from {number(min(counts))} to {number(max(counts))}; "
            f"an equal share is {number(round(due, 1))}."
        ),
    )  # fmt: skip

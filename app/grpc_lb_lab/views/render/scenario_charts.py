"""The charts of a scenario's page: calls a replica over time with what happened, and latency beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import count, milliseconds, number, seconds
from grpc_lb_lab.views.render.charts import HEIGHT, WIDTH, WORDS, Chart, areas, ticks, timeline_spans
from grpc_lb_lab.views.render.scenario import marks

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Report
    from grpc_lb_lab.judge.scenario.figures import ScenarioReport

X = {"field": "t", "type": "quantitative"}
TEXT_Y = {"field": "y", "type": "quantitative", "scale": None, "axis": None}
AXIS = 44
"""Room for the numbers of a vertical axis: both charts have the same, so that their times stand below each other."""

MAX_MARKS = 200
"""Signs of replicas that come and go; more of them would be a carpet."""

SIGNS = {
    "replica-ready": ("▲", "var(--pass)"),
    "replica-unready": ("▽", "var(--fail)"),
    "replica-terminating": ("▼", "var(--soft)"),
}
"""Sign and colour of what happens to replicas."""


def scenario_timeline_chart(report: Report, course: ScenarioReport) -> Chart | None:
    """Stacked areas of calls; what was ordered, replicas that came and left, the error window, the shares' return."""
    spans = timeline_spans(report)
    if not spans:
        return None
    end = spans[-1].end
    words = ", ".join(f"{event.detail} at {seconds(event.t_s)}" for _, event in marks(report))
    back = course.share_returned_s
    return Chart(
        spec={
            "width": WIDTH,
            "height": HEIGHT + 60,
            "layer": [
                *_error_window(course),
                _wide_axis(areas(report, spans)),
                *_lives(report, end),
                *_marks(report, course, end),
            ],
        },
        description=(
            f"Calls a second over {end:.1f} seconds, stacked by replica. Events: {words or 'none'}. "
            f"{'Shares never came back' if back is None else f'Shares were back {seconds(back)} later'}; "
            f"{count(report.actual.failed, 'call')} failed."
        ),
    )


def scenario_latency_chart(report: Report, course: ScenarioReport) -> Chart | None:
    """p50 and p99 of the calls that ended in each slot, logarithmic; None where nobody kept them."""
    slots = [span for span in course.latency_course if span.calls and span.p50 and span.p99]
    if len(slots) < 2:
        return None
    end = max(report.actual.duration_s, slots[-1].to_s)
    values = [value for span in slots for value in (span.p50 or 0.0, span.p99 or 0.0)]
    domain = [min(values) / 2, max(values) * 2]
    rows = [{"t": round((span.from_s + min(span.to_s, end)) / 2, 3), "a": span.p50, "b": span.p99} for span in slots]
    x = X | {"title": "seconds since the first measured call", "scale": {"domain": [0, end], "nice": False},
             "axis": {"grid": False}}  # fmt: skip
    y = {"type": "quantitative", "title": "ms, logarithmic",
         "scale": {"type": "log", "domain": domain, "nice": False},
         "axis": {"format": "~g", "values": ticks(*domain), "minExtent": AXIS}}  # fmt: skip
    last = rows[-1]
    names = [{"t": last["t"], "y": last["b"], "text": "p99"}, {"t": last["t"], "y": last["a"], "text": "p50"}]
    worst = max(slots, key=lambda span: span.p99 or 0.0)
    return Chart(
        spec={
            "width": WIDTH,
            "height": 150,
            "data": {"values": rows},
            "layer": [
                {"mark": {"type": "line", "color": "var(--c1)", "strokeWidth": 2},
                 "encoding": {"x": x, "y": y | {"field": "b"}}},
                {"mark": {"type": "line", "color": "var(--c0)", "strokeWidth": 2},
                 "encoding": {"x": x, "y": y | {"field": "a"}}},
                {"data": {"values": names},
                 "mark": {"type": "text", "align": "right", "dx": -2, "dy": -9, "fontWeight": 600},
                 "encoding": {"x": X, "y": y | {"field": "y"}, "text": {"field": "text"}}},
                *_rules([{"t": event.t_s} for _, event in marks(report) if 0 < event.t_s < end], "var(--ink)", [4, 3]),
            ],
        },
        description=(
            f"Latency over {end:.1f} seconds: p99 was highest with {milliseconds(worst.p99)} "
            f"around {seconds(worst.from_s)}."
        ),
    )  # fmt: skip


def _error_window(course: ScenarioReport) -> list[dict[str, Any]]:
    errors = course.errors
    if errors.first_s is None or errors.last_s is None:
        return []
    return [
        {"data": {"values": [{"t": errors.first_s, "to": errors.last_s}]},
         "mark": {"type": "rect", "color": "var(--bad)", "opacity": 0.16, "clip": True},
         "encoding": {"x": X, "x2": {"field": "to"}}},
    ]  # fmt: skip


def _wide_axis(layer: dict[str, Any]) -> dict[str, Any]:
    y = layer["encoding"]["y"] | {"axis": {"minExtent": AXIS}}
    return layer | {"encoding": layer["encoding"] | {"y": y}}


def _lives(report: Report, end: float) -> list[dict[str, Any]]:
    """Small signs above the areas where a replica became ready or unready, or began to leave."""
    rows = [
        {"t": event.t_s, "y": -5, "text": SIGNS[event.kind][0], "tone": SIGNS[event.kind][1]}
        for event in report.events
        if event.kind in SIGNS and 0 < event.t_s < end
    ]
    if not rows:
        return []
    return [
        {"data": {"values": rows[:MAX_MARKS]}, "mark": {"type": "text", "fontSize": 10},
         "encoding": {"x": X, "y": TEXT_Y, "text": {"field": "text"},
                      "color": {"field": "tone", "type": "nominal", "scale": None}}},
    ]  # fmt: skip


def _rules(rows: list[dict[str, Any]], tone: str, dash: list[int]) -> list[dict[str, Any]]:
    if not rows:
        return []
    mark = {"type": "rule", "color": tone, "strokeDash": dash, "strokeWidth": 1.5}
    return [{"data": {"values": rows}, "mark": mark, "encoding": {"x": X}}]


def _marks(report: Report, course: ScenarioReport, end: float) -> list[dict[str, Any]]:
    """What was ordered, with its number, and the return of the shares; the words stand above the areas."""
    rows = [
        {"t": event.t_s, "text": f"{sign} {event.detail}", "late": event.t_s > 0.7 * end, "y": -20 - index % 2 * 16}
        for index, (sign, event) in enumerate(marks(report))
        if 0 < event.t_s < end
    ]
    back = course.share_returned_s
    at = course.first_event_s + (back or 0.0)
    layers = _rules(rows, "var(--ink)", [4, 3])
    if back:
        text = f"shares back after {seconds(back)}"
        returned = [{"t": at, "text": text, "late": at > 0.7 * end, "y": -20 - 16 * min(2, len(rows))}]
        layers += _rules(returned, "var(--pass)", [])
        rows += returned
    if not rows:
        return layers
    return [
        *layers,
        {"data": {"values": rows}, "mark": WORDS, "encoding": {"x": X, "y": TEXT_Y, "text": {"field": "text"}}},
    ]


def legend_words(course: ScenarioReport) -> str:
    """What the lines in the chart mean, in a sentence."""
    words = ["dashed: what was ordered, with its number"]
    if any(one.came_s is not None for one in course.replicas):
        words.append("▲ a replica became ready")
    if any(one.left_s is not None for one in course.replicas):
        words.append("▼ one began to leave")
    if course.errors.failed:
        words.append(f"red ground: from the first to the last of {number(course.errors.failed)} failed calls")
    if course.share_returned_s:
        words.append("green line: every ready replica has its share again")
    return "; ".join(words)

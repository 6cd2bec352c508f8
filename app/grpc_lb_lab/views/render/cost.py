"""The chart of the index: what each cell costs in calls a second and latency, as a Vega-Lite spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import number
from grpc_lb_lab.views.render.charts import Chart, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.views.cells import Cell


def cost_chart(cells: Sequence[Cell]) -> Chart | None:
    """Calls a second and latency of the cells, fastest first; None for fewer than two that have figures."""
    known = sorted((cell for cell in cells if cell.rps > 0), key=lambda cell: (-cell.rps, cell.place))
    if len(known) < 2:
        return None
    several = len({cell.scenario for cell in known}) > 1
    rows = [_cost_row(cell, several) for cell in known]
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    # The browser's font is wider than the one that Vega measures with: leave room for the longest name.
    label = {
        "axis": {
            "labelColor": "var(--ink)",
            "labelLimit": 0,
            "minExtent": 8 * max(len(row["name"]) for row in rows),
            "ticks": False,
            "domain": False,
            "labelPadding": 8,
        }
    }
    ms = {"type": "quantitative", "title": "p50 (dot) to p99 (tick), ms, logarithmic",
          "scale": {"type": "log", "nice": False, "domain": _latency_domain(known)},
          "axis": {"format": "~g", "values": ticks(*_latency_domain(known))}}  # fmt: skip
    height = {"step": 24}
    spec = {
        "data": {"values": rows},
        "spacing": 28,
        "hconcat": [
            {"width": 460, "height": height, "layer": [
                {"mark": {"type": "bar", "height": 15, "cornerRadiusEnd": 3},
                 "encoding": {"y": y | label, "x": {"field": "rps", "type": "quantitative", "title": "calls a second"},
                              "color": {"field": "tone", "type": "nominal", "scale": None}}},
                {"mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 1.5},
                 "encoding": {"y": y, "x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}}},
                {"mark": {"type": "text", "align": "left", "dx": 5},
                 "encoding": {"y": y, "x": {"field": "high", "type": "quantitative"}, "text": {"field": "words"}}}]},
            {"width": 330, "height": height, "layer": [
                {"mark": {"type": "rule", "strokeWidth": 4, "opacity": 0.55},
                 "encoding": {"y": y | {"axis": None}, "x": ms | {"field": "p50"}, "x2": {"field": "p99"},
                              "color": {"field": "tone", "type": "nominal", "scale": None}}},
                {"mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                 "encoding": {"y": y, "x": ms | {"field": "p50"},
                              "color": {"field": "tone", "type": "nominal", "scale": None}}},
                {"mark": {"type": "tick", "thickness": 3, "height": 14},
                 "encoding": {"y": y, "x": ms | {"field": "p99"},
                              "color": {"field": "tone", "type": "nominal", "scale": None}}}]},
        ],
    }  # fmt: skip
    best, last = known[0], known[-1]
    return Chart(
        spec=spec,
        description=(
            f"Calls a second and latency of {len(known)} cells, fastest first: from {best.strategy} with "
            f"{number(round(best.rps))} to {last.strategy} with {number(round(last.rps))} calls a second."
        ),
    )


_TONES = {"pass": "var(--c0)", "fail": "var(--bad)", "invalid": "var(--unsure)", "observed": "var(--c0)"}


def _cost_row(cell: Cell, several: bool) -> dict[str, Any]:
    rates = cell.figures["rps"]
    mark = {"pass": "", "fail": "  ✗ fail", "invalid": "  ? invalid", "observed": ""}[cell.status]
    return {
        "name": f"{cell.strategy} · {cell.scenario}" if several else cell.strategy,
        "rps": cell.rps,
        "low": rates.min,
        "high": rates.max,
        "p50": cell.p50_ms,
        "p99": cell.p99_ms,
        "tone": _TONES[cell.status],
        "words": number(round(cell.rps)) + mark,
    }


def _latency_domain(cells: Sequence[Cell]) -> tuple[float, float]:
    values = [value for cell in cells for value in (cell.p50_ms, cell.p99_ms) if value]
    return (min(values) / 1.15, max(values) * 1.15) if values else (0.1, 1.0)

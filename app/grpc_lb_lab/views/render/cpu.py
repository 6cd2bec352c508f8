"""The chart of the index that shows what a call costs in CPU time: client, proxies and servers, as a Vega-Lite spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import microseconds
from grpc_lb_lab.views.render.charts import Chart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.views.cells import Cell

PARTS = {"client": "var(--c0)", "proxies": "var(--c1)", "servers": "var(--c2)"}
WIDTH, LETTER = 830, 8


def cpu_chart(cells: Sequence[Cell]) -> Chart | None:
    """CPU microseconds a call of the cells, cheapest first; None for fewer than two where it is known.

    Cells of which a part was not measured come last, each with the words that say so: a bar that lacks a part would
    pass for a cheap one.
    """
    known = sorted(
        (cell for cell in cells if cell.client_us is not None),
        key=lambda cell: (bool(_unknown(cell)), _total(cell), cell.place),
    )
    if len(known) < 2:
        return None
    several = len({cell.scenario for cell in known}) > 1
    rows = [row for cell in known for row in _rows(cell, several)]
    y = {
        "field": "name", "type": "nominal", "sort": None, "title": None,
        # The browser's font is wider than the one that Vega measures with: leave room for the longest name.
        "axis": {"labelColor": "var(--ink)", "labelLimit": 0, "minExtent": 8 * max(len(row["name"]) for row in rows),
                 "ticks": False, "domain": False, "labelPadding": 8},
    }  # fmt: skip
    # The words behind a bar must fit, too.
    most = max(row["end"] / (1 - LETTER * len(row["words"]) / WIDTH) for row in rows)
    x = {"type": "quantitative", "title": "microseconds of CPU time a call",
         "scale": {"domain": [0, most], "nice": False}}  # fmt: skip
    colour = {"field": "tone", "type": "nominal", "scale": None}
    spec = {
        "data": {"values": rows},
        "width": WIDTH,
        "height": {"step": 24},
        "layer": [
            {"mark": {"type": "bar", "height": 15},
             "encoding": {"y": y, "x": x | {"field": "begin"}, "x2": {"field": "end"}, "color": colour}},
            {"transform": [{"filter": "datum.words != ''"}],
             "mark": {"type": "text", "align": "left", "dx": 5},
             "encoding": {"y": y, "x": x | {"field": "end"}, "text": {"field": "words"}}},
        ],
    }  # fmt: skip
    best, last = known[0], known[-1]
    return Chart(
        spec=spec,
        description=(
            f"CPU time a call of {len(known)} cells, cheapest first: from {best.strategy} with "
            f"{microseconds(_total(best))} to {last.strategy} with {microseconds(_total(last))}."
        ),
    )


def _rows(cell: Cell, several: bool) -> list[dict[str, Any]]:
    """A row for each part, and the words behind the last one."""
    rows, end = [], 0.0
    for part, tone in PARTS.items():
        begin, end = end, end + (getattr(cell, f"{part}_us") or 0.0)
        rows.append({"name": _name(cell, several), "begin": begin, "end": round(end, 1), "tone": tone, "words": ""})
    mark = " *" if cell.saturated else ""
    rows[-1]["words"] = microseconds(end) + mark + (f"  ({_unknown(cell)})" if _unknown(cell) else "")
    return rows


def _name(cell: Cell, several: bool) -> str:
    return f"{cell.strategy} · {cell.scenario}" if several else cell.strategy


def _total(cell: Cell) -> float:
    return sum(getattr(cell, f"{part}_us") or 0.0 for part in PARTS)


def _unknown(cell: Cell) -> str:
    """What the bar lacks; empty when nothing. Proxies that the path does not have are not missing."""
    missing = ["proxies"] if cell.proxied and cell.proxies_us is None else []
    missing += ["servers"] if cell.servers_us is None else []
    return f"{' and '.join(missing)} not measured" if missing else ""

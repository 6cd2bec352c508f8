"""``summary.md``: the cells of a run as a table that fits a pull request comment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.model.verdict import GOOD, WORST_FIRST
from grpc_lb_lab.views.columns import COLUMNS
from grpc_lb_lab.views.render.markdown import escape, table
from grpc_lb_lab.views.render.scenario_table import RULE, scenario_tables

if TYPE_CHECKING:
    from grpc_lb_lab.views.cells import Cell
    from grpc_lb_lab.views.columns import Column
    from grpc_lb_lab.views.render.scenario_table import Entry
    from grpc_lb_lab.views.summary import Summary

MAX_LENGTH = 60_000
"""GitHub refuses comments of more than 65,536 characters."""

MAX_CAUSE = 1_000
"""One cause must not push all others out of the comment."""

ICONS = {"pass": "✅", "fail": "❌", "invalid": "⚠️", "observed": "👁️"}


def render_summary_markdown(summary: Summary) -> str:
    """Headline, what failed with its cause, table, then the other causes; what does not fit is counted."""
    cells = sorted(summary.cells, key=lambda cell: WORST_FIRST.index(cell.status))
    head = f"**{escape(summary.headline)}** on {escape(summary.cluster)} (run {escape(summary.run)})"
    load = "\n\n" + "\n".join(f"{escape(words)}.  " for words in summary.load_words)
    troubled = [cell for cell in cells if cell.status not in GOOD]
    rows = _table(cells)
    body = _causes(head + load + "\n", troubled, MAX_LENGTH - len(rows)).rstrip()
    body = f"{body}\n\n{rows}\n" if len(body) + len(rows) < MAX_LENGTH else f"{body}\n\nThe table is in index.html.\n"
    body = _causes(body, [cell for cell in cells if cell.status in GOOD], MAX_LENGTH)
    notes = [f"\n\n{words}" for words in (*_courses(summary), _repeats(summary), _saturated(cells)) if words]
    return body + "".join(note for note in notes if len(body) + len(note) < MAX_LENGTH) + "\n"


def _causes(body: str, cells: list[Cell], limit: int) -> str:
    for index, cell in enumerate(cells):
        cause = cell.cause if len(cell.cause) <= MAX_CAUSE else cell.cause[:MAX_CAUSE] + "…"
        words = f"{escape(cell.verdict_line)}. {escape(cause)}"
        icon = f"{ICONS[cell.status]} " if cell.status not in GOOD else ""
        line = f"\n- {icon}**{escape(cell.strategy)}** · {escape(cell.scenario)} · {words}"
        if len(body) + len(line) > limit:
            return f"{body}\n- {len(cells) - index} more in index.html"
        body += line
    return body


def _table(cells: list[Cell]) -> str:
    start = ["", "strategy", "scenario", "class"]
    header = [*start, *(column.heading for column in COLUMNS), "advice"]
    rows = [_row(cell) for cell in cells]
    return table(header, rows, right=range(len(start), len(header) - 1))


def _row(cell: Cell) -> list[str]:
    start = [ICONS[cell.status], escape(cell.strategy), escape(cell.scenario)]
    if not cell.counts:
        return [*start, "–", *["–"] * len(COLUMNS), "–"]
    observed = cell.observed if cell.expected in ("", cell.observed) else f"{cell.observed}, not {cell.expected}"
    return [*start, observed, *(_figure(cell, column) for column in COLUMNS), escape(cell.advice)]


def _figure(cell: Cell, column: Column) -> str:
    """The figure; with ``(1,905–2,050)`` for a cell that ran several times."""
    words, key = column.words(cell), column.range_key(cell)
    if key:
        spread = cell.figures[key]
        words += f" ({spread.min:,.{column.digits}f}–{spread.max:,.{column.digits}f})"
    return words + ("\\*" if column.starred and cell.saturated else "")


def _courses(summary: Summary) -> list[str]:
    """The two figures of scenarios, a table each."""
    found = scenario_tables(summary.cells)
    rows = {one.title: [[escape(name), *map(_entry, entries)] for name, entries in one.rows] for one in found}
    texts = [f"**{one.title}**\n\n{table(['strategy', *map(escape, one.scenarios)], rows[one.title])}" for one in found]
    return [*texts, RULE] if texts else []


def _entry(entry: Entry | None) -> str:
    if entry is None:
        return "–"
    icon = "" if entry.cell.status in GOOD else f" {ICONS[entry.cell.status]}"
    return escape(entry.words + (f" ({entry.more})" if entry.more else "")) + icon


def _repeats(summary: Summary) -> str:
    several = max(cell.repeats for cell in summary.cells)
    return f"{several} repeats: medians, in brackets minimum and maximum." if several > 1 else ""


def _saturated(cells: list[Cell]) -> str:
    if not any(cell.saturated for cell in cells):
        return ""
    return "\\* One process used more than 90 % of a core: that core explains the calls a second."

"""The cells of a run on a terminal: a line a cell, and beneath each that did not pass, why."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.style import Style

from grpc_lb_lab.model.verdict import GOOD
from grpc_lb_lab.views.render.scenario_table import figures_words
from grpc_lb_lab.views.render.terminal import STATUS_STYLES

if TYPE_CHECKING:
    from grpc_lb_lab.views.summary import Summary

CAUSE_LINES = 4
"""The first lines of a cause; the pages have all of it."""


def render_summary_terminal(summary: Summary, *, width: int = 80, colour: bool = False) -> str:
    """The headline and the cells as text of at most ``width`` columns, but for names and verdicts that are longer."""
    lines = [_styled(summary.headline, summary.status, colour)]
    for words in summary.load_words:
        lines += textwrap.wrap(
            words, max(40, width), initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    wide = max([12, *(len(cell.scenario) for cell in summary.cells)])
    for cell in summary.cells:
        line = f"{cell.strategy:<20} {cell.scenario:<{wide}} "
        lines.append(f"  {line}{_styled(cell.verdict_line, cell.status, colour)}")
        if cell.course:
            lines.append(f"  {'':<{len(line)}}{figures_words(cell.course)}")
        if cell.status not in GOOD:
            plain = "".join(letter if letter.isprintable() else " " for letter in cell.cause)
            lines += textwrap.wrap(
                plain, max(40, width), initial_indent="    ", subsequent_indent="    ", max_lines=CAUSE_LINES,
                placeholder=" …",
            )  # fmt: skip
    return "\n".join(lines) + "\n"


def _styled(text: str, status: str, colour: bool) -> str:
    return Style.parse(STATUS_STYLES[status]).render(text) if colour else text

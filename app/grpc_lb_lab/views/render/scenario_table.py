"""The two figures of every strategy and scenario as tables: when shares were back, and for how long calls failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.scenario.repeats import failed_words, spread_words
from grpc_lb_lab.judge.text import count
from grpc_lb_lab.views.cells import Cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.judge.scenario.repeats import ScenarioRanges

SHARES = "Seconds until every ready replica has its share"
ERRORS = "Error window: from the first to the last failed call"
RULE = "Over repeats: minimum / median / maximum; never: not within the run."


@dataclass(frozen=True)
class ScenarioTable:
    """Rows are strategies, columns scenarios; a place without a cell is None."""

    title: str
    scenarios: list[str]
    rows: list[tuple[str, list[Entry | None]]]


@dataclass(frozen=True)
class Entry:
    """What stands in a place: ``words`` of the figure, ``more`` beside it, and the cell it comes from."""

    words: str
    more: str
    cell: Cell


def scenario_tables(cells: Sequence[Cell]) -> list[ScenarioTable]:
    """Both tables; none where no cell ran a scenario."""
    known = [cell for cell in cells if cell.course]
    if not known:
        return []
    scenarios = list(dict.fromkeys(cell.scenario for cell in sorted(known, key=lambda cell: cell.scenario)))
    strategies = list(dict.fromkeys(cell.strategy for cell in known))
    places = {(cell.strategy, cell.scenario): cell for cell in known}

    def table(title: str, errors: bool) -> ScenarioTable:
        rows = [(name, [_entry(places.get((name, scenario)), errors) for scenario in scenarios]) for name in strategies]
        return ScenarioTable(title, scenarios, rows)

    return [table(SHARES, errors=False), table(ERRORS, errors=True)]


def _entry(cell: Cell | None, errors: bool) -> Entry | None:
    if cell is None or cell.course is None:
        return None
    figures = cell.course.error_window_s if errors else cell.course.share_returned_s
    more = failed_words(cell.course) if errors and cell.course.failed else ""
    return Entry(spread_words(figures), more, cell)


def figures_words(figures: ScenarioRanges) -> str:
    """Both figures in a line: ``shares back 2.1 / 2.4 / 3 s, errors for 0 s (3 repeats)``."""
    several = f" ({count(figures.repeats, 'repeat')})" if figures.repeats > 1 else ""
    share = spread_words(figures.share_returned_s)
    return f"shares back {share}, errors for {spread_words(figures.error_window_s)}{several}"

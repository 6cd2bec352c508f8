"""The summary of a run: one cell a strategy and scenario, read back from the ``report.json`` files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import count, natural
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.verdict import SCHEMA_VERSION, Status, worst
from grpc_lb_lab.views.bundle import CellFiles
from grpc_lb_lab.views.cells import Cell, make_cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Cell", "SharedLoad", "Summary", "summarize", "summarize_cells"]


@dataclass(frozen=True)
class SharedLoad:
    """A load, and who had it: ``of`` are scenarios, and ``STRATEGY/SCENARIO`` where a cell differs from most of its."""

    load: str
    of: list[str]


@dataclass(frozen=True)
class Summary:
    """All cells of a run; ``status`` is that of the worst cell.

    ``loads``: every load, the commonest first; ``load`` is that one. ``started_at``: the first measured call of all.
    """

    schema_version: int
    run: str
    cluster: str
    status: Status
    headline: str
    cells: list[Cell]
    load: str = ""
    started_at: str = ""
    loads: list[SharedLoad] = field(default_factory=list)

    @property
    def load_words(self) -> list[str]:
        """A line for each load: what it was, and of which cells unless all had it."""
        if len(self.loads) == 1:
            return [f"Load: {self.load}"]
        return [f"Load of {', '.join(shared.of)}: {shared.load}" for shared in self.loads]


def summarize(run: str, reports: Mapping[str, dict[str, Any] | None]) -> Summary:
    """``reports`` maps ``STRATEGY/SCENARIO`` to the parsed report, or to None where the cell left none."""
    return summarize_cells(run, [CellFiles(place, {0: data}) for place, data in reports.items()])


def summarize_cells(run: str, cells: list[CellFiles]) -> Summary:
    """Raises ``UsageError`` for no cell at all and ``LabError`` for a report that lacks a key."""
    if not cells:
        raise UsageError(f"no cell in run {run!r}: it has no STRATEGY/SCENARIO/report.json")
    in_order = sorted(cells, key=lambda files: natural(files.place.replace("/", " ")))
    baselines = {
        files.place.split("/")[1]: make_cell(files) for files in in_order if files.place.startswith("baseline/")
    }
    made = [make_cell(files, baselines.get(files.place.split("/")[1])) for files in in_order]
    statuses = [cell.status for cell in made]
    named: tuple[tuple[Status, str], ...] = (
        ("pass", "passed"),
        ("fail", "failed"),
        ("invalid", "invalid"),
        ("observed", "observed"),
    )
    words = [f"{statuses.count(one)} {word}" for one, word in named if one in statuses]
    loads = _loads(made)
    starts = [report["run"]["started_at"] for files in cells for report in files.reports.values() if report is not None]
    return Summary(
        schema_version=SCHEMA_VERSION,
        run=run,
        cluster=", ".join(sorted({cell.cluster for cell in made if cell.cluster})) or "unknown",
        status=worst(statuses),
        headline=f"{count(len(made), 'cell')}: {', '.join(words)}",
        cells=made,
        load=loads[0].load if loads else "",
        started_at=min(starts, default=""),
        loads=loads,
    )


def _loads(cells: list[Cell]) -> list[SharedLoad]:
    known = [cell for cell in cells if cell.load]
    usual = {cell.scenario: _commonest(one.load for one in known if one.scenario == cell.scenario) for cell in known}
    shared: dict[str, list[str]] = {}
    for cell in known:
        shared.setdefault(cell.load, []).append(cell.scenario if cell.load == usual[cell.scenario] else cell.place)
    by_cells = sorted(shared.items(), key=lambda item: -len(item[1]))
    return [SharedLoad(load, list(dict.fromkeys(names))) for load, names in by_cells]


def _commonest(loads: Iterable[str]) -> str:
    return Counter(loads).most_common(1)[0][0]

"""The summary of a run: one cell a strategy and scenario, read back from the ``report.json`` files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import count, natural
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.verdict import SCHEMA_VERSION, Status, worst
from grpc_lb_lab.views.bundle import CellFiles
from grpc_lb_lab.views.cells import Cell, make_cell

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cell", "Summary", "summarize", "summarize_cells"]


@dataclass(frozen=True)
class Summary:
    """All cells of a run; ``status`` is that of the worst cell.

    ``load``: the load that most cells had. ``started_at``: the first measured call of all.
    """

    schema_version: int
    run: str
    cluster: str
    status: Status
    headline: str
    cells: list[Cell]
    load: str = ""
    started_at: str = ""


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
    loads = Counter(cell.load for cell in made if cell.load)
    starts = [report["run"]["started_at"] for files in cells for report in files.reports.values() if report is not None]
    return Summary(
        schema_version=SCHEMA_VERSION,
        run=run,
        cluster=", ".join(sorted({cell.cluster for cell in made if cell.cluster})) or "unknown",
        status=worst(statuses),
        headline=f"{count(len(made), 'cell')}: {', '.join(words)}",
        cells=made,
        load=loads.most_common(1)[0][0] if loads else "",
        started_at=min(starts, default=""),
    )

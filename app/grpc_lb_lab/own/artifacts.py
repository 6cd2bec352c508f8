"""What a run leaves in ``lab_artifacts_dir``, and how to tell it from what somebody else keeps there."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.own import marks

if TYPE_CHECKING:
    from pathlib import Path

LATEST = "latest"
RUN_FILES = ("summary.json", "summary.md", "index.html", "junit.xml", "bundle.json", "compare.json")
CELL_FILES = ("plan.json", "cell.json", "report.json", "report.md", "report.csv", "report.html")
CELL_FOLDERS = ("results", "logs")

_RUN = re.compile(r"\d{8}T\d{6}Z-[^/]+")


def foreign_latest(root: Path) -> str:
    """Say in a few words why the lab must not replace ``latest`` in this folder; nothing when it may."""
    latest = root / LATEST
    if not os.path.lexists(latest) or is_latest(latest):
        return ""
    return "is a link to something else than a run" if latest.is_symlink() else "is no link"


def is_latest(path: Path) -> bool:
    """Say whether this is the lab's link to a run beside it."""
    return path.is_symlink() and bool(_RUN.fullmatch(str(path.readlink())))


def is_run(run: Path) -> bool:
    """Say whether a run made this folder: it has the mark or, from a version that set none, its name and a cell."""
    return marks.is_marked(run) or bool(
        marks.is_folder(run) and _RUN.fullmatch(run.name) and (marks.is_file(run / "compare.json") or _cells(run))
    )


def empty_cell(cell: Path) -> None:
    """Remove what a broken try left in the folder of a cell; what somebody put beside it stays. Raises ``LabError``."""
    marks.remove(cell, CELL_FILES, CELL_FOLDERS)


def check_no_links(run: Path, cell: Path) -> None:
    """Raise ``LabError`` when a part of the way from a run to its cell is not a folder of its own."""
    for folder in (run / cell, *(run / cell).parents):
        if folder == run:
            return
        if os.path.lexists(folder) and not marks.is_folder(folder):
            raise LabError(f"{folder} is not a folder that the lab made: the cell is not run again")


def remove_runs(root: Path) -> list[Path]:
    """Remove every run from a folder of artifacts, and the folder when nothing else is in it; return what stays.

    What somebody put into the folder of a run stays too, with the folders above it.
    """
    if not marks.is_folder(root):
        return [root] if os.path.lexists(root) else []
    if is_latest(root / LATEST):
        (root / LATEST).unlink()
    for run in marks.folders(root):
        if is_run(run):
            _remove_run(run)
    return [] if marks.remove_empty(root) else sorted(root.iterdir())


def _remove_run(run: Path) -> None:
    for cell in _cells(run):
        empty_cell(cell)
        for folder in (cell, *cell.parents):
            if folder == run or not marks.remove_empty(folder):
                break
    marks.remove(run, RUN_FILES)
    if [path.name for path in run.iterdir()] in ([], [marks.MARK]):
        marks.remove(run, [marks.MARK])
        marks.remove_empty(run)


def _cells(run: Path) -> list[Path]:
    """Return the folders of cells, those of repeats first: ``<strategy>/<scenario>[/repeat-<n>]``."""
    scenarios = [scenario for strategy in marks.folders(run) for scenario in marks.folders(strategy)]
    repeats = [repeat for scenario in scenarios for repeat in marks.folders(scenario)]
    return [cell for cell in (*repeats, *scenarios) if _is_cell(cell)]


def _is_cell(cell: Path) -> bool:
    return all(marks.is_folder(cell / name) for name in CELL_FOLDERS) or any(
        marks.is_file(cell / name) for name in CELL_FILES
    )

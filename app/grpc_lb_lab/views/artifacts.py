"""Writes the artifacts of a run: the views of each cell, and what sums them up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.document import Report
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.files import read_as, read_json, write_text
from grpc_lb_lab.views.bundle import repeat_folders
from grpc_lb_lab.views.render.csv import render_csv
from grpc_lb_lab.views.render.json import dump, render_json
from grpc_lb_lab.views.render.junit import render_junit
from grpc_lb_lab.views.render.markdown import render_markdown
from grpc_lb_lab.views.render.summary_markdown import render_summary_markdown
from grpc_lb_lab.views.repeats import describe_repeats
from grpc_lb_lab.views.shown import shown

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.views.bundle import CellFiles
    from grpc_lb_lab.views.summary import Summary

__all__ = [
    "complete_cells",
    "read_as",
    "read_json",
    "write_index",
    "write_page",
    "write_report",
    "write_summary",
    "write_text",
]


def write_report(report: Report, directory: Path, *, page: bool = True) -> list[Path]:
    """Write report.json, .md, .csv and, with ``page``, .html into ``directory``, which is created.

    Returns the files. Raises ``ArtifactError`` when the disk is full or the place cannot be written.
    """
    view = shown(report)
    texts = {"report.md": render_markdown(view), "report.csv": render_csv(view), "report.json": render_json(report)}
    files = [write_text(directory / name, text) for name, text in texts.items()]
    if page:  # last: what has to be drawn must not stand in the way of the figures
        return [*files, write_page(report, directory)]
    (directory / "report.html").unlink(missing_ok=True)  # an older run's page would pass for this one's
    return files


def write_page(report: Report, directory: Path) -> Path:
    """Write report.html alone. Raises ``ArtifactError``."""
    return write_text(directory / "report.html", _page(report, directory))


def complete_cells(run: Path, cells: list[CellFiles]) -> list[Path]:
    """Write what the cells of ``run`` lack: pages left for later, and the report of a cell that ran several times.

    Returns the files that were written. Raises ``ArtifactError``.
    """
    written: list[Path] = []
    for cell in cells:
        folder = run / cell.place
        repeats = repeat_folders(folder) if cell.ran else {}
        for directory in repeats.values() if repeats else [folder]:
            if (directory / "report.json").exists() and not (directory / "report.html").exists():
                report = read_as(Report, directory / "report.json")
                written.append(write_page(report, directory))
        found = describe_repeats(cell.reports) if repeats else None
        if found and found.chosen in repeats:
            report = read_as(Report, repeats[found.chosen] / "report.json")
            written += write_report(replace(report, repeats=found), folder)
    return written


def write_summary(summary: Summary, directory: Path) -> list[Path]:
    """Write summary.json, summary.md and junit.xml into ``directory``. Raises ``ArtifactError``."""
    view = shown(summary)
    texts = {
        "summary.json": dump(to_dict(summary)),
        "summary.md": render_summary_markdown(view),
        "junit.xml": render_junit(view),
    }
    return [write_text(directory / name, text) for name, text in texts.items()]


def write_index(summary: Summary, directory: Path) -> Path:
    """Write index.html into ``directory``. Raises ``ArtifactError``."""
    from grpc_lb_lab.views.render.html import render_index

    return write_text(directory / "index.html", render_index(shown(summary)))


def _page(report: Report, directory: Path) -> str:
    """The page with its links: up to the index, down to the repeats and the logs."""
    from grpc_lb_lab.views.render.html import Links, render_html

    repeat = directory.name.startswith("repeat-")
    logs = directory / "logs"
    names = sorted(path.name for path in logs.iterdir() if path.is_file()) if logs.is_dir() else []
    return render_html(shown(report), Links(index="../../../index.html" if repeat else "../../index.html", logs=names))

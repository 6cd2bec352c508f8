"""A bundle on disk: the folder of a run with its cells, their repeats, and the list of what was asked for.

<run>/bundle.json                              optional: {"cells": ["service/steady", ...]}, what shall run
<run>/<strategy>/<scenario>/report.json        a cell that ran once
<run>/<strategy>/<scenario>/repeat-N/…         a cell that ran several times, N from 1
<run>/<strategy>/<scenario>/cell.json          optional: {"wall_s": 6.2, "error": "why there is no report"}
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.text import natural
from grpc_lb_lab.model.errors import ArtifactError
from grpc_lb_lab.model.files import read_json
from grpc_lb_lab.model.verdict import SCHEMA_VERSION

if TYPE_CHECKING:
    from pathlib import Path

NOTE = "cell.json"
CELL_MARKS = ("report.json", "plan.json", "results", "logs", NOTE, "repeat-1")
"""A folder STRATEGY/SCENARIO with any of these is a cell of a run, finished or broken."""


@dataclass(frozen=True)
class CellFiles:
    """What a cell left. ``reports``: by repeat (0: the cell ran once), None for a repeat without a report.

    ``ran`` is false for a cell that was asked for and never began; ``error`` says why there is no report.
    """

    place: str
    reports: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    wall_s: float | None = None
    error: str = ""
    ran: bool = True


@dataclass(frozen=True)
class Note:
    """What cell.json says. ``wall_s``: seconds that the cell took in all; ``error``: why there is no report."""

    wall_s: float | None = None
    error: str = ""


def read_note(cell: Path) -> Note:
    """The note of a cell; what is missing or cannot be read is left out: the reports matter, not the note."""
    try:
        said = read_json(cell / NOTE)
    except ArtifactError:
        return Note()
    wall_s = said.get("wall_s")
    if isinstance(wall_s, bool) or not isinstance(wall_s, int | float) or not 0 <= wall_s < math.inf:
        wall_s = None
    return Note(wall_s, str(said.get("error") or ""))


def read_bundle(run: Path) -> list[CellFiles]:
    """All cells of the folder ``run``, those of bundle.json first and in its order.

    Raises ``ArtifactError`` for a folder that is not there and for a file that cannot be read.
    """
    if not run.is_dir():
        raise ArtifactError(f"cannot read {run}: no such folder")
    found = {
        f"{folder.parent.name}/{folder.name}": folder
        for folder in sorted(run.glob("*/*"))
        if folder.is_dir() and any((folder / mark).exists() for mark in CELL_MARKS)
    }
    places = list(dict.fromkeys([*_wanted(run / "bundle.json"), *found]))
    return [_cell(place, found[place]) if place in found else CellFiles(place, ran=False) for place in places]


def repeat_folders(cell: Path) -> dict[int, Path]:
    """The folders ``repeat-N`` of a cell by number."""
    named = {folder.name.removeprefix("repeat-"): folder for folder in cell.glob("repeat-*") if folder.is_dir()}
    return {int(name): named[name] for name in sorted(named, key=natural) if name.isdigit()}


def _wanted(path: Path) -> list[str]:
    if not path.exists():
        return []
    places = read_json(path).get("cells", [])
    if not isinstance(places, list) or not all(isinstance(one, str) and one.count("/") == 1 for one in places):
        raise ArtifactError(f"{path}: cells must be a list of STRATEGY/SCENARIO")
    return places


def _cell(place: str, folder: Path) -> CellFiles:
    repeats = repeat_folders(folder) or {0: folder}
    note = read_note(folder)
    return CellFiles(
        place=place,
        reports={number: _report(path / "report.json") for number, path in repeats.items()},
        wall_s=note.wall_s,
        error=note.error,
    )


def _report(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    data = read_json(path)
    if data.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {data.get('schema_version')}, this program reads {SCHEMA_VERSION}"
        )
    return data

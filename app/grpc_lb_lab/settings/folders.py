"""Where a run keeps its files: <artifacts>/<UTC time>-<name>/<strategy>/<scenario>/{results,logs,plan.json}."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.files import replace_text
from grpc_lb_lab.own import artifacts, marks, state
from grpc_lb_lab.settings.problems import Problem

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


def make_run(root: Path, name: str, cell: Path, now: datetime) -> dict[str, str]:
    """Make the folders of a run that nobody else has, and return their paths. Raises ``OSError``."""
    return make_cell(make_bundle(root, name, now), cell)


def make_bundle(root: Path, name: str, now: datetime) -> Path:
    """Make ``<root>/<UTC time>-<name>`` and let ``latest`` point at it. Raises ``OSError``."""
    root.mkdir(parents=True, exist_ok=True)
    run = _unique(root, f"{now:%Y%m%dT%H%M%SZ}-{name}")
    marks.claim(run)
    point_latest(root, run)
    return run


def make_cell(run: Path, cell: Path) -> dict[str, str]:
    """Make the folders of one cell and return all paths. What a broken try left there goes.

    Raises ``OSError``, and ``LabError`` where something else than a cell is in the way.
    """
    artifacts.check_no_links(run, cell)
    artifacts.empty_cell(run / cell)
    for folder in ("results", "logs"):
        (run / cell / folder).mkdir(parents=True)
    return {
        "id": run.name,
        "run": str(run),
        "cell": str(run / cell),
        "results": str(run / cell / "results"),
        "logs": str(run / cell / "logs"),
        "plan": str(run / cell / "plan.json"),
        "inventory": str(run / cell / "results" / "inventory.json"),
    }


def foreign(state_dir: Path, artifacts_dir: Path) -> list[str]:
    """Return a message for each of the two folders that holds what is not the lab's and would be in its way."""
    problems: list[str] = []
    try:
        if reason := state.foreign_root(state_dir):
            problems.append(Problem(f"lab_state_dir={state_dir}: it {reason}", marks.ALLOWED))
    except OSError as error:
        problems.append(Problem(f"lab_state_dir={state_dir}: {error.strerror}", marks.ALLOWED))
    if reason := artifacts.foreign_latest(artifacts_dir):
        allowed = "a folder without `latest`, or with the lab's link to its newest run"
        problems.append(Problem(f"lab_artifacts_dir={artifacts_dir}: `latest` in it {reason}", allowed))
    return problems


def _unique(root: Path, name: str) -> Path:
    """Make a folder; a second run in the same second gets ``-2``."""
    for number in range(1, 1_000):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(17, "a thousand runs within one second", str(root / name))


def unwritable(root: str, error: OSError) -> str:
    """Return the message for a folder of artifacts in which nothing can be made."""
    where = "" if error.filename in (None, root) else f"{error.filename}: "
    wrong, allowed = f"lab_artifacts_dir={root}: {where}{error.strerror}", "a folder that can be made and written to"
    return str(Problem(wrong, allowed))


def point_latest(root: Path, run: Path) -> None:
    """Let ``latest`` point at the run. The link is replaced in one step: readers see the old or the new one.

    Raises ``FileExistsError`` for a ``latest`` that the lab did not make, and ``OSError``.
    """
    if reason := artifacts.foreign_latest(root):
        raise FileExistsError(errno.EEXIST, reason, str(root / artifacts.LATEST))
    fresh = root / f".latest-{run.name}"
    fresh.symlink_to(run.name)
    try:
        fresh.replace(root / "latest")
    except OSError:
        fresh.unlink()
        raise


def write_json(path: Path, data: Any) -> None:
    """Write the file whole or not at all. Raises ``OSError``."""
    replace_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")

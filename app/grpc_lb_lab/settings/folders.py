"""Where a run keeps its files: <artifacts>/<UTC time>-<name>/<strategy>/<scenario>/{results,logs,plan.json}."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

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
    point_latest(root, run)
    return run


def make_cell(run: Path, cell: Path) -> dict[str, str]:
    """Make the folders of one cell and return all paths. What a broken try left there goes. Raises ``OSError``."""
    if (run / cell).exists():
        shutil.rmtree(run / cell)
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
    return f"lab_artifacts_dir={root}: {where}{error.strerror}. Allowed: a folder that can be made and written to"


def point_latest(root: Path, run: Path) -> None:
    """Let ``latest`` point at the run. The link is replaced in one step: readers see the old or the new one."""
    fresh = root / f".latest-{run.name}"
    fresh.symlink_to(run.name)
    try:
        fresh.replace(root / "latest")
    except OSError:
        fresh.unlink()
        raise


def write_json(path: Path, data: Any) -> None:
    """Write the file whole or not at all. Raises ``OSError``."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def copy_logs(state: Path, logs: Path) -> None:
    """Copy every log of a state folder that ``logs`` does not hold yet. Raises ``OSError``."""
    for log in [*state.glob("*.log"), *state.glob("logs/*.log")]:
        if not (logs / log.name).exists():
            shutil.copyfile(log, logs / log.name)

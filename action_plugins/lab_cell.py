"""Action ``lab_cell``: begins and ends one cell of a comparison.

With ``run`` and ``cell`` (an entry of ``lab_cells``): says which one begins and how long the rest will take, makes
its folders and returns their paths, as ``lab_artifacts`` does for a single run.
With ``begun`` (what the beginning returned): notes how long it took and, with ``error``, why it broke.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import fmean
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.settings.folders import make_cell, write_json
from grpc_lb_lab.views.bundle import NOTE, read_note


class ActionModule(ActionBase):
    """Runs in the controller: no module is copied or started."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the paths of the cell; a disk that is full ends in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        _, args = self.validate_argument_spec(
            {
                "run": {"type": "path"},
                "cell": {"type": "dict"},
                "begun": {"type": "dict"},
                "error": {"type": "str", "default": ""},
            },
            required_together=[("run", "cell")],
            required_one_of=[("run", "begun")],
        )
        try:
            if args["begun"]:
                began_at = args["begun"].get("began_at")
                note = {"wall_s": round(time.time() - began_at, 1)} if began_at else {}
                return result | note_end(Path(args["begun"]["cell"]), note, args["error"])
            run, cell = Path(args["run"]), args["cell"]
            self._display.display(announce(cell, durations(run)), stderr=constants.DEFAULT_STDOUT_CALLBACK != "lab")
            paths = make_cell(run, Path(cell["folder"]))
        except LabError as error:
            return result | {"failed": True, "msg": str(error)}
        except OSError as error:
            return result | {"failed": True, "msg": f"artifacts: {error.filename}: {error.strerror}"}
        return result | paths | {"began_at": time.time()}


def note_end(cell: Path, note: dict[str, Any], error: str) -> dict[str, Any]:
    """Write the cell's note. The error only counts where there is no report to tell it better. Raises ``OSError``."""
    if error and not (cell / "report.json").exists():
        note["error"] = error
    write_json(cell / NOTE, note)
    return note


def durations(run: Path) -> list[float]:
    """Return how long the cells so far took, in seconds, as far as their notes say it."""
    return [wall_s for note in sorted(run.glob(f"**/{NOTE}")) if (wall_s := read_note(note.parent).wall_s) is not None]


def announce(cell: dict[str, Any], so_far: list[float]) -> str:
    """Return the line that begins a cell, with the time left once there is something to tell it from."""
    left = cell["of"] - cell["number"] + 1
    time_left = f", about {spell(fmean(so_far) * left)} left" if so_far else ""
    return f"  [{cell['number']}/{cell['of']}] {cell['folder']}{time_left}"


def spell(seconds: float) -> str:
    """Return a duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

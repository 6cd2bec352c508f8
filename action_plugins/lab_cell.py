"""Action ``lab_cell``: begins and ends one cell of a comparison."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import fmean
from typing import Any

from ansible.plugins.action import ActionBase
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.settings.controller import elsewhere, tell
from grpc_lb_lab.settings.folders import make_cell, write_json
from grpc_lb_lab.views.bundle import NOTE, read_note

DOCUMENTATION = """
module: lab_cell
short_description: Begins and ends one cell of a comparison
description:
  - With O(run) and O(cell) it says which one begins and how long the rest will take, and makes its folders.
  - With O(begun) it notes how long the cell took and, with O(error), why it broke.
notes:
  - Acts on the machine that runs the playbook. A task that names another host, or delegates to one, is refused.
options:
  run:
    type: path
    description: The folder of the comparison.
  cell:
    type: dict
    description: An entry of RV(lab_cells#module:cells).
  begun:
    type: dict
    description: What the beginning returned, or M(lab_artifacts) for a single run.
  error:
    type: str
    default: ""
    description: Why the cell broke; it only counts where there is no report to tell it better.
author:
  - the maintainers of grpc-lb-lab
"""

EXAMPLES = """
- name: Make the folder of a comparison's cell
  lab_cell:
    run: "{{ lab_compare.run }}"
    cell: "{{ lab_compare.cells[0] }}"
  register: report_files

- name: Note its time
  lab_cell:
    begun: "{{ report_files }}"
"""

RETURN = """
id:
  description: The name of the comparison's folder. RV(run), RV(cell), RV(results), RV(logs), RV(plan) and
    RV(inventory) come with it, as M(lab_artifacts) returns them.
  returned: with O(cell)
  type: str
run:
  description: The comparison's folder.
  returned: with O(cell)
  type: str
cell:
  description: The folder for the report of this cell.
  returned: with O(cell)
  type: str
results:
  description: The folder for what the clients measured.
  returned: with O(cell)
  type: str
logs:
  description: The folder for logs.
  returned: with O(cell)
  type: str
plan:
  description: The file for the plan of the load.
  returned: with O(cell)
  type: str
inventory:
  description: The file for what the place says of replicas and proxies.
  returned: with O(cell)
  type: str
began_at:
  description: When it began, in seconds since 1970.
  returned: with O(cell)
  type: float
wall_s:
  description: How long the cell took, in seconds.
  returned: with O(begun), when that says when it began
  type: float
"""

OPTIONS = {
    "run": {"type": "path"},
    "cell": {"type": "dict"},
    "begun": {"type": "dict"},
    "error": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """Runs in the controller: no module is copied or started."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the paths of the cell; a disk that is full ends in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        if problem := elsewhere(self._task, self._connection, task_vars):
            return result | {"failed": True, "msg": problem}
        _, args = self.validate_argument_spec(
            OPTIONS,
            required_together=[("run", "cell")],
            required_one_of=[("run", "begun")],
        )
        try:
            if args["begun"]:
                began_at = args["begun"].get("began_at")
                note = {"wall_s": round(time.time() - began_at, 1)} if began_at else {}
                return result | note_end(Path(args["begun"]["cell"]), note, args["error"])
            run, cell = Path(args["run"]), args["cell"]
            tell(self._display, announce(cell, durations(run)))
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

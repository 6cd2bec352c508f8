"""Action ``lab_artifacts``: makes the folder of a run and writes JSON into it.

With ``name``, ``strategy`` and ``scenario``: makes ``<dir>/<UTC time>-<name>/<strategy>/<scenario>``, points
``<dir>/latest`` at the run and returns ``id``, ``run``, ``cell``, ``results``, ``logs``, ``plan``, ``inventory``.
With ``dest`` and ``data``: writes the data as JSON, whole or not at all.
With ``dest`` and ``logs_of``: copies the logs of a state folder into ``dest``, except those that are there already.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from grpc_lb_lab.places.local.state import StateFolder
from grpc_lb_lab.settings.folders import make_run, unwritable, write_json
from grpc_lb_lab.views import drawer

REPO = Path(__file__).resolve().parent.parent


class ActionModule(ActionBase):
    """Runs in the controller: no module is copied or started."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the paths; a disk that is full or not writable ends in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "dir": {"type": "str"},
                "name": {"type": "str"},
                "strategy": {"type": "str"},
                "scenario": {"type": "str"},
                "dest": {"type": "str"},
                "data": {"type": "raw"},
                "logs_of": {"type": "path"},
            },
            required_together=[("dir", "name", "strategy", "scenario")],
            required_one_of=[("dir", "data", "logs_of")],
            required_by={"data": "dest", "logs_of": "dest"},
        )
        try:
            # A run's own files are no state of the lab: making them is never a change.
            if args["data"] is not None:
                write_json(Path(args["dest"]), args["data"])
                return result | {"changed": False}
            if args["logs_of"]:
                StateFolder(args["logs_of"]).copy_logs(Path(args["dest"]))
                return result | {"changed": False}
            paths = make_run(
                Path(args["dir"]), args["name"], Path(args["strategy"]) / args["scenario"], datetime.now(UTC)
            )
        except OSError as error:
            if args["dir"]:
                return result | {"failed": True, "msg": unwritable(args["dir"], error)}
            return result | {"failed": True, "msg": f"artifacts: {error.filename or args['dest']}: {error.strerror}"}
        drawer.start(os.getppid())
        run = Path(paths["run"])
        self._display.display(
            f"    {run.relative_to(REPO) if run.is_relative_to(REPO) else run}",
            stderr=constants.DEFAULT_STDOUT_CALLBACK != "lab",
        )
        return result | {"changed": False} | paths

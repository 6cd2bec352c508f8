"""Action ``lab_artifacts``: makes the folder of a run and writes into it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from grpc_lb_lab.places.local.state import StateFolder
from grpc_lb_lab.settings.controller import elsewhere, short, tell
from grpc_lb_lab.settings.folders import make_run, unwritable, write_json
from grpc_lb_lab.views import drawer

DOCUMENTATION = """
module: lab_artifacts
short_description: Makes the folder of a run and writes into it
description:
  - With O(dir), O(name), O(strategy) and O(scenario) it makes C(DIR/TIME-NAME/STRATEGY/SCENARIO), TIME being UTC, and
    points C(DIR/latest) at the run.
  - With O(dest) and O(data) it writes JSON, whole or not at all.
  - With O(dest) and O(logs_of) it copies logs.
  - It never tells of a change, as a run's own files are no state of the lab.
notes:
  - Acts on the machine that runs the playbook. A task that names another host, or delegates to one, is refused.
options:
  dir:
    type: str
    description: The folder for all runs.
  name:
    type: str
    description: What the name of the run ends with.
  strategy:
    type: str
    description: The strategy that is measured.
  scenario:
    type: str
    description: The scenario in which it is.
  dest:
    type: str
    description: The file that O(data) is written into, or the folder that O(logs_of) is copied into.
  data:
    type: raw
    description: What is written as JSON.
  logs_of:
    type: path
    description: A state folder whose logs are copied, except those that are in O(dest) already.
author:
  - the maintainers of grpc-lb-lab
"""

EXAMPLES = """
- name: Make the folder of this run
  lab_artifacts:
    dir: "{{ report_of.artifacts_dir }}"
    name: envoy
    strategy: envoy
    scenario: steady
  register: report_files

- name: Write the plan of the load
  lab_artifacts:
    dest: "{{ report_files.plan }}"
    data: {run: "{{ report_files.id }}", scenario: steady}
"""

RETURN = """
id:
  description: The name of the run's folder.
  returned: with O(dir)
  type: str
  sample: 20261122T013000Z-envoy
run:
  description: The run's folder.
  returned: with O(dir)
  type: str
cell:
  description: The folder for the report of this strategy and scenario, below RV(run).
  returned: with O(dir)
  type: str
results:
  description: The folder for what the clients measured.
  returned: with O(dir)
  type: str
logs:
  description: The folder for logs.
  returned: with O(dir)
  type: str
plan:
  description: The file for the plan of the load.
  returned: with O(dir)
  type: str
inventory:
  description: The file for what the place says of replicas and proxies.
  returned: with O(dir)
  type: str
"""

OPTIONS = {
    "dir": {"type": "str"},
    "name": {"type": "str"},
    "strategy": {"type": "str"},
    "scenario": {"type": "str"},
    "dest": {"type": "str"},
    "data": {"type": "raw"},
    "logs_of": {"type": "path"},
}


class ActionModule(ActionBase):
    """Runs in the controller: no module is copied or started."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the paths; a disk that is full or not writable ends in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if problem := elsewhere(self._task, self._connection, task_vars):
            return result | {"failed": True, "msg": problem}
        _, args = self.validate_argument_spec(
            OPTIONS,
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
        tell(self._display, f"    {short(Path(paths['run']))}")
        return result | {"changed": False} | paths

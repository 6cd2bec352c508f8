"""Action ``lab_settings``: checks all variables before anything starts and returns the settings of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from grpc_lb_lab import settings
from grpc_lb_lab.settings.controller import elsewhere, extra_variables, tell

DOCUMENTATION = """
module: lab_settings
short_description: Checks all variables before anything starts and returns the settings of the run
description:
  - Takes one option for each public variable of the role lab, which C(ansible-doc -t role lab) describes, and the
    spellings C(strategy) and C(scenario) from the command line.
  - Refuses wrong ones with one message that tells all that is wrong. Nothing is started or changed.
notes:
  - Acts on the machine that runs the playbook. A task that names another host, or delegates to one, is refused.
options: {}
author:
  - the maintainers of grpc-lb-lab
"""

EXAMPLES = """
- name: Check the variables
  lab_settings:
    lab_strategy: envoy
    lab_cluster: local
  register: lab_run
"""

RETURN = """
cluster:
  description: Where it runs, C(auto) being settled. All other fields of C(grpc_lb_lab.settings.Settings) come with it.
  returned: success
  type: str
  sample: kind
"""

REPO = Path(__file__).resolve().parent.parent


class ActionModule(ActionBase):
    """Runs in the controller: no module is copied or started."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the settings, or one message with all that is wrong."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if problem := elsewhere(self._task, self._connection, task_vars):
            return result | {"failed": True, "msg": problem}
        given, whole = extra_variables(self._loader)
        raw = dict(self._task.args) | {name: given[name] for name in ("strategy", "scenario") if name in given} | whole
        try:
            found = settings.validate(raw, repo=REPO, given=given)
        except settings.UsageError as error:
            return result | {"failed": True, "msg": str(error)}
        place = f"{found.cluster}: {found.cluster_reason}" if found.cluster_reason else found.cluster
        for line in (f"cluster {place}", *found.notes):
            tell(self._display, f"    {line}")
        return result | {"changed": False} | found.facts()

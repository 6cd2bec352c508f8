"""Action ``lab_helm``: the module ``kubernetes.core.helm`` with its arguments, and one sentence when it fails."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from grpc_lb_lab.places.kubernetes.cluster import helm
from grpc_lb_lab.settings.controller import elsewhere

DOCUMENTATION = """
module: lab_helm
short_description: Installs a Helm release, and says in one sentence why when that fails
description:
  - The module M(kubernetes.core.helm) with all its options and everything that it returns.
notes:
  - Acts on the machine that runs the playbook. A task that names another host, or delegates to one, is refused.
options: {}
seealso:
  - module: kubernetes.core.helm
author:
  - the maintainers of grpc-lb-lab
"""

EXAMPLES = """
- name: Install the servers
  lab_helm:
    release_name: echo
    release_namespace: grpc-lb-lab
    chart_ref: charts/grpc-echo
"""

RETURN = """
helm_said:
  description: What Helm itself said.
  returned: failure
  type: str
"""

MODULE = "kubernetes.core.helm"


class ActionModule(ActionBase):
    """Runs the module as it is; what it says on success is returned unchanged."""

    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Install or upgrade the release."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if problem := elsewhere(self._task, self._connection, task_vars):
            return result | {"failed": True, "msg": problem}
        args = self._task.args
        result |= self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        said = str(result.get("stderr") or result.get("msg") or "")
        if not result.get("failed"):
            return result
        where = f"the release {args['release_name']} in the namespace {args['release_namespace']}"
        return result | {"msg": f"Helm could not install {where}: {helm.explain(said)}", "helm_said": said}

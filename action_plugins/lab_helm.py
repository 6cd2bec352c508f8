"""Action ``lab_helm``: the module ``kubernetes.core.helm`` with its arguments, and one sentence when it fails."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

try:
    from grpc_lb_lab.places.kubernetes.cluster import helm
except ImportError:  # another ansible-playbook than the one of .venv
    helm = None  # type: ignore[assignment]

MODULE = "kubernetes.core.helm"


class ActionModule(ActionBase):
    """Runs the module as it is; what it says on success is returned unchanged."""

    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Install or upgrade the release."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = self._task.args
        result |= self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)
        said = str(result.get("stderr") or result.get("msg") or "")
        if not result.get("failed") or helm is None:
            return result
        where = f"the release {args['release_name']} in the namespace {args['release_namespace']}"
        return result | {"msg": f"Helm could not install {where}: {helm.explain(said)}", "helm_said": said}

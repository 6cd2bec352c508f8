"""Where a run takes place: which clusters there are, what a strategy needs, and what ``auto`` chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.places.kubernetes import providers
from grpc_lb_lab.settings.problems import Problem
from grpc_lb_lab.settings.values import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grpc_lb_lab.model.strategy import Strategy

LOCAL = "local"
KUBERNETES = providers.names()
CLUSTERS = (LOCAL, *KUBERNETES)

# Known to need a mesh, even in a checkout that has no file for them.
KUBERNETES_ONLY = ("istio", "istio-least-request", "istio-port-forward", "istio-proxyless")

# 200 processes are what one small machine carries.
_MAX_REPLICAS_LOCAL = 200


def max_replicas(cluster: str) -> int:
    """Return how many replicas a cluster has room for."""
    return _MAX_REPLICAS_LOCAL if cluster == LOCAL else providers.get(cluster).max_replicas


def choose(
    wanted: str,
    strategy: Strategy,
    answers: Callable[[str], bool],
    platform: str,
) -> tuple[str, str]:
    """Return the cluster to use and, for ``auto``, the reason.

    ``answers`` tells whether a provider can be used now. Raises ``RefusedError`` with a whole message when the strategy
    cannot run there.
    """
    runs_on = strategy.clusters or CLUSTERS
    if wanted != "auto":
        _refuse_unless(wanted in runs_on, strategy.name, wanted, runs_on)
        _refuse_local_off_linux(wanted, platform)
        return wanted, ""
    able = [name for name in KUBERNETES if name in runs_on and providers.get(name).engine]
    for name in able:
        if answers(name):
            return name, f"a {providers.get(name).engine} answers"
    silent = " and ".join(dict.fromkeys(f"no {providers.get(name).engine} answers" for name in able))
    where = f"local, which auto chose as {silent}" if silent else "local, which auto chose"
    _refuse_unless(LOCAL in runs_on, strategy.name, where, runs_on)
    _refuse_local_off_linux(LOCAL, platform)
    return LOCAL, silent or "the only one that can run it here"


def _refuse_unless(possible: bool, name: str, where: str, runs_on: Sequence[str]) -> None:
    if not possible:
        message = cannot_run(name, where, runs_on)
        raise RefusedError(message=message)


def cannot_run(name: str, where: str, runs_on: Sequence[str]) -> str:
    """Return the message for a strategy that cannot run where it was asked to, with what to type instead."""
    commands = " or ".join(f"-e lab_cluster={cluster}" for cluster in runs_on)
    return Problem(f"{name}: cannot run on {where}", commands, variable="strategy")


def _refuse_local_off_linux(cluster: str, platform: str) -> None:
    if cluster == "local" and platform != "linux":
        wrong = f"lab_cluster=local: needs Linux (addresses of 127.0.0.0/8), this is {platform}"
        raise RefusedError(message=Problem(wrong, ", ".join(KUBERNETES)))

"""Where a run takes place: what this checkout supports, what a strategy needs, and what ``auto`` chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.settings.problems import Problem
from grpc_lb_lab.settings.values import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CLUSTERS = ("local", "kind", "existing")

# Known to need a mesh, even in a checkout that has no file for them.
KUBERNETES_ONLY = ("istio", "istio-least-request", "istio-port-forward", "istio-proxyless")

# local: 200 processes are what one small machine carries; kind: a node holds 110 pods, some of which are the cluster's.
MAX_REPLICAS = {"local": 200, "kind": 90, "existing": 1_000}


def supported(repo: Path) -> tuple[str, ...]:
    """Return the clusters that the role ``place`` of this checkout knows."""
    return tuple(name for name in CLUSTERS if (repo / "roles" / "place" / "vars" / "main" / f"{name}.yml").is_file())


def choose(
    wanted: str,
    strategy: dict[str, Any],
    offered: Sequence[str],
    docker_answers: Callable[[], bool],
    platform: str,
) -> tuple[str, str]:
    """Return the cluster to use and, for ``auto``, the reason. ``strategy`` is the file's part of that name.

    Raises ``RefusedError`` with a whole message when the strategy cannot run there.
    """
    runs_on = [name for name in strategy.get("clusters", CLUSTERS) if name in offered]
    if wanted != "auto":
        _refuse_unless(wanted in runs_on, strategy["name"], wanted, runs_on)
        _refuse_local_off_linux(wanted, platform)
        return wanted, ""
    if "kind" in runs_on and docker_answers():
        return "kind", "a Docker engine answers"
    _refuse_unless("local" in runs_on, strategy["name"], "local, which auto chose as no Docker engine answers", runs_on)
    _refuse_local_off_linux("local", platform)
    return "local", "no Docker engine answers" if "kind" in runs_on else "the only one that can run it here"


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
        raise RefusedError(message=Problem(wrong, "kind, existing"))

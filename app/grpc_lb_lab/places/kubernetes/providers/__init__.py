"""Where a Kubernetes cluster comes from. A new provider (k3d, minikube …) is one file here and one line in ``MODULES``.

What comes after a cluster is there, namespace, servers, load, is the same for all of them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = {
    "kind": "grpc_lb_lab.places.kubernetes.providers.kind",
    "existing": "grpc_lb_lab.places.kubernetes.providers.existing",
}
"""What ``lab_cluster`` calls it, to the module whose ``PROVIDER`` it is; ``auto`` asks them in this order."""


@dataclass(frozen=True)
class Wanted:
    """The cluster that a run asks for; each provider takes of it what it needs.

    ``state`` is the lab's folder. ``name``: that of a cluster which the lab makes itself, from ``node_image``, with
    kube-proxy in ``proxy_mode`` and room for ``pods``; ``logs``: for the provider's own when it cannot make one.
    ``kubeconfig`` and ``context`` lead to somebody else's, in which the lab has one ``namespace``; the first two may be
    empty, as for kubectl. ``here``: remove the lab from there only, not wherever it installed something; ``forget``:
    also what cannot be reached.
    """

    state: Path
    name: str = "grpc-lb-lab"
    node_image: str = ""
    proxy_mode: str = "iptables"
    pods: int = 6
    logs: Path = Path()
    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    here: bool = False
    forget: bool = False


@dataclass(frozen=True)
class Cluster:
    """A cluster that is there, and how kubectl finds it. ``changed``: something was made or started for it."""

    kubeconfig: str
    context: str
    changed: bool = False


class Provider(Protocol):
    """One kind of clusters. All methods raise ``LabError`` for what keeps them from their work."""

    @property
    def max_replicas(self) -> int:
        """How many replicas such a cluster has room for."""

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that it needs, as ``cluster.tools`` has them."""

    @property
    def engine(self) -> str:
        """What it is that ``answers``, as in "a Docker engine"; empty where ``lab_cluster=auto`` never takes it."""

    @property
    def own(self) -> bool:
        """Whether the lab makes the cluster (``up``) and brings its images there (``load_images``)."""

    def answers(self) -> bool:
        """Tell within seconds whether ``up`` can work here now. Changes nothing."""

    def up(self, wanted: Wanted) -> Cluster:
        """Have the cluster; one that is there is left as it is."""

    def down(self, wanted: Wanted) -> bool:
        """Remove what the lab made, the cluster or what is in it, and tell whether there was something."""

    def load_images(self, wanted: Wanted, references: Sequence[str]) -> list[str]:
        """Bring images of this machine's engine into the cluster; return those that it lacked."""


def names() -> tuple[str, ...]:
    """Return what ``lab_cluster`` may be beside ``auto`` and ``local``."""
    return tuple(MODULES)


def get(name: str) -> Provider:
    """Return a provider by its name, one of ``names``."""
    provider: Provider = importlib.import_module(MODULES[name]).PROVIDER
    return provider


def facts() -> dict[str, dict[str, Any]]:
    """Return what a playbook needs to know of each provider before it works with it."""
    found = {name: get(name) for name in MODULES}
    return {name: {"programs": list(one.programs), "own": one.own} for name, one in found.items()}


def answers(name: str) -> bool:
    """Tell whether the provider of this name can be used here now."""
    return get(name).answers()

"""A cluster that somebody already has: the lab works in one namespace, and the cluster pulls its images itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes.cluster import kubeconfig
from grpc_lb_lab.places.kubernetes.providers import Cluster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.places.kubernetes.providers import Wanted


class Existing:
    """``providers.Provider`` for what a kubeconfig leads to."""

    max_replicas = 1_000
    programs = ("kubectl", "helm")
    engine = ""
    own = False

    def answers(self) -> bool:
        """Never: a cluster of somebody's is used only when it was asked for."""
        return False

    def up(self, wanted: Wanted) -> Cluster:
        """Follow the kubeconfig. Raises ``KubeconfigError`` with what is wrong with it."""
        found = kubeconfig.find(wanted.kubeconfig, wanted.context)
        return Cluster(found.kubeconfig, found.context)

    def down(self, wanted: Wanted) -> bool:
        """Leave it, and remove what the lab installed in it, or in whichever cluster this checkout did."""
        from grpc_lb_lab.places.kubernetes import install_state, reset

        if not wanted.here:
            return reset.everywhere(wanted.state, forget=wanted.forget)
        return reset.here(wanted.state, install_state.find(wanted), forget=wanted.forget)

    def load_images(self, _: Wanted, references: Sequence[str]) -> list[str]:
        """Refuse: only its own registry brings images into it."""
        raise LabError(
            f"{references[0]} cannot be copied into an existing cluster. Push it where the cluster pulls from"
        )


PROVIDER = Existing()

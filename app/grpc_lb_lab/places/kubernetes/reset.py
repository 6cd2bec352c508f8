"""Goes through the places where the lab installed something; one that is out of reach does not keep the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import install_state, namespace
from grpc_lb_lab.places.kubernetes.cluster import istio, kubeconfig
from grpc_lb_lab.places.kubernetes.cluster.programs import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def everywhere(state: Path, *, forget: bool = False) -> bool:
    """Remove the lab from every place that is remembered, and tell whether there was something.

    Raises ``LabError`` when all was tried, naming each place that could not be cleaned and why. With ``forget`` these
    are struck off instead.
    """
    return _clean(state, install_state.remembered(state), forget=forget)


def here(state: Path, place: install_state.Place, *, forget: bool = False) -> bool:
    """Remove the lab from one place, whether it is remembered or not; the rest is as for `everywhere`."""
    return _clean(state, [place], forget=forget)


def _clean(state: Path, places: Sequence[install_state.Place], *, forget: bool) -> bool:
    changed, failed = False, list[str]()
    for place in places:
        say(str(place))
        try:
            changed = _remove(state, place) or changed
        except LabError as error:
            if forget:
                say(f"forgotten: {error}")
                install_state.forget(state, place)
            else:
                failed.append(f"namespace {place.namespace} of context {place.context}: {error}")
    if failed:
        raise LabError(_words(failed, tried=len(places)))
    return changed


def _remove(state: Path, place: install_state.Place) -> bool:
    """Remove the lab from a place that is still the same, and its Istio with the last place of that cluster."""
    try:
        target = kubeconfig.find(place.kubeconfig, place.context)
    except kubeconfig.KubeconfigError as error:
        raise LabError(error.reason) from error
    kubectl = replace(place.kubectl, context=target.context)
    namespace.check_answers(kubectl, target.server)
    now = replace(place, server=target.server, authority=target.authority, uid=namespace.cluster_uid(kubectl))
    if not now.is_in_cluster_of(place):
        raise LabError(
            f"the context {place.context} leads to another cluster now ({target.server}) than when the lab installed "
            "something; nothing was removed there"
        )
    changed = namespace.remove(kubectl)
    others = [
        known for known in install_state.remembered(state) if known.is_in_cluster_of(now) and not known.is_same_as(now)
    ]
    if not any(namespace.has_ours(known.kubectl) for known in others):
        changed = istio.remove(kubectl) or changed
    install_state.forget(state, place, now)
    return changed


def _words(failed: Sequence[str], *, tried: int) -> str:
    count = "1 place" if len(failed) == 1 else f"{len(failed)} places"
    rest = "All others were cleaned. " if tried > len(failed) else ""
    return "\n".join(
        [
            f"what the lab installed in {count} could not be removed:",
            *(f"- {line}" for line in failed),
            f"{rest}Run the reset again when the cluster answers. If it is gone for good, let the lab forget it:",
            "playbooks/reset.yml -e place_forget=true",
        ]
    )

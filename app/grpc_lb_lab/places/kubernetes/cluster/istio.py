"""The cluster's Istio: whose it is, whether it can be used, and the lab's own removed again."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import namespace
from grpc_lb_lab.places.kubernetes.cluster import helm
from grpc_lb_lab.places.kubernetes.cluster.programs import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

NAMESPACE = "istio-system"
# On the pods of an istiod that the lab installed; its value changes with version, charts and values.
MARK = "grpc-lb-lab/digest"
RELEASES = ("istiod", "base")
RULES = "destinationrules.networking.istio.io"
# What Istio's charts make outside of any namespace.
INSTALL_RIGHTS = (
    ("create", "", "namespaces", ""),
    ("create", "apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("create", "rbac.authorization.k8s.io", "clusterroles", ""),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings", ""),
    ("create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""),
    ("create", "admissionregistration.k8s.io", "validatingwebhookconfigurations", ""),
)
# The oldest and the newest Kubernetes of each Istio, from its announcement.
SUPPORTS = {"1.31": ((1, 32), (1, 36))}
UNINSTALL_LIMIT_S = 90.0
WEBHOOK_LIMIT_S = 15.0


@dataclass(frozen=True)
class Found:
    """A cluster's Istio. ``install``: it is missing, or the lab's and not as wanted. ``owner``: lab or other."""

    install: bool
    owner: str
    version: str


def have_room(kubectl: Kubectl, version: str, digest: str, on_install: Callable[[], None] = lambda: None) -> Found:
    """Look for an Istio; where there is none, check that ``version`` fits the cluster and make its namespace.

    ``on_install`` is called before the first thing is made. Raises ``LabError`` for a cluster that does not answer, a
    Kubernetes that the version does not support, a user who may not install one, and an Istio of somebody else that
    cannot be used.
    """
    kubernetes = namespace.check_answers(kubectl)
    listed = kubectl.attempt("get", "deployments", "--all-namespaces", "--selector=app=istiod", "--output=json")
    if listed.code != 0:
        say("this user may not look for Istio in the whole cluster: whether it injects is seen in the namespace")
        return Found(install=False, owner="other", version="")
    istiods: list[dict[str, Any]] = json.loads(listed.stdout)["items"]
    others = [item for item in istiods if not _mark(item)]
    if others:
        say(f"Istio {_version(others[0])} is there already, in the namespace {_namespace(others[0])}: left as it is")
        _check_usable(kubectl, others)
        return Found(install=False, owner="other", version=_version(others[0]))
    if istiods and _mark(istiods[0]) == digest and _available(istiods[0]):
        return Found(install=False, owner="lab", version=version)
    check_supported(version, kubernetes)
    _check_may_install(kubectl)
    on_install()
    _have_namespace(kubectl)
    return Found(install=True, owner="lab", version=version)


def check_supported(version: str, kubernetes: str) -> None:
    """Refuse an Istio ``version`` that does not support the cluster's ``kubernetes`` (``v1.36.3``)."""
    oldest, newest = SUPPORTS[version.rpartition(".")[0]]
    found = re.match(r"v?(\d+)\.(\d+)", kubernetes)
    minor = (int(found[1]), int(found[2])) if found else oldest
    if not oldest <= minor <= newest:
        span = " to ".join(".".join(map(str, limit)) for limit in (oldest, newest))
        raise LabError(
            f"Istio {version} supports Kubernetes {span}, and this cluster is {kubernetes}: nothing was installed. "
            "On kind take another lab_kind_node_image (after playbooks/reset.yml); elsewhere install an Istio that "
            "fits, the lab then uses that one"
        )


def check_injection(kubectl: Kubectl, proxy: str) -> str:
    """Ask the cluster, without making it, what would become of a pod of the lab; returns the proxy's image.

    ``proxy`` is ``sidecar`` or ``grpc-agent``. Raises ``LabError`` when Istio would not inject, or the namespace's
    Pod Security would refuse what it injects.
    """
    words = ("create", "--dry-run=server", "--output=json", "--filename=-")
    deadline = time.monotonic() + WEBHOOK_LIMIT_S
    while (done := kubectl.attempt(*words, stdin=json.dumps(_sample_pod(proxy)), limit_s=45)).code != 0:
        # An istiod that has just started is ready a moment before its webhook can be called.
        if "failed calling webhook" not in done.reason or time.monotonic() > deadline:
            raise LabError(_why_refused(kubectl, done.reason))
        time.sleep(1)
    spec = json.loads(done.stdout)["spec"]
    images = [
        str(item["image"])
        for item in [*spec.get("initContainers", []), *spec["containers"]]
        if item["name"] == "istio-proxy" and item["image"] != "auto"
    ]
    if not images:
        raise LabError(
            f"Istio injects nothing into pods of the namespace {kubectl.namespace}, so they would not be in the mesh. "
            f"Ask for `kubectl label namespace {kubectl.namespace} istio-injection=enabled` (or istio.io/rev=…), "
            "or let the lab make a namespace of its own (-e lab_namespace=…)"
        )
    return images[0]


def _sample_pod(proxy: str) -> dict[str, Any]:
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    containers = [{"name": "server", "image": "none", "securityContext": restricted}]
    annotations = {}
    if proxy == "grpc-agent":
        containers.append({"name": "istio-proxy", "image": "auto", "securityContext": restricted})
        annotations = {"inject.istio.io/templates": "grpc-agent"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "grpc-lb-lab-injection", "annotations": annotations},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": containers,
        },
    }


def _why_refused(kubectl: Kubectl, reason: str) -> str:
    if "violates PodSecurity" in reason:
        return (
            f"the Pod Security of the namespace {kubectl.namespace} refuses what Istio injects: istio-init sets up "
            "the pod's network and needs NET_ADMIN and NET_RAW (docs/istio.md). Ask for "
            f"`kubectl label namespace {kubectl.namespace} pod-security.kubernetes.io/enforce=privileged --overwrite`, "
            f"or for Istio's CNI plug-in, which needs no such pod. The cluster said: {reason[:200]}"
        )
    return f"Istio's injection does not work in the namespace {kubectl.namespace}: {reason[:300]}"


def remove(kubectl: Kubectl) -> bool:
    """Uninstall the Istio that the lab installed, and tell whether there was one. Somebody else's is left alone."""
    home = kubectl.in_namespace(NAMESPACE)
    found = home.attempt("get", "namespace", NAMESPACE, "--output=json")
    labels = json.loads(found.stdout)["metadata"].get("labels", {}) if found.code == 0 else {}
    if labels.get(namespace.MANAGED_BY) != namespace.LAB:
        return False
    say("removing Istio, which the lab installed")
    for release in RELEASES:
        done = helm.run(home, "uninstall", release, "--ignore-not-found", "--wait", limit_s=UNINSTALL_LIMIT_S)
        if done.code != 0:
            raise LabError(
                f"the release {release} of the namespace {NAMESPACE} cannot be removed: {helm.explain(done.stderr)}"
            )
    _remove_definitions(home)
    home.run("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=120s", limit_s=130)
    return True


def _remove_definitions(kubectl: Kubectl) -> None:
    """Delete Istio's resource definitions, which Helm keeps, unless somebody has objects of them."""
    words = ("get", "customresourcedefinitions", "--selector=app.kubernetes.io/part-of=istio", "--output=json")
    names = [str(item["metadata"]["name"]) for item in json.loads(kubectl.run(*words))["items"]]
    if not names:
        return
    used = kubectl.run("get", ",".join(names), "--all-namespaces", "--ignore-not-found", "--output=name").split()
    if used:
        say(f"Istio's resource definitions stay: somebody uses them ({used[0]})")
        return
    kubectl.run("delete", "customresourcedefinitions", *names, "--timeout=60s", limit_s=70)


def _check_usable(kubectl: Kubectl, istiods: list[dict[str, Any]]) -> None:
    if not any(_available(item) for item in istiods):
        raise LabError(
            f"the Istio in the namespace {_namespace(istiods[0])} is not the lab's and does not run: no istiod is "
            "available. It is left alone; repair or remove it"
        )
    rules = kubectl.attempt("get", "customresourcedefinition", RULES, "--output=json")
    served = [item["name"] for item in json.loads(rules.stdout)["spec"]["versions"]] if rules.code == 0 else []
    if rules.code == 0 and "v1" not in served:
        raise LabError(
            f"Istio {_version(istiods[0])} serves {RULES} only as {', '.join(served)}; the lab needs v1, "
            "which Istio 1.22 and newer have"
        )


def _check_may_install(kubectl: Kubectl) -> None:
    missing = namespace.refused(kubectl, INSTALL_RIGHTS, everywhere=True)
    if missing:
        raise LabError(
            f"there is no Istio in this cluster, and this user may not install one ({', '.join(missing)}). "
            "Ask for it (docs/istio.md), or use -e lab_cluster=kind"
        )


def _have_namespace(kubectl: Kubectl) -> None:
    found = kubectl.attempt("get", "namespace", NAMESPACE, "--output=json")
    if found.code == 0:
        if json.loads(found.stdout)["metadata"].get("labels", {}).get(namespace.MANAGED_BY) == namespace.LAB:
            return
        raise LabError(
            f"the namespace {NAMESPACE} exists, not made by the lab and without an istiod; it is left alone. "
            "Install Istio in it, or remove it"
        )
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {namespace.MANAGED_BY: namespace.LAB}},
    }
    created = kubectl.attempt("create", "--filename=-", stdin=json.dumps(manifest))
    if created.code != 0:
        raise LabError(f"the namespace {NAMESPACE} for Istio cannot be made: {created.reason}")


def _mark(istiod: dict[str, Any]) -> str:
    annotations = istiod["spec"]["template"]["metadata"].get("annotations", {})
    return str(annotations.get(MARK, ""))


def _available(istiod: dict[str, Any]) -> bool:
    return bool(istiod.get("status", {}).get("availableReplicas"))


def _namespace(istiod: dict[str, Any]) -> str:
    return str(istiod["metadata"]["namespace"])


def _version(istiod: dict[str, Any]) -> str:
    return str(istiod["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]

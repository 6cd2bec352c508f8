"""The lab's namespace: does the cluster answer, may this user work there, who made it, what is left from before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.kubernetes import pods
from grpc_lb_lab.places.kubernetes.cluster import helm
from grpc_lb_lab.places.kubernetes.cluster.programs import ProgramError, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

ANSWER_LIMIT_S = 10.0
# An annotation of the Deployment: what it was made of.
DIGEST = "grpc-lb-lab/digest"
MANAGED_BY = "app.kubernetes.io/managed-by"
LAB = "grpc-lb-lab"
SECURITY = "pod-security.kubernetes.io/enforce"
INJECTION = "istio-injection"
LABELS = (SECURITY, INJECTION)
CHART = "grpc-echo-"
RELEASES = ("echo", "load")

Right = tuple[str, str, str, str]


def _may(group: str, resource: str, verbs: str, subresource: str = "") -> tuple[Right, ...]:
    return tuple((verb, group, resource, subresource) for verb in verbs.split())


# What every run does in the namespace; docs/existing-clusters.md has the Role, a test keeps them equal.
RIGHTS = (
    *_may("apps", "deployments", "get list watch create patch delete"),
    *_may("batch", "jobs", "get list create patch delete"),
    *_may("policy", "poddisruptionbudgets", "get create patch delete"),
    *_may("", "services", "get create patch delete"),
    *_may("", "serviceaccounts", "get create patch delete"),
    *_may("", "configmaps", "get create patch delete"),
    # Helm keeps its notes there.
    *_may("", "secrets", "get list create update delete"),
    *_may("", "pods", "get list watch delete"),
    *_may("", "pods", "get", "log"),
    *_may("discovery.k8s.io", "endpointslices", "list watch"),
    *_may("", "events", "list"),
)
# For clients outside of the cluster, and to ask a server for a fault. kubectl asks for it with either verb, by version.
FORWARD_RIGHTS = _may("", "pods", "get create", "portforward")
# A control plane watches EndpointSlices, so it gets a Role; only who may make one can install lookaside or xds.
CONTROL_PLANE_RIGHTS = (
    *_may("rbac.authorization.k8s.io", "roles", "get create patch delete"),
    *_may("rbac.authorization.k8s.io", "rolebindings", "get create patch delete"),
    *_may("discovery.k8s.io", "endpointslices", "get watch"),
)
# What only strategies with a mesh make. The pod is never made: the cluster is asked what Istio would inject into it.
MESH_RIGHTS = (
    *_may("networking.istio.io", "destinationrules", "get create patch delete"),
    *_may("security.istio.io", "peerauthentications", "get create patch delete"),
    *_may("", "pods", "create"),
)
NAMESPACES = _may("", "namespaces", "create")


@dataclass(frozen=True)
class Wanted:
    """What is to be installed; a release of something else makes room."""

    strategy: str
    digest: str


def check_answers(kubectl: Kubectl, server: str = "") -> str:
    """Return the version of the cluster. Raises ``LabError`` within 10 s when it does not answer.

    ``server``: its address, for the message.
    """
    where = f"the cluster of context {kubectl.context}{f' ({server})' if server else ''}"
    try:
        done = kubectl.attempt(
            "version", "--output=json", f"--request-timeout={ANSWER_LIMIT_S:.0f}s", limit_s=ANSWER_LIMIT_S
        )
    except ProgramError as error:
        raise LabError(f"{where} does not answer ({error}). See `kubectl cluster-info`") from error
    version = json.loads(done.stdout or "{}").get("serverVersion", {}).get("gitVersion", "")
    if done.code != 0 or not version:
        raise LabError(f"{where} does not answer ({done.reason}). See `kubectl cluster-info`")
    return str(version)


def cluster_uid(kubectl: Kubectl) -> str:
    """Return what tells this cluster from every other, or nothing where the user may not read it."""
    done = kubectl.attempt("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
    return done.stdout.strip() if done.code == 0 else ""


def is_missing(kubectl: Kubectl) -> bool:
    """Tell whether there is no such namespace; to a user who may not look it counts as there."""
    found = kubectl.attempt("get", "namespace", kubectl.namespace, "--output=name")
    return found.code != 0 and "NotFound" in found.stderr


def check(kubectl: Kubectl, rights: Sequence[Right]) -> None:
    """Refuse a namespace that the lab cannot work in, before anything is made: rights, releases of somebody else.

    Raises ``LabError`` with all rights that are missing.
    """
    if not is_missing(kubectl):
        check_rights(kubectl, rights)
        _refuse_foreign(kubectl, releases(kubectl))
        return
    if refused(kubectl, NAMESPACES, everywhere=True):
        raise LabError(
            f"the namespace {kubectl.namespace} does not exist and this user may not create it. Ask for it, or name "
            "one with -e lab_namespace=…; docs/existing-clusters.md has the rights it needs"
        )
    check_rights(kubectl, rights)


def ensure(kubectl: Kubectl, proxy: str = "") -> bool:
    """Create the namespace unless it is there, label the lab's own, and tell whether something was changed.

    ``proxy``: what Istio is to inject into its pods, as ``mesh.proxy`` of a strategy; empty: nothing.
    """
    found = kubectl.attempt("get", "namespace", kubectl.namespace, "--output=json")
    if found.code == 0:
        return _label(kubectl, json.loads(found.stdout)["metadata"].get("labels", {}), proxy)
    if "NotFound" not in found.stderr:
        return False  # a user who may not even look is told what is missing by `check_rights`
    created = kubectl.attempt("create", "--filename=-", stdin=json.dumps(_manifest(kubectl.namespace, proxy)))
    if created.code != 0:
        raise LabError(
            f"the namespace {kubectl.namespace} does not exist and this user may not create it ({created.reason}). "
            f"Ask for it, or name one with -e lab_namespace=…; docs/existing-clusters.md has the rights it needs"
        )
    return True


def _labels(proxy: str) -> dict[str, str]:
    """What the lab's own namespace is labelled with. Of all pods only those with a sidecar are not "restricted":
    Istio's init container sets up the pod's network, as root and with NET_ADMIN.
    """
    labels = {MANAGED_BY: LAB, SECURITY: "privileged" if proxy == "sidecar" else "restricted"}
    return labels | ({INJECTION: "enabled"} if proxy else {})


def _label(kubectl: Kubectl, found: dict[str, str], proxy: str) -> bool:
    """Label the namespace if the lab made it; somebody else's is left as it is. Tells whether a label changed."""
    wanted = _labels(proxy)
    if found.get(MANAGED_BY) != LAB or {key: found.get(key) for key in LABELS} == {
        key: wanted.get(key) for key in LABELS
    }:
        return False
    words = [f"{key}={wanted[key]}" if key in wanted else f"{key}-" for key in LABELS]
    kubectl.run("label", "namespace", kubectl.namespace, "--overwrite", *words)
    return True


def _manifest(namespace: str, proxy: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": _labels(proxy)}}


def needed_rights(*, control_plane: bool = False, mesh: bool = False, forward: bool = False) -> tuple[Right, ...]:
    """Return the rights that a run needs in its namespace.

    ``control_plane``: the strategy installs one; ``mesh``: it has one; ``forward``: clients run outside of the cluster,
    or servers are asked for faults.
    """
    return (
        *RIGHTS,
        *(FORWARD_RIGHTS if forward else ()),
        *(CONTROL_PLANE_RIGHTS if control_plane else ()),
        *(MESH_RIGHTS if mesh else ()),
    )


def check_rights(kubectl: Kubectl, rights: Sequence[Right]) -> None:
    """Ask the cluster whether this user may do what the lab does. Raises ``LabError`` naming all that is missing."""
    missing = refused(kubectl, rights)
    if missing:
        raise LabError(
            f"this user may not do what the lab needs in the namespace {kubectl.namespace}: {', '.join(missing)}. "
            "docs/existing-clusters.md has the Role to ask for"
        )


def refused(kubectl: Kubectl, rights: Sequence[Right], *, everywhere: bool = False) -> list[str]:
    """Return which of the rights the user does not have, in words; one kubectl asks for all.

    ``everywhere``: in the whole cluster, not in the namespace.
    """
    reviews = [_review("" if everywhere else kubectl.namespace, *right) for right in rights]
    answer = kubectl.run(
        "create",
        "--filename=-",
        "--output=json",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews}),
    )
    asked = list(zip(rights, _reviews(answer), strict=True))
    return _in_words([right for right, review in asked if not review["status"].get("allowed")])


def _in_words(rights: Sequence[Right]) -> list[str]:
    """Return one text for each resource, with all its verbs: ``get/list jobs.batch``."""
    verbs: dict[str, list[str]] = {}
    for verb, group, resource, subresource in rights:
        name = f"{resource}.{group}" if group else resource
        verbs.setdefault(f"{name}{'/' + subresource if subresource else ''}", []).append(verb)
    return [f"{'/'.join(dict.fromkeys(found))} {name}" for name, found in verbs.items()]


def _review(namespace: str, verb: str, group: str, resource: str, subresource: str) -> dict[str, Any]:
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": resource,
        "subresource": subresource,
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def _reviews(text: str) -> list[dict[str, Any]]:
    """Read the objects that ``kubectl create -o json`` wrote, one document after the other or as one list."""
    decoder, items, position = json.JSONDecoder(), list[dict[str, Any]](), 0
    while position < len(text.rstrip()):
        item, position = decoder.raw_decode(text, position)
        items += item["items"] if item["kind"] == "List" else [item]
        position += len(text[position:]) - len(text[position:].lstrip())
    return items


def releases(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    """Return the Helm releases in the namespace by name, half-made ones too; whose they are tells `is_ours`."""
    done = helm.run(kubectl, "list", "--max=0", "--output", "json")
    if done.code != 0:
        raise LabError(
            f"the Helm releases of the namespace {kubectl.namespace} cannot be listed: {helm.explain(done.stderr)}"
        )
    return {item["name"]: item for item in json.loads(done.stdout or "[]")}


def is_ours(release: dict[str, Any]) -> bool:
    """Tell whether the lab made a release: it has one of the lab's names and the lab's chart."""
    return release["name"] in RELEASES and release["chart"].startswith(CHART)


def has_ours(kubectl: Kubectl) -> bool:
    """Tell whether the lab has a release in the namespace; where that is not to be known, it counts as having one."""
    try:
        return any(is_ours(release) for release in releases(kubectl).values())
    except LabError:
        return True


def _refuse_foreign(kubectl: Kubectl, found: dict[str, dict[str, Any]]) -> None:
    for name in RELEASES:
        if name in found and not is_ours(found[name]):
            raise LabError(
                f"the namespace {kubectl.namespace} has a Helm release {name} of another chart "
                f"({found[name]['chart']}); it is left alone. Choose another namespace with -e lab_namespace=…"
            )


def clear(kubectl: Kubectl, wanted: Wanted | None) -> list[str]:
    """Remove the previous load, and the servers unless they are ``wanted`` (None: none is). Returns what was removed.

    Raises ``LabError`` for a release of ours in name only.
    """
    found = releases(kubectl)
    _refuse_foreign(kubectl, found)
    ours = [name for name in RELEASES if name in found]
    outdated = [name for name in ours if name == "load" or not wanted or not _is(kubectl, found[name], wanted)]
    uninstall(kubectl, outdated)
    return outdated


def _is(kubectl: Kubectl, release: dict[str, Any], wanted: Wanted) -> bool:
    """Tell whether the installed servers are the wanted ones: same strategy, same chart and image, not half-made.

    A Deployment whose pods were refused tries again ever more rarely, after minutes in the end; a new one, at once.
    """
    if release["status"] != "deployed":
        return False
    done = kubectl.attempt("get", "deployment", "echo", "--output=json")
    deployment = json.loads(done.stdout) if done.code == 0 else {"metadata": {}}
    if pods.refused(deployment):
        return False
    metadata = deployment["metadata"]
    strategy = metadata.get("labels", {}).get("grpc-lb-lab/strategy")
    return (strategy, metadata.get("annotations", {}).get(DIGEST)) == (wanted.strategy, wanted.digest)


def uninstall(kubectl: Kubectl, names: Sequence[str], *, wait: bool = False) -> None:
    """Uninstall releases; with ``wait``, until their pods are gone. No load runs now, so nothing needs to drain.

    Pods on their way out are in no EndpointSlice any more and no pod of the next release, so that one need not wait.
    """
    for name in names:
        say(f"removing the release {name}")
        done = helm.run(kubectl, "uninstall", name, "--ignore-not-found", "--no-hooks", "--cascade", "background")
        if done.code != 0:
            reason = helm.explain(done.stderr)
            raise LabError(f"the release {name} of the namespace {kubectl.namespace} cannot be removed: {reason}")
        selector = f"--selector=app.kubernetes.io/instance={name},app.kubernetes.io/part-of={LAB}"
        kubectl.run(
            "delete", "pods", selector, "--grace-period=1", f"--wait={str(wait).lower()}", "--timeout=60s", limit_s=70
        )


def remove(kubectl: Kubectl) -> bool:
    """Remove the lab's releases, and the namespace if the lab made it. Tells whether there was something.

    Releases of somebody else stay, and so does a namespace with such a one in it.
    """
    found = releases(kubectl)
    ours = [name for name in RELEASES if name in found and is_ours(found[name])]
    uninstall(kubectl, ours, wait=True)
    answer = kubectl.attempt("get", "namespace", kubectl.namespace, "--output=json")
    labels = json.loads(answer.stdout)["metadata"].get("labels", {}) if answer.code == 0 else {}
    if labels.get(MANAGED_BY) != LAB:
        return bool(ours)
    others = sorted(set(found) - set(ours))
    if others:
        say(f"the namespace {kubectl.namespace} stays: it has a Helm release {others[0]} that is not the lab's")
        return bool(ours)
    say(f"removing the namespace {kubectl.namespace}")
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=true", "--timeout=120s", limit_s=130)
    return True

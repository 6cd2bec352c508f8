"""The lab's namespace: does the cluster answer, may this user work there, who made it, what is left from before."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.kubernetes import pods
from grpc_lb_lab.kubernetes.programs import Kubectl, ProgramError, attempt, say
from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

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

# One line for each thing the lab does in a namespace; docs/existing-clusters.md has the Role, a test keeps them equal.
RIGHTS = (
    ("create", "apps", "deployments", ""),
    ("patch", "apps", "deployments", ""),
    ("create", "batch", "jobs", ""),
    ("create", "policy", "poddisruptionbudgets", ""),
    ("create", "", "services", ""),
    ("patch", "", "services", ""),
    ("create", "", "serviceaccounts", ""),
    ("create", "", "configmaps", ""),
    ("create", "", "secrets", ""),
    ("get", "", "secrets", ""),
    ("delete", "", "pods", ""),
    ("watch", "", "pods", ""),
    ("get", "", "pods", "log"),
    ("list", "discovery.k8s.io", "endpointslices", ""),
    ("watch", "discovery.k8s.io", "endpointslices", ""),
    ("list", "", "events", ""),
)
# A control plane watches EndpointSlices, so it gets a Role; only who may make one can install lookaside or xds.
CONTROL_PLANE_RIGHTS = (
    ("create", "rbac.authorization.k8s.io", "roles", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", ""),
    ("get", "discovery.k8s.io", "endpointslices", ""),
    ("watch", "discovery.k8s.io", "endpointslices", ""),
)

# What only strategies with a mesh make. The pod is never made: the cluster is asked what Istio would inject into it.
MESH_RIGHTS = (
    ("create", "networking.istio.io", "destinationrules", ""),
    ("create", "security.istio.io", "peerauthentications", ""),
    ("create", "", "pods", ""),
)


@dataclass(frozen=True)
class Wanted:
    """What is to be installed; a release of something else makes room."""

    strategy: str
    digest: str


def check_answers(kubectl: Kubectl) -> str:
    """Return the version of the cluster. Raises ``LabError`` within 10 s when it does not answer."""
    where = f"context {named(kubectl).context}"
    try:
        done = kubectl.attempt(
            "version", "--output=json", f"--request-timeout={ANSWER_LIMIT_S:.0f}s", limit_s=ANSWER_LIMIT_S
        )
    except ProgramError as error:
        raise LabError(f"the cluster of {where} does not answer ({error}). See `kubectl cluster-info`") from error
    version = json.loads(done.stdout or "{}").get("serverVersion", {}).get("gitVersion", "")
    if done.code != 0 or not version:
        raise LabError(f"the cluster of {where} does not answer ({done.reason}). See `kubectl cluster-info`")
    return str(version)


def named(kubectl: Kubectl) -> Kubectl:
    """Return the same with the context's name, so that it stays the same when somebody switches contexts."""
    return replace(kubectl, context=kubectl.context or current_context(kubectl))


def current_context(kubectl: Kubectl) -> str:
    """Return the context that kubectl uses. Raises ``LabError`` when none is set."""
    done = kubectl.attempt("config", "current-context")
    if done.code != 0:
        raise LabError(
            "there is no current kubeconfig context. Choose one with `kubectl config use-context NAME` or "
            "-e world_existing_context=NAME, or use -e lab_cluster=kind"
        )
    return done.stdout.strip()


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


def check_rights(kubectl: Kubectl, *, control_plane: bool = False, mesh: bool = False) -> None:
    """Ask the cluster whether this user may do what the lab does; one request for all."""
    rights = (*RIGHTS, *(CONTROL_PLANE_RIGHTS if control_plane else ()), *(MESH_RIGHTS if mesh else ()))
    reviews = [_review(kubectl.namespace, *right) for right in rights]
    answer = kubectl.run(
        "create",
        "--filename=-",
        "--output=json",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews}),
    )
    refused = [
        _words(*right)
        for right, review in zip(rights, _reviews(answer), strict=True)
        if not review["status"].get("allowed")
    ]
    if refused:
        raise LabError(
            f"this user may not do what the lab needs in the namespace {kubectl.namespace}: {', '.join(refused)}. "
            "docs/existing-clusters.md has the Role to ask for"
        )


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


def _words(verb: str, group: str, resource: str, subresource: str) -> str:
    name = f"{resource}.{group}" if group else resource
    return f"{verb} {name}{'/' + subresource if subresource else ''}"


def releases(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    """Return the lab's Helm releases in the namespace by name, half-made ones too."""
    words = [*helm_words(kubectl), "list", "--filter", f"^({'|'.join(RELEASES)})$", "--output", "json"]
    done = attempt(words)
    if done.code != 0:
        raise LabError(f"helm list failed in the namespace {kubectl.namespace}: {done.reason}")
    return {item["name"]: item for item in json.loads(done.stdout or "[]")}


def helm_words(kubectl: Kubectl) -> list[str]:
    """Return how a helm command for the namespace begins."""
    words = ["helm", f"--namespace={kubectl.namespace}"]
    words += [f"--kubeconfig={kubectl.kubeconfig}"] if kubectl.kubeconfig else []
    return [*words, *([f"--kube-context={kubectl.context}"] if kubectl.context else [])]


def clear(kubectl: Kubectl, wanted: Wanted | None, *, wait: bool = False) -> list[str]:
    """Remove the previous load, and the servers unless they are ``wanted`` (None: none is). Returns what was removed.

    ``wait``: until their pods are gone. Raises ``LabError`` for a release of ours in name only.
    """
    found = releases(kubectl)
    for name, release in found.items():
        if not release["chart"].startswith(CHART):
            raise LabError(
                f"the namespace {kubectl.namespace} has a Helm release {name} of another chart ({release['chart']}); "
                "it is left alone. Choose another namespace with -e lab_namespace=…"
            )
    outdated = [name for name in found if name == "load" or not wanted or not _is(kubectl, found[name], wanted)]
    uninstall(kubectl, outdated, wait=wait)
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
        done = attempt(
            [*helm_words(kubectl), "uninstall", name, "--ignore-not-found", "--no-hooks", "--cascade", "background"]
        )
        if done.code != 0:
            raise LabError(f"helm uninstall {name} failed in the namespace {kubectl.namespace}: {done.reason}")
        selector = f"--selector=app.kubernetes.io/instance={name},app.kubernetes.io/part-of={LAB}"
        kubectl.run(
            "delete", "pods", selector, "--grace-period=1", f"--wait={str(wait).lower()}", "--timeout=60s", limit_s=70
        )


def remove(kubectl: Kubectl) -> bool:
    """Remove the lab's releases, and the namespace if the lab made it. Tells whether there was something."""
    check_answers(kubectl)
    removed = clear(kubectl, None, wait=True)
    found = kubectl.attempt("get", "namespace", kubectl.namespace, "--output=json")
    labels = json.loads(found.stdout)["metadata"].get("labels", {}) if found.code == 0 else {}
    if labels.get(MANAGED_BY) != LAB:
        return bool(removed)
    say(f"removing the namespace {kubectl.namespace}")
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=true", "--timeout=120s", limit_s=130)
    return True

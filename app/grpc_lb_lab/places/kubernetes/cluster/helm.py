"""helm, bound to the place of a ``Kubectl``, and what its errors mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpc_lb_lab.model.text import one_line
from grpc_lb_lab.places.kubernetes.cluster.programs import DEFAULT_LIMIT_S, Done, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

MOST = 300


def run(kubectl: Kubectl, *arguments: str, limit_s: float = DEFAULT_LIMIT_S) -> Done:
    """Run helm where ``kubectl`` works, and return what it said, whatever its exit code."""
    words = ["helm", f"--namespace={kubectl.namespace}"]
    words += [f"--kubeconfig={kubectl.kubeconfig}"] if kubectl.kubeconfig and not kubectl.environment else []
    words += [f"--kube-context={kubectl.context}"] if kubectl.context else []
    return attempt([*words, *arguments], limit_s=limit_s, environment=kubectl.environment)


def explain(said: str) -> str:
    """Return the reason in helm's error output ``said`` as one sentence without its full stop.

    What is not known is told in helm's own words: its last complaint, shortened, on one line.
    """
    text = " ".join(said.split())
    for pattern, words in _REASONS:
        found = re.search(pattern, text)
        if found:
            return words(found)
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("WARNING", "level="))]
    told = next(
        (line for line in reversed(lines) if line.startswith("Error:")), lines[-1] if lines else "it said nothing"
    )
    told = re.sub(r"^Error:\s*(?:[A-Z ]+ FAILED:\s*)*", "", told).rstrip(".")
    return one_line(told, MOST)


def _quota(found: re.Match[str]) -> str:
    kind, name, quota, requested, used, limited = found.groups()
    return (
        f"the quota {quota} of the namespace leaves no room for {kind} {name} (requested {requested}, used {used}, "
        f"limited to {limited}). Ask for more, or use fewer replicas (-e lab_replicas=…)"
    )


def _timed_out(_: re.Match[str]) -> str:
    return "the cluster did not finish in time"


# The first that fits counts, so what says more comes first.
_REASONS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        r'(\S+) "(\S+)" is forbidden: exceeded quota: (\S+), requested: (\S+), used: (\S+), limited: ([^\s:]+)',
        _quota,
    ),
    (
        r"is forbidden: failed quota: (\S+): must specify ([^;:]+?)(?: for: (\S+))?(?:;|$)",
        lambda found: f"the quota {found[1]} of the namespace wants {found[2]} to be set, which the lab does not do",
    ),
    (
        r'User "([^"]*)" cannot (\w+) resource "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]+)")?',
        lambda found: (
            f"the user {found[1]} may not {found[2]} {found[3]}{'.' + found[4] if found[4] else ''}"
            f"{' in the namespace ' + found[5] if found[5] else ''} (docs/existing-clusters.md has the rights)"
        ),
    ),
    (
        r'admission webhook "([^"]+)" denied the request: (.{1,200})',
        lambda found: f"the cluster's policy {found[1]} refuses it: {found[2].rstrip('.')}",
    ),
    (
        r'violates PodSecurity "([^"]+)": (.{1,200})',
        lambda found: f"the Pod Security {found[1]} of the namespace refuses a pod: {found[2].rstrip('.')}",
    ),
    (
        r'(\w+) "([^"]+)" in namespace "([^"]+)" exists and cannot be imported into the current release',
        lambda found: (
            f"the namespace {found[3]} has a {found[1]} {found[2]} already that is not the lab's; it is left alone. "
            "Choose another namespace with -e lab_namespace=…"
        ),
    ),
    (
        r'(\w+)(?:\.\S+)? "([^"]+)" is invalid: (\S+): Invalid value: .*field is immutable',
        lambda found: (
            f"{found[1]} {found[2]} is there with another {found[3]}, which cannot be changed. "
            "Remove it with playbooks/reset.yml and run again"
        ),
    ),
    (
        r"another operation \(install/upgrade/rollback\) is in progress",
        lambda _: "another Helm works on this release at this moment. Run again when it is done",
    ),
    (
        r"Kubernetes cluster unreachable|connection refused|no such host|no route to host|i/o timeout",
        lambda _: "the cluster does not answer any more. See `kubectl cluster-info`",
    ),
    (
        r'looks like "([^"]+)" is not a valid chart repository or cannot be reached(?:: (.{1,160}))?',
        lambda found: f"the charts cannot be had from {found[1]} ({(found[2] or 'no reason given').rstrip('.')})",
    ),
    (r"context deadline exceeded|timed out waiting for the condition", _timed_out),
)

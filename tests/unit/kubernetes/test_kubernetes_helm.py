"""Helm's errors, as it writes them, become one readable sentence."""

from __future__ import annotations

import pytest
from grpc_lb_lab.places.kubernetes.cluster import helm

UNSUPPORTED = (
    'Error: INSTALLATION FAILED: INSTALLATION FAILED: chart "x" needs kubeVersion >=9.0.0 which is incompatible'
)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            'Error: INSTALLATION FAILED: 1 error occurred:\n\t* services "echo" is forbidden: exceeded quota: small, '
            "requested: services=1, used: services=2, limited: services=2\n\n",
            "the quota small of the namespace leaves no room for services echo (requested services=1, used services=2, "
            "limited to services=2). Ask for more, or use fewer replicas (-e lab_replicas=…)",
        ),
        (
            'Error: pods "echo-1" is forbidden: failed quota: small: must specify limits.cpu for: server; more',
            "the quota small of the namespace wants limits.cpu to be set, which the lab does not do",
        ),
        (
            'Error: UPGRADE FAILED: query: failed to query with labels: secrets is forbidden: User "ann" cannot list '
            'resource "secrets" in API group "" in the namespace "team-a"',
            "the user ann may not list secrets in the namespace team-a (docs/existing-clusters.md has the rights)",
        ),
        (
            'Error: INSTALLATION FAILED: failed to create resource: deployments.apps is forbidden: User "system:'
            'serviceaccount:ci:bot" cannot create resource "deployments" in API group "apps" in the namespace "team-a"',
            "the user system:serviceaccount:ci:bot may not create deployments.apps in the namespace team-a "
            "(docs/existing-clusters.md has the rights)",
        ),
        (
            'Error: INSTALLATION FAILED: clusterroles.rbac.authorization.k8s.io is forbidden: User "ann" cannot create '
            'resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope',
            "the user ann may not create clusterroles.rbac.authorization.k8s.io (docs/existing-clusters.md has the "
            "rights)",
        ),
        (
            'Error: UPGRADE FAILED: cannot patch "echo" with kind Deployment: Deployment.apps "echo" is invalid: '
            "spec.selector: Invalid value: v1.LabelSelector{}: field is immutable",
            "Deployment echo is there with another spec.selector, which cannot be changed. Remove it with "
            "playbooks/reset.yml and run again",
        ),
        (
            'Error: INSTALLATION FAILED: Unable to continue with install: Service "echo" in namespace "team-a" exists '
            "and cannot be imported into the current release: invalid ownership metadata; label validation error",
            "the namespace team-a has a Service echo already that is not the lab's; it is left alone. Choose another "
            "namespace with -e lab_namespace=…",
        ),
        (
            'Error: INSTALLATION FAILED: admission webhook "validate.kyverno.svc-fail" denied the request: \n\n'
            "resource Deployment/team-a/echo was blocked: tags must not be latest.",
            "the cluster's policy validate.kyverno.svc-fail refuses it: resource Deployment/team-a/echo was blocked: "
            "tags must not be latest",
        ),
        (
            'Error: pods "echo-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true.',
            "the Pod Security restricted:latest of the namespace refuses a pod: runAsNonRoot != true",
        ),
        (
            "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
            "another Helm works on this release at this moment. Run again when it is done",
        ),
        (
            "Error: INSTALLATION FAILED: Kubernetes cluster unreachable: Get https://1.2.3.4: dial tcp: connection "
            "refused",
            "the cluster does not answer any more. See `kubectl cluster-info`",
        ),
        ("Error: INSTALLATION FAILED: context deadline exceeded", "the cluster did not finish in time"),
        (
            'Error: INSTALLATION FAILED: looks like "https://charts.example" is not a valid chart repository or cannot '
            'be reached: Get "https://charts.example/index.yaml": dial tcp: lookup charts.example',
            'the charts cannot be had from https://charts.example (Get "https://charts.example/index.yaml": dial tcp: '
            "lookup charts.example)",
        ),
        (f"WARNING: file is group-readable\n{UNSUPPORTED}\n", UNSUPPORTED.rpartition("FAILED: ")[2]),
        ("", "it said nothing"),
    ],
)
def test_one_sentence(said: str, sentence: str) -> None:
    assert helm.explain(said) == sentence


def test_a_long_complaint_is_cut() -> None:
    told = helm.explain("Error: " + "x" * 2_000)
    assert len(told) == helm.MOST
    assert told.endswith("…")

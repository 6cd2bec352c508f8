"""Istio, for real: the four rows from a cluster without it, the pitfalls, whose Istio it is, and what stays of it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_lab import BIN, REPO, KubernetesLab, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = "istio-system"
SIDECARS = ["client", "istio-client", "istio-server", "server"]
# A strategy, and what its report must show: hops, hosts that the servers saw (None: the client's own), exact counts.
Row = tuple[str, list[str], list[str] | None, bool]
ROWS: list[Row] = [
    ("istio", SIDECARS, ["127.0.0.6"], True),
    ("istio-least-request", SIDECARS, ["127.0.0.6"], False),
    ("istio-port-forward", ["client", "port-forward", "server"], ["127.0.0.1"], False),
    ("istio-proxyless", ["client", "server"], None, True),
]


def has_istio(lab: KubernetesLab) -> bool:
    return f"namespace/{HOME}" in lab.kubectl("get", "namespaces", "--output=name").split()


def namespace_labels(lab: KubernetesLab, name: str) -> dict[str, str]:
    labels: dict[str, str] = json.loads(lab.kubectl("get", "namespace", name, "--output=json"))["metadata"]["labels"]
    return labels


def container_names(pod: dict[str, Any]) -> set[str]:
    spec = pod["spec"]
    return {item["name"] for item in [*spec.get("initContainers", []), *spec["containers"]]}


def remove_istio(lab: KubernetesLab) -> None:
    """Remove the lab's Istio as the reset of an existing cluster does, so that the next run begins without one."""
    words = ["kubernetes", "reset", "--here", f"--state={lab.state}", f"--kubeconfig={lab.kubeconfig}"]
    command = [str(BIN / "lb-lab"), *words, f"--context=kind-{lab.cluster}", f"--namespace={lab.namespace}"]
    subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True, timeout=200)


def test_from_a_cluster_without_istio_to_the_first_report_and_again(cluster: KubernetesLab) -> None:
    remove_istio(cluster)
    assert not has_istio(cluster)
    left = cluster.kubectl("get", "customresourcedefinitions", "--selector=app.kubernetes.io/part-of=istio", "-oname")
    assert left == ""
    run = cluster.play(strategy="istio")
    assert run.seconds < 180
    check_row(cluster, run, *ROWS[0])
    assert "Ensure istiod is installed" in run.changed_tasks()
    first = {pod["metadata"]["uid"] for pod in cluster.pods("echo")}
    again = cluster.play(strategy="istio")
    check_row(cluster, again, *ROWS[0])
    assert again.changed_tasks() == ["Install the load", "Follow the load and collect its results"]
    assert {pod["metadata"]["uid"] for pod in cluster.pods("echo")} == first


@pytest.mark.parametrize("row", ROWS[1:], ids=lambda row: row[0])
def test_a_row_on_a_cluster_with_istio(cluster: KubernetesLab, row: Row) -> None:
    check_row(cluster, cluster.play(strategy=row[0]), *row)


def check_row(
    cluster: KubernetesLab, run: Run, strategy: str, hops: list[str], peers: list[str] | None, exact: bool
) -> None:
    assert run.code == 0, run.screen
    report = cluster.report(strategy)
    path, counts = report["path"], [item["requests"] for item in report["backends"]]
    assert (report["verdict"]["status"], path["proven"], path["hops"]) == ("pass", True, hops)
    assert peers is None or path["server_saw_peers"] == peers
    assert not exact or max(counts) - min(counts) <= 1, counts
    assert (sum(counts), len(counts)) == (1000, 5)
    assert report["run"]["versions"]["Istio"].startswith("1.31.")
    counted = report["reconciliation"]
    assert counted["client_calls"] == counted["server_attempts"] == 1000
    assert counted["proxy_requests"] == (1000 if hops == SIDECARS else None)
    # In the mesh or not, who calls from inside is done by itself.
    if "port-forward" not in hops:
        cluster.kubectl("wait", "job/load", "--for=condition=Complete", "--timeout=20s")
        assert all("istio-proxy" in container_names(pod) for pod in cluster.pods("load"))
    assert namespace_labels(cluster, cluster.namespace)["istio-injection"] == "enabled"


def test_the_mesh_is_told_in_the_report(cluster: KubernetesLab) -> None:
    run = cluster.play(strategy="istio", lab_istio_mtls="STRICT", lab_clients=3, lab_requests=999)
    assert run.code == 0, run.screen
    report = cluster.report("istio")
    mesh, counted = report["probes"]["mesh"], report["reconciliation"]
    assert (mesh["mode"], mesh["calls"], mesh["calls_with_certificate"]) == ("STRICT", 999, 999)
    assert mesh["clients"] == [f"spiffe://cluster.local/ns/{cluster.namespace}/sa/load"]
    assert mesh["handshakes"] >= 15
    assert mesh["rule"]["connectionPool.http.http2MaxRequests"] == 100
    assert (counted["client_calls"], counted["proxy_requests"], counted["server_attempts"]) == (999, 999, 999)
    by_server = [item for item in path_details(report) if item.startswith("istio-server itself counted")]
    assert by_server == ["istio-server itself counted 999 requests"]
    mode = cluster.kubectl("get", "peerauthentication", "echo", "--output=jsonpath={.spec.mtls.mode}")
    assert mode == "STRICT"


def path_details(report: dict[str, Any]) -> list[str]:
    return [str(item["detail"]) for item in report["path"]["evidence"]]


@pytest.mark.parametrize(
    ("strategy", "pitfall", "status", "words"),
    [
        ("istio", "injection-off", "invalid", "the client has no sidecar, so the calls bypassed the mesh"),
        ("istio", "unnamed-port", "pass", "It had to guess the protocol"),
        ("istio", "tcp-port", "fail", "the Service's port says TCP"),
        ("istio", "headless-in-mesh", "fail", "(ORIGINAL_DST)"),
        ("istio-least-request", "ignored-field", "invalid", "outlierDetection.consecutive5xxErrors 5"),
    ],
)
def test_a_pitfall_shows_in_the_verdict(
    cluster: KubernetesLab, strategy: str, pitfall: str, status: str, words: str
) -> None:
    run = cluster.play(strategy=strategy, lab_pitfall=pitfall)
    verdict = cluster.report(strategy)["verdict"]
    assert (verdict["status"], run.code == 0) == (status, status == "pass"), run.screen
    assert words in verdict["cause"]


def test_without_a_mesh_nothing_of_it_is_left(cluster: KubernetesLab) -> None:
    assert cluster.play(strategy="istio").code == 0
    run = cluster.play(strategy="headless")
    assert run.code == 0, run.screen
    labels = namespace_labels(cluster, cluster.namespace)
    assert "istio-injection" not in labels
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert cluster.report("headless")["path"]["hops"] == ["client", "server"]
    pods = [pod for release in ("echo", "load") for pod in cluster.pods(release)]
    assert not any("istio-proxy" in container_names(pod) for pod in pods if "deletionTimestamp" not in pod["metadata"])
    kinds = "destinationrules.networking.istio.io,peerauthentications.security.istio.io"
    assert cluster.kubectl("get", kinds, "--output=name") == ""


def test_reset_of_an_existing_cluster_removes_the_labs_istio(cluster: KubernetesLab) -> None:
    lab = cluster.existing(cluster.kubeconfig, lab_namespace="mesh-made-by-the-lab")
    assert lab.play(strategy="istio-proxyless", lab_requests=100).code == 0
    reset = lab.play("reset")
    assert reset.code == 0, reset.screen
    assert "removing Istio, which the lab installed" in reset.screen
    assert not has_istio(cluster)


@pytest.fixture(scope="module")
def foreign(kind_lab: KubernetesLab) -> Iterator[KubernetesLab]:
    """The lab's Istio without its marks: for all that the lab can see, somebody else's."""
    cluster = kind_lab
    assert cluster.play(strategy="istio").code == 0
    before = json.loads(cluster.kubectl("get", "deployment", "istiod", f"--namespace={HOME}", "--output=json"))
    mark = before["spec"]["template"]["metadata"]["annotations"]["grpc-lb-lab/digest"]

    def set_marks(label: str, digest: str | None) -> None:
        patch = {"spec": {"template": {"metadata": {"annotations": {"grpc-lb-lab/digest": digest}}}}}
        cluster.kubectl("patch", "deployment", "istiod", f"--namespace={HOME}", "--patch", json.dumps(patch))
        cluster.kubectl("label", "namespace", HOME, "--overwrite", label)
        cluster.kubectl("rollout", "status", "deployment/istiod", f"--namespace={HOME}", "--timeout=60s")

    set_marks("app.kubernetes.io/managed-by-", None)
    yield cluster
    set_marks("app.kubernetes.io/managed-by=grpc-lb-lab", mark)


def test_somebody_elses_istio_is_used_and_left_alone(foreign: KubernetesLab) -> None:
    def revisions() -> str:
        return foreign.kubectl("get", "secrets", f"--namespace={HOME}", "--selector=owner=helm", "--output=name")

    before = revisions()
    lab = foreign.existing(foreign.kubeconfig, lab_namespace="mesh-team")
    run = lab.play(strategy="istio", lab_requests=100)
    assert run.code == 0, run.screen
    assert f"is there already, in the namespace {HOME}: left as it is" in run.screen
    assert lab.report("istio")["verdict"]["status"] == "pass"
    reset = lab.play("reset")
    assert reset.code == 0, reset.screen
    assert "mesh-team" not in foreign.kubectl("get", "namespaces", "--output=name")
    assert revisions() == before


def test_a_namespace_of_somebody_else_must_ask_for_injection_itself(foreign: KubernetesLab) -> None:
    name = "their-team"
    foreign.kubectl("create", "namespace", name)
    try:
        foreign.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        lab = foreign.existing(foreign.kubeconfig, lab_namespace=name)
        plain = lab.play(strategy="istio")
        assert f"kubectl label namespace {name} istio-injection=enabled" in plain.errors, plain.screen
        foreign.kubectl("label", "namespace", name, "istio-injection=enabled")
        strict = lab.play(strategy="istio")
        assert "istio-init sets up the pod's network and needs NET_ADMIN" in strict.errors, strict.screen
        assert max(plain.seconds, strict.seconds) < 15
        assert "deployment" not in foreign.kubectl("get", "deployments", f"--namespace={name}", "--output=name")
    finally:
        foreign.kubectl("delete", "namespace", name, "--timeout=80s")

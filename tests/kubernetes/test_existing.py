"""A cluster that somebody already has: one namespace, the documented rights and no more, nothing else touched."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from kubernetes_lab import BIN, REPO, KubernetesLab, write_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMESPACE = "team-a"
USER = "lab-user"


@pytest.fixture(scope="module")
def restricted(kind_lab: KubernetesLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig of a user who has the documented Role in one namespace, and nothing else."""
    # The images that these tests need come into the node with this strategy.
    assert kind_lab.play(strategy="envoy").code == 0
    kind_lab.kubectl("create", "namespace", NAMESPACE)
    labels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn", "audit")]
    kind_lab.kubectl("label", "namespace", NAMESPACE, *labels)
    kind_lab.kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", stdin=documented_role())
    kind_lab.kubectl("create", "rolebinding", "lab", f"--namespace={NAMESPACE}", "--role=grpc-lb-lab", f"--user={USER}")
    yield kubeconfig(kind_lab, tmp_path_factory.mktemp("user"))
    kind_lab.kubectl("delete", "namespace", NAMESPACE, "--timeout=80s")


def documented_role(name: str = "grpc-lb-lab") -> str:
    text = (REPO / "docs" / "existing-clusters.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if yaml.safe_load(block).get("metadata", {}).get("name") == name)


def kubeconfig(lab: KubernetesLab, folder: Path) -> Path:
    """Let the cluster's own authority sign a client certificate for the user."""
    key, request = folder / "key.pem", folder / "request.pem"
    words = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={USER}"]
    subprocess.run([*words, "-keyout", key, "-out", request], check=True, capture_output=True)
    signing = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": USER},
        "spec": {
            "request": base64.b64encode(request.read_bytes()).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    lab.kubectl("apply", "--filename=-", stdin=json.dumps(signing))
    lab.kubectl("certificate", "approve", USER)
    lab.kubectl("wait", f"csr/{USER}", "--for=jsonpath={.status.certificate}", "--timeout=30s")
    certificate = lab.kubectl("get", "csr", USER, "--output=jsonpath={.status.certificate}")
    config = yaml.safe_load(lab.kubeconfig.read_text(encoding="utf-8"))
    user = {"client-certificate-data": certificate, "client-key-data": base64.b64encode(key.read_bytes()).decode()}
    config["users"] = [{"name": USER, "user": user}]
    config["contexts"] = [{"name": "restricted", "context": {"cluster": config["clusters"][0]["name"], "user": USER}}]
    config["current-context"] = "restricted"
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def other_namespaces(lab: KubernetesLab) -> dict[str, str]:
    """Return every object outside of the team's namespace that the lab could have touched, with its version."""
    kinds = "deployments,statefulsets,daemonsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,jobs"
    items = json.loads(lab.kubectl("get", kinds, "--all-namespaces", "--output=json"))["items"]
    items += json.loads(lab.kubectl("get", "namespaces,clusterroles,clusterrolebindings", "--output=json"))["items"]
    return {
        f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}": item["metadata"]["uid"]
        for item in items
        if item["metadata"].get("namespace") != NAMESPACE
    }


@pytest.mark.parametrize("strategy", ["envoy", "service", "port-forward", "gateway"])
def test_a_user_with_the_documented_rights(kind_lab: KubernetesLab, restricted: Path, strategy: str) -> None:
    image = in_cluster_image(kind_lab)
    before = other_namespaces(kind_lab)
    lab = kind_lab.existing(restricted, image, lab_namespace=NAMESPACE)
    run = lab.play(strategy=strategy)
    assert run.code == 0, run.screen
    assert f"kubeconfig context restricted, namespace {NAMESPACE}" in run.screen
    report = lab.report(strategy)
    assert report["verdict"]["status"] == "pass"
    assert report["run"]["cluster"] == "existing"
    inventory = json.loads(next(lab.cell(strategy).rglob("inventory.json")).read_text(encoding="utf-8"))
    assert inventory["notes"] == ["not to be read with this user's rights: CoreDNS, kube-proxy mode, node"]
    assert (lab.cell(strategy) / "logs" / "Corefile").read_text(encoding="utf-8").startswith("not to be had: ")
    assert other_namespaces(kind_lab) == before


def test_the_documented_rights_are_enough_for_scenarios(
    kind_lab: KubernetesLab, restricted: Path, tmp_path: Path
) -> None:
    lab = kind_lab.existing(
        restricted, in_cluster_image(kind_lab), lab_namespace=NAMESPACE, lab_scenarios_dir=str(tmp_path)
    )
    events = [{"after_s": 0, "do": "kill", "which": "first"}, {"after_s": 5, "do": "scale", "by": 1}]
    write_scenario(lab, "rights", 15, *events)
    run = lab.play(strategy="headless", scenario="rights")
    assert not run.errors, run.screen
    folder = lab.artifacts / "latest" / "headless" / "rights" / "results"
    inventory = json.loads((folder / "inventory.json").read_text(encoding="utf-8"))
    kinds = [event["kind"] for event in inventory["events"]]
    assert (kinds.count("command"), kinds.count("replica-ended"), kinds.count("replica-ready")) == (2, 1, 2)


def test_a_control_plane_needs_the_second_role(kind_lab: KubernetesLab, restricted: Path) -> None:
    lab = kind_lab.existing(restricted, in_cluster_image(kind_lab), lab_namespace=NAMESPACE)
    refused = lab.play(strategy="lookaside")
    assert refused.code != 0
    every = "get/create/patch/delete"
    words = f"{every} roles.rbac.authorization.k8s.io, {every} rolebindings.rbac.authorization.k8s.io."
    assert words in refused.errors
    name, namespace = "grpc-lb-lab-control-planes", f"--namespace={NAMESPACE}"
    kind_lab.kubectl("apply", namespace, "--filename=-", stdin=documented_role(name))
    kind_lab.kubectl("create", "rolebinding", name, namespace, f"--role={name}", f"--user={USER}")
    try:
        before = other_namespaces(kind_lab)
        run = lab.play(strategy="lookaside")
        assert run.code == 0, run.screen
        assert other_namespaces(kind_lab) == before
        # Another strategy leaves no right behind.
        assert lab.play(strategy="service").code == 0
        left = kind_lab.kubectl("get", "roles,rolebindings", namespace, "--output=name").split()
        assert [item for item in left if item.endswith("/lookaside")] == []
    finally:
        kind_lab.kubectl("delete", "role,rolebinding", name, namespace)


def in_cluster_image(lab: KubernetesLab) -> str:
    """Return the lab's newest image in the node."""
    names = lab.in_node("ctr --namespace=k8s.io images list --quiet").split()
    return next(name for name in reversed(names) if "/grpc-lb-lab:" in name)


def test_the_user_can_do_nothing_else(restricted: Path) -> None:
    def can(*words: str) -> bool:
        command = ["kubectl", f"--kubeconfig={restricted}", "auth", "can-i", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "yes"

    own, other = f"--namespace={NAMESPACE}", "--namespace=default"
    assert can("create", "deployments", own)
    for question in (
        ("create", "deployments", other),
        ("get", "secrets", other),
        ("create", "namespaces"),
        ("get", "nodes"),
        ("create", "roles", own),
        ("create", "rolebindings", own),
        ("create", "pods", own),
        ("create", "pods/exec", own),
        ("*", "*"),
    ):
        assert not can(*question), question


def test_a_namespace_without_rights(kind_lab: KubernetesLab, restricted: Path) -> None:
    run = kind_lab.existing(restricted, "x:1", lab_namespace="default-2").play(strategy="service")
    assert run.code != 0
    assert "this user may not" in run.errors, run.screen
    assert "default-2" in run.errors
    assert "docs/existing-clusters.md" in run.errors
    assert run.seconds < 10


def test_missing_rights_are_named_before_anything_is_made(
    kind_lab: KubernetesLab, restricted: Path, tmp_path: Path
) -> None:
    role = yaml.safe_load(documented_role())
    role["rules"] = [rule for rule in role["rules"] if rule["resources"] not in (["jobs"], ["pods/portforward"])]
    kind_lab.kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", stdin=yaml.safe_dump(role))
    try:
        lab = kind_lab.existing(restricted, "x:1", lab_namespace=NAMESPACE, lab_state_dir=str(tmp_path / "state"))
        run = lab.play(strategy="port-forward")
    finally:
        kind_lab.kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", stdin=documented_role())
    assert run.code != 0
    missing = "get/list/create/patch/delete jobs.batch, get/create pods/portforward."
    assert f"may not do what the lab needs in the namespace {NAMESPACE}: {missing}" in run.errors
    assert not (tmp_path / "state" / "kubernetes.json").exists()


def foreign_release(lab: KubernetesLab, folder: Path, space: str) -> None:
    """Have a namespace with a Helm release echo of somebody else."""
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: their-echo\nversion: 3.0.0\n", encoding="utf-8")
    words = ["helm", "install", "echo", str(folder), f"--namespace={space}", "--create-namespace"]
    subprocess.run([*words, f"--kubeconfig={lab.kubeconfig}"], check=True, capture_output=True, timeout=60)


def test_a_namespace_of_somebody_else_is_refused_before_istio_comes(kind_lab: KubernetesLab, tmp_path: Path) -> None:
    foreign_release(kind_lab, tmp_path, "theirs")
    before = other_namespaces(kind_lab)
    try:
        lab = kind_lab.existing(
            user_kubeconfig(kind_lab, tmp_path), "x:1", lab_namespace="theirs", lab_state_dir=str(tmp_path / "state")
        )
        run = lab.play(strategy="istio")
        assert "has a Helm release echo of another chart (their-echo-3.0.0)" in run.errors, run.screen
        assert other_namespaces(kind_lab) == before
        assert not (tmp_path / "state" / "kubernetes.json").exists()
    finally:
        kind_lab.kubectl("delete", "namespace", "theirs", "--timeout=80s")


def user_kubeconfig(lab: KubernetesLab, folder: Path, name: str = "users-own") -> Path:
    """Return a copy of the admin's kubeconfig that is none of the lab's files."""
    path = folder / name
    path.write_bytes(lab.kubeconfig.read_bytes())
    return path


def test_helms_reason_is_one_sentence(kind_lab: KubernetesLab, restricted: Path) -> None:
    kind_lab.kubectl("create", "quota", "none", "--hard=services=0", f"--namespace={NAMESPACE}")
    try:
        kind_lab.kubectl(
            "wait",
            "quota/none",
            "--for=jsonpath={.status.hard.services}=0",
            f"--namespace={NAMESPACE}",
            "--timeout=20s",
        )
        run = kind_lab.existing(restricted, "x:1", lab_namespace=NAMESPACE).play(strategy="service")
    finally:
        kind_lab.kubectl("delete", "quota", "none", f"--namespace={NAMESPACE}")
    assert f"error: Helm could not install the release echo in the namespace {NAMESPACE}: the quota none" in run.errors
    assert "(requested services=1, used services=0, limited to services=0)" in run.errors


def test_a_place_that_is_gone_does_not_keep_the_others(
    kind_lab: KubernetesLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three places, noted by way of KUBECONFIG; then one kubeconfig goes, and the shell looks at something else."""
    state, gone = tmp_path / "state", user_kubeconfig(kind_lab, tmp_path, "gone")
    for space, path in (
        ("first", gone),
        ("second", user_kubeconfig(kind_lab, tmp_path)),
        ("third", tmp_path / "users-own"),
    ):
        monkeypatch.setenv("KUBECONFIG", f"{path}:/no/such/file")
        words = ["kubernetes", "prepare", f"--state={state}", f"--namespace={space}", "--strategy=x", "--images", "x:1"]
        subprocess.run([str(BIN / "lb-lab"), *words], check=True, capture_output=True, timeout=60)
    gone.unlink()

    def spaces() -> set[str]:
        names = kind_lab.kubectl("get", "namespaces", "--output=name").split()
        return {name.rpartition("/")[2] for name in names} & {"first", "second", "third"}

    lab = kind_lab.but(lab_state_dir=str(state), place_kind_name="nobodys", lab_cluster="auto")
    one = lab.play("reset", lab_cluster="existing", lab_namespace="second")
    assert (one.code, spaces()) == (0, {"first", "third"}), one.screen
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    rest = lab.play("reset")
    assert (rest.code, spaces()) == (2, {"first"}), rest.screen
    assert "could not be removed:" in rest.errors
    assert f"- namespace first of context kind-{kind_lab.cluster}: the kubeconfig {gone}" in rest.screen
    assert lab.play("reset", place_forget=True).code == 0
    assert not (state / "kubernetes.json").exists()
    kind_lab.kubectl("delete", "namespace", "first", "--timeout=80s")


def test_a_kubeconfig_that_cannot_be_used_is_told(kind_lab: KubernetesLab, tmp_path: Path) -> None:
    path = user_kubeconfig(kind_lab, tmp_path)
    run = kind_lab.existing(path, "x:1", place_context="no-such").play(strategy="service")
    assert f"error: the kubeconfig {path} has no context no-such. It has kind-{kind_lab.cluster}." in run.errors


def test_reset_leaves_a_namespace_that_it_did_not_make(kind_lab: KubernetesLab, restricted: Path) -> None:
    kind_lab.kubectl("create", "configmap", "theirs", f"--namespace={NAMESPACE}")
    lab = kind_lab.existing(restricted, in_cluster_image(kind_lab), lab_namespace=NAMESPACE)
    assert lab.play(strategy="service").code == 0
    run = lab.play("reset")
    assert run.code == 0, run.screen
    kinds = "deployments,jobs,services,pods,poddisruptionbudgets,secrets"
    assert kind_lab.kubectl("get", kinds, f"--namespace={NAMESPACE}", "--output=name").split() == []
    assert "configmap/theirs" in kind_lab.kubectl("get", "configmaps", f"--namespace={NAMESPACE}", "--output=name")


def test_reset_removes_a_namespace_that_it_made(kind_lab: KubernetesLab, restricted: Path) -> None:
    lab = kind_lab.existing(kind_lab.kubeconfig, in_cluster_image(kind_lab), lab_namespace="made-by-the-lab")
    assert lab.play(strategy="headless").code == 0
    labels = json.loads(kind_lab.kubectl("get", "namespace", "made-by-the-lab", "--output=json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert lab.play("reset").code == 0
    assert "made-by-the-lab" not in kind_lab.kubectl("get", "namespaces", "--output=name")
    again = lab.play("reset")
    assert again.code == 0, again.screen
    assert again.changed_tasks() == []

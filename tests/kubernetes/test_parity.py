"""Every strategy shows the same on kind as on this machine's processes."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes_lab import REPO, KubernetesLab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest.mark import ParameterSet

SAME = "test_same_class_servers_and_verdict"


def strategies() -> list[ParameterSet]:
    """Return the strategies that run in both places; some need a program on this machine."""
    files = sorted((REPO / "strategies").glob("*.yaml"))
    parts = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    proxies = {name: part.get("gateway", {}).get("proxy", "envoy") for name, part in parts.items()}
    return [
        pytest.param(name, marks=pytest.mark.needs(proxies[name]) if proxies[name] != "envoy" else ())
        for name, part in parts.items()
        if {"local", "kind"} <= set(part["strategy"].get("clusters", ["local", "kind"]))
    ]


def facts(report: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same in both places."""
    return {
        "status": report["verdict"]["status"],
        "observed": report["verdict"]["observed"],
        "expected": report["verdict"]["expected"],
        "servers hit": report["distribution"]["servers_hit"],
        "replicas": report["distribution"]["replicas"],
        "hops": report["path"]["hops"],
        "proven": report["path"]["proven"],
        "explained": report["reconciliation"]["explained"],
        "ok": report["actual"]["ok"],
        "counts": sorted(item["requests"] for item in report["backends"]),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the local lab needs Linux")
@pytest.mark.parametrize("strategy", strategies())
def test_same_class_servers_and_verdict(kind_lab: KubernetesLab, local_cells: Path, strategy: str) -> None:
    places = {"kind": facts(on_kind(kind_lab, strategy)), "local": facts(on_local(local_cells, strategy))}
    assert places["kind"]["status"] == "pass"
    # A policy that draws gives other counts every time; one that counts gives the same.
    if not exact(strategy):
        for place in places.values():
            del place["counts"]
    assert places["kind"] == places["local"]


def on_kind(lab: KubernetesLab, strategy: str) -> dict[str, Any]:
    """Return the report of molecule's scenario, which has just run; without one, run the strategy."""
    folder = REPO / os.environ.get("LAB_TEST_MOLECULE", ".lab/none")
    reports = sorted(folder.glob(f"{strategy}/2*/{strategy}/steady/report.json"))
    if reports:
        report: dict[str, Any] = json.loads(reports[-1].read_text(encoding="utf-8"))
    else:
        run = lab.play(strategy=strategy)
        assert run.code == 0, run.screen
        report = lab.report(strategy)
    assert report["run"]["cluster"] == "kind"
    return report


@pytest.fixture(scope="module")
def local_cells(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One comparison on processes of this machine, of every strategy that a test here asks for."""
    folder = tmp_path_factory.mktemp("local")
    places = {"lab_state_dir": str(folder / "state"), "lab_artifacts_dir": str(folder / "artifacts")}
    lab = KubernetesLab(folder, variables={"lab_cluster": "local", **places})
    tests = [item for item in request.session.items if getattr(item, "originalname", "") == SAME]
    tests = [item for item in tests if not item.get_closest_marker("skip")]
    wanted = [item.callspec.params["strategy"] for item in tests]  # type: ignore[attr-defined]
    run = lab.play("compare", strategies=",".join(wanted), limit_s=500)
    assert run.code == 0, run.screen
    yield folder / "artifacts" / "latest"
    assert lab.play("reset").code == 0


def on_local(cells: Path, strategy: str) -> dict[str, Any]:
    """Return the report of the strategy's cell there."""
    report: dict[str, Any] = json.loads((cells / strategy / "steady" / "report.json").read_text(encoding="utf-8"))
    assert report["run"]["cluster"] == "local"
    return report


def exact(strategy: str) -> bool:
    text = (REPO / "strategies" / f"{strategy}.yaml").read_text(encoding="utf-8")
    return bool(yaml.safe_load(text)["strategy"]["precision"] == "exact")


@pytest.mark.parametrize("strategy", ["envoy", "gateway"])
def test_several_clients_make_one_report(cluster: KubernetesLab, strategy: str) -> None:
    run = cluster.play(strategy=strategy, lab_clients=4, lab_replicas=7, lab_requests=2003)
    assert run.code == 0, run.screen
    report = cluster.report(strategy)
    assert report["actual"]["ok"] == 2003
    assert sum(item["requests"] for item in report["backends"]) == 2003
    assert len(report["backends"]) == 7
    counts = report["reconciliation"]
    assert (counts["client_calls"], counts["server_attempts"], counts["proxy_requests"]) == (2003, 2003, 2003)
    assert len(list((cluster.cell(strategy) / "results").glob("client-*.json"))) == 4
    assert report["requested"]["clients"] == 4


@pytest.mark.parametrize("strategy", ["gateway-nginx", "xds"])
def test_fewer_replicas_are_all_that_answer(cluster: KubernetesLab, strategy: str) -> None:
    """The proxy or the control plane stays; it must have forgotten the replicas that went."""
    for replicas in (4, 2):
        run = cluster.play(strategy=strategy, lab_replicas=replicas, lab_requests=200)
        assert run.code == 0, run.screen
        assert len(cluster.report(strategy)["backends"]) == replicas


@pytest.mark.parametrize("strategy", ["envoy", "gateway", "lookaside"])
def test_second_run_changes_only_the_load_and_is_quick(cluster: KubernetesLab, strategy: str) -> None:
    assert cluster.play(strategy=strategy).code == 0
    first = {pod["metadata"]["uid"] for pod in cluster.pods("echo")}
    again = cluster.play(strategy=strategy)
    assert again.code == 0, again.screen
    outside = strategy == "gateway"
    install = [] if outside else ["Install the load"]
    assert again.changed_tasks() == [*install, "Follow the load and collect its results"]
    assert {pod["metadata"]["uid"] for pod in cluster.pods("echo")} == first
    assert again.seconds < 40


def test_another_strategy_gets_fresh_servers(cluster: KubernetesLab) -> None:
    assert cluster.play(strategy="envoy").code == 0
    before = {pod["metadata"]["uid"] for pod in cluster.pods("echo")}
    assert cluster.play(strategy="service").code == 0
    now = {pod["metadata"]["uid"] for pod in cluster.pods("echo") if "deletionTimestamp" not in pod["metadata"]}
    assert len(now) == 5
    assert not now & before


def test_artifacts_explain_a_green_run_too(cluster: KubernetesLab) -> None:
    assert cluster.play(strategy="envoy").code == 0
    logs = cluster.cell("envoy") / "logs"
    assert "load" in (logs / "events.txt").read_text(encoding="utf-8")
    assert "Name:" in (logs / "describe.txt").read_text(encoding="utf-8")
    assert "kubernetes cluster.local" in (logs / "Corefile").read_text(encoding="utf-8")
    assert "mode:" in (logs / "kube-proxy.conf").read_text(encoding="utf-8")
    assert '"dynamic_active_clusters"' in (logs / "envoy-config.json").read_text(encoding="utf-8") or (
        '"static_clusters"' in (logs / "envoy-config.json").read_text(encoding="utf-8")
    )
    assert "echo::" in (logs / "envoy-clusters.txt").read_text(encoding="utf-8")
    assert "cluster.echo.upstream_cx_total" in (logs / "envoy-stats.txt").read_text(encoding="utf-8")
    versions = (
        cluster.report("envoy")["versions"]
        if "versions" in cluster.report("envoy")
        else cluster.report("envoy")["run"]["versions"]
    )
    assert {"kubernetes", "kube-proxy mode", "CoreDNS", "Envoy"} <= set(versions)


def test_helm_test_of_the_release(cluster: KubernetesLab) -> None:
    import subprocess

    assert cluster.play(strategy="service").code == 0
    words = [
        "helm",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--namespace={cluster.namespace}",
        "test",
        "echo",
        "--timeout=60s",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Succeeded" in done.stdout

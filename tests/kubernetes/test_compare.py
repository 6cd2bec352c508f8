"""compare.yml on a cluster: stopped with Ctrl-C in the middle of a cell, then resumed to the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING, Any

from kubernetes_lab import REPO

if TYPE_CHECKING:
    from pathlib import Path

    from kubernetes_lab import KubernetesLab

STRATEGIES = ["baseline", "service", "headless", "envoy"]
WANTED: dict[str, Any] = {"strategies": STRATEGIES, "lab_requests": 500}


def test_a_comparison_is_stopped_and_resumed(cluster: KubernetesLab) -> None:
    before = set(runs(cluster))
    stop_after_the_first_cell(cluster, before)
    (run,) = set(runs(cluster)) - before
    finished = [name for name in STRATEGIES if (run / name / "steady" / "report.json").exists()]
    assert "baseline" in finished and "envoy" not in finished
    untouched = {name: (run / name / "steady" / "report.json").stat().st_mtime_ns for name in finished}

    rest = cluster.play("compare", lab_resume=True, **WANTED)
    assert rest.code == 0, rest.screen
    assert rest.screen.count("done before") == len(finished), rest.screen
    assert "4 cells: 4 passed" in rest.screen
    assert set(runs(cluster)) - before == {run}
    assert {name: (run / name / "steady" / "report.json").stat().st_mtime_ns for name in finished} == untouched
    cells = {cell["strategy"]: cell for cell in summary(run)["cells"]}
    assert {name: cell["observed"] for name, cell in cells.items()} == {
        "baseline": "pinned", "service": "pinned", "headless": "even", "envoy": "even",
    }  # fmt: skip
    assert all(cell["cluster"] == "kind" for cell in cells.values())
    assert cells["service"]["overhead"] is not None
    # The servers tell their CPU; the Envoy beside the client is another container, whose clock nobody here can read.
    assert all(cell["client_us"] > 0 and cell["servers_us"] > 0 for cell in cells.values())
    assert cells["envoy"]["proxies_us"] is None
    assert len(list(ElementTree.parse(run / "junit.xml").iter("testcase"))) == len(STRATEGIES)
    assert "not measured" in (run / "index.html").read_text()


def test_servers_answer_prometheus(cluster: KubernetesLab) -> None:
    """As the API server's proxy reaches them: at the port that their pods name."""
    run = cluster.play(strategy="headless")
    assert run.code == 0, run.screen
    counts = []
    for pod in cluster.pods("echo"):
        container = pod["spec"]["containers"][0]
        port = next(item["containerPort"] for item in container["ports"] if item["name"] == "metrics")
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(port)
        path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod['metadata']['name']}:{port}/proxy/metrics"
        told = cluster.kubectl("get", "--raw", path)
        lines = [line for line in told.splitlines() if line.startswith("grpc_server_handled_total{")]
        counts.append(sum(float(line.rpartition(" ")[2]) for line in lines if 'grpc_method="Echo"' in line))
    report = cluster.report("headless")
    assert sum(counts) >= report["actual"]["ok"] > 0
    assert min(counts) >= report["actual"]["ok"] / len(counts) - 1


def stop_after_the_first_cell(cluster: KubernetesLab, before: set[Path]) -> None:
    """Ctrl-C on the whole process group, as a terminal sends it, while the second cell is under way."""
    process = subprocess.Popen(
        cluster.command("compare", **WANTED),
        cwd=REPO,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 180
    while not any((run / "baseline/steady/cell.json").exists() for run in set(runs(cluster)) - before):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    screen, _ = process.communicate(timeout=60)
    assert process.returncode != 0, screen


def runs(cluster: KubernetesLab) -> list[Path]:
    return [path for path in cluster.artifacts.glob("*-compare") if not path.is_symlink()]


def summary(run: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return data

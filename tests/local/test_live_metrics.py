"""A real Prometheus scrapes a lab under load: the figures are those of the run, every query has an answer."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from live_lab import ROOT, Lab, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("prometheus")

DASHBOARD = json.loads((ROOT / "dashboards" / "grpc-lb-lab.json").read_text())
SCRAPE_S = 0.2
LOAD_S = 4
REPLICAS = 3
CALLS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [target["expr"] for target in CALLS] + [
    one["expr"] for one in DASHBOARD["annotations"]["list"] if "expr" in one
]


class Prometheus:
    """A Prometheus on loopback with the lab's own configuration, but for the file's place and the interval."""

    def __init__(self, folder: Path, targets: Path) -> None:
        config = yaml.safe_load((ROOT / "dashboards" / "prometheus-local.yml").read_text())
        config["global"]["scrape_interval"] = f"{SCRAPE_S * 1000:.0f}ms"
        (job,) = config["scrape_configs"]
        job["file_sd_configs"] = [{"files": [str(targets)]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
                 f"--web.listen-address={self.address}", "--log.level=warn"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def ask(self, path: str, **words: Any) -> list[dict[str, Any]]:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found

    def now(self, query: str, label: str = "") -> dict[str, float]:
        """The value of each series now, by one of its labels."""
        return {one["metric"].get(label, ""): float(one["value"][1]) for one in self.ask("query", query=query)}

    def up(self) -> dict[str, float]:
        try:
            return self.now("sum(up) by (role)", "role")
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return {}


def make_plan(folder: Path, run: str, **load: Any) -> Path:
    strategy = yaml.safe_load((ROOT / "strategies" / "endpoints.yaml").read_text())
    load = {"clients": 2, "replicas": REPLICAS, "requests": None} | load
    plan = {"run": run, "scenario": "steady", "strategy": strategy, "load": load, "targets": {}}
    path = folder / f"{run}.json"
    path.write_text(json.dumps(plan))
    return path


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("client-*.json"))]


class Watched:
    """What was measured, and the Prometheus that watched; ``begin`` and ``end`` are epoch seconds."""

    def __init__(self, prometheus: Prometheus, runs: dict[str, list[dict[str, Any]]], begin: float) -> None:
        self.prometheus = prometheus
        self.runs = runs
        self.begin = begin
        self.end = time.time()

    @property
    def watched(self) -> list[dict[str, Any]]:
        return self.runs["watched"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Two clients for some seconds, and in the middle one replica that fails."""
    folder = tmp_path_factory.mktemp("metrics")
    lab = Lab(folder / "state")
    prometheus = None
    try:
        lab.up("endpoints", REPLICAS)
        # So both clients are in the list before Prometheus reads it: it follows a change only after 5 s.
        lab.do("load", "--plan", make_plan(folder, "before", requests=30), "--results", folder / "before")
        prometheus = Prometheus(folder, lab.state / "metrics.json")
        until(lambda: prometheus.up() == {"server": REPLICAS, "client": 0}, "Prometheus scrapes the replicas")
        begin = time.time()
        plan = make_plan(folder, "watched", duration_s=LOAD_S, rate_rps=400)
        load = lab.start("load", "--plan", plan, "--results", folder / "watched")
        until(lambda: prometheus.now("sum(grpc_client_requests_total) > 200"), "calls are seen", LOAD_S)
        lab.set_fault(lab.status()["replicas"][0], fail_code="RESOURCE_EXHAUSTED", for_ms=800)
        _, errors = load.communicate(timeout=60)
        assert load.returncode == 0, errors
        time.sleep(2 * SCRAPE_S)  # the servers' last counts
        yield Watched(prometheus, {name: results(folder / name) for name in ("before", "watched")}, begin)
    finally:
        if prometheus:
            prometheus.process.terminate()
            prometheus.process.wait(10)
        lab.run("down")


def test_sum_over_backends_is_the_calls_made(lab: Watched) -> None:
    by_pod: dict[str, float] = {}
    for client in lab.watched:
        for backend in client["backends"]:
            by_pod[backend["pod"]] = by_pod.get(backend["pod"], 0) + backend["requests"]
    query = "sum(max_over_time(grpc_client_requests_total[5m])) by (backend)"
    assert lab.prometheus.now(query, "backend") == by_pod
    assert len(by_pod) == REPLICAS
    assert sum(by_pod.values()) == sum(client["ok"] for client in lab.watched)


def test_clients_tell_every_code_and_every_latency(lab: Watched) -> None:
    failed = sum(client["failed"] for client in lab.watched)
    assert failed > 0
    codes = lab.prometheus.now("sum(max_over_time(grpc_client_handled_total[5m])) by (grpc_code)", "grpc_code")
    assert codes == {"OK": sum(client["ok"] for client in lab.watched), "RESOURCE_EXHAUSTED": failed}
    counted = lab.prometheus.now("sum(max_over_time(grpc_client_handling_seconds_count[5m]))")
    assert counted == {"": sum(client["requests"] for client in lab.watched)}


def test_servers_tell_what_they_handled(lab: Watched) -> None:
    asked = [server for name in lab.runs for server in latest_counts(lab.runs[name])]
    attempts = sum(server["attempts"] + server["warmup_attempts"] for server in asked)
    for metric in ("grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds_count"):
        assert lab.prometheus.now(f'sum({metric}{{grpc_method="Echo"}})') == {"": attempts}
    codes = lab.prometheus.now('sum(grpc_server_handled_total{grpc_method="Echo"}) by (grpc_code)', "grpc_code")
    assert codes["RESOURCE_EXHAUSTED"] == sum(server["failed"] for server in asked)
    pods = lab.prometheus.now("sum(grpc_server_handled_total) by (pod)", "pod")
    assert set(pods) == {server["pod"] for server in asked}


def latest_counts(clients: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of two clients' questions the later one, which saw everything."""
    best: dict[str, dict[str, Any]] = {}
    for server in (server for client in clients for server in client["servers"]):
        total = server["attempts"] + server["warmup_attempts"]
        if (
            server["uid"] not in best
            or total > best[server["uid"]]["attempts"] + best[server["uid"]]["warmup_attempts"]
        ):
            best[server["uid"]] = server
    return list(best.values())


def test_ready_connections_are_those_of_the_clients(lab: Watched) -> None:
    query = 'max_over_time(sum(grpc_client_connection_state{state="READY"}) by (backend)[1m:100ms])'
    seen = lab.prometheus.now(query, "backend")
    pods = {backend["pod"] for client in lab.watched for backend in client["backends"]}
    assert seen.keys() >= pods  # before its first answer a replica is known by its address
    assert all(seen[pod] == len(lab.watched) for pod in pods)


def test_a_run_is_told_by_name(lab: Watched) -> None:
    told = lab.prometheus.ask("query", query="max_over_time(grpc_lb_lab_run_info[5m])")
    assert {(one["metric"]["run"], one["metric"]["strategy"], one["metric"]["client"]) for one in told} == {
        ("watched", "endpoints", "0"), ("watched", "endpoints", "1"),
    }  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_query_of_the_dashboard_has_a_sensible_answer(lab: Watched, expression: str) -> None:
    query = expression.replace("$__rate_interval", "1s").replace("$__range", "5m")
    assert "$" not in query
    series = lab.prometheus.ask("query_range", query=query, start=lab.begin, end=lab.end, step=0.2)
    values = [float(value) for one in series for _, value in one["values"]]
    finite = [value for value in values if math.isfinite(value)]
    assert finite, f"no answer to {query}"
    assert min(finite) >= 0
    assert max(finite) > 0 or 'state!="READY"' in query, f"nothing but zeros for {query}"
    by = [target for target in CALLS if target["expr"] == expression]
    for label in (word.strip("{} ") for target in by for word in target["legendFormat"].split() if "{{" in word):
        assert all(one["metric"].get(label) for one in series), f"{label} is in the legend, and not in {query}"


def test_a_query_for_what_is_not_there_has_no_answer(lab: Watched) -> None:
    """The test above would notice a metric that is renamed."""
    assert lab.prometheus.ask("query_range", query="sum(grpc_client_renamed_total)", start=lab.begin, end=lab.end,
                              step=0.2) == []  # fmt: skip


def test_the_dashboard_has_the_two_queries_that_everybody_wants() -> None:
    assert "sum(rate(grpc_client_requests_total[5m])) by (backend)" in EXPRESSIONS
    assert 'sum(grpc_client_connection_state{state="READY"}) by (backend)' in EXPRESSIONS

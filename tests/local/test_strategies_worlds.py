"""Strategies with a world of their own: each passes, and with its mechanism broken the verdict turns red."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.inventory import Inventory
from grpc_lb_lab.model.plan import Plan
from grpc_lb_lab.model.result import ClientResult
from grpc_lb_lab.places.local import programs
from grpc_lb_lab.places.local.supervisor import edge, envoy
from grpc_lb_lab.settings import validate
from grpc_lb_lab.views.artifacts import read_as
from live_lab import ROOT, Lab, alive, descendants, kill, until

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.judge.document import Report

GATEWAYS = (
    "gateway",
    pytest.param("gateway-nginx", marks=pytest.mark.needs("nginx")),
    pytest.param("gateway-haproxy", marks=pytest.mark.needs("haproxy")),
)
REPLICAS = 3


def strategy(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "strategies" / f"{name}.yaml").read_text())
    content["client"].pop("probes", None)
    return content


def write_plan(folder: Path, content: dict[str, Any], targets: dict[str, str], requests: int, clients: int) -> Path:
    load = {"requests": requests, "clients": clients, "replicas": REPLICAS}
    plan = {"run": "worlds", "scenario": "steady", "strategy": content, "load": load, "targets": targets}
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    return path


def report_of(plan: Path, results: Path) -> Report:
    found = [read_as(ClientResult, path) for path in sorted(results.glob("client-*.json"))]
    return build_report(read_as(Plan, plan), read_as(Inventory, results / "inventory.json"), found)


def run(lab: Lab, folder: Path, content: dict[str, Any], requests: int = 300, clients: int = 1) -> Report:
    """One load of a strategy in a lab that is up, judged."""
    file = folder / "strategy.yaml"
    file.write_text(yaml.safe_dump(content))
    up = lab.do("up", "--strategy", file, "--replicas", str(REPLICAS))
    plan = write_plan(folder, content, up["targets"], requests, clients)
    lab.do("load", "--plan", plan, "--results", folder / "results")
    return report_of(plan, folder / "results")


def broken_file(original: Path, folder: Path, old: str, new: str) -> str:
    """A copy of a proxy's file with one part replaced; its path works where a name of the chart's folder does."""
    text = original.read_text()
    assert old in text
    copy = folder / original.name
    copy.write_text(text.replace(old, new))
    return str(copy)


@pytest.mark.parametrize("name", [*GATEWAYS, "envoy-both", "port-forward"])
def test_a_strategy_passes_with_several_clients(lab: Lab, tmp_path: Path, name: str) -> None:
    content = strategy(name)
    report = run(lab, tmp_path, content, requests=601, clients=2)
    assert report.verdict.status == "pass", report.verdict.cause
    assert report.path.hops == ["client", *content["strategy"].get("hops", []), "server"]
    again = lab.do("up", "--strategy", tmp_path / "strategy.yaml", "--replicas", str(REPLICAS))
    assert again["changed"] is False
    assert lab.status()["load"] is None


@pytest.mark.parametrize("name", [*GATEWAYS, "envoy-both", "port-forward"])
def test_a_client_that_goes_to_the_replicas_itself_is_noticed(lab: Lab, tmp_path: Path, name: str) -> None:
    content = strategy(name)
    content["client"] |= {"target": "headless", "channel": "round_robin"}
    report = run(lab, tmp_path, content)
    assert report.verdict.status == "invalid"
    assert "a replica, instead of" in report.verdict.cause


SWAPPED = {
    "gateway-nginx": ("zone echo 512k;", "zone echo 512k; random;"),
    "gateway-haproxy": ("balance roundrobin", "balance random(1)"),
    "gateway": ("lb_policy: ${LB_POLICY}", "lb_policy: RANDOM"),
}
SILENT = {
    "gateway-nginx": ("grpc_set_header via gateway;", ""),
    "gateway-haproxy": ("http-request add-header via gateway", ""),
    "gateway": ("via: gateway", ""),
}


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_with_another_policy_is_noticed(lab: Lab, tmp_path: Path, name: str) -> None:
    content = strategy(name)
    content["gateway"]["config"] = broken_file(edge.FILES / content["gateway"]["config"], tmp_path, *SWAPPED[name])
    report = run(lab, tmp_path, content)
    assert (report.verdict.status, report.verdict.observed) == ("fail", "skewed")
    assert report.path.proven


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_that_leaves_no_header_is_noticed(lab: Lab, tmp_path: Path, name: str) -> None:
    content = strategy(name)
    content["gateway"]["config"] = broken_file(edge.FILES / content["gateway"]["config"], tmp_path, *SILENT[name])
    report = run(lab, tmp_path, content)
    assert report.verdict.status == "invalid"
    assert "came through no proxy, expected gateway" in report.verdict.cause


def test_a_server_proxy_that_leaves_no_header_is_noticed(lab: Lab, tmp_path: Path) -> None:
    content = strategy("envoy-both")
    original = envoy.CHART_FILES / "server-sidecar.yaml"
    content["envoy"]["server"] = broken_file(original, tmp_path, "via: envoy-server", "")
    report = run(lab, tmp_path, content)
    assert report.verdict.status == "invalid"
    assert "came through envoy-client, expected envoy-client and envoy-server" in report.verdict.cause


def test_a_service_whose_proxy_pins_its_calls_is_noticed(lab: Lab, tmp_path: Path) -> None:
    """The other services stay even, and so may the sum: only the count of each method shows it."""
    content = strategy("envoy-advanced")
    pinned = "lb_policy: RING_HASH"
    original = envoy.CHART_FILES / "sidecar-advanced.yaml"
    text = original.read_text().replace("lb_policy: ${LB_POLICY}", pinned)
    route = "route: {cluster: greeter, timeout: 30s}"
    hashed = "route: {cluster: greeter, timeout: 30s, hash_policy: [{header: {header_name: x-lab-run}}]}"
    assert route in text
    copy = tmp_path / original.name
    copy.write_text(text.replace(route, hashed))
    content["envoy"]["client"] = str(copy)
    report = run(lab, tmp_path, content)
    assert (report.verdict.status, report.verdict.observed) == ("fail", "skewed")


@pytest.mark.parametrize("name", ["lookaside", "xds"])
def test_an_endpoint_that_the_control_plane_hides_is_noticed(lab: Lab, tmp_path: Path, name: str) -> None:
    content = strategy(name)
    file = tmp_path / "strategy.yaml"
    file.write_text(yaml.safe_dump(content))
    up = lab.do("up", "--strategy", file, "--replicas", str(REPLICAS))
    path = lab.state / "endpoints.json"
    services = json.loads(path.read_text())["services"]
    path.write_text(json.dumps({"services": {service: found[1:] for service, found in services.items()}}))
    plan = write_plan(tmp_path, content, up["targets"], 300, 1)
    lab.do("load", "--plan", plan, "--results", tmp_path / "results")
    report = report_of(plan, tmp_path / "results")
    assert (report.verdict.status, report.verdict.observed) == ("fail", "skewed")
    assert "got no call" in report.verdict.cause


@pytest.mark.parametrize("name", ["lookaside", "xds"])
def test_a_control_plane_that_dies_in_the_middle_is_back_and_no_call_fails(lab: Lab, tmp_path: Path, name: str) -> None:
    content = strategy(name)
    file = tmp_path / "strategy.yaml"
    file.write_text(yaml.safe_dump(content))
    up = lab.do("up", "--strategy", file, "--replicas", str(REPLICAS))
    plan = write_plan(tmp_path, content, up["targets"], 6_000, 1)
    load = lab.start("load", "--plan", plan, "--results", tmp_path / "results")
    until(lambda: (lab.status()["load"] or {}).get("done"), "the load sends calls")
    victim = lab.status()["control_planes"][0]["pid"]
    kill(victim)
    _, errors = load.communicate(timeout=60)
    assert load.returncode == 0, errors
    report = report_of(plan, tmp_path / "results")
    assert (report.actual.ok, report.actual.failed) == (6_000, 0)
    until(lambda: lab.status()["control_planes"][0]["pid"] != victim, "another one was started")
    kinds = [event["kind"] for event in lab.status()["events"]]
    assert f"{name}-ended" in kinds


def test_a_replica_and_its_envoy_live_and_die_together(lab: Lab) -> None:
    lab.up("envoy-both", 2)
    first, second = lab.status()["replicas"]
    lab.do("kill", first["pod"])
    until(lambda: not alive(first["proxy_pid"]), "the Envoy of a killed replica ended")
    kill(second["proxy_pid"])
    until(lambda: not alive(second["pid"]), "the replica of a killed Envoy ended")
    old = {first["uid"], second["uid"]}
    until(lambda: len(lab.ready()) == 2 and not old & set(lab.ready()), "two new replicas are ready", timeout_s=20)


def test_a_lab_refuses_what_only_a_cluster_can_run(lab: Lab, tmp_path: Path) -> None:
    content = strategy("headless")
    content["strategy"]["clusters"] = ["kind", "existing"]
    file = tmp_path / "strategy.yaml"
    file.write_text(yaml.safe_dump(content))
    refused = lab.run("up", "--strategy", file)
    assert refused.returncode == 2
    assert "strategy headless cannot run on local; it needs -e lab_cluster=kind or" in refused.stderr
    assert not lab.state.exists()


@pytest.mark.parametrize("name", ["gateway-nginx", "gateway-haproxy"])
def test_a_missing_proxy_ends_the_run_before_anything_starts(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(programs, "_SERVERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    wanted = {"lab_strategy": name, "lab_cluster": "local"}
    with pytest.raises(UsageError, match=f"strategy={name}: .* is not installed on this machine: install the package"):
        validate(wanted, repo=ROOT, answers=lambda _: False, platform="linux")
    # Kubernetes brings its own.
    assert validate({**wanted, "lab_cluster": "kind"}, repo=ROOT, answers=lambda _: True, platform="linux")


def test_the_advanced_probes_show_the_breaker_and_the_ejection(lab: Lab, tmp_path: Path) -> None:
    content = strategy("envoy-advanced")
    content["client"]["probes"] = ["breaker", "ejection"]
    run(lab, tmp_path, content)
    probes = read_as(ClientResult, tmp_path / "results" / "client-0.json").probes
    breaker, ejection = probes["breaker"], probes["ejection"]
    refused = breaker["upstream_rq_pending_overflow"] + breaker["upstream_rq_active_overflow"]
    # Which of the two limits is met first depends on how fast the burst comes.
    assert breaker["rejected"] == refused > 0
    assert breaker["ok"] + breaker["rejected"] == breaker["offered"]
    assert (breaker["other_failures"], breaker["closed_again"]) == (0, "yes")
    assert (ejection["failed_until_ejected"], ejection["failed_while_out"]) == (5, 0)
    assert (ejection["ejections"], ejection["active_at_the_end"], ejection["answers_again"]) == (1, 0, "yes")


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_follows_the_replicas_without_losing_a_call(lab: Lab, tmp_path: Path, name: str) -> None:
    content = strategy(name)
    file = tmp_path / "strategy.yaml"
    file.write_text(yaml.safe_dump(content))
    up = lab.do("up", "--strategy", file, "--replicas", "2")
    plan = write_plan(tmp_path, content, up["targets"], 0, 1)
    data = json.loads(plan.read_text())
    data["load"] |= {"requests": None, "duration_s": 12, "rate_rps": 100, "replicas": 2}
    plan.write_text(json.dumps(data))
    load = lab.start("load", "--plan", plan, "--results", tmp_path / "results")
    until(lambda: (lab.status()["load"] or {}).get("done"), "the load sends calls", timeout_s=20)
    lab.do("scale", "3")
    _, errors = load.communicate(timeout=60)
    assert load.returncode == 0, errors
    result = read_as(ClientResult, tmp_path / "results" / "client-0.json")
    assert (result.failed, len(result.backends)) == (0, 3)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("victim", ["supervisor", "gateway"])
def test_an_nginx_that_loses_its_parent_or_its_life_leaves_no_worker(lab: Lab, tmp_path: Path, victim: str) -> None:
    content = strategy("gateway-nginx")
    file = tmp_path / "strategy.yaml"
    file.write_text(yaml.safe_dump(content))
    up = lab.do("up", "--strategy", file, "--replicas", "2")
    plan = write_plan(tmp_path, content, up["targets"], 10_000_000, 1)
    load = lab.start("load", "--plan", plan, "--results", tmp_path / "results")
    until(lambda: (lab.status()["load"] or {}).get("done"), "the load sends calls", timeout_s=20)
    status = lab.status()
    [master] = [part["pid"] for part in status["load"]["proxies"]]
    pids = descendants(master)
    assert len(pids) == 2
    kill(status["pid"] if victim == "supervisor" else master)
    _, errors = load.communicate(timeout=20)
    assert load.returncode == 4, errors
    until(lambda: not any(alive(pid) for pid in pids), "master and worker ended", timeout_s=5)

"""Each strategy that the client's own side makes: sound it passes, with its mechanism broken the verdict turns red."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.data import from_dict
from grpc_lb_lab.model.inventory import Inventory
from grpc_lb_lab.model.plan import Plan
from grpc_lb_lab.model.result import ClientResult
from live_lab import ROOT, Lab, alive, descendants, kill, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from grpc_lb_lab.judge.document import Report

REPLICAS = 3
STRATEGIES = {
    "envoy-least-request": "even",
    "envoy-random": "even",
    "envoy-ring-hash": "hashed",
    "envoy-maglev": "hashed",
    "service-connections": "spread",
    "endpoints": "even",
    "pool": "even",
    "lookaside": "even",
    "xds": "even",
}


def strategy_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "strategies" / f"{name}.yaml").read_text())
    return content


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab with every part that these strategies need."""
    lab = Lab(tmp_path_factory.mktemp("lab") / "state")
    for name in ("service-connections", "lookaside", "xds"):
        lab.up(name, REPLICAS)
    pids = descendants(lab.status()["pid"])
    yield lab
    assert lab.run("down").returncode == 0
    assert [pid for pid in pids if alive(pid)] == []


@pytest.fixture
def judged(shared: Lab, tmp_path: Path) -> Callable[..., Report]:
    """Run a load of a strategy and judge it; ``during`` is called while it runs."""

    def run(strategy: dict[str, Any], during: Callable[[], None] | None = None, **load: Any) -> Report:
        asked = {"requests": 300, "clients": 1, "replicas": REPLICAS, **strategy.get("load", {}), **load}
        plan = {"run": uuid.uuid4().hex, "scenario": "steady", "strategy": strategy, "load": asked, "targets": {}}
        path, results = tmp_path / "plan.json", tmp_path / "results"
        path.write_text(json.dumps(plan))
        process = shared.start("load", "--plan", path, "--results", results)
        if during:
            during()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        clients = [json.loads(file.read_text()) for file in sorted(results.glob("client-*.json"))]
        inventory = from_dict(Inventory, json.loads((results / "inventory.json").read_text()))
        return build_report(from_dict(Plan, plan), inventory, [from_dict(ClientResult, one) for one in clients])

    return run


@pytest.fixture
def hidden(shared: Lab) -> Iterator[None]:
    """One replica of the inventory is in no list of endpoints and in no DNS answer."""
    victim = next(iter(shared.ready().values()))
    shared.set_fault(victim, unready=True, for_ms=120_000)
    until(lambda: len(shared.ready()) == REPLICAS - 1, "the replica is not ready any more")
    yield
    shared.set_fault(victim)
    until(lambda: len(shared.ready()) == REPLICAS, "the replica is ready again")


@pytest.mark.parametrize("name", [name for name, expected in STRATEGIES.items() if expected != "hashed"])
def test_sound(judged: Callable[..., Report], name: str) -> None:
    report = judged(strategy_of(name))
    assert (report.verdict.status, report.verdict.observed) == ("pass", STRATEGIES[name]), report.verdict.cause
    assert report.verdict.balanced == (STRATEGIES[name] == "even")
    assert report.path.proven
    assert report.reconciliation.explained
    assert report.notes == []


@pytest.mark.parametrize("name", ["envoy-ring-hash", "envoy-maglev"])
def test_keys_stay_and_those_of_a_replica_that_leaves_move_and_come_back(
    judged: Callable[..., Report], name: str
) -> None:
    report = judged(strategy_of(name))
    assert (report.verdict.status, report.verdict.observed) == ("pass", "hashed"), report.verdict.cause
    figures = report.probes["keys-move"]
    assert report.keys is not None
    assert (report.keys.count, report.keys.moved, figures["keys"]) == (200, 0, 200)
    assert sum(report.keys.per_backend.values()) == 200
    assert figures["removed_keys"] == max(report.keys.per_backend.values())
    assert figures["moved"] == figures["removed_keys"] + figures["others_moved"]
    # 1/N is 0.33. Not nearly all keys, as with hash mod N, where 2/3 would move.
    assert 0.2 < figures["moved_share"] < 0.6
    assert figures["keys_back"] == 200
    assert figures["others_moved"] <= (70 if name == "envoy-ring-hash" else 20)


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - {"service-connections"}))
@pytest.mark.usefixtures("hidden")
def test_a_hidden_endpoint_is_noticed(judged: Callable[..., Report], name: str) -> None:
    strategy = strategy_of(name)
    strategy["client"].pop("probes", None)
    report = judged(strategy)
    assert (report.verdict.status, report.verdict.observed) == ("fail", "skewed"), report.verdict.cause
    assert sorted(backend.requests for backend in report.backends)[0] == 0
    assert "got no call" in report.verdict.cause


@pytest.mark.parametrize("name", ["envoy-ring-hash", "envoy-maglev"])
@pytest.mark.parametrize("broken", ["another policy", "the header is not hashed"])
def test_keys_that_are_not_hashed_are_noticed(judged: Callable[..., Report], name: str, broken: str) -> None:
    strategy = strategy_of(name)
    del strategy["client"]["probes"]
    if broken == "another policy":
        strategy["envoy"]["lbPolicy"] = "ROUND_ROBIN"
    else:
        strategy["envoy"]["client"] = "sidecar.yaml"
    report = judged(strategy, requests=500)
    assert report.verdict.status == "fail"
    assert report.verdict.observed != "hashed"
    assert "200 keys were answered by several replicas" in report.verdict.cause


def test_calls_without_their_key_are_noticed(judged: Callable[..., Report]) -> None:
    strategy = strategy_of("envoy-maglev")
    del strategy["client"]["keys"], strategy["client"]["probes"]
    strategy["envoy"]["client"] = "sidecar.yaml"
    report = judged(strategy)
    assert report.verdict.status == "invalid"
    assert "keys are needed" in report.verdict.cause


def test_a_policy_that_draws_is_no_policy_that_counts(judged: Callable[..., Report]) -> None:
    strategy = strategy_of("envoy-random")
    strategy["strategy"]["precision"] = "exact"
    assert judged(strategy).verdict.status == "fail"


def test_one_key_is_no_random_policy(judged: Callable[..., Report]) -> None:
    """What an even strategy looks like when its proxy hashes one and the same value."""
    strategy = strategy_of("envoy-least-request")
    strategy["client"]["keys"] = {"header": "x-user", "count": 1}
    strategy["envoy"] = {"client": "sidecar-hash.yaml", "lbPolicy": "MAGLEV"}
    report = judged(strategy)
    assert (report.verdict.status, report.verdict.observed) == ("fail", "pinned")


@pytest.mark.parametrize("name", ["endpoints", "headless"])
def test_pick_first_instead_of_round_robin_is_noticed(judged: Callable[..., Report], name: str) -> None:
    strategy = strategy_of(name)
    strategy["client"]["channel"] = "pick_first"
    report = judged(strategy)
    assert (report.verdict.status, report.verdict.observed) == ("fail", "pinned")


def test_connections_that_are_balanced_by_call_are_no_spread(judged: Callable[..., Report]) -> None:
    strategy = strategy_of("service-connections")
    strategy["client"] = {"channel": "round_robin", "target": "headless"}
    strategy["strategy"]["hops"] = []
    report = judged(strategy, clients=4)
    assert (report.verdict.status, report.verdict.observed) == ("fail", "even")


@pytest.mark.parametrize("name", ["lookaside", "xds"])
def test_a_control_plane_that_dies_in_the_middle_costs_no_call(
    shared: Lab, judged: Callable[..., Report], name: str
) -> None:
    def planes() -> dict[str, int]:
        return {plane["name"]: plane["pid"] for plane in shared.status()["control_planes"] if plane["alive"]}

    before = planes()

    def strike() -> None:
        until(lambda: (shared.status()["load"] or {}).get("done"), "calls are made")
        kill(before[name])

    report = judged(strategy_of(name), strike, requests=300, rate_rps=100)
    assert (report.verdict.status, report.errors) == ("pass", {}), report.verdict.cause
    until(lambda: planes().get(name) not in (None, before[name]), "the control plane was started again")
    assert judged(strategy_of(name)).verdict.status == "pass"


def sends(lab: Lab) -> bool:
    load = lab.status()["load"]
    return bool(load and load["done"])


def test_a_server_that_is_killed_in_a_steady_load_is_named(shared: Lab, judged: Callable[..., Report]) -> None:
    victim = next(iter(shared.ready().values()))

    def strike() -> None:
        until(lambda: sends(shared), "calls are sent")
        kill(victim["pid"])

    report = judged(strategy_of("headless"), strike, requests=None, duration_s=4, rate_rps=100)
    words = f"server {victim['pod']} ended with SIGKILL during the load (at "
    assert [note for note in report.notes if note.startswith(words)]
    assert report.verdict.status == "pass" or report.verdict.cause.startswith(f"S{words[1:]}")


def test_a_lab_that_stood_still_in_a_steady_load_says_so(shared: Lab, judged: Callable[..., Report]) -> None:
    def strike() -> None:
        until(lambda: sends(shared), "calls are sent")
        pids = shared.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(4)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    report = judged(strategy_of("headless"), strike, requests=None, duration_s=7, rate_rps=100)
    assert [note for note in report.notes if note.startswith("the whole lab stood still for 4 s (at ")], report.notes

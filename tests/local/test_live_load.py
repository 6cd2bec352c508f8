"""Loads with the real client: what they leave, and how they end when something dies in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from live_lab import ROOT, Lab, alive, kill, until

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = 10_000_000


def make_plan(folder: Path, strategy: str, requests: int, clients: int = 1, replicas: int = 3) -> Path:
    content = yaml.safe_load((ROOT / "strategies" / f"{strategy}.yaml").read_text())
    load = {"requests": requests, "clients": clients, "replicas": replicas}
    plan = {"run": f"test-{strategy}", "scenario": "steady", "strategy": content, "load": load, "targets": {}}
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    return path


class Running:
    """A load without end, started in the background and sending calls."""

    def __init__(self, lab: Lab, folder: Path, strategy: str, *more: str) -> None:
        lab.up(strategy, 3)
        self.lab = lab
        self.results = folder / "results"
        plan = make_plan(folder, strategy, ENDLESS)
        self.process = lab.start("load", "--plan", plan, "--results", self.results, *more)
        self.load: dict[str, Any] = until(self._sending, "the load sends calls")

    def _sending(self) -> dict[str, Any] | None:
        load: dict[str, Any] | None = self.lab.status()["load"]
        return load if load and load["done"] else None

    @property
    def pids(self) -> list[int]:
        return [part["pid"] for part in (*self.load["clients"], *self.load["proxies"])]

    def end(self) -> str:
        """Wait for the command to end with exit code 4 and return the last line that it wrote."""
        _, errors = self.process.communicate(timeout=20)
        assert self.process.returncode == 4, errors
        assert [pid for pid in self.pids if alive(pid)] == []
        return str(errors.splitlines()[-1])


@pytest.mark.parametrize("strategy", ["headless", "service", "envoy"])
def test_a_load_of_several_clients_is_collected(lab: Lab, tmp_path: Path, strategy: str) -> None:
    lab.up(strategy, 3)
    plan = make_plan(tmp_path, strategy, 301, clients=2)
    results = tmp_path / "artifacts" / "results"
    assert lab.do("load", "--plan", plan, "--results", results)["changed"] is True
    clients = [json.loads((results / f"client-{index}.json").read_text()) for index in range(2)]
    assert [client["ok"] for client in clients] == [151, 150]
    inventory = json.loads((results / "inventory.json").read_text())
    assert [replica["ready"] for replica in inventory["replicas"]] == [True] * 3
    assert {backend["uid"] for client in clients for backend in client["backends"]} <= {
        replica["uid"] for replica in inventory["replicas"]
    }
    passed = {
        "headless": [set(), set()],
        "service": [{"the Service proxy (Envoy)"}] * 2,
        "envoy": [{proxy["address"] for proxy in client["proxies"]} for client in clients],
    }
    assert [set(client["hop_cpu"]) for client in clients] == passed[strategy]
    assert all(0 < first < last < first + 5 for client in clients for first, last in client["hop_cpu"].values())
    served = {server["pod"]: server for client in clients for server in client["servers"]}
    assert all(0 <= server["run_cpu_s"] < server["cpu_s"] for server in served.values())
    assert all((server["run_cpu_s"] > 0) == (server["attempts"] > 0) for server in served.values())
    assert ("envoy" in inventory["versions"]) == (strategy != "headless")
    assert [event["kind"] for event in inventory["events"]] == ["load-started", "load-ended"]
    logs = {path.name for path in (results.parent / "logs").iterdir()}
    assert {"client-0.log", "client-1.log", "dns.jsonl", "supervisor.log"} <= logs
    assert {f"{replica['pod']}.log" for replica in inventory["replicas"]} <= logs
    asked = [json.loads(line)["name"] for line in (results.parent / "logs" / "dns.jsonl").read_text().splitlines()]
    assert "echo-headless." in asked
    if strategy == "envoy":
        assert [sum(proxy["upstream_requests"] for proxy in client["proxies"]) for client in clients] == [151, 150]
        assert len({client["proxies"][0]["address"] for client in clients}) == 2
        assert {"envoy-client-0.yaml", "envoy-client-1.log"} <= logs
    assert lab.status()["load"] is None


def test_one_load_at_a_time(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "headless")
    second = lab.run("load", "--plan", tmp_path / "plan.json", "--results", tmp_path / "second")
    assert second.returncode == 4
    assert f"owned by pid {running.process.pid} (run test-headless)" in second.stderr
    assert "a load runs since " in second.stderr
    changed = lab.run("up", "--strategy", ROOT / "strategies" / "headless.yaml", "--replicas", "4")
    assert changed.returncode == 4
    assert "the lab cannot be changed: a load runs since" in changed.stderr
    assert lab.up("headless", 3)["changed"] is False
    running.process.send_signal(signal.SIGINT)
    assert "interrupted by SIGINT" in running.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_keeps_what_it_has(lab: Lab, tmp_path: Path, number: signal.Signals) -> None:
    running = Running(lab, tmp_path, "envoy")
    running.process.send_signal(number)
    assert f"interrupted by {number.name}" in running.end()
    partial = json.loads((running.results / "client-0.json").read_text())
    assert 0 < partial["ok"] < ENDLESS
    assert (running.results / "inventory.json").is_file()


def test_a_killed_owner_ends_its_load_and_the_next_one_runs(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "envoy")
    kill(running.process.pid)
    running.process.communicate()
    plan = make_plan(tmp_path, "envoy", 30)
    assert lab.do("load", "--plan", plan, "--results", tmp_path / "next")["changed"] is True
    assert [pid for pid in running.pids if alive(pid)] == []


def test_a_load_ends_with_the_process_that_it_is_for(lab: Lab, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as playbook:
        running = Running(lab, tmp_path, "headless", "--watch-pid", str(playbook.pid))
        playbook.kill()
    assert f"process {playbook.pid}, which the load is for, has ended" in running.end()
    late = lab.run("load", "--plan", tmp_path / "plan.json", "--results", tmp_path, "--watch-pid", str(playbook.pid))
    assert late.returncode == 4
    assert "(--watch-pid), has ended" in late.stderr


def test_an_envoy_that_dies_is_named(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "envoy")
    victim = running.load["proxies"][0]["pid"]
    kill(victim)
    assert f"the Envoy beside client 0 (pid {victim}) ended with SIGKILL; its log ends: " in running.end()
    assert (running.results / "client-0.json").is_file()
    assert (running.results / "inventory.json").is_file()


def test_a_client_that_dies_is_named(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "headless")
    victim = running.load["clients"][0]["pid"]
    until((tmp_path / "logs" / "client-0.log").read_text, "the client says something")
    kill(victim)
    assert f"client 0 (pid {victim}) ended with SIGKILL; its log ends: progress 0 " in running.end()


def test_the_services_proxy_that_dies_is_named(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "service")
    started = [event for event in lab.status()["events"] if event["kind"] == "service-started"]
    victim = int(started[-1]["detail"].rpartition(" ")[2])
    kill(victim)
    assert f"the Service proxy (Envoy) (pid {victim}) ended with SIGKILL" in running.end()


def test_a_supervisor_that_dies_is_told_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "envoy")
    pids = lab.pids()
    kill(pids[0])
    _, errors = running.process.communicate(timeout=10)
    assert running.process.returncode == 4
    assert "the lab's supervisor died" in errors
    until(lambda: not any(alive(pid) for pid in pids), "everything ended", timeout_s=3)


def test_replicas_that_come_and_go_in_a_load_are_in_its_inventory(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "headless")
    victim = lab.do("kill")["replica"]
    until(lambda: len(lab.ready()) == 3 and victim["uid"] not in lab.ready(), "a replacement is ready")
    running.process.send_signal(signal.SIGINT)
    running.end()
    inventory = json.loads((running.results / "inventory.json").read_text())
    states = {replica["uid"]: replica["state"] for replica in inventory["replicas"]}
    assert len(states) == 4
    assert states.pop(victim["uid"]) == "ended"
    assert set(states.values()) == {"ready"}
    kinds = [event["kind"] for event in inventory["events"]]
    assert kinds[0] == "load-started"
    assert kinds.index("kill") < kinds.index("replica-ended") < kinds.index("replica-ready")


def test_a_load_without_what_it_needs_says_what_to_do(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless", 1)
    plan = make_plan(tmp_path, "service", 10)
    done = lab.run("load", "--plan", plan, "--results", tmp_path / "results")
    assert done.returncode == 4
    assert "needs the Service, which is not there: run `lb-lab local up` with it first" in done.stderr
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    refused = lab.run("load", "--plan", bad, "--results", tmp_path / "results")
    assert refused.returncode == 2
    assert "bad.json is not a plan: Plan: key 'run' is missing" in refused.stderr


def test_progress_is_told_at_most_once_a_second(lab: Lab, tmp_path: Path) -> None:
    running = Running(lab, tmp_path, "headless")
    time.sleep(1.5)
    running.process.send_signal(signal.SIGTERM)
    _, errors = running.process.communicate(timeout=20)
    told = [line for line in errors.splitlines() if line.endswith("of 10,000,000 calls")]
    assert 1 <= len(told) <= 5

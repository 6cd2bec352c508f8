"""Scenarios on a real cluster: every kind of event, what it does to pods, endpoints and DNS, and what cannot be."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes_lab import write_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubernetes_lab import KubernetesLab, Run

# An event's clocks on a kind node, generously: a command takes effect within seconds.
SOON_S = 8.0


@pytest.fixture
def lab(cluster: KubernetesLab, tmp_path: Path) -> KubernetesLab:
    """The lab with a scenario folder of the test's own, in which each scenario takes seconds."""
    return cluster.but(lab_scenarios_dir=str(tmp_path), lab_seed=1)


class Story:
    """What a run's report tells of its events, in seconds since the first call."""

    def __init__(self, lab: KubernetesLab, strategy: str, scenario: str) -> None:
        folder = lab.artifacts / "latest" / strategy / scenario
        self.report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        self.result = json.loads((folder / "results" / "client-0.json").read_text(encoding="utf-8"))
        self.inventory = json.loads((folder / "results" / "inventory.json").read_text(encoding="utf-8"))
        self.events: list[dict[str, Any]] = self.inventory["events"]

    def all(self, kind: str, pod: str = "") -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind and pod in ("", event["pod"])]

    def first(self, kind: str, after: float = 0, pod: str = "") -> dict[str, Any]:
        return next(event for event in self.all(kind, pod) if event["at"] >= after)

    def check_sum(self) -> None:
        """The timeline has every call."""
        buckets = self.report["timeline"]["buckets"]
        assert sum(bucket["ok"] + bucket["failed"] for bucket in buckets) == self.report["actual"]["requests"]


def play(lab: KubernetesLab, strategy: str, scenario: str) -> Story:
    run: Run = lab.play(strategy=strategy, scenario=scenario)
    assert (lab.artifacts / "latest" / strategy / scenario / "report.json").exists(), run.screen
    story = Story(lab, strategy, scenario)
    story.check_sum()
    return story


def test_every_fault_of_one_replica_happens_and_ends(lab: KubernetesLab) -> None:
    one = {"which": "first"}
    write_scenario(
        lab,
        "faults",
        32,
        {"after_s": 0, "do": "slow", "delay_ms": 300, "for_s": 3, **one},
        {"after_s": 5, "do": "fail", "code": "RESOURCE_EXHAUSTED", "for_s": 3, **one},
        {"after_s": 10, "do": "stop", "for_s": 4, **one},
        {"after_s": 18, "do": "kill", "which": "busiest"},
    )
    story = play(lab, "headless", "faults")
    commands = story.all("command")
    assert [event["detail"].split()[0].strip(",") for event in commands] == ["slow", "fail", "stop", "kill"]
    began = story.result["timeline"][0]["index"] * story.result["interval_s"]
    assert [event["at"] - began for event in commands] == pytest.approx([2.3, 7.3, 12.3, 20.3], abs=2)
    codes = {failure["code"] for failure in story.result["failures"]}
    # No retry hides this code; a hung replica lets calls time out; a stop is a real one: nobody refuses them.
    assert {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"} <= codes
    in_time = [failure for failure in story.result["failures"] if began_in(failure, commands[1]["at"], 4)]
    assert {failure["code"] for failure in in_time} == {"RESOURCE_EXHAUSTED"}
    # The first one, which was slow, failing and stopped, is well again: nothing restarted it.
    victim = commands[0]["pod"]
    assert story.all("replica-ended", victim) == []
    last = next(item for item in story.result["backends"] if item["pod"] == victim)["last_seen_at"]
    assert last > commands[3]["at"]
    # The killed one is gone at once, and another one with another address takes its place.
    killed = commands[3]
    assert story.first("replica-ended", killed["at"], killed["pod"])["at"] - killed["at"] < 2
    fresh = story.first("replica-ready", killed["at"])
    assert fresh["pod"] != killed["pod"] and fresh["ip"] != killed["ip"]
    assert fresh["at"] - killed["at"] < SOON_S
    endpoints = story.all("endpoints")[-1]["detail"].split(",")
    assert fresh["ip"] in endpoints and killed["ip"] not in endpoints
    answer = story.result["dns_answers"][-1]
    assert answer["at"] > killed["at"] and sorted(answer["addresses"]) == sorted(endpoints)
    assert {item["pod"] for item in story.inventory["replicas"] if not item["ready"]} == {killed["pod"]}


def began_in(failure: dict[str, Any], after: float, for_s: float) -> bool:
    return bool(after <= failure["began_at"] <= after + for_s)


@pytest.mark.parametrize(("event", "strategy"), [("restart", "xds"), ("replace", "lookaside")])
def test_a_rollout_leaves_nobody_behind(lab: KubernetesLab, event: str, strategy: str) -> None:
    write_scenario(lab, event, 35 if event == "restart" else 20, {"after_s": 0, "do": event})
    story = play(lab, strategy, event)
    command = story.first("command")["at"]
    gone = {item["pod"] for item in story.all("replica-terminating")}
    fresh = {item["pod"] for item in story.all("replica-ready")}
    assert (len(gone), len(fresh)) == (5, 5)
    assert {item["pod"] for item in story.inventory["replicas"] if item["ready"]} == fresh
    came = [item["at"] for item in story.all("replica-ready")]
    went = [item["at"] for item in story.all("replica-terminating")]
    assert command < came[0] < went[0], "a new one first"
    if event == "restart":
        assert all(ready < left for ready, left in zip(came, went, strict=True)), "one by one"
    else:
        assert went[-1] - command < 2 * SOON_S
    # preStop keeps each in service until everybody has heard that it goes, and each client hears of it at once.
    assert story.report["errors"] == {}
    assert story.report["verdict"]["observed"] == "even"


def test_the_next_run_has_the_servers_that_it_wants(lab: KubernetesLab) -> None:
    write_scenario(lab, "up", 8, {"after_s": 0, "do": "scale", "by": 2})
    story = play(lab, "lookaside", "up")
    assert len(story.all("replica-ready")) == 2
    # Endpoints first, then whoever is told of them; no call goes there before.
    for item in story.all("replica-ready"):
        backend = next(entry for entry in story.result["backends"] if entry["pod"] == item["pod"])
        assert backend["first_seen_at"] > item["at"] - 0.5
    run = lab.play(strategy="lookaside")
    assert run.code == 0, run.screen
    assert len(lab.report("lookaside")["backends"]) == 5


def test_the_live_feed_of_a_run_on_the_cluster(lab: KubernetesLab) -> None:
    write_scenario(lab, "down", 12, {"after_s": 0, "do": "scale", "by": -2})
    story = play(lab, "gateway", "down")
    assert len(story.all("replica-terminating")) == 2
    lines = [json.loads(line) for line in (lab.state / "live.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["kind"] for line in (lines[0], lines[-1])] == ["run", "end"]
    assert (lines[0]["cluster"], lines[0]["scenario"], lines[-1]["problem"]) == ("kind", "down", "")
    clients = [line for line in lines if line["kind"] == "client"]
    assert clients[-1]["done"] == story.report["actual"]["requests"]
    assert {line["event"] for line in lines if line["kind"] == "event"} >= {"command", "endpoints"}
    ready = [line["ready"] for line in lines if line["kind"] == "replicas"]
    assert (len(ready[0]), len(ready[-1])) == (5, 3)


@pytest.fixture
def full(lab: KubernetesLab) -> Iterator[KubernetesLab]:
    """A namespace with room for the servers and one client."""
    room = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "6"}}}
    run = lab.play(strategy="headless")
    assert run.code == 0, run.screen
    lab.kubectl("create", "--filename=-", stdin=json.dumps(room))
    try:
        yield lab
    finally:
        lab.kubectl("delete", "resourcequota", "full")


def test_a_cluster_too_small_to_scale(full: KubernetesLab) -> None:
    write_scenario(full, "up", 10, {"after_s": 0, "do": "scale", "by": 2})
    run = full.play(strategy="headless", scenario="up")
    assert run.code != 0
    assert "error: scenario up: its events were not over when the load ended: 5 of 7 replicas are ready" in run.screen
    folder = full.artifacts / "latest" / "headless" / "up"
    assert "exceeded quota" in (folder / "logs" / "events.txt").read_text(encoding="utf-8")
    assert (folder / "results" / "client-0.json").exists()


def test_a_run_that_is_killed_in_the_middle_of_a_rollout_stops_no_other(lab: KubernetesLab) -> None:
    write_scenario(lab, "cut", 30, {"after_s": 0, "do": "scale", "by": 1}, {"after_s": 1, "do": "restart"})
    process = lab.start(strategy="headless", scenario="cut")
    feed = lab.state / "live.jsonl"
    deadline = time.monotonic() + 120
    while not (feed.exists() and '"scenario":"cut"' in (text := feed.read_text("utf-8")) and "restart 6" in text):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    run = lab.play(strategy="headless")
    assert run.code == 0, run.screen
    assert [item["requests"] for item in lab.report("headless")["backends"]] == [200] * 5

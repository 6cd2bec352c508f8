"""Short scenarios on real local replicas: what happens to them, what is noted, and how it ends when it cannot go on."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import yaml
from grpc_lb_lab.model import latency
from live_lab import ROOT, Lab, until

if TYPE_CHECKING:
    from pathlib import Path

RATE = 100


def write_plan(folder: Path, strategy: str, events: list[dict[str, Any]], duration_s: float, **course: Any) -> Path:
    content = yaml.safe_load((ROOT / "strategies" / f"{strategy}.yaml").read_text())
    load = {"requests": None, "duration_s": duration_s, "rate_rps": RATE, "replicas": 3, "deadline_s": 1}
    expect = {"observed": "even"}
    told = {"name": "short", "title": "T", "shows": "S", "phase_s": events[0]["at_s"], "events": events}
    plan = {"run": "test-scenario", "scenario": "short", "strategy": content, "load": load, "targets": {}}
    path = folder / "plan.json"
    path.write_text(json.dumps({**plan, "course": {**told, "expect": expect, **course}}))
    return path


def play(lab: Lab, folder: Path, strategy: str, events: list[dict[str, Any]], duration_s: float, **course: Any) -> Seen:
    plan = write_plan(folder, strategy, events, duration_s, **course)
    lab.do("load", "--plan", plan, "--results", folder / "results", "--live", folder / "live.jsonl")
    return Seen(folder)


class Seen:
    """What a run left: the first client's result, the inventory and the live feed."""

    def __init__(self, folder: Path) -> None:
        self.client = json.loads((folder / "results" / "client-0.json").read_text())
        self.inventory = json.loads((folder / "results" / "inventory.json").read_text())
        self.feed = [json.loads(line) for line in (folder / "live.jsonl").read_text().splitlines()]

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.inventory["events"] if event["kind"] in kinds]

    def seconds(self, event: dict[str, Any]) -> float:
        return float(event["at"] - self.client["started_at"])

    def answered(self, pod: str, after_s: float, before_s: float = 1e9) -> int:
        uid = next(replica["uid"] for replica in self.inventory["replicas"] if replica["pod"] == pod)
        width, began = self.client["interval_s"], self.client["started_at"]
        return sum(
            bucket["per_backend"].get(uid, 0)
            for bucket in self.client["timeline"]
            if after_s <= bucket["index"] * width - began < before_s
        )


def test_scaling_is_noted_with_its_clocks_and_the_new_replica_takes_part(lab: Lab, tmp_path: Path) -> None:
    lab.up("lookaside", 3)
    seen = play(lab, tmp_path, "lookaside", [{"at_s": 1.2, "do": "scale", "by": 1}], 5)
    (command,) = seen.events("command")
    assert command["detail"] == "scale 3 → 4 replicas"
    assert 1.2 <= seen.seconds(command) < 1.5
    (started,), (ready,) = seen.events("replica-started"), seen.events("replica-ready")
    before, after = seen.events("endpoints")
    assert command["at"] < started["at"] < ready["at"] <= after["at"]
    assert started["uid"] == ready["uid"] != ""
    assert after["detail"].split(",") == [*before["detail"].split(","), ready["ip"]]
    assert seen.answered(ready["pod"], after_s=4) > RATE / 4 / 2
    assert len(seen.inventory["replicas"]) == 4
    assert seen.client["failed"] == 0


def test_the_feed_tells_of_events_and_of_who_is_ready(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless", 3)
    seen = play(lab, tmp_path, "headless", [{"at_s": 1, "do": "scale", "by": -1}], 3)
    kinds = [line["kind"] for line in seen.feed]
    assert (kinds[0], kinds[-1], seen.feed[-1]["problem"]) == ("run", "end", "")
    assert [len(line["ready"]) for line in seen.feed if line["kind"] == "replicas"] == [3, 2]
    assert [line["detail"] for line in seen.feed if line.get("event") == "command"] == ["scale 3 → 2 replicas"]
    clients = [line for line in seen.feed if line["kind"] == "client"]
    assert clients[-1]["ok"] == 3 * RATE


def test_events_happen_also_where_no_feed_can_be_written(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless", 3)
    (tmp_path / "file").write_text("")
    plan = write_plan(tmp_path, "headless", [{"at_s": 1, "do": "kill", "which": "busiest"}], 3)
    lab.do("load", "--plan", plan, "--results", tmp_path / "results", "--live", tmp_path / "file" / "live.jsonl")
    inventory = json.loads((tmp_path / "results" / "inventory.json").read_text())
    assert [event["kind"] for event in inventory["events"] if event["kind"] in ("command", "replica-ended")] == [
        "command",
        "replica-ended",
    ]


def test_the_busiest_replica_is_killed_and_replaced(lab: Lab, tmp_path: Path) -> None:
    lab.up("service", 3)
    seen = play(lab, tmp_path, "service", [{"at_s": 1.5, "do": "kill", "which": "busiest"}], 4)
    (command,), (ended,) = seen.events("command"), seen.events("replica-ended")
    assert ended["uid"] == command["uid"]
    assert ended["detail"].endswith("SIGKILL")
    assert seen.answered(ended["pod"], 0, 1.4) > RATE
    assert seen.answered(ended["pod"], 2) == 0
    assert len(seen.inventory["replicas"]) == 4
    assert sum(replica["ready"] for replica in seen.inventory["replicas"]) == 3


def test_faults_begin_and_end_by_themselves_and_the_next_load_finds_none(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless-bare", 3)
    events = [
        {"at_s": 1, "do": "slow", "which": "1", "delay_ms": 60, "for_s": 1},
        {"at_s": 2.5, "do": "fail", "which": "2", "code": "INTERNAL", "for_s": 1},
        {"at_s": 4, "do": "stop", "which": "3", "for_s": 1.5},
        {"at_s": 6.5, "do": "fail", "which": "1", "code": "INTERNAL", "for_s": 60},
    ]
    seen = play(lab, tmp_path, "headless-bare", events, 7, base_delay_ms=40)
    begins, ends = ([event["at"] for event in seen.events(kind)] for kind in ("command", "recovered"))
    # Nothing comes before its time. A busy machine makes single ones late, not all of them.
    planned = [seen.client["started_at"] + at_s for at_s in (1, 2.5, 4, 6.5)]
    late = [at - due for at, due in zip(begins, planned, strict=True)]
    late_ends = [at - began - for_s for at, began, for_s in zip(ends, begins[:3], (1, 1, 1.5), strict=True)]
    for delays in (late, late_ends):
        assert -0.01 <= min(delays) < 0.2 and max(delays) < 1
    failures = [(failure["ended_at"], failure["code"]) for failure in seen.client["failures"]]
    assert {code for _, code in failures} == {"INTERNAL", "DEADLINE_EXCEEDED"}
    internal = [at for at, code in failures if code == "INTERNAL"]
    assert all(begins[1] <= at < ends[1] + 0.3 or begins[3] <= at for at in internal)
    assert all(begins[2] <= at < ends[2] + 1.3 for at, code in failures if code == "DEADLINE_EXCEEDED")
    assert min(internal) < ends[1] and max(internal) > begins[3], "both faults were seen"
    assert len(failures) > 3 * RATE / 3 / 2
    steady = json.loads((tmp_path / "plan.json").read_text()) | {"course": None, "scenario": "steady"}
    steady["load"] = {"requests": 300, "replicas": 3}
    (tmp_path / "plan.json").write_text(json.dumps(steady))
    lab.do("load", "--plan", tmp_path / "plan.json", "--results", tmp_path / "results")
    after = json.loads((tmp_path / "results" / "client-0.json").read_text())
    assert (after["ok"], after["failed"]) == (300, 0)
    assert latency.summarize(latency.decode(after["latency_hdr"])).p90 < 40, "the base delay is gone"


def test_all_replicas_are_replaced_and_clients_that_ask_dns_find_the_new_ones(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless-fresh", 3)
    seen = play(lab, tmp_path, "headless-fresh", [{"at_s": 1, "do": "replace"}], 8)
    fresh = [event["pod"] for event in seen.events("replica-ready")]
    assert len(fresh) == len(seen.events("replica-terminating")) == 3
    assert min(seen.answered(pod, after_s=7) for pod in fresh) > 0


def test_servers_that_drain_answer_what_they_have(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless-drain", 3)
    seen = play(lab, tmp_path, "headless-drain", [{"at_s": 1, "do": "scale", "by": -2}], 9)
    leaving, ended = seen.events("replica-terminating"), seen.events("replica-ended")
    assert len(leaving) == len(ended) == 2
    for event in ended:
        began = next(other["at"] for other in leaving if other["uid"] == event["uid"])
        assert 6 <= event["at"] - began < 8, "preStop, then the wait between NOT_SERVING and GOAWAY"
        assert seen.answered(event["pod"], after_s=4) > 0, "in preStop it still answers"
    assert seen.client["failed"] == 0


def test_servers_that_end_at_once_drop_what_they_work_on(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless-abrupt", 3)
    seen = play(lab, tmp_path, "headless-abrupt", [{"at_s": 1, "do": "scale", "by": -2}], 3)
    (command,) = seen.events("command")
    assert seen.client["failed"] > 0
    assert {failure["code"] for failure in seen.client["failures"]} <= {"UNAVAILABLE", "CANCELLED"}
    assert min(failure["ended_at"] for failure in seen.client["failures"]) > command["at"]


# --- what cannot go on ------------------------------------------------------------------------------------------------


def test_a_replica_that_does_not_exist_ends_the_run_and_keeps_what_there_is(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless", 3)
    plan = write_plan(tmp_path, "headless", [{"at_s": 1, "do": "kill", "which": "9"}], 60)
    began = time.monotonic()
    done = lab.run("load", "--plan", plan, "--results", tmp_path / "results", "--live", tmp_path / "live.jsonl")
    assert time.monotonic() - began < 10
    assert done.returncode == 4
    problem = "scenario short, kill at 1.0 s: there is no replica '9'; there are 3"
    assert problem in done.stderr
    seen = Seen(tmp_path)
    assert 0 < seen.client["ok"] < 60 * RATE
    assert seen.feed[-1] == {"kind": "end", "at": seen.feed[-1]["at"], "problem": problem}
    assert lab.status()["load"] is None


def test_a_rollout_that_never_finishes_ends_the_run_after_a_stated_time(lab: Lab, tmp_path: Path) -> None:
    lab.up("headless", 3)
    plan = write_plan(tmp_path, "headless", [{"at_s": 1, "do": "scale", "by": 30}], 60)
    running = lab.start("load", "--plan", plan, "--results", tmp_path / "results")

    def one_is_held_up() -> bool:
        # From outside, so that the lab does not know why a new one says nothing. Some are ready before they are caught.
        starting = [replica for replica in lab.status()["replicas"] if replica["state"] == "starting"]
        for replica in starting:
            os.kill(replica["pid"], signal.SIGSTOP)
        return bool({replica["uid"] for replica in starting} - set(lab.ready()))

    began = time.monotonic()
    until(one_is_held_up, "a new replica is stopped before it is ready")
    _, errors = running.communicate(timeout=40)
    assert running.returncode == 4
    assert time.monotonic() - began < 30
    assert re.search(r"scenario short: .* did not get ready within 15 s|replicas got ready within 17 s; echo-", errors)
    assert (tmp_path / "results" / "inventory.json").is_file()
    assert json.loads((tmp_path / "results" / "client-0.json").read_text())["ok"] > 0

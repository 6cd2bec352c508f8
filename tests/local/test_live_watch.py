"""Onlookers of a real load: what they see is what the clients measured, and the load does not notice them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.views.live.state import LiveState
from live_lab import ROOT, Lab, until
from test_live_load import make_plan

if TYPE_CHECKING:
    from pathlib import Path


def watch(folder: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "grpc_lb_lab", "watch", "--once", "--state", folder]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fold(feed: Path) -> LiveState:
    state = LiveState()
    if feed.exists():
        for line in feed.read_text().splitlines():
            state.take(line)
    return state


def begin(lab: Lab, folder: Path, seconds: float, clients: int = 1) -> tuple[subprocess.Popen[str], Path]:
    """Start a load of 100 calls a second on three replicas; returns it and its feed."""
    lab.up("headless", 3)
    plan = make_plan(folder, "headless", 1, clients=clients)
    content = json.loads(plan.read_text())
    content["load"] |= {"requests": None, "duration_s": seconds, "rate_rps": 100.0}
    plan.write_text(json.dumps(content))
    feed = folder / live_feed.FILE
    return lab.start("load", "--plan", plan, "--results", folder / "results", "--live", feed), feed


@pytest.mark.parametrize("clients", [1, 3])
def test_everyone_sees_what_the_clients_measured(lab: Lab, tmp_path: Path, clients: int) -> None:
    before = watch(tmp_path)
    assert before.stdout is not None
    assert before.stdout.readline().startswith("Waiting for a run.")
    load, feed = begin(lab, tmp_path, 2.0, clients)
    until(lambda: fold(feed).done, "calls are in the feed")
    during = watch(tmp_path)
    _, errors = load.communicate(timeout=30)
    assert load.returncode == 0, errors
    seen = [process.communicate(timeout=20)[0] for process in (before, during, watch(tmp_path))]
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("client-*.json")]
    calls = {}
    for backend in (backend for result in results for backend in result["backends"]):
        calls[backend["pod"]] = calls.get(backend["pod"], 0) + backend["requests"]
    state = fold(feed)
    assert state.calls == calls
    assert state.done == sum(calls.values()) == 200
    assert round(sum(sum(second.per.values()) for second in state.seconds.values())) == 200
    assert state.pods == dict.fromkeys(sorted(calls), "ready")
    assert state.connections == 3 * clients
    words = ", ".join(f"{pod} {calls[pod]}" for pod in state.pods)
    for screen in seen:
        assert screen.splitlines()[-1].endswith(f"| {words}")
        assert "200 calls, 0 a second, 0 failed" in screen


def test_replicas_come_and_go_on_the_screen(lab: Lab, tmp_path: Path) -> None:
    load, feed = begin(lab, tmp_path, 4.0)
    until(lambda: fold(feed).done, "calls are in the feed")
    old = next(iter(fold(feed).pods))
    lab.do("kill", old)
    load.communicate(timeout=30)
    state = fold(feed)
    assert state.pods[old] == "gone"
    assert sorted(state.pods.values()) == ["gone", "ready", "ready", "ready"]
    assert {"replica-ended", "replica-started", "replica-ready"} <= {event.event for event in state.events}


def test_a_load_that_was_ended_says_so(lab: Lab, tmp_path: Path) -> None:
    load, feed = begin(lab, tmp_path, 60.0)
    until(lambda: fold(feed).done, "calls are in the feed")
    onlooker = watch(tmp_path)
    load.send_signal(signal.SIGTERM)
    load.communicate(timeout=30)
    screen = onlooker.communicate(timeout=20)[0]
    state = fold(feed)
    assert state.end is not None
    assert state.end.problem in screen
    assert state.end.problem != ""

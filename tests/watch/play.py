"""A run for onlookers: writes the live feed of one, a step at a time, without any load."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.run.feed import LiveFeed

if TYPE_CHECKING:
    from pathlib import Path

TITLE, SCENARIO_TITLE = "Client-side round robin", "Two more replicas"


class Play:
    """The feed of one run of one client. Its clock is its own: ``step`` moves it on."""

    def __init__(self, state: Path, strategy: str = "headless", **run: Any) -> None:
        """Start the run at a real time, so that nobody takes it for one that was forgotten."""
        self.feed = LiveFeed(state / live_feed.FILE)
        self.at = self.start = time.time()
        self.calls: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        settings = {"scenario": "scale-up", "scenario_title": SCENARIO_TITLE, "cluster": "local", "clients": 1,
                    "replicas": 3, "duration_s": 10.0, "rate_rps": 30.0, **run}  # fmt: skip
        self.feed.start(live_feed.RunLine(self.at, f"run-{strategy}", strategy, TITLE, **settings))

    def ready(self, *pods: str) -> None:
        """These replicas are ready from now on."""
        self.feed.replicas(list(pods), self.at)

    def event(self, kind: str, detail: str = "", pod: str = "") -> None:
        """Something happens now."""
        self.feed.event(kind, detail, pod, self.at)

    def step(self, seconds: float, answered: dict[str, int], failed: int = 0, ended: bool = False, **more: Any) -> None:
        """Time passes, with so many more calls answered by each replica and so many failed."""
        self.at += seconds
        for pod, calls in answered.items():
            self.calls[pod] = self.calls.get(pod, 0) + calls
        if failed:
            self.errors["UNAVAILABLE"] = self.errors.get("UNAVAILABLE", 0) + failed
        ok, bad = sum(self.calls.values()), sum(self.errors.values())
        figures = {"total": 300, "conns": len(self.calls), "p50_ms": 0.4, "p99_ms": 2.5, **more}
        counts = {"per": dict(self.calls), "errors": dict(self.errors)}
        self.feed.add(live_feed.ClientLine(self.at, 0, self.start, ok + bad, ok, bad, **counts, **figures, ended=ended))

    def end(self, problem: str = "") -> None:
        """The run is over."""
        self.step(0.1, {}, ended=True)
        self.feed.end(problem)


def half(state: Path) -> Play:
    """A run up to its sixth second: two replicas came, one left, some calls failed."""
    play = Play(state)
    play.ready("echo-a", "echo-b", "echo-c")
    play.step(0.0, {})
    for _ in range(3):
        play.step(1.0, {"echo-a": 10, "echo-b": 10, "echo-c": 10})
    play.event("command", "scale: 3 → 5 replicas")
    play.event("replica-started", "echo-d (127.77.0.14)", "echo-d")
    play.step(1.0, {"echo-a": 10, "echo-b": 10, "echo-c": 10})
    play.event("replica-ready", "echo-d (127.77.0.14)", "echo-d")
    play.ready("echo-a", "echo-b", "echo-c", "echo-d")
    play.event("replica-ended", "echo-a (127.77.0.11): signal 9", "echo-a")
    play.ready("echo-b", "echo-c", "echo-d")
    play.step(1.0, {"echo-b": 10, "echo-c": 8}, failed=12)
    play.step(1.0, {"echo-b": 15, "echo-c": 12, "echo-d": 3})
    return play

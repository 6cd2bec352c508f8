"""What happens beside the load: progress once a second, looks at the connections, and whether to give up."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpc_lb_lab.load.channels.connections import ConnectionLog
    from grpc_lb_lab.load.load import Stop
    from grpc_lb_lab.load.pacing import Pace
    from grpc_lb_lab.load.record.recorder import Recorder
    from grpc_lb_lab.model.scenario import ScenarioPlan

EVERY_S = 1.0
# A thousand calls to a server that hangs would take a thousand deadlines. Without one answer in this time there will
# be none: gRPC's own reconnecting and DNS intervals (at most 30 s each, after a backoff) have passed.
GIVE_UP_S = 40.0
# Where replicas come and go, connections are looked at more often.
LOOK_EVERY_S = 0.25
# Looking takes at most this share of the time: 200 connections are 20 ms a look.
LOOK_SHARE = 0.02


class Watch:
    """Runs beside the load of client ``index``; stops the load when nothing can come of it any more."""

    def __init__(
        self,
        index: int,
        pace: Pace,
        deadline_s: float,
        recorder: Recorder,
        log: ConnectionLog,
        stop: Stop,
        course: ScenarioPlan | None = None,
    ) -> None:
        """Begin now: durations count from here. ``course``: what will happen to the replicas meanwhile."""
        self._index = index
        self._pace = pace
        self._deadline_s = deadline_s
        self._recorder = recorder
        self._log = log
        self._stop = stop
        self._changes = course is not None
        self._trouble_s = max((event.at_s + event.for_s for event in course.events), default=0.0) if course else 0.0
        self._began = time.perf_counter()
        self._next_look = self._began
        self._next_line = self._began

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S if self._changes else EVERY_S)
            now = time.perf_counter()
            self.progress()
            self._look(now)
            silent_since = max(self._recorder.last_ok, self._began + self._trouble_s)
            reason = hopeless(self._pace, self._deadline_s, now - self._began, now - silent_since)
            if reason:
                self._stop.now(reason)

    def progress(self) -> None:
        """One line: calls that have ended, and how many there will be (a guess where only the duration is known).

        Says nothing when the last line is less than a second old.
        """
        now = time.perf_counter()
        if now < self._next_line:
            return
        self._next_line = now + 0.99 * EVERY_S
        done = self._recorder.requests
        total = self._pace.requests
        if total is None:
            elapsed = max(now - self._began, 1e-3)
            total = max(done, round(done * (self._pace.duration_s or elapsed) / elapsed))
        sys.stderr.write(f"progress {self._index} {done}/{total}\n")
        sys.stderr.flush()

    def _look(self, now: float) -> None:
        if now >= self._next_look:
            self._log.sample()
            took = time.perf_counter() - now
            self._next_look = now + took / LOOK_SHARE


def hopeless(pace: Pace, deadline_s: float, elapsed_s: float, without_answer_s: float) -> str:
    """Why the load should end before its time; empty when it should go on.

    ``without_answer_s`` counts from the last event of a scenario at the earliest: an outage is what it is about.
    A load bounded by its duration ends by itself, except an open one that the servers cannot follow: what is due may
    take a deadline longer, then it ends.
    """
    if pace.duration_s is None:
        if without_answer_s >= max(GIVE_UP_S, 4 * deadline_s):
            return f"gave up: no call was answered for {without_answer_s:.0f} s"
        return ""
    if elapsed_s > pace.duration_s + 2 * deadline_s:
        return f"the load was not through {elapsed_s - pace.duration_s:.0f} s after its time"
    return ""

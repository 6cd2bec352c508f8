"""Notices when a process stood still: where it, its node or its machine is paused, it can tell only afterwards."""

from __future__ import annotations

import asyncio
import threading
import time

from grpc_lb_lab.model.result import Pause

BEAT_S = 0.25
THREAD_BEAT_S = 0.5
"""Of a server: there may be hundreds on one machine."""

SHORTEST_S = 2.0
"""What is shorter may be a busy machine."""

MOST_KEPT = 100

# A machine that sleeps stops the monotonic clock, and the wall clock may be set.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Heartbeat:
    """Beats in an event loop or in a thread; ``pauses`` are the times between two beats that were too long."""

    def __init__(self) -> None:
        """Do not beat yet."""
        self.pauses: list[Pause] = []

    async def run(self) -> None:
        """Beat until cancelled."""
        last = time.clock_gettime(_CLOCK)
        while True:
            await asyncio.sleep(BEAT_S)
            last = self._beat(last, BEAT_S)

    def start(self) -> None:
        """Beat in a thread for as long as the process lives."""
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def see(self, late_s: float, at: float) -> None:
        """Note a beat that came ``late_s`` seconds too late, ``at`` seconds since the epoch."""
        if late_s >= SHORTEST_S:
            self.pauses = [*self.pauses, Pause(at - late_s, at)][-MOST_KEPT:]

    def _run(self) -> None:
        last = time.clock_gettime(_CLOCK)
        while True:
            time.sleep(THREAD_BEAT_S)
            last = self._beat(last, THREAD_BEAT_S)

    def _beat(self, last: float, every_s: float) -> float:
        now = time.clock_gettime(_CLOCK)
        self.see(now - last - every_s, time.time())
        return now

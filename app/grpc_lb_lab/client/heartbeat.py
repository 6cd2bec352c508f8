"""Notices when this client stood still: a process, a node or a machine that is paused can tell it only afterwards."""

from __future__ import annotations

import asyncio
import time

from grpc_lb_lab.model.result import Pause

BEAT_S = 0.25
SHORTEST_S = 2.0
"""What is shorter may be a busy machine."""

# A machine that sleeps stops the monotonic clock, and the wall clock may be set.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Heartbeat:
    """Beats while ``run`` runs; ``pauses`` are the times between two beats that were too long."""

    def __init__(self) -> None:
        """Do nothing yet."""
        self.pauses: list[Pause] = []

    async def run(self) -> None:
        """Until cancelled."""
        last = time.clock_gettime(_CLOCK)
        while True:
            await asyncio.sleep(BEAT_S)
            now = time.clock_gettime(_CLOCK)
            self.see(now - last - BEAT_S, time.time())
            last = now

    def see(self, late_s: float, at: float) -> None:
        """Note a beat that came ``late_s`` seconds too late, ``at`` seconds since the epoch."""
        if late_s >= SHORTEST_S:
            self.pauses.append(Pause(at - late_s, at))

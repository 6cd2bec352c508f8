"""One client's lines in the live feed. Whatever goes wrong with them, the load goes on."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

from grpc_lb_lab.load.record.histogram import percentile_ms
from grpc_lb_lab.model import live_feed

if TYPE_CHECKING:
    from grpc_lb_lab.load.channels.connections import ConnectionLog
    from grpc_lb_lab.load.pacing import Pace
    from grpc_lb_lab.load.record.recorder import Recorder

EVERY_S = 0.25
# More clients write more rarely: this many lines a second in all are plenty for a picture.
LINES_A_SECOND = 20
LATENCY_EVERY_S = 1.0


class LiveWriter:
    """Writes lines to a file that is there, or to stderr for ``-``. Complains once on stderr when it cannot."""

    def __init__(self, target: str, index: int, clients: int) -> None:
        """``index``: this client, of ``clients``."""
        self._index = index
        self._every_s = max(EVERY_S, clients / LINES_A_SECOND)
        self._prefix = b""
        self._descriptor = -1
        if target == "-":
            self._prefix, self._descriptor = live_feed.PREFIX.encode(), os.dup(sys.stderr.fileno())
            return
        try:
            self._descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            self._give_up(error)

    def follow(self, pace: Pace, recorder: Recorder, log: ConnectionLog, start: float) -> None:
        """Tell of this load from now on; ``start``: its first call, in seconds since the epoch."""
        self._pace, self._recorder, self._log, self._start = pace, recorder, log, start
        self._mark, self._marked_at = recorder.latency.mark(), time.perf_counter()
        self._p50: float | None = None
        self._p99: float | None = None
        self.write()

    async def run(self) -> None:
        """Write a line now and then; until cancelled."""
        # Clients that begin together do not write together.
        await asyncio.sleep(self._every_s * (self._index * 0.382 % 1))
        while self._descriptor >= 0:
            self.write()
            await asyncio.sleep(self._every_s)

    def write(self, ended: bool = False) -> None:
        """Write how things are now; ``ended``: no more calls will come."""
        if self._descriptor < 0:
            return
        now = time.perf_counter()
        self._recorder.fold(now)
        if ended or now - self._marked_at >= LATENCY_EVERY_S:
            gained, self._mark = self._recorder.latency.since(self._mark)
            self._marked_at = now
            self._p50, self._p99 = percentile_ms(gained, 50), percentile_ms(gained, 99)
        line = live_feed.ClientLine(
            at=time.time(),
            i=self._index,
            start=self._start,
            done=self._recorder.requests,
            ok=self._recorder.ok,
            failed=self._recorder.failed,
            total=self._pace.requests,
            per=self._recorder.calls_by_pod(),
            errors=self._recorder.errors,
            conns=self._log.open,
            p50_ms=self._p50,
            p99_ms=self._p99,
            ended=ended,
        )
        try:
            os.write(self._descriptor, self._prefix + live_feed.render(line).encode() + b"\n")
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write no more."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _give_up(self, error: OSError) -> None:
        self.close()
        sys.stderr.write(f"live: nobody can watch this client: {error.filename or 'write'}: {error.strerror}\n")

"""The load loop: starts calls as the pace says and hands every outcome to the recorder."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpc_lb_lab.load import pacing
from grpc_lb_lab.load.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from grpc_lb_lab.load.channels.core import Outcome
    from grpc_lb_lab.load.pacing import Pace
    from grpc_lb_lab.load.record.recorder import Recorder

    Caller = Callable[[bytes], Awaitable[Outcome]]

# An open loop has rate × deadline calls in flight at worst. Beyond this many the next ones wait for a place; their
# latency still counts from when they were due.
MOST_IN_FLIGHT = 5000
# After a stop, calls in flight get this long to end by themselves.
STOP_GRACE_S = 1.0
clock = time.perf_counter


@dataclass
class Stop:
    """A switch: once ``reason`` is set, no further call starts."""

    reason: str = ""
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self, reason: str) -> None:
        """Stop; the first reason stays."""
        self.reason = self.reason or reason
        self.event.set()

    def is_set(self) -> bool:
        """Whether the load shall end."""
        return bool(self.reason)


class Load:
    """One client's load over its channels, which take calls in turn."""

    def __init__(self, callers: list[Caller], request: bytes, recorder: Recorder, stop: Stop) -> None:
        """``callers``: a function a channel, as ``core.unary_caller`` makes them. ``request`` is serialised."""
        self._request = request
        self._recorder = recorder
        self._stop = stop
        self._turn: Iterator[tuple[int, Caller]] = itertools.cycle(enumerate(callers))

    async def run(self, pace: Pace, concurrency: int) -> None:
        """Make the calls; return when all have ended. Cancels what is in flight ``STOP_GRACE_S`` after a stop."""
        work = self._open(pace) if pace.rate_rps is not None else self._closed(pace, concurrency)
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.event.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=STOP_GRACE_S)
        finally:
            stopping.cancel()
            task.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)
        if not task.cancelled():
            task.result()  # raises only for a bug in the lab: outcomes of calls are recorded, not raised

    async def _closed(self, pace: Pace, concurrency: int) -> None:
        tickets = pacing.closed_loop(pace, clock, self._stop.is_set)
        workers = concurrency if pace.requests is None else min(concurrency, pace.requests)
        await _all([self._work(tickets) for _ in range(workers)])

    async def _work(self, tickets: Iterator[int]) -> None:
        """One worker of the closed loop. This is the hot path: names are local, nothing is made that is not needed."""
        request, turn, recorder = self._request, self._turn, self._recorder
        record_ok, record_failed = recorder.record_ok, recorder.record_failed
        for _ in tickets:
            index, call = next(turn)
            began = clock()
            try:
                reply, code = await call(request)
            except asyncio.CancelledError:
                record_failed(began, clock(), "CANCELLED")
                raise
            if reply is not None:
                record_ok(index, began, clock(), reply)
            else:
                record_failed(began, clock(), code or "UNKNOWN")

    async def _open(self, pace: Pace) -> None:
        """Start each call when it is due, however many are in flight; the number of tasks is bounded."""
        places = asyncio.Semaphore(MOST_IN_FLIGHT)
        in_flight: set[asyncio.Task[None]] = set()
        ticker = Ticker()
        loop = asyncio.get_running_loop()

        def ended(task: asyncio.Task[None]) -> None:
            in_flight.discard(task)
            places.release()

        try:
            for intended in pacing.open_loop(pace, clock()):
                await ticker.sleep_until(intended)
                await places.acquire()
                if self._stop.is_set():
                    break
                task = loop.create_task(self._call(intended))
                in_flight.add(task)
                task.add_done_callback(ended)
            if in_flight:
                await _all(list(in_flight))
        finally:
            ticker.close()
            await _end(in_flight)

    async def _call(self, intended: float) -> None:
        """One call of the open loop."""
        index, call = next(self._turn)
        recorder = self._recorder
        recorder.lag.record(clock() - intended)
        try:
            reply, code = await call(self._request)
        except asyncio.CancelledError:
            recorder.record_failed(intended, clock(), "CANCELLED")
            raise
        if reply is not None:
            recorder.record_ok(index, intended, clock(), reply)
        else:
            recorder.record_failed(intended, clock(), code or "UNKNOWN")


async def _all(work: list[Awaitable[None]]) -> None:
    """Wait for all; when one raises or this is cancelled, end the others too, and wait until they have recorded."""
    tasks = {asyncio.ensure_future(entry) for entry in work}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION) if tasks else (set(), set())
        for task in done:
            task.result()
    finally:
        await _end(tasks)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)

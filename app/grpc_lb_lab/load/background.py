"""All that runs beside one client's load, from its first call to its last one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from grpc_lb_lab.heartbeat import Heartbeat
from grpc_lb_lab.load.stall_guard import Watch
from grpc_lb_lab.observe.dns_watch import DnsWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from grpc_lb_lab.load.channels.connections import ConnectionLog
    from grpc_lb_lab.load.live import LiveWriter
    from grpc_lb_lab.load.load import Stop
    from grpc_lb_lab.load.pacing import Pace
    from grpc_lb_lab.load.record.recorder import Recorder
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.result import DnsAnswer, Pause


class Beside:
    """The watch over the load, the live feed and, in a scenario, the questions to DNS."""

    def __init__(
        self,
        plan: Plan,
        index: int,
        pace: Pace,
        recorder: Recorder,
        log: ConnectionLog,
        stop: Stop,
        live: LiveWriter | None,
    ) -> None:
        """Needs a running event loop; nothing runs before ``running``."""
        self._heartbeat = Heartbeat()
        self._watch = Watch(index, pace, plan.load.deadline_s, recorder, log, stop, plan.course)
        self._pace, self._recorder, self._log, self._live = pace, recorder, log, live
        headless = plan.targets.get("headless", "")
        self._dns = DnsWatch(headless, plan.dns) if plan.course is not None and headless else None

    @contextlib.asynccontextmanager
    async def running(self, start: float) -> AsyncIterator[None]:
        """Run all within the ``with`` block. ``start``: the first call, in seconds since the epoch."""
        if self._live:
            self._live.follow(self._pace, self._recorder, self._log, start)
        parts = (self._watch, self._live, self._dns, self._heartbeat)
        tasks = [asyncio.ensure_future(part.run()) for part in parts if part]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def finish(self, now: float) -> None:
        """Say and note how things stand at the end; ``now`` is on the recorder's clock."""
        self._recorder.finish(now)
        self._watch.progress()
        self._log.sample()
        if self._live:
            self._live.write(ended=True)
            self._live.close()

    @property
    def pauses(self) -> list[Pause]:
        """When this client stood still."""
        return self._heartbeat.pauses

    @property
    def dns_answers(self) -> list[DnsAnswer]:
        """What DNS said of the replicas over time; nothing outside of a scenario."""
        return self._dns.answers if self._dns else []

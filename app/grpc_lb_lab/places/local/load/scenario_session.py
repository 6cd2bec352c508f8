"""What happens beside the clients of one load: the events of its course, and the live feed that tells of everything."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.local.load.injector import LocalInjector
from grpc_lb_lab.places.local.supervisor.replicas import DRAIN_S
from grpc_lb_lab.run.progress import Progress
from grpc_lb_lab.run.scenario_runner import ScenarioRunner

if TYPE_CHECKING:
    from grpc_lb_lab.model.inventory import Event
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.scenario import ScenarioPlan
    from grpc_lb_lab.places.local.supervisor.events import EventLog
    from grpc_lb_lab.places.local.supervisor.replicas import Replicas
    from grpc_lb_lab.run.feed import LiveFeed

_FIRST_CALL_S = 60.0
"""For all clients to warm up and meet; a client gives up its warm-up long before."""


class ScenarioSession:
    """The events of one load: ``open``, ``prepare``, ``begin``, ``check`` as often as wanted, ``close``, ``end``."""

    def __init__(self, plan: Plan, replicas: Replicas, events: EventLog, feed: LiveFeed) -> None:
        """Nothing happens yet."""
        self.feed = feed
        self._plan = plan
        self._replicas = replicas
        self._events = events
        self._stage = LocalInjector(replicas)
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin the feed; from now on it has every event of the lab."""
        self.feed.start(live_feed.run_line(self._plan, "local", time.time()))
        self._events.listener = self._tell
        if self._plan.course:
            self._events.add("endpoints", ",".join(self._replicas.ready))
        else:
            self.feed.replicas(self._ready())

    async def prepare(self) -> None:
        """Do what must be done before the clients start. Raises ``LabError``."""
        course = self._plan.course
        if course:
            drain = self._plan.strategy.get("drain") or {}
            self._replicas.drain_s = float(drain.get("preStopS", DRAIN_S))
            await self._conductor(course).prepare()

    def begin(self) -> None:
        """Follow the clients that were started, and carry out the events at their times."""
        if self._plan.course:
            self._task = asyncio.create_task(self._play(self._plan.course))

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What a load should wait for beside its clients, as it may break."""
        return [self._task] if self._task and not self._task.done() else []

    def check(self, through: bool = False) -> None:
        """Raise the ``LabError`` of an event that went wrong; ``through``: also when one is not over yet."""
        if self._task is None:
            return
        if self._task.done():
            self._task.result()
        elif through:
            raise LabError(f"scenario {self._plan.scenario}: its events were not over when the load ended")

    async def close(self) -> None:
        """End what is under way and heal the replicas: the next load shall find them well."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stage.close()
        self._replicas.drain_s = 0.0

    def end(self, problem: str) -> None:
        """End the feed; ``problem`` says what broke the load, empty when nothing did."""
        self._events.listener = None
        self.feed.end(problem)

    async def _play(self, course: ScenarioPlan) -> None:
        began_at = await Progress(self.feed.path).began_at(_FIRST_CALL_S)
        await self._conductor(course).run(began_at)

    def _conductor(self, course: ScenarioPlan) -> ScenarioRunner:
        duration_s = self._plan.load.duration_s or 0.0
        return ScenarioRunner(course, duration_s, self._stage, self._events.add, Progress(self.feed.path).calls)

    def _tell(self, event: Event) -> None:
        if event.kind == "endpoints":
            self.feed.replicas(self._ready(), event.at)
        else:
            self.feed.event(event.kind, event.detail, event.pod, event.at)

    def _ready(self) -> list[str]:
        return [member.pod for member in self._replicas.everyone if member.state == "ready"]

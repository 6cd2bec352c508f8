"""Carries out the events of a scenario at their times, in whatever place the load runs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.scenario import FAULT_MOST_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from grpc_lb_lab.model.inventory import Replica
    from grpc_lb_lab.model.scenario import PlannedEvent, ScenarioPlan
    from grpc_lb_lab.run.injector import FaultInjector

_FAULT_MARGIN_S = 5.0


class Log(Protocol):
    """Where events are noted, as ``Place.note``."""

    def __call__(self, kind: str, detail: str, replica: Replica | None = None) -> None:
        """Note that something happened now, to this replica if to one."""


class ScenarioRunner:
    """One course of one load. ``duration_s`` is the load's; ``calls`` tells how many calls each pod has answered."""

    def __init__(
        self,
        course: ScenarioPlan,
        duration_s: float,
        injector: FaultInjector,
        log: Log,
        calls: Callable[[], Mapping[str, int]],
    ) -> None:
        """Nothing happens before ``prepare``."""
        self._course = course
        self._duration_s = duration_s
        self._injector = injector
        self._log = log
        self._calls = calls
        self._ends: list[tuple[float, Replica]] = []

    async def prepare(self) -> None:
        """Do what must be done before the first measured call. Raises ``LabError`` as ``run`` does."""
        if self._course.base_delay_ms:
            for_s = min(FAULT_MOST_S, self._duration_s + 2 * _FAULT_MARGIN_S)
            for replica in await self._injector.replicas():
                await self._injector.slow(replica.pod, self._course.base_delay_ms, for_s)

    async def run(self, began_at: float) -> None:
        """Carry out every event, ``began_at`` being the first measured call (seconds since the epoch), and wait for it.

        Raises ``LabError`` naming the event that could not be carried out, or that did not come to an end in its time.
        """
        for event in self._course.events:
            await self._say_ends(until=began_at + event.at_s)
            await asyncio.sleep(max(0.0, began_at + event.at_s - time.time()))
            try:
                await self._carry_out(event)
            except LabError as error:
                raise LabError(f"scenario {self._course.name}, {event.do} at {event.at_s:.1f} s: {error}") from error
        try:
            await self._injector.settled()
        except LabError as error:
            raise LabError(f"scenario {self._course.name}: {error}") from error
        await self._say_ends(until=began_at + self._duration_s)

    async def _say_ends(self, until: float) -> None:
        """Note each fault that ends by itself before ``until`` (seconds since the epoch), when it does."""
        for at, replica in sorted(self._ends, key=lambda end: end[0]):
            if at < until:
                await asyncio.sleep(max(0.0, at - time.time()))
                self._log("recovered", f"{replica.pod} ({replica.ip}) has its fault no more", replica)
                self._ends.remove((at, replica))

    async def _carry_out(self, event: PlannedEvent) -> None:
        replicas = await self._injector.replicas()
        if event.do == "scale":
            wanted = len(replicas) + event.by
            self._log("command", f"scale {len(replicas)} → {wanted} replicas")
            await self._injector.scale(wanted)
        elif event.do == "restart":
            self._log("command", f"restart {len(replicas)} replicas, one by one")
            await self._injector.restart()
        elif event.do == "replace":
            self._log("command", f"replace all {len(replicas)} replicas")
            await self._injector.replace()
        else:
            for replica in choose(event.which, replicas, self._calls()):
                self._log("command", f"{_words(event)} {replica.pod} ({replica.ip})", replica)
                await self._strike(event, replica)

    async def _strike(self, event: PlannedEvent, replica: Replica) -> None:
        rest_s = self._duration_s - event.at_s + _FAULT_MARGIN_S
        for_s = min(FAULT_MOST_S, event.for_s or rest_s)
        pod = replica.pod
        if event.do in ("stop", "slow", "fail"):
            self._ends.append((time.time() + for_s, replica))
        if event.do == "delete":
            await self._injector.delete(pod)
        elif event.do == "kill":
            await self._injector.kill(pod)
        elif event.do == "stop":
            await self._injector.stop(pod, for_s)
        elif event.do == "slow":
            await self._injector.slow(pod, event.delay_ms, for_s)
        elif event.do == "fail":
            await self._injector.fail(pod, event.code, for_s)
        else:
            raise LabError(f"no injector knows {event.do!r}")


def choose(which: str, replicas: Sequence[Replica], calls: Mapping[str, int]) -> list[Replica]:
    """Return the replicas that ``which`` means, of those that are ready where any is; ``replicas`` is oldest first.

    Raises ``LabError`` when there is no such replica.
    """
    able = [replica for replica in replicas if replica.ready] or list(replicas)
    if which == "all":
        return able
    if which == "busiest" and able:
        return [max(able, key=lambda replica: calls.get(replica.pod, 0))]
    number = 1 if which == "first" else int(which) if which.isdigit() else 0
    if not 1 <= number <= len(able):
        raise LabError(f"there is no replica {which!r}; there are {len(able)}")
    return [able[number - 1]]


def _words(event: PlannedEvent) -> str:
    words = {"slow": f"slow, {event.delay_ms} ms:", "fail": f"fail, {event.code}:"}
    return words.get(event.do, event.do)

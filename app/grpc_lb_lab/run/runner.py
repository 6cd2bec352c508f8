"""Runs one load in one place, from what it needs to what is left of it. What a run does is written here, once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.run.scenario_session import ScenarioSession
from grpc_lb_lab.run.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.run.client_reports import ClientReports
    from grpc_lb_lab.run.feed import LiveFeed
    from grpc_lb_lab.run.place import Clients, Place

ENDED_EARLY = "the load was ended before it had finished"

_FIRST_TELLING_S = 1.0


class LoadRunner:
    """One load. ``check`` is asked again and again and raises ``LabError`` when the load shall end."""

    def __init__(
        self,
        plan: Plan,
        place: Place,
        reports: ClientReports,
        feed: LiveFeed,
        say: Callable[[str], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """``reports`` get what the clients tell; ``say`` gets lines for the user. Nothing happens yet."""
        self._plan, self._place, self._reports, self._feed = plan, place, reports, feed
        self._say, self._check = say, check
        self._session: ScenarioSession | None = None
        self._clients: Clients | None = None

    async def run(self) -> None:
        """Run the load to its end. Raises ``LabError`` naming what broke; partial results stay where they are.

        However it ends, also when cancelled, inventory and logs are kept and nothing that it started is left. The
        message of a cancellation is told as its reason.
        """
        self._feed.start(live_feed.run_line(self._plan, self._place.cluster, time.time()))
        problem = ENDED_EARLY
        try:
            await self._measure()
            problem = ""
        except LabError as error:
            problem = str(error)
            raise
        except asyncio.CancelledError as error:
            problem = ": ".join([ENDED_EARLY, *map(str, error.args)])
            raise
        finally:
            await to_the_end(self._end(problem))

    async def _measure(self) -> None:
        await self._place.up()
        if self._plan.course:
            injector = await self._place.injector()
            self._session = ScenarioSession(self._plan, self._plan.course, injector, self._place, self._reports)
            await self._session.prepare()
        self._clients = self._place.clients()
        await self._clients.start()
        if self._session:
            self._session.begin()
        await self._watch(self._clients)
        if self._session:
            self._session.check(through=True)

    async def _watch(self, clients: Clients) -> None:
        telling, tell_at = Telling(self._plan.load, self._say), time.monotonic() + _FIRST_TELLING_S
        while not await clients.look():
            self._check()
            if self._session:
                self._session.check()
            if time.monotonic() >= tell_at:
                telling.see(self._reports.done)
        telling.end(self._reports.done)

    async def _end(self, problem: str) -> None:
        """End what is left, every part of it whatever becomes of the others; ``problem`` is told before any of theirs.

        Clients first, since one whose proxy goes away would count errors. The inventory before faults are taken back:
        how the replicas are now is how the load left them.
        """
        errors: list[Exception] = []
        for step in (
            self._end_clients,
            functools.partial(self._end_feed, problem),
            self._place.inventory,
            self._place.collect,
            self._end_session,
            self._place.reset,
        ):
            try:
                await step()
            except Exception as error:  # told below
                errors.append(error)
        for told in errors:
            if not problem or not isinstance(told, LabError):
                raise told

    async def _end_clients(self) -> None:
        if self._clients:
            await self._clients.end()

    async def _end_feed(self, problem: str) -> None:
        self._feed.end(problem)

    async def _end_session(self) -> None:
        if self._session:
            await self._session.close()


async def to_the_end[T](work: Coroutine[Any, Any, T]) -> T:
    """Do ``work`` to its end, however often whoever waits for it is cancelled meanwhile.

    ``asyncio.shield`` alone keeps the work going but not the wait: what comes next would start beside it.
    """
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()

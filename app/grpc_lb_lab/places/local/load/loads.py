"""The one load that a lab may run at a time: who owns it, when the next one may start, and what is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import read_plan
from grpc_lb_lab.own.owner import Owner
from grpc_lb_lab.places.local.load.load_files import LoadFolder
from grpc_lb_lab.places.local.load.place import LocalPlace, Parts
from grpc_lb_lab.places.local.programs import Program
from grpc_lb_lab.places.local.supervisor import envoy, scrape_targets
from grpc_lb_lab.run.client_reports import ClientReports
from grpc_lb_lab.run.feed import LiveFeed
from grpc_lb_lab.run.runner import ENDED_EARLY, LoadRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.strategy import Strategy
    from grpc_lb_lab.places.local.control import Request

_OWNER_GONE = "whoever started it has gone"


class Loads:
    """Runs loads, one at a time."""

    def __init__(self, parts: Parts) -> None:
        """``parts`` are those of the lab. No load runs yet."""
        self._parts = parts
        self._place: LocalPlace | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._gone = asyncio.Event()
        self._clients = 1

    def tell_prometheus(self) -> None:
        """Write down where metrics are: at the replicas of now, and at the clients of the newest load."""
        parts = self._parts
        scrape_targets.write(parts.state.metrics, parts.block, parts.replicas.everyone, self._clients, parts.events)

    def describe(self) -> dict[str, Any] | None:
        """Return what ``status`` tells of the load that runs; None when none does."""
        return self._place.describe() | {"owner_waits": self._owner_waits()} if self._place else None

    def refuse_if_running(self, what: str) -> None:
        """Raise ``LabError`` naming the load that runs and its owner, if one does."""
        if self._place is not None:
            since = time.strftime("%H:%M:%S", time.localtime(self._place.since))
            raise LabError(
                f"{what}: a load runs since {since}, owned by pid {self._place.owner.pid} (run {self._place.plan.run})"
            )

    async def end_orphan(self, say: Callable[[str], None]) -> None:
        """End the load that runs when its owner is dead or waits no more; returns when it is over."""
        if self._place is not None and not self._owner_waits():
            run, pid = self._place.plan.run, self._place.owner.pid
            say(f"ending the load of run {run}: whoever started it (pid {pid}) has gone")
            await self.end()
            async with self._turn:
                pass

    def endpoints_changed(self, ready: tuple[str, ...]) -> None:
        """Note that from now on these are the addresses that everybody is told; only a load is interested."""
        if self._place is not None:
            self._parts.events.add("endpoints", ",".join(ready))

    async def end(self) -> None:
        """End the load that runs, if one does."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def load(self, request: Request) -> dict[str, Any]:
        """Run the load in the file ``plan``. Raises ``LabError`` when another one runs, or when something breaks."""
        plan = read_plan(Path(request.data["plan"]))
        await self.end_orphan(request.progress)
        self.refuse_if_running("no second load can start")
        async with self._turn:
            self._check(plan.strategy)
            files = LoadFolder(Path(request.data["results"]))
            files.prepare()
            feed = LiveFeed(Path(request.data.get("live") or self._parts.state.load / live_feed.FILE))
            self._place = place = self._make_place(request, plan, files, feed)
            self._gone = request.gone
            self._clients = plan.load.clients
            self.tell_prometheus()
            try:
                await self._run_until_gone(LoadRunner(plan, place, place.reports, feed, request.progress), request)
            finally:
                self._place = self._task = None
        return {"changed": True, "clients": plan.load.clients, "results": str(files.results)}

    def _make_place(self, request: Request, plan: Plan, files: LoadFolder, feed: LiveFeed) -> LocalPlace:
        return LocalPlace(
            parts=self._parts,
            plan=plan,
            files=files,
            program=envoy.Program(**request.data["envoy"]) if request.data.get("envoy") else None,
            gateway_program=Program(**request.data["gateway"]) if request.data.get("gateway") else None,
            owner=Owner.of(request.peer_pid),
            say=request.progress,
            feed=feed,
            reports=ClientReports(feed),
        )

    def _owner_waits(self) -> bool:
        assert self._place is not None
        return self._place.owner.lives and not self._gone.is_set()

    async def _run_until_gone(self, runner: LoadRunner, request: Request) -> None:
        """Run the load; end it when its owner has gone."""
        self._task = asyncio.create_task(runner.run())
        gone = asyncio.create_task(request.gone.wait())
        try:
            await asyncio.wait([self._task, gone], return_when=asyncio.FIRST_COMPLETED)
            if not self._task.done():
                self._task.cancel(_OWNER_GONE)
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
                return
            raise LabError(f"{ENDED_EARLY}: {_OWNER_GONE}")
        finally:
            gone.cancel()

    def _check(self, strategy: Strategy) -> None:
        if not self._parts.replicas.ready:
            raise LabError("no replica is ready: run `lb-lab local up` first")
        needed = strategy.needs
        if needed.service and not self._parts.service.running:
            raise LabError("this strategy needs the Service, which is not there: run `lb-lab local up` with it first")
        if needed.control_plane and not self._parts.planes.running([needed.control_plane]):
            raise LabError(
                f"this strategy needs the control plane {needed.control_plane}, which is not there: "
                "run `lb-lab local up` with it first"
            )
        if needed.server_proxy and not all(member.proxy for member in self._parts.replicas.current):
            raise LabError("this strategy needs an Envoy beside every replica: run `lb-lab local up` with it first")

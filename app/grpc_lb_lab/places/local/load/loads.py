"""The one load that a lab may run at a time: who owns it, when the next one may start, and what is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.own.owner import Owner
from grpc_lb_lab.places.local.addresses import SERVER_ADMIN_PORT
from grpc_lb_lab.places.local.desired_state import needs
from grpc_lb_lab.places.local.load.load import Load, World
from grpc_lb_lab.places.local.load.load_files import LoadFolder, read_plan
from grpc_lb_lab.places.local.load.scenario_session import ScenarioSession
from grpc_lb_lab.places.local.programs import Program
from grpc_lb_lab.places.local.supervisor import envoy, scrape_targets
from grpc_lb_lab.places.local.supervisor.inventory import make_inventory
from grpc_lb_lab.run.feed import LiveFeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.places.local.addresses import Block
    from grpc_lb_lab.places.local.control import Request
    from grpc_lb_lab.places.local.state import StateFolder
    from grpc_lb_lab.places.local.supervisor.control_planes import ControlPlanes
    from grpc_lb_lab.places.local.supervisor.dns_server import DnsServer
    from grpc_lb_lab.places.local.supervisor.events import EventLog
    from grpc_lb_lab.places.local.supervisor.member import Member
    from grpc_lb_lab.places.local.supervisor.processes import Spawner
    from grpc_lb_lab.places.local.supervisor.replicas import Replicas
    from grpc_lb_lab.places.local.supervisor.service import ServiceProxy


class Loads:
    """Runs loads, one at a time."""

    def __init__(
        self,
        spawner: Spawner,
        block: Block,
        port: int,
        state: StateFolder,
        replicas: Replicas,
        service: ServiceProxy,
        planes: ControlPlanes,
        dns: DnsServer,
        events: EventLog,
    ) -> None:
        """Takes the parts of the lab that a load uses or that its files tell of."""
        self._state = state
        self._block = block
        self._replicas = replicas
        self._service = service
        self._planes = planes
        self._dns = dns
        self._events = events
        self._world = World(
            spawner, block, port, state.load, lambda: replicas.ready, lambda: service.process, self._beside
        )
        self._load: Load | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._gone = asyncio.Event()
        self._clients = 1

    def tell_prometheus(self) -> None:
        """Write down where metrics are: at the replicas of now, and at the clients of the newest load."""
        scrape_targets.write(self._state.metrics, self._block, self._replicas.everyone, self._clients, self._events)

    def describe(self) -> dict[str, Any] | None:
        """Return what ``status`` tells of the load that runs; None when none does."""
        return self._load.describe() | {"owner_waits": self._owner_waits()} if self._load else None

    def refuse_if_running(self, what: str) -> None:
        """Raise ``LabError`` naming the load that runs and its owner, if one does."""
        if self._load is not None:
            since = time.strftime("%H:%M:%S", time.localtime(self._load.since))
            raise LabError(
                f"{what}: a load runs since {since}, owned by pid {self._load.owner.pid} (run {self._load.plan.run})"
            )

    async def end_orphan(self, say: Callable[[str], None]) -> None:
        """End the load that runs when its owner is dead or waits no more; returns when it is over."""
        if self._load is not None and not self._owner_waits():
            run, pid = self._load.plan.run, self._load.owner.pid
            say(f"ending the load of run {run}: whoever started it (pid {pid}) has gone")
            await self.end()
            async with self._turn:
                pass

    def endpoints_changed(self, ready: tuple[str, ...]) -> None:
        """Note that from now on these are the addresses that everybody is told; only a load is interested."""
        if self._load is not None:
            self._events.add("endpoints", ",".join(ready))

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
            program = envoy.Program(**request.data["envoy"]) if request.data.get("envoy") else None
            gateway = Program(**request.data["gateway"]) if request.data.get("gateway") else None
            feed = LiveFeed(Path(request.data.get("live") or self._state.load / live_feed.FILE))
            script = ScenarioSession(plan, self._replicas, self._events, feed)
            owner = Owner.of(request.peer_pid)
            self._load = Load(self._world, plan, files, program, gateway, owner, request.progress, script)
            self._gone = request.gone
            self._clients = plan.load.clients
            self.tell_prometheus()
            present = [member for member in self._replicas.everyone if member.wanted]
            self._events.add(
                "load-started", f"run {plan.run}, {plan.load.clients} clients, owner pid {request.peer_pid}"
            )
            script.open()
            problem = "the load was ended before it had finished"
            try:
                await self._run_until_gone(request)
                problem = ""
            except LabError as error:
                problem = str(error)
                raise
            finally:
                load, self._load, self._task = self._load, None, None
                self._events.add("load-ended", f"run {plan.run}")
                script.end(problem)
                self._keep(load, present)
        return {"changed": True, "clients": plan.load.clients, "results": str(files.results)}

    def _owner_waits(self) -> bool:
        assert self._load is not None
        return self._load.owner.lives and not self._gone.is_set()

    async def _run_until_gone(self, request: Request) -> None:
        """Run the load; end it when its owner has gone."""
        assert self._load is not None
        self._task = asyncio.create_task(self._load.run())
        gone = asyncio.create_task(request.gone.wait())
        try:
            await asyncio.wait([self._task, gone], return_when=asyncio.FIRST_COMPLETED)
            if not self._task.done():
                self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
                return
            raise LabError("the load was ended before it had finished: whoever started it has gone")
        finally:
            gone.cancel()

    def _check(self, strategy: dict[str, Any]) -> None:
        if not self._replicas.ready:
            raise LabError("no replica is ready: run `lb-lab local up` first")
        if needs(strategy).service and not self._service.running:
            raise LabError("this strategy needs the Service, which is not there: run `lb-lab local up` with it first")
        needed = needs(strategy)
        if needed.control_plane and not self._planes.running([needed.control_plane]):
            raise LabError(
                f"this strategy needs the control plane {needed.control_plane}, which is not there: "
                "run `lb-lab local up` with it first"
            )
        if needed.server_proxy and not all(member.proxy for member in self._replicas.current):
            raise LabError("this strategy needs an Envoy beside every replica: run `lb-lab local up` with it first")

    def _beside(self) -> dict[str, int]:
        return {
            f"{member.ip}:{SERVER_ADMIN_PORT}": member.proxy.pid for member in self._replicas.current if member.proxy
        }

    def _keep(self, load: Load, present: list[Member]) -> None:
        """Write the inventory of everyone who could have had a call, and copy the logs."""
        took_part = [
            member for member in self._replicas.everyone if member in present or member.started_at >= load.since
        ]
        version = load.program.version if load.program else self._service.version
        events = self._events.since(load.since)
        wanted, found = load.plan.load.replicas, len(present)
        notes = [] if wanted == found else [f"the plan says {wanted} replicas, the lab ran {found} when the load began"]
        load.files.write_inventory(
            make_inventory(took_part, self._block.service, version, grpc.__version__, events, notes)
        )
        service_log = self._service.process.log if needs(load.plan.strategy).service and self._service.process else None
        logs = [process.log for member in took_part for process in member.processes]
        logs += [self._state.log, *self._planes.logs, *([service_log] if service_log else [])]
        load.files.keep_logs(logs)
        load.files.keep_queries(self._dns.since(load.since))

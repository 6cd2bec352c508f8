"""This machine as the place of one load: the proxies that stand beside its clients, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import Plan
from grpc_lb_lab.model.ports import ADMIN_PORT, SERVER_ADMIN_PORT, SIDECAR_PORT
from grpc_lb_lab.own.owner import Owner
from grpc_lb_lab.places.local.addresses import Block
from grpc_lb_lab.places.local.load.clients import LocalClients
from grpc_lb_lab.places.local.load.injector import LocalInjector
from grpc_lb_lab.places.local.load.load_files import LoadFolder
from grpc_lb_lab.places.local.programs import Program
from grpc_lb_lab.places.local.state import StateFolder
from grpc_lb_lab.places.local.supervisor import edge, envoy
from grpc_lb_lab.places.local.supervisor.control_planes import ControlPlanes
from grpc_lb_lab.places.local.supervisor.dns_server import DnsServer
from grpc_lb_lab.places.local.supervisor.events import EventLog
from grpc_lb_lab.places.local.supervisor.inventory import make_inventory
from grpc_lb_lab.places.local.supervisor.processes import Process, Spawner, ended_badly
from grpc_lb_lab.places.local.supervisor.replicas import DRAIN_S, Replicas
from grpc_lb_lab.places.local.supervisor.service import ServiceProxy, write_atomically
from grpc_lb_lab.run.client_reports import ClientReports
from grpc_lb_lab.run.feed import LiveFeed

if TYPE_CHECKING:
    from grpc_lb_lab.model.inventory import Event, Replica

SERVICE = "the Service proxy (Envoy)"

_PROXY_TIMEOUT_S = 20.0
_LOOK_S = 0.02
_PROXY_GRACE_S = 1.0
# For all clients to warm up and meet; a client gives up its warm-up long before.
_FIRST_CALL_S = 60.0


@dataclass(frozen=True)
class Parts:
    """The parts of a lab that a load uses, or that its files tell of."""

    spawner: Spawner
    block: Block
    port: int
    state: StateFolder
    replicas: Replicas
    service: ServiceProxy
    planes: ControlPlanes
    dns: DnsServer
    events: EventLog


@dataclass
class LocalPlace:
    """``run.place.Place`` for one load. ``owner`` asked for it; ``since`` is in seconds since the epoch.

    ``program`` is the Envoy of the clients' own proxies, ``gateway_program`` the edge's, where the strategy has them.
    """

    parts: Parts
    plan: Plan
    files: LoadFolder
    program: envoy.Program | None
    gateway_program: Program | None
    owner: Owner
    say: Callable[[str], None]
    feed: LiveFeed
    reports: ClientReports
    since: float = field(default_factory=time.time)
    cluster: str = "local"
    gateway: edge.Gateway | None = None
    proxies: list[Process] = field(default_factory=list)
    at_edge: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note who is there; nothing is started."""
        self._needed = self.plan.strategy.needs
        self._present = [member for member in self.parts.replicas.everyone if member.wanted]
        self._clients = LocalClients(self)

    async def up(self) -> None:
        """Start the proxies beside the clients, and what stands at the edge."""
        events = self.parts.events
        events.add("load-started", f"run {self.plan.run}, {self.plan.load.clients} clients, owner pid {self.owner.pid}")
        events.listener = self._tell
        if self.plan.course:
            events.add("endpoints", ",".join(self.parts.replicas.ready))
        else:
            self.feed.replicas(self._ready_names())
        if self._needed.sidecar:
            await self._start_proxies()
        await self._start_edge()

    async def injector(self) -> LocalInjector:
        """Return what orders events of the supervisor's own replicas."""
        pre_stop_s = self.plan.strategy.drain.pre_stop_s
        return LocalInjector(self.parts.replicas, DRAIN_S if pre_stop_s is None else float(pre_stop_s))

    def clients(self) -> LocalClients:
        """Return the clients, each a process of the spawner."""
        return self._clients

    async def first_call(self) -> float:
        """Wait for it; all processes here have one clock."""
        return await self.reports.began_at(_FIRST_CALL_S)

    def note(self, kind: str, detail: str, replica: Replica | None = None) -> None:
        """Note that something happened now."""
        self.parts.events.add(kind, detail, replica)

    async def inventory(self) -> None:
        """Write down everyone who could have had a call."""
        self.parts.events.listener = None
        self.parts.events.add("load-ended", f"run {self.plan.run}")
        service, wanted, found = self.parts.service, self.plan.load.replicas, len(self._present)
        notes = [] if wanted == found else [f"the plan says {wanted} replicas, the lab ran {found} when the load began"]
        version = self.program.version if self.program else service.version
        events = self.parts.events.since(self.since)
        self.files.write_inventory(
            make_inventory(self._took_part(), self.parts.block.service, version, grpc.__version__, events, notes)
        )

    async def collect(self) -> None:
        """Copy the logs of what the load shared with others; its own write theirs where they are kept."""
        service = self.parts.service.process if self._needed.service else None
        logs = [process.log for member in self._took_part() for process in member.processes]
        logs += [self.parts.state.log, *self.parts.planes.logs, *([service.log] if service else [])]
        self.files.keep_logs(logs)
        self.files.keep_queries(self.parts.dns.since(self.since))

    async def reset(self) -> None:
        """End the proxies."""
        await self.parts.spawner.stop([*self.proxies, *self.at_edge.values()], _PROXY_GRACE_S)
        if self.gateway and self.gateway.process:
            await self.parts.spawner.stop([self.gateway.process], _PROXY_GRACE_S)

    def describe(self) -> dict[str, Any]:
        """Return what ``status`` tells of it."""
        return {
            "run": self.plan.run,
            "owner": self.owner.pid,
            "since": self.since,
            "clients": [{"pid": process.pid, "alive": process.alive} for process in self._clients.processes],
            "proxies": [
                {"pid": process.pid, "alive": process.alive} for process in (*self.proxies, *self.at_edge.values())
            ],
            "done": self.reports.done,
            "total": self.reports.total,
        }

    def vital(self) -> dict[str, Process]:
        """What must not end before the clients, by the name that an error gives it."""
        found = {f"the Envoy beside client {index}": process for index, process in enumerate(self.proxies)}
        service = self.parts.service.process if self._needed.service else None
        return found | self.at_edge | ({SERVICE: service} if service else {})

    def passed(self) -> dict[str, int]:
        """The pids of what all clients' calls pass, as ``Plan.processes`` has them."""
        found = {}
        if self._needed.server_proxy:
            current = self.parts.replicas.current
            found = {f"{member.ip}:{SERVER_ADMIN_PORT}": member.proxy.pid for member in current if member.proxy}
        if self._needed.service and self.parts.service.process:
            found[SERVICE] = self.parts.service.process.pid
        for what, process in self.at_edge.items():
            found[what if what == edge.PORT_FORWARD else f"{self.parts.block.gateway}:{ADMIN_PORT}"] = process.pid
        return found

    def passed_by(self, client: int) -> dict[str, int]:
        """The same of one client, with the proxy that stands beside it."""
        own = {f"{self.parts.block.sidecar(client)}:{SIDECAR_PORT}": one.pid for one in self.proxies[client:][:1]}
        return {**self.passed(), **own}

    async def _start_proxies(self) -> None:
        assert self.program is not None
        spawner, block = self.parts.spawner, self.parts.block
        bootstrap = envoy.CHART_FILES / self.plan.strategy.envoy.client
        policy = self.plan.strategy.envoy.lb_policy or "ROUND_ROBIN"
        for index in range(self.plan.load.clients):
            address = block.sidecar(index)
            words = {"LB_POLICY": policy, "LISTEN_ADDRESS": address, "ADMIN_ADDRESS": address}
            words["HASH_HEADER"] = self.plan.strategy.client.keys.header
            config = self.files.logs / f"envoy-client-{index}.yaml"
            write_atomically(config, envoy.fill(bootstrap, ECHO_PORT=self.parts.port, **words))
            line = envoy.command(self.program.path, config, envoy.resolver(block.dns))
            log = self.files.logs / f"envoy-client-{index}.log"
            log.unlink(missing_ok=True)
            self.proxies.append(await spawner.execute(f"envoy-client-{index}", line, log))
        self.say(f"waiting for {len(self.proxies)} Envoy to see {len(self.parts.replicas.ready)} healthy replicas")
        await asyncio.gather(*(self._proxy_ready(index) for index in range(len(self.proxies))))

    async def _proxy_ready(self, index: int) -> None:
        process, replicas = self.proxies[index], self.parts.replicas
        admin = envoy.Admin(self.parts.block.sidecar(index))
        healthy = -1
        try:
            async with asyncio.timeout(_PROXY_TIMEOUT_S):
                while not (await admin.ready() and healthy == len(replicas.ready)):
                    if not process.alive:
                        raise ended_badly(process, f"the Envoy beside client {index}")
                    await asyncio.sleep(_LOOK_S)
                    healthy = await admin.healthy_hosts()
        except TimeoutError:
            raise LabError(
                f"the Envoy beside client {index} (pid {process.pid}) sees {max(healthy, 0)} of {len(replicas.ready)} "
                f"replicas healthy after {_PROXY_TIMEOUT_S:.0f} s"
            ) from None

    async def _start_edge(self) -> None:
        spawner, ready = self.parts.spawner, self.parts.replicas.ready
        at = edge.Place(self.parts.block, self.parts.port, self.parts.state.load / "gateway", self.files.logs)
        if self.gateway_program is not None:
            what = edge.WHAT[self.plan.strategy.proxies.gateway]
            self.gateway = edge.Gateway(self.plan.strategy, self.gateway_program, at)
            self.say(f"waiting for {what} to see {len(ready)} replicas")
            self.at_edge[what] = await self.gateway.start(spawner, ready)
        if self._needed.forward:
            self.at_edge[edge.PORT_FORWARD] = await edge.start_port_forward(spawner, at, ready)

    def _took_part(self) -> list[Any]:
        everyone = self.parts.replicas.everyone
        return [member for member in everyone if member in self._present or member.started_at >= self.since]

    def _tell(self, event: Event) -> None:
        if event.kind == "endpoints":
            self.feed.replicas(self._ready_names(), event.at)
        else:
            self.feed.event(event.kind, event.detail, event.pod, event.at)

    def _ready_names(self) -> list[str]:
        return [member.pod for member in self.parts.replicas.everyone if member.state == "ready"]

"""The supervisor: one process that owns a lab on this machine, and the operations that the control socket offers."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.local.addresses import DNS_PORT, Claim, ReplicaAddresses
from grpc_lb_lab.places.local.desired_state import DesiredState, merge
from grpc_lb_lab.places.local.fingerprint import fingerprint
from grpc_lb_lab.places.local.load.load_files import targets
from grpc_lb_lab.places.local.load.loads import Loads
from grpc_lb_lab.places.local.load.place import Parts
from grpc_lb_lab.places.local.ports import can_listen
from grpc_lb_lab.places.local.supervisor import envoy
from grpc_lb_lab.places.local.supervisor.control_planes import ControlPlanes
from grpc_lb_lab.places.local.supervisor.dns_records import Order, Zone
from grpc_lb_lab.places.local.supervisor.dns_server import DnsServer
from grpc_lb_lab.places.local.supervisor.events import EventLog
from grpc_lb_lab.places.local.supervisor.inventory import make_inventory
from grpc_lb_lab.places.local.supervisor.processes import Spawner
from grpc_lb_lab.places.local.supervisor.replicas import Replicas
from grpc_lb_lab.places.local.supervisor.server_proxy import ServerProxy
from grpc_lb_lab.places.local.supervisor.service import ServiceProxy

if TYPE_CHECKING:
    import socket

    from grpc_lb_lab.places.local.control import Handler, Request
    from grpc_lb_lab.places.local.state import StateFolder
    from grpc_lb_lab.places.local.supervisor.member import Member

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "cont": signal.SIGCONT}
_STATUS_EVENTS = 50


class Supervisor:
    """A lab: replicas, DNS, the Service proxy and at most one load."""

    def __init__(self, state: StateFolder, claim: Claim, port: int, spawner: tuple[socket.socket, int]) -> None:
        """To be made inside the running event loop. Nothing is started but the reader of the spawner's messages."""
        self.finished = asyncio.Event()
        self.events = EventLog()
        self._state = state
        self._claim = claim
        self._block = claim.block
        self._port = port
        self._since = time.time()
        self._fingerprint = fingerprint()
        self._wish = DesiredState(replicas=0)
        self._envoy: dict[str, Any] | None = None
        self._changing = asyncio.Lock()
        self._spawner = Spawner(*spawner, lost=self._spawner_lost)
        self._dns = DnsServer(Zone(self._block.service))
        self._service = ServiceProxy(self._spawner, state, self._block.service, port, self.events)
        self._planes = ControlPlanes(self._spawner, state, self._block.control_plane, self.events)
        addresses = ReplicaAddresses(self._block, lambda address: can_listen(address, port))
        self._replicas = Replicas(self._spawner, addresses, port, state.logs, self.events, self._publish)
        self._loads = Loads(
            Parts(
                spawner=self._spawner,
                block=self._block,
                port=port,
                state=state,
                replicas=self._replicas,
                service=self._service,
                planes=self._planes,
                dns=self._dns,
                events=self.events,
            )
        )

    async def start(self) -> None:
        """Serve DNS; replicas come with the first ``up``."""
        await self._dns.start(self._claim.tcp, self._claim.udp)
        self.events.add("lab-started", f"block {self._block}, port {self._port}, pid {os.getpid()}")

    async def close(self) -> None:
        """End every process of the lab."""
        await self._loads.end()
        self._dns.close()
        await self._spawner.quit()

    def handlers(self) -> dict[str, Handler]:
        """Return the operations by name, for the control server."""
        return {
            "hello": self.hello,
            "up": self.up,
            "load": self._loads.load,
            "scale": self.scale,
            "restart": self.restart,
            "status": self.status,
            "down": self.down,
            **dict.fromkeys(_SIGNALS, self.signal),
        }

    async def hello(self, _: Request) -> dict[str, Any]:
        """Say who this is, so that a client can tell whether it fits."""
        return {
            "pid": os.getpid(),
            "fingerprint": self._fingerprint,
            "port": self._port,
            "load": self._loads.describe(),
            "envoy": self._envoy,
        }

    async def up(self, request: Request) -> dict[str, Any]:
        """Make the lab what ``wish`` says; ``changed`` tells whether anything had to be done.

        ``fresh``: end all that runs first, so that nothing is left of what was measured with it before.
        """
        self._envoy = request.data.get("envoy") or self._envoy
        async with self._changing:
            await self._loads.end_orphan(request.progress)
            if request.data.get("fresh"):
                self._loads.refuse_if_running("the lab cannot be changed")
                await self._clear()
            wanted = merge(self._wish, DesiredState(**request.data["wish"]))
            changed = wanted != self._wish or not self._settled(wanted)
            if changed:
                self._loads.refuse_if_running("the lab cannot be changed")
                await self._apply(wanted, request)
        return {
            "changed": changed,
            "inventory": self._inventory(request.data.get("envoy")),
            "targets": targets(self._block, self._port, ready=self._replicas.ready),
            "dns": f"{self._block.dns}:{DNS_PORT}",
        }

    async def scale(self, request: Request) -> dict[str, Any]:
        """Have another number of replicas, also while a load runs."""
        wanted = dataclasses.replace(self._wish, replicas=request.data["replicas"])
        async with self._changing:
            changed = wanted != self._wish
            self._wish = wanted
            await self._replicas.scale(wanted.replicas)
            await self._service.followed()
        return {"changed": changed, "replicas": self._describe(self._replicas.current)}

    async def restart(self, _: Request) -> dict[str, Any]:
        """Replace all replicas, one after the other."""
        async with self._changing:
            await self._replicas.restart()
            await self._service.followed()
        return {"changed": True, "replicas": self._describe(self._replicas.current)}

    async def signal(self, request: Request) -> dict[str, Any]:
        """Kill, stop or continue one replica. Returns at once; a killed one is replaced a moment later."""
        member = await self._replicas.signal(request.data.get("pod"), _SIGNALS[request.data["op"]])
        return {"changed": True, "replica": member.describe()}

    async def status(self, _: Request) -> dict[str, Any]:
        """Tell all there is to know."""
        return {
            "running": True,
            "pid": os.getpid(),
            "since": self._since,
            "fingerprint": self._fingerprint,
            "block": str(self._block),
            "port": self._port,
            "dns": f"{self._block.dns}:{DNS_PORT}",
            "dns_queries": len(self._dns.queries),
            "service": {"address": self._block.service, "running": self._service.running},
            "control_planes": self._planes.describe(),
            "wish": dataclasses.asdict(self._wish),
            "desired": self._replicas.desired,
            "replicas": self._describe(member for member in self._replicas.everyone if member.state != "ended"),
            "load": self._loads.describe(),
            "envoy": self._envoy,
            "events": [dataclasses.asdict(event) for event in self.events.last(_STATUS_EVENTS)],
        }

    async def down(self, _: Request) -> dict[str, Any]:
        """End the lab; the answer comes before the end, which shows by the lock becoming free."""
        self.finished.set()
        return {"changed": True}

    async def _apply(self, wanted: DesiredState, request: Request) -> None:
        if wanted.service and not self._service.running:
            request.progress(f"starting the Service {self._block.service}:{self._port}")
            await self._service.start(envoy.Program(**request.data["envoy"]))
        before = (self._wish.server, self._wish.server_proxy)
        options_changed = (wanted.server, wanted.server_proxy) != before and bool(self._replicas.current)
        file = wanted.server_proxy
        beside = ServerProxy(envoy.Program(**request.data["envoy"]), file) if file else None
        self._replicas.set_options(wanted.server, beside)
        # Control planes count when they run: one that cannot start must not be in the way of what comes next.
        self._wish = dataclasses.replace(wanted, control_planes=self._wish.control_planes)
        order: Order = "shuffled" if wanted.dns_order == "shuffled" else "address"
        self._dns.zone = dataclasses.replace(self._dns.zone, order=order)
        request.progress(f"starting {wanted.replicas} replicas in {self._block}")
        self._replicas.discard_stopped()
        if options_changed:
            self._replicas.desired = wanted.replicas
            await self._replicas.replace_all()
        await self._replicas.scale(wanted.replicas)
        await self._service.followed()
        for name in wanted.control_planes:
            request.progress(f"starting the control plane {name} in {self._block}")
            await self._planes.start(name)
        self._wish = wanted
        self._dns.zone = dataclasses.replace(self._dns.zone, others=self._planes.names)

    async def _clear(self) -> None:
        """End replicas, Service and control planes, and forget them: the lab is as it was when it started."""
        self._wish = DesiredState(replicas=0)
        await self._planes.stop()
        await self._service.stop()
        await self._replicas.clear()
        self._dns.zone = dataclasses.replace(self._dns.zone, others=self._planes.names)

    def _settled(self, wanted: DesiredState) -> bool:
        current = self._replicas.current
        ready = sum(member.state == "ready" for member in current)
        stopped = any(member.stopped for member in current)
        replicas = not stopped and ready == len(current) == wanted.replicas
        service = self._service.running or not wanted.service
        return replicas and service and self._planes.running(wanted.control_planes)

    def _publish(self, ready: tuple[str, ...]) -> None:
        if ready != self._dns.zone.headless:
            self._loads.endpoints_changed(ready)
        self._dns.zone = dataclasses.replace(self._dns.zone, headless=ready)
        self._service.publish(ready)
        self._planes.publish(self._replicas.everyone)
        self._loads.tell_prometheus()

    def _inventory(self, program: dict[str, str] | None) -> dict[str, Any]:
        version = (program or {}).get("version", "") or self._service.version
        return make_inventory(self._replicas.current, self._block.service, version, grpc.__version__)

    def _describe(self, members: Any) -> list[dict[str, Any]]:
        chosen: list[Member] = list(members)
        return [member.describe() for member in chosen]

    def _spawner_lost(self) -> None:
        # Its children died with it; a supervisor without replicas and without a way to make any is of no use.
        self.events.add("lab-lost", str(LabError("the spawner died; the lab ends")))
        self.finished.set()

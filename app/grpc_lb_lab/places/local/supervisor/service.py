"""The Service: its cluster IP is an Envoy that passes each connection to a random ready replica."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.files import replace_text
from grpc_lb_lab.places.local.supervisor import envoy
from grpc_lb_lab.places.local.supervisor.processes import Process, Spawner, describe_end, ended_badly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grpc_lb_lab.places.local.state import StateFolder
    from grpc_lb_lab.places.local.supervisor.events import EventLog

_START_TIMEOUT_S = 10.0
_FOLLOW_TIMEOUT_S = 5.0
_LOOK_S = 0.02
_RESTART_AFTER_S = 0.5
_GRACE_S = 1.0


def endpoints(addresses: Sequence[str], port: int) -> dict[str, Any]:
    """Return the EDS file's content (a DiscoveryResponse with one ClusterLoadAssignment) for cluster ``echo``."""
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}} for address in addresses
    ]
    assignment = {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "echo",
        "endpoints": [{"lb_endpoints": hosts}] if hosts else [],
    }
    return {"resources": [assignment]}


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step. The draft's name is one that a reset knows: ``own.state.LOCAL_DRAFTS``."""
    replace_text(path, text, path.with_name(f".{path.name}.new"))


class ServiceProxy:
    """The layer-4 proxy behind the cluster IP. Started at the first need, then kept, as kube-proxy would be."""

    def __init__(self, spawner: Spawner, state: StateFolder, address: str, port: int, events: EventLog) -> None:
        """``address:port`` is the cluster IP and port; nothing is started yet."""
        self.address = address
        self.process: Process | None = None
        self.version = ""
        self._spawner = spawner
        self._state = state
        self._port = port
        self._events = events
        self._admin = envoy.Admin(address)
        self._ready: Sequence[str] = ()
        self._program = ""
        self._keeping: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the proxy was started and has not ended."""
        return self.process is not None and self.process.alive

    def publish(self, ready: Sequence[str]) -> None:
        """Make these the addresses that connections go to."""
        self._ready = ready
        if self.process is not None:
            self._write_endpoints()

    async def start(self, program: envoy.Program) -> None:
        """Start the proxy, unless it runs, and wait until it listens. Raises ``LabError`` with its last words."""
        if self.running:
            return
        self._program, self.version = program.path, program.version
        config = envoy.fill(envoy.SERVICE_FILE, SERVICE_ADDRESS=self.address, ECHO_PORT=self._port)
        write_atomically(self._state.service / "service.yaml", config)
        self._write_endpoints()
        await self._run()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the proxy and forget it; another ``start`` starts it again."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        process, self.process, self._keeping, self.version = self.process, None, None, ""
        if process is not None:
            await self._spawner.stop([process], _GRACE_S)
            process.log.unlink(missing_ok=True)

    async def followed(self) -> None:
        """Wait until the proxy uses the ready set of now. Raises ``LabError`` when it does not in time."""
        try:
            async with asyncio.timeout(_FOLLOW_TIMEOUT_S):
                while self.running and await self._admin.healthy_hosts() != len(self._ready):
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise LabError(f"the Service proxy did not learn of {len(self._ready)} ready replicas") from None

    async def _run(self) -> None:
        config = self._state.service / "service.yaml"
        log = self._state.logs / "service-proxy.log"
        self.process = await self._spawner.execute("service-proxy", envoy.command(self._program, config), log)
        self._events.add("service-started", f"{self.address}:{self._port}, pid {self.process.pid}")
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await self._admin.ready():
                    if not self.process.alive:
                        raise ended_badly(self.process, "the Service proxy (Envoy)")
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise LabError(f"the Service proxy (Envoy) was not ready within {_START_TIMEOUT_S:.0f} s") from None

    async def _keep(self) -> None:
        """Start the proxy again whenever it dies: the rules of kube-proxy do not go away either."""
        while self.process is not None:
            status = await asyncio.shield(self.process.ended)  # not ours to cancel
            self._events.add("service-ended", f"the Service proxy (Envoy): {describe_end(status)}")
            await asyncio.sleep(_RESTART_AFTER_S)
            try:
                await self._run()
            except LabError as error:
                self._events.add("service-missing", str(error))

    def _write_endpoints(self) -> None:
        text = json.dumps(endpoints(self._ready, self._port))
        try:
            write_atomically(self._state.service / "endpoints.json", text)
        except OSError as error:
            # A full disk, or a folder that someone removed: the supervisor goes on and says so.
            self._events.add("service-stale", f"endpoints not written: {os.strerror(error.errno or 0)}")

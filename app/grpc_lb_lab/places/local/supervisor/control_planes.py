"""The control planes, lookaside and xDS: programs of the lab that learn of the ready replicas from a file."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.ports import CONTROL_PLANE_PORTS
from grpc_lb_lab.places.local.supervisor.dns_records import HEADLESS, SERVICE
from grpc_lb_lab.places.local.supervisor.health import HealthProbe, accepts
from grpc_lb_lab.places.local.supervisor.processes import describe_end, ended_badly
from grpc_lb_lab.places.local.supervisor.service import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpc_lb_lab.places.local.state import StateFolder
    from grpc_lb_lab.places.local.supervisor.events import EventLog
    from grpc_lb_lab.places.local.supervisor.member import Member
    from grpc_lb_lab.places.local.supervisor.processes import Process, Spawner

_START_TIMEOUT_S = 15.0
_LOOK_S = 0.05
_RESTART_AFTER_S = 0.5


def endpoints(members: Iterable[Member]) -> dict[str, Any]:
    """Return the endpoints file's content, as EndpointSlices would tell it: under the names of both Services.

    A replica that is being ended still serves, but is not ready.
    """
    entries = [
        {
            "address": member.ip,
            "port": member.port,
            "pod": member.pod,
            "uid": member.uid,
            "ready": member.state == "ready",
            "serving": member.state in ("ready", "terminating"),
        }
        for member in members
        if member.state in ("ready", "unready", "terminating")
    ]
    return {"services": {SERVICE: entries, HEADLESS: entries}}


class ControlPlanes:
    """Runs those that were asked for, each again whenever it dies."""

    def __init__(self, spawner: Spawner, state: StateFolder, address: str, events: EventLog) -> None:
        """All listen at ``address``, each on its own port; nothing is started yet."""
        self._spawner = spawner
        self._state = state
        self._address = address
        self._events = events
        self._processes: dict[str, Process] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The Services that clients find them by, with their addresses."""
        return tuple((name, self._address) for name in sorted(self._processes))

    @property
    def logs(self) -> list[Any]:
        """Their logs."""
        return [process.log for process in self._processes.values()]

    def running(self, names: Iterable[str]) -> bool:
        """Whether all of these run."""
        return all(name in self._processes and self._processes[name].alive for name in names)

    def describe(self) -> list[dict[str, Any]]:
        """Return what ``status`` tells of them."""
        return [
            {"name": name, "pid": process.pid, "alive": process.alive, "address": self._target(name)}
            for name, process in sorted(self._processes.items())
        ]

    def publish(self, members: Iterable[Member]) -> None:
        """Make these the replicas that they tell of."""
        try:
            write_atomically(self._state.endpoints, json.dumps(endpoints(members), indent=1) + "\n")
        except OSError as error:
            # A full disk, or a folder that someone removed: the supervisor goes on and says so.
            self._events.add("endpoints-stale", f"{self._state.endpoints.name}: {os.strerror(error.errno or 0)}")

    async def start(self, name: str) -> None:
        """Start ``lookaside`` or ``xds``, unless it runs, and wait until it serves. Raises ``LabError``."""
        if self.running([name]):
            return
        if name in self._keeping:
            self._keeping.pop(name).cancel()
        await self._run(name)
        self._keeping[name] = asyncio.create_task(self._keep(name))

    async def stop(self) -> None:
        """End all of them and forget them."""
        keeping, processes = [*self._keeping.values()], [*self._processes.values()]
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        self._keeping.clear()
        self._processes.clear()
        await self._spawner.stop(processes, 0)
        for process in processes:
            process.log.unlink(missing_ok=True)

    async def _run(self, name: str) -> None:
        line = [name, "--listen", self._target(name), "--endpoints-file", str(self._state.endpoints)]
        process = await self._spawner.module(name, line, self._state.logs / f"{name}.log")
        self._processes[name] = process
        self._events.add(f"{name}-started", f"{self._target(name)}, pid {process.pid}")
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._serving(name, process)
        except TimeoutError:
            raise LabError(f"the control plane {name} did not serve within {_START_TIMEOUT_S:.0f} s") from None

    async def _serving(self, name: str, process: Process) -> None:
        port = CONTROL_PLANE_PORTS[name]
        while not await accepts(self._address, port):
            if not process.alive:
                raise ended_badly(process, f"the control plane {name}")
            await asyncio.sleep(_LOOK_S)
        probe = HealthProbe(self._address, port)
        try:
            while not await probe.serving():
                if not process.alive:
                    raise ended_badly(process, f"the control plane {name}")
                await asyncio.sleep(_LOOK_S)
        finally:
            await probe.close()

    async def _keep(self, name: str) -> None:
        """Start it again whenever it dies, as a Deployment would."""
        while True:
            status = await asyncio.shield(self._processes[name].ended)  # not ours to cancel
            self._events.add(f"{name}-ended", f"pid {self._processes[name].pid}: {describe_end(status)}")
            await asyncio.sleep(_RESTART_AFTER_S)
            try:
                await self._run(name)
            except LabError as error:
                self._events.add(f"{name}-missing", str(error))

    def _target(self, name: str) -> str:
        return f"{self._address}:{CONTROL_PLANE_PORTS[name]}"

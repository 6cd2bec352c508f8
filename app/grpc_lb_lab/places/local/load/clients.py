"""The clients of one load on this machine: a process each, watched with all that their calls pass."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import write_plan
from grpc_lb_lab.model.ports import METRICS_PORT
from grpc_lb_lab.places.local.load.load_files import client_plan
from grpc_lb_lab.places.local.supervisor.processes import Process, ended_badly
from grpc_lb_lab.run.client_reports import ReportFile

if TYPE_CHECKING:
    from grpc_lb_lab.places.local.load.place import LocalPlace

_LOOK_S = 0.05
_GRACE_S = 3.0
_REFRESH_S = 1.0


class LocalClients:
    """``run.place.Clients`` as processes of the spawner."""

    def __init__(self, place: LocalPlace) -> None:
        """``place`` has the plan, and the proxies by the time that ``start`` is called."""
        self.processes: list[Process] = []
        self._place = place
        self._told = ReportFile(place.parts.state.load / "told.jsonl", place.reports)
        self._left: list[int] = []
        self._refreshed_at = 0.0

    async def start(self) -> None:
        """Start them, each with a plan of its own."""
        place, parts = self._place, self._place.parts
        barrier = parts.state.load / "meeting"
        shutil.rmtree(barrier, ignore_errors=True)
        barrier.mkdir(parents=True)
        self._told.create()
        # Only where clients share a proxy does one's warm-up disturb the others.
        together = ["--meeting", str(barrier)] if place.gateway else []
        for index in range(place.plan.load.clients):
            plan = client_plan(place.plan, parts.block, parts.port, index, parts.replicas.ready, place.passed_by(index))
            path = write_plan(parts.state.load / f"plan-{index}.json", plan)
            line = ["client", "--plan", str(path), "--index", str(index), "--output", str(place.files.result(index))]
            line += [*together, "--live", str(self._told.path)]
            line += ["--metrics", f"{parts.block.sidecar(index)}:{METRICS_PORT}"]
            log = place.files.client_log(index)
            self.processes.append(await parts.spawner.module(f"lb-client-{index}", line, log))
        self._left = list(range(len(self.processes)))

    async def look(self) -> bool:
        """Wait for the end of anything, and take in what the clients told."""
        vital = self._place.vital()
        watched: list[asyncio.Future[Any]] = [process.ended for process in vital.values()]
        watched += [self.processes[index].ended for index in self._left]
        await asyncio.wait(watched, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        self._told.read()
        await self._refresh_gateway()
        for name, process in vital.items():
            if not process.alive:
                raise ended_badly(process, name)
        for index in [index for index in self._left if not self.processes[index].alive]:
            self._check(index)
            self._left.remove(index)
        return not self._left

    async def end(self) -> None:
        """Ask those that still run to end; they write what they measured."""
        await self._place.parts.spawner.stop(self.processes, _GRACE_S)
        self._told.read()

    async def _refresh_gateway(self) -> None:
        if self._place.gateway and time.monotonic() - self._refreshed_at >= _REFRESH_S:
            self._refreshed_at = time.monotonic()
            await self._place.gateway.refresh(self._place.parts.spawner, self._place.parts.replicas.ready)

    def _check(self, index: int) -> None:
        process, result = self.processes[index], self._place.files.result(index)
        if process.ended.result() != 0:
            raise ended_badly(process, f"client {index}")
        if not result.is_file():
            raise LabError(f"client {index} (pid {process.pid}) ended well but wrote no result {result}")

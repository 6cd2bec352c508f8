"""One load: clients, each with a fresh proxy beside it where the strategy has one, watched until all have finished."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import Plan
from grpc_lb_lab.own.owner import Owner
from grpc_lb_lab.places.local.addresses import ADMIN_PORT, METRICS_PORT, SIDECAR_PORT, Block
from grpc_lb_lab.places.local.desired_state import needs
from grpc_lb_lab.places.local.load.load_files import LoadFolder, client_plan, progress
from grpc_lb_lab.places.local.load.scenario_session import ScenarioSession
from grpc_lb_lab.places.local.programs import Program
from grpc_lb_lab.places.local.supervisor import edge, envoy
from grpc_lb_lab.places.local.supervisor.processes import Process, Spawner, ended_badly, to_the_end
from grpc_lb_lab.places.local.supervisor.service import write_atomically
from grpc_lb_lab.run.telling import Telling

SERVICE = "the Service proxy (Envoy)"

_PROXY_TIMEOUT_S = 20.0
_LOOK_S = 0.02
_CLIENT_GRACE_S = 3.0
_PROXY_GRACE_S = 1.0
_PROGRESS_EVERY_S = 1.0


@dataclass(frozen=True)
class World:
    """What a load finds: where things are, and who is ready now.

    ``beside`` are the pids of the Envoys beside the replicas, by their admin address.
    """

    spawner: Spawner
    block: Block
    port: int
    folder: Path
    ready: Callable[[], tuple[str, ...]]
    service: Callable[[], Process | None]
    beside: Callable[[], dict[str, int]]


@dataclass
class Load:
    """A load that runs. ``owner`` asked for it; ``since`` is in seconds since the epoch."""

    world: World
    plan: Plan
    files: LoadFolder
    program: envoy.Program | None
    gateway_program: Program | None
    owner: Owner
    say: Callable[[str], None]
    script: ScenarioSession
    since: float = field(default_factory=time.time)
    _proxies: list[Process] = field(default_factory=list)
    _clients: list[Process] = field(default_factory=list)
    _edge: dict[str, Process] = field(default_factory=dict)
    _gateway: edge.Gateway | None = None
    _looked_at: float = 0.0

    async def run(self) -> None:
        """Run the load to its end. Raises ``LabError`` naming what broke; partial results stay where they are.

        However it ends, also when cancelled, none of its processes is left.
        """
        needed = needs(self.plan.strategy)
        self._telling = Telling(self.plan.load, self.say)
        try:
            if needed.sidecar:
                await self._start_proxies()
            await self._start_edge(needed.forward)
            await self.script.prepare()
            await self._start_clients()
            await self._watch(needed.service)
        finally:
            await to_the_end(self._end())

    def describe(self) -> dict[str, Any]:
        """Return what ``status`` tells of it."""
        done, total = progress(self.files.client_log(index) for index in range(len(self._clients)))
        return {
            "run": self.plan.run,
            "owner": self.owner.pid,
            "since": self.since,
            "clients": [{"pid": process.pid, "alive": process.alive} for process in self._clients],
            "proxies": [
                {"pid": process.pid, "alive": process.alive} for process in (*self._proxies, *self._edge.values())
            ],
            "done": done,
            "total": total,
        }

    async def _start_proxies(self) -> None:
        assert self.program is not None
        bootstrap = envoy.CHART_FILES / str(self.plan.strategy["envoy"]["client"])
        policy = str(self.plan.strategy["envoy"].get("lbPolicy", "ROUND_ROBIN"))
        for index in range(self.plan.load.clients):
            address = self.world.block.sidecar(index)
            words = {"LB_POLICY": policy, "LISTEN_ADDRESS": address, "ADMIN_ADDRESS": address}
            words["HASH_HEADER"] = str((self.plan.strategy["client"].get("keys") or {}).get("header", ""))
            config = self.files.logs / f"envoy-client-{index}.yaml"
            write_atomically(config, envoy.fill(bootstrap, ECHO_PORT=self.world.port, **words))
            line = envoy.command(self.program.path, config, envoy.resolver(self.world.block.dns))
            log = self.files.logs / f"envoy-client-{index}.log"
            log.unlink(missing_ok=True)
            self._proxies.append(await self.world.spawner.execute(f"envoy-client-{index}", line, log))
        self.say(f"waiting for {len(self._proxies)} Envoy to see {len(self.world.ready())} healthy replicas")
        await asyncio.gather(*(self._proxy_ready(index) for index in range(len(self._proxies))))

    async def _proxy_ready(self, index: int) -> None:
        process = self._proxies[index]
        admin = envoy.Admin(self.world.block.sidecar(index))
        healthy = -1
        try:
            async with asyncio.timeout(_PROXY_TIMEOUT_S):
                while not (await admin.ready() and healthy == len(self.world.ready())):
                    if not process.alive:
                        raise ended_badly(process, f"the Envoy beside client {index}")
                    await asyncio.sleep(_LOOK_S)
                    healthy = await admin.healthy_hosts()
        except TimeoutError:
            ready = len(self.world.ready())
            raise LabError(
                f"the Envoy beside client {index} (pid {process.pid}) sees {max(healthy, 0)} of {ready} "
                f"replicas healthy after {_PROXY_TIMEOUT_S:.0f} s"
            ) from None

    async def _start_edge(self, forward: bool) -> None:
        place = edge.Place(self.world.block, self.world.port, self.world.folder / "gateway", self.files.logs)
        ready = self.world.ready()
        if self.gateway_program is not None:
            what = edge.WHAT[str(self.plan.strategy["gateway"]["proxy"])]
            self._gateway = edge.Gateway(self.plan.strategy, self.gateway_program, place)
            self.say(f"waiting for {what} to see {len(ready)} replicas")
            self._edge[what] = await self._gateway.start(self.world.spawner, ready)
        if forward:
            self._edge[edge.PORT_FORWARD] = await edge.start_port_forward(self.world.spawner, place, ready)

    async def _start_clients(self) -> None:
        meeting = self.world.folder / "meeting"
        shutil.rmtree(meeting, ignore_errors=True)
        meeting.mkdir(parents=True)
        # Only where clients share a proxy does one's warm-up disturb the others.
        together = ["--meeting", str(meeting)] if self._gateway else []
        shared = self._shared_processes()
        for index in range(self.plan.load.clients):
            own = {f"{self.world.block.sidecar(index)}:{SIDECAR_PORT}": one.pid for one in self._proxies[index:][:1]}
            plan = client_plan(
                self.plan, self.world.block, self.world.port, index, self.world.ready(), {**shared, **own}
            )
            path = self.world.folder / f"plan-{index}.json"
            path.write_text(json.dumps(to_dict(plan)), encoding="utf-8")
            line = ["client", "--plan", str(path), "--index", str(index), "--output", str(self.files.result(index))]
            line += [*together, "--live", str(self.script.feed.path)]
            line += ["--metrics", f"{self.world.block.sidecar(index)}:{METRICS_PORT}"]
            name = f"lb-client-{index}"
            self._clients.append(await self.world.spawner.module(name, line, self.files.client_log(index)))

    def _shared_processes(self) -> dict[str, int]:
        """The pids of what all clients' calls pass, as ``Plan.processes`` has them."""
        needed, service = needs(self.plan.strategy), self.world.service()
        found = self.world.beside() if needed.server_proxy else {}
        if needed.service and service:
            found[SERVICE] = service.pid
        for what, process in self._edge.items():
            found[what if what == edge.PORT_FORWARD else f"{self.world.block.gateway}:{ADMIN_PORT}"] = process.pid
        return found

    async def _watch(self, needs_service: bool) -> None:
        """Wait until every client has finished well. Raises ``LabError`` for the first process that has not."""
        service = self.world.service() if needs_service else None
        names = {process.ended: f"client {index}" for index, process in enumerate(self._clients)}
        parts = {process.ended: f"the Envoy beside client {index}" for index, process in enumerate(self._proxies)}
        parts |= {process.ended: what for what, process in self._edge.items()}
        if service is not None:
            parts[service.ended] = SERVICE
        others = [*self._proxies, *self._edge.values(), *([service] if service else [])]
        processes = {process.ended: process for process in [*self._clients, *others]}
        self.script.begin()
        while names:
            watched: list[asyncio.Future[Any]] = [*names, *parts, *self.script.tasks]
            await asyncio.wait(watched, timeout=_PROGRESS_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            self._say_progress()
            self.script.check()
            if self._gateway:
                await self._gateway.refresh(self.world.spawner, self.world.ready())
            for ended, part in parts.items():
                if ended.done():
                    raise ended_badly(processes[ended], part)
            for ended in [ended for ended in names if ended.done()]:
                self._check_client(processes[ended], names.pop(ended))
        self.script.check(through=True)

    def _check_client(self, process: Process, name: str) -> None:
        if process.ended.result() != 0:
            raise ended_badly(process, name)
        index = self._clients.index(process)
        if not self.files.result(index).is_file():
            raise LabError(f"{name} (pid {process.pid}) ended well but wrote no result {self.files.result(index)}")

    def _say_progress(self) -> None:
        if time.monotonic() - self._looked_at < _PROGRESS_EVERY_S:
            return
        self._looked_at = time.monotonic()
        done, _ = progress(self.files.client_log(index) for index in range(len(self._clients)))
        self._telling.see(done)

    async def _end(self) -> None:
        """End what is left; clients first, since a client whose proxy goes away would count errors."""
        await self.world.spawner.stop(self._clients, _CLIENT_GRACE_S)
        await self.script.close()
        await self.world.spawner.stop([*self._proxies, *self._edge.values()], _PROXY_GRACE_S)
        if self._gateway and self._gateway.process:
            await self.world.spawner.stop([self._gateway.process], _PROXY_GRACE_S)

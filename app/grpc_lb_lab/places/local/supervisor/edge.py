"""The edge: where a client outside of the cluster comes in, through an L7 proxy or a port-forward. Fresh a load."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.ports import ADMIN_PORT
from grpc_lb_lab.observe import edge_counters
from grpc_lb_lab.places.local.addresses import DNS_PORT, MAX_REPLICAS, Block
from grpc_lb_lab.places.local.supervisor import envoy
from grpc_lb_lab.places.local.supervisor.health import accepts
from grpc_lb_lab.places.local.supervisor.processes import ended_badly
from grpc_lb_lab.places.local.supervisor.service import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.model.strategy import Strategy
    from grpc_lb_lab.places.local.programs import Program
    from grpc_lb_lab.places.local.supervisor.processes import Process, Spawner

FILES = Path(__file__).resolve().parents[5] / "charts" / "grpc-echo" / "files" / "gateway"
WHAT = {"envoy": "the gateway (Envoy)", "nginx": "the gateway (nginx)", "haproxy": "the gateway (HAProxy)"}
PORT_FORWARD = "the port-forward"

_START_TIMEOUT_S = 20.0
_LOOK_S = 0.05
# nginx re-resolves the names of an upstream block itself from here on; before, that was part of NGINX Plus.
_NGINX_RESOLVES = (1, 27, 3)
_SLOTS = min(250, MAX_REPLICAS)
_PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")


@dataclass(frozen=True)
class Place:
    """Where the gateway stands and what it may write to."""

    block: Block
    port: int
    folder: Path
    logs: Path


def fill(template: Path, words: dict[str, str]) -> str:
    """Fill the ``${WORD}`` placeholders and nothing else: nginx has ``$variables`` of its own. Raises ``LabError``."""
    try:
        text = template.read_text(encoding="utf-8")
        return _PLACEHOLDER.sub(lambda found: words[found[1]], text)
    except OSError as error:
        raise LabError(f"the gateway's file {template} cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise LabError(f"the gateway's file {template} has a placeholder that nobody fills: {error}") from error


def resolves_itself(kind: str, program: Program) -> bool:
    """Whether this proxy follows the headless name by itself."""
    return kind != "nginx" or program.numbers >= _NGINX_RESOLVES


def words(
    kind: str, program: Program, place: Place, ready: Sequence[str], policy: str = "ROUND_ROBIN"
) -> dict[str, str]:
    """What stands for each placeholder of the gateway's file on this machine."""
    dns = f"{place.block.dns}:{DNS_PORT}"
    named = resolves_itself(kind, program)
    servers = [f"server echo-headless:{place.port} resolve;"] if named else [f"server {a}:{place.port};" for a in ready]
    return {
        "LISTEN_ADDRESS": place.block.gateway,
        "ADMIN_ADDRESS": place.block.gateway,
        "ECHO_HOST": "echo-headless",
        "ECHO_PORT": str(place.port),
        "LB_POLICY": policy,
        "NGINX_RESOLVER": dns,
        "NGINX_SERVERS": "\n    ".join(servers),
        "HAPROXY_NAMESERVER": f"nameserver lab {dns}",
        "HAPROXY_SLOTS": str(_SLOTS),
    }


def command(kind: str, program: Program, config: Path, place: Place) -> list[str]:
    """The command line: in the foreground, one worker, nothing written outside of the state folder."""
    if kind == "envoy":
        return envoy.command(program.path, config, envoy.resolver(place.block.dns))
    if kind == "haproxy":
        return [program.path, "-db", "-f", str(config)]
    # Root's nginx would make its worker another user, who may not enter the state folder.
    own = ["-g", "user root;"] if os.geteuid() == 0 else []
    return [program.path, "-p", f"{place.folder}{os.sep}", "-e", "stderr", "-c", str(config), *own]


class Gateway:
    """One L7 proxy at the edge, for one load."""

    def __init__(self, strategy: Strategy, program: Program, place: Place) -> None:
        """For a strategy file with a section ``gateway``. Nothing is started yet."""
        self.process: Process | None = None
        assert strategy.gateway is not None
        self._kind = strategy.gateway.proxy
        self._template = FILES / strategy.gateway.config
        self._policy = strategy.envoy.lb_policy or "ROUND_ROBIN"
        self._program = program
        self._place = place
        self._told: tuple[str, ...] = ()

    async def start(self, spawner: Spawner, ready: Sequence[str]) -> Process:
        """Start it and wait until every ready replica is in its list. Raises ``LabError`` with its last words."""
        self._place.folder.mkdir(parents=True, exist_ok=True)
        log = self._place.logs / "gateway.log"
        log.unlink(missing_ok=True)
        line = command(self._kind, self._program, self._write(ready), self._place)
        # nginx is two processes, also after a reload without losing a call; as one it does not survive a reload.
        self.process = await spawner.execute("gateway", line, log, group=self._kind == "nginx")
        seen = -1
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while seen != len(ready):
                    if not self.process.alive:
                        raise ended_badly(self.process, WHAT[self._kind])
                    seen = await self._servers()
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise LabError(
                f"{WHAT[self._kind]} (pid {self.process.pid}) sees {max(seen, 0)} of {len(ready)} replicas after "
                f"{_START_TIMEOUT_S:.0f} s"
            ) from None
        return self.process

    async def refresh(self, spawner: Spawner, ready: Sequence[str]) -> None:
        """Tell a proxy that cannot follow the name who is ready: a new file and a reload, as people do it."""
        if resolves_itself(self._kind, self._program) or not ready or tuple(ready) == self._told:
            return
        assert self.process is not None
        self._write(ready)
        await spawner.signal(self.process, signal.SIGHUP)

    def _write(self, ready: Sequence[str]) -> Path:
        config = self._place.logs / f"gateway{self._template.suffix}"
        filled = words(self._kind, self._program, self._place, ready, self._policy)
        write_atomically(config, fill(self._template, filled))
        self._told = tuple(ready)
        return config

    async def _servers(self) -> int:
        """How many replicas it would send calls to; -1 while it does not answer."""
        if self._kind == "envoy":
            return await envoy.Admin(self._place.block.gateway).healthy_hosts()
        try:
            admin = f"{self._place.block.gateway}:{ADMIN_PORT}"
            counters = await asyncio.to_thread(edge_counters.read, self._kind, admin)
        except OSError:
            return -1
        return counters.get("servers_up", len(self._told))


async def start_port_forward(spawner: Spawner, place: Place, ready: Sequence[str]) -> Process:
    """Forward to one of the ready replicas, drawn now and kept. Raises ``LabError`` when it does not listen."""
    source = place.block.port_forward
    line = ["local", "forward", "--listen", f"{source}:{place.port}", "--to", f"{random.choice(ready)}:{place.port}"]
    process = await spawner.module("lb-forward", line, place.logs / "port-forward.log")
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not await accepts(source, place.port):
                if not process.alive:
                    raise ended_badly(process, PORT_FORWARD)
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise LabError(f"{PORT_FORWARD} does not listen after {_START_TIMEOUT_S:.0f} s") from None
    return process

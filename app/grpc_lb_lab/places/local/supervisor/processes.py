"""The supervisor's side of the spawner: start processes, signal them, and learn when they end."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.local.state import tail
from grpc_lb_lab.places.local.supervisor import spawner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_QUIT_TIMEOUT_S = 5.0


@dataclass(eq=False)
class Process:
    """A process of the lab. ``ended`` resolves to its exit status: negative for the signal that killed it."""

    name: str
    pid: int
    log: Path
    ended: asyncio.Future[int] = field(repr=False)

    @property
    def alive(self) -> bool:
        """False once its end was reported."""
        return not self.ended.done()


def fork_spawner(keep: int, drop: Sequence[int]) -> tuple[socket.socket, int]:
    """Fork the spawner; to be called before the first thread, event loop or gRPC channel exists.

    The descriptor ``keep`` is inherited by every process of the lab; those in ``drop`` are closed in the spawner.
    Returns the supervisor's end of the socket pair and the spawner's pid.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        ours.close()
        for descriptor in drop:
            os.close(descriptor)
        os.set_inheritable(keep, True)
        spawner.run(theirs, parent)
    theirs.close()
    os.close(keep)
    ours.setblocking(False)
    return ours, pid


class Spawner:
    """Starts processes. One request is under way at a time, so that messages never pile up in the socket."""

    def __init__(self, channel: socket.socket, pid: int, lost: Callable[[], None]) -> None:
        """``lost`` is called when the spawner itself ends unasked; all its children are dead then."""
        self._channel = channel
        self._pid = pid
        self._lost = lost
        self._turn = asyncio.Lock()
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self._receive)

    async def serve(self, name: str, config: Mapping[str, Any], env: Mapping[str, str], log: Path) -> Process:
        """Fork an echo server. Raises ``LabError`` when the machine has no room for another process."""
        return await self._start("serve", name, log, env, config=dict(config))

    async def module(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Process:
        """Fork ``python -m grpc_lb_lab ARGV…``. Raises ``LabError`` as ``serve`` does."""
        return await self._start("module", name, log, env or {}, argv=list(argv))

    async def execute(self, name: str, argv: Sequence[str], log: Path, group: bool = False) -> Process:
        """Fork and run a program; status 127 and a line in its log when it cannot be run.

        ``group``: the program has children of its own; when it ends, so do they.
        """
        return await self._start("exec", name, log, {}, argv=list(argv), group=group)

    async def signal(self, process: Process, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if process.alive:
            await self._ask({"op": "signal", "pid": process.pid, "signal": int(number)})

    async def stop(self, processes: Sequence[Process], grace_s: float) -> None:
        """Send SIGTERM, and SIGKILL to those that have not ended after ``grace_s``. Returns when all have ended."""
        waiting = [process for process in processes if process.alive]
        for number, patience in ((signal.SIGTERM, grace_s), (signal.SIGKILL, None)):
            for process in waiting:
                await self.signal(process, number)
            if waiting:
                await asyncio.wait([process.ended for process in waiting], timeout=patience)
            waiting = [process for process in waiting if process.alive]

    async def quit(self) -> None:
        """Kill every process of the lab and wait until all have ended, the spawner too."""
        self._loop.remove_reader(self._channel.fileno())
        self._channel.close()
        try:
            async with asyncio.timeout(_QUIT_TIMEOUT_S):
                await asyncio.to_thread(os.waitpid, self._pid, 0)
        except TimeoutError:
            os.kill(self._pid, signal.SIGKILL)

    async def _start(self, op: str, name: str, log: Path, env: Mapping[str, str], **order: Any) -> Process:
        request = {"op": op, "name": name, "log": str(log), "env": dict(env), **order}
        asking = asyncio.ensure_future(self._ask(request))
        try:
            reply = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(self._discard)
            raise
        if "error" in reply:
            raise LabError(f"{name}: {reply['error']}")
        return Process(name, reply["pid"], log, reply["ended"])

    def _discard(self, asking: asyncio.Future[dict[str, Any]]) -> None:
        """Kill a process whose starter gave up while it was being started."""
        if not asking.cancelled() and not asking.exception() and "pid" in asking.result():
            order = {"op": "signal", "pid": asking.result()["pid"], "signal": int(signal.SIGKILL)}
            self._killing = asyncio.ensure_future(self._ask(order))

    async def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            number = next(self._ids)
            self._replies[number] = self._loop.create_future()
            try:
                self._channel.send(json.dumps({"id": number, **order}).encode())
                return await self._replies[number]
            except OSError as error:
                raise LabError(f"the spawner does not answer: {error.strerror}") from error
            finally:
                del self._replies[number]

    def _receive(self) -> None:
        try:
            message = self._channel.recv(spawner.MESSAGE_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._loop.remove_reader(self._channel.fileno())
            self._lost()
            return
        data = json.loads(message)
        if "exited" in data:
            self._ended.pop(data["exited"]).set_result(data["status"])
            return
        if "pid" in data:
            # Here and not where the reply is awaited: the next message may report the end of this very process.
            data["ended"] = self._ended[data["pid"]] = self._loop.create_future()
        if data["id"] in self._replies:
            self._replies[data["id"]].set_result(data)


def describe_end(status: int) -> str:
    """Say how a process ended: ``exit code 3`` or ``SIGKILL``."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def ended_badly(process: Process, what: str) -> LabError:
    """Make the error for a process that ended in the middle: what it was, how it ended, its last words."""
    end = describe_end(process.ended.result())
    return LabError(f"{what} (pid {process.pid}) ended with {end}; its log ends: {tail(process.log)}")

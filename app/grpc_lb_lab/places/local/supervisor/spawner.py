"""The spawner: a single-threaded process that has imported gRPC but never started it, and forks every other process.

A fork of it costs a fraction of a fresh interpreter in time and memory, and gRPC allows a fork only before it starts.
It also is the one parent of all processes of the lab: each child asks the kernel to be killed when its parent dies, so
nothing outlives the supervisor, however that ends.

It takes one JSON message at a time from a socket pair and answers each; in between it reports children that ended:

* ``{"op": "serve", "config": {…}, "env": {…}, "log": PATH, "name": NAME}``: fork an echo server
* ``{"op": "module", "argv": […], …}``: fork and run ``python -m grpc_lb_lab ARGV…``
* ``{"op": "exec", "argv": […], "group": BOOL, …}``: fork and run a program; ``group``: it has children of its own,
  so it becomes a process group, which ends as a whole
* ``{"op": "signal", "pid": N, "signal": N}``: only to a child that was not reaped yet, so never to a stranger
* ``{"op": "quit"}``: kill all children, wait for them, end
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from grpc_lb_lab import metrics  # noqa: F401  loaded once for all servers, as the rest of them
from grpc_lb_lab.servers import echo
from grpc_lb_lab.servers.config import EchoConfig

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

MESSAGE_LIMIT = 1 << 16

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_FAILED_TO_START = 127
_IDLE_S = 0.3
_CLIENT_MODULES = (
    "grpc_lb_lab.cli",
    "grpc_lb_lab.load.commands",
    "grpc_lb_lab.load.run",
    "grpc_lb_lab.load.exporter",
)
"""Loaded here once, so that no forked client has to: by name, since this layer may not know the one above."""

_PASSED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE)

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for signal ``number`` when ``parent`` dies, and end at once if it is dead already."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def run(channel: socket.socket, parent: int) -> NoReturn:
    """Be the spawner until the other end of ``channel`` closes or says ``quit``. Never returns."""
    die_with_parent(parent)
    _libc.prctl(_PR_SET_NAME, b"lb-lab-spawner", 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _freeze()
    _Spawner(channel).loop()
    os._exit(0)


def _freeze() -> None:
    """Take the objects of now from the collector: a child's first collection would copy all of their pages."""
    gc.collect()
    gc.freeze()


class _Spawner:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._children: set[int] = set()
        self._groups: set[int] = set()
        self._client_loaded = False
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def loop(self) -> None:
        watched: list[Any] = [self._channel, self._woken]
        while True:
            readable, _, _ = select.select(watched, [], [], None if self._client_loaded else _IDLE_S)
            if not readable:
                # Nobody waits: a good moment for what the next load will need. Replicas do without it.
                self._load_client()
            if self._woken in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                for pid, status in self._reap():
                    self._send({"exited": pid, "status": status})
            if self._channel in readable:
                message = self._channel.recv(MESSAGE_LIMIT)
                order = json.loads(message) if message else {"op": "quit"}
                if order["op"] == "quit":
                    self._kill_all()
                    return
                self._send({"id": order["id"], **self._obey(order)})

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["op"] == "signal":
            known = order["pid"] in self._children
            if known:
                os.kill(order["pid"], order["signal"])
            return {"known": known}
        if order["op"] == "module":
            self._load_client()
        try:
            pid = self._fork(order)
        except OSError as error:
            return {"error": f"no further process can be started: {error.strerror}"}
        return {"pid": pid}

    def _fork(self, order: dict[str, Any]) -> int:
        spawner = os.getpid()
        pid = os.fork()
        if pid:
            self._children.add(pid)
            if order.get("group"):
                self._groups.add(pid)
            return pid
        status = _FAILED_TO_START
        try:
            # A program with children must live long enough to end them: the kernel tells only this one process.
            die_with_parent(spawner, signal.SIGTERM if order.get("group") else signal.SIGKILL)
            if order.get("group"):
                os.setpgid(0, 0)
            self._leave()
            _become(order)
            status = _run(order)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            # Not sys.exit: exit handlers of the process that was forked are none of the child's business.
            os._exit(status)

    def _load_client(self) -> None:
        if not self._client_loaded:
            self._client_loaded = True
            for name in _CLIENT_MODULES:
                importlib.import_module(name)
            _freeze()

    def _leave(self) -> None:
        """Drop, in the child, what belongs to the spawner."""
        signal.set_wakeup_fd(-1)
        for number in _PASSED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._channel.close()
        os.close(self._woken)
        os.close(self._wake)

    def _reap(self) -> Iterator[tuple[int, int]]:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._children.discard(pid)
            self._end_group(pid)
            yield pid, os.waitstatus_to_exitcode(status)

    def _end_group(self, pid: int) -> None:
        """Kill what a program that has ended, or is about to be killed, leaves behind."""
        if pid in self._groups:
            self._groups.discard(pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        for pid in self._children:
            self._end_group(pid)
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)

    def _send(self, message: dict[str, Any]) -> None:
        # The supervisor may be gone; the kernel then ends this process any moment.
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps(message).encode())


def _become(order: dict[str, Any]) -> None:
    """Take the identity, the log and the name that the order asks for."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    os.environ.update(order["env"])
    _libc.prctl(_PR_SET_NAME, order["name"].encode()[:15], 0, 0, 0)


def _run(order: dict[str, Any]) -> int:
    if order["op"] == "exec":
        os.execve(order["argv"][0], order["argv"], os.environ)
    # As every Python program has it: grpc.aio may write to its own waker when that is closed already.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if order["op"] == "serve":
        echo.serve(EchoConfig(**order["config"]))
        return 0
    return _run_module(order["argv"])


def _run_module(argv: list[str]) -> int:
    """Run the package's own command line as ``python -m`` would, with the modules that are loaded already."""
    sys.argv = ["lb-lab", *argv]
    try:
        runpy.run_module("grpc_lb_lab", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0

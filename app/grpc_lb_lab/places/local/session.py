"""The command line's side of a lab: find its supervisor, start one, ask it, end it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.own.owner import Owner
from grpc_lb_lab.places.local.fingerprint import fingerprint
from grpc_lb_lab.places.local.state import SOCKET, StateFolder, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 10.0
_HELLO_TIMEOUT_S = 10.0
_ABORT_TIMEOUT_S = 15.0


class NotRunningError(LabError):
    """No supervisor answers for this state folder."""


class Session:
    """One connection to a supervisor, for one request."""

    def __init__(self, connection: socket.socket) -> None:
        """Takes over the connection."""
        self._connection = connection
        self._buffer = b""

    def ask(
        self,
        request: dict[str, Any],
        say: Callable[[str], None] = lambda _: None,
        timeout_s: float | None = None,
        abort: int | None = None,
    ) -> dict[str, Any]:
        """Send the request and return its result; ``say`` gets each progress line.

        When the descriptor ``abort`` becomes readable, the supervisor is told that nobody waits any more; it then
        ends what it does and answers. Raises the supervisor's ``LabError``; ``NotRunningError`` when it dies.
        """
        with self._connection:
            with contextlib.suppress(ConnectionError):  # then there is no answer either
                self._connection.sendall(json.dumps(request).encode() + b"\n")
            for message in self._messages(timeout_s, abort):
                if "progress" in message:
                    say(message["progress"])
                elif "error" in message:
                    raise (UsageError if message["exit_code"] == UsageError.exit_code else LabError)(message["error"])
                else:
                    result: dict[str, Any] = message["result"]
                    return result
        raise NotRunningError("the lab's supervisor died before it answered")

    def _messages(self, timeout_s: float | None, abort: int | None) -> Iterator[dict[str, Any]]:
        while True:
            watched: list[Any] = [self._connection] if abort is None else [self._connection, abort]
            readable, _, _ = select.select(watched, [], [], timeout_s)
            if not readable:
                raise LabError(
                    f"the lab's supervisor does not answer within {timeout_s:.0f} s: run `lb-lab local down`"
                )
            if abort is not None and abort in readable:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_WR)
                abort, timeout_s = None, _ABORT_TIMEOUT_S
                continue
            try:
                data = self._connection.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                return
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                yield json.loads(line)


def connect(state: StateFolder) -> Session:
    """Connect to the supervisor of a state folder. Raises ``NotRunningError``."""
    return Session(_connect(state))


def ensure(state: StateFolder, port: int, say: Callable[[str], None]) -> tuple[dict[str, Any], bool]:
    """Have a supervisor that runs today's code on this port; start or restart it where needed.

    Returns what it says of itself, and whether it was started. Raises ``LabError`` when it cannot start, or when the
    one that runs is busy with a load.
    """
    state.create()
    try:
        hello = connect(state).ask({"op": "hello"}, timeout_s=_HELLO_TIMEOUT_S)
    except NotRunningError:
        return start(state, port), True
    if hello["fingerprint"] == fingerprint() and hello["port"] == port:
        return hello, False
    if hello["load"] and hello["load"].get("owner_waits", Owner.of(hello["load"]["owner"]).lives):
        raise LabError(
            f"the lab must be restarted (other code or port), but a load runs, owned by pid {hello['load']['owner']}"
        )
    say("restarting the lab: it runs other code, or on another port")
    end(state)
    state.create()
    return start(state, port), True


def start(state: StateFolder, port: int) -> dict[str, Any]:
    """Start a supervisor that outlives this process. Raises ``LabError`` with its reason when it does not come up.

    When another ``up`` was faster, its supervisor is taken; when that one ends meanwhile, the next is started.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        state.create()
        process, earlier = _launch(state, port)
        hello = _greet(state, deadline)
        if hello is not None:
            return hello
        if process is not None:
            raise LabError(f"the lab's supervisor did not start: {_last_words(process, state, earlier)}")


def _launch(state: StateFolder, port: int) -> tuple[subprocess.Popen[bytes] | None, int]:
    """Start a supervisor; return it, and the size of its log before, once it listens. None: another one runs.

    Raises ``LabError`` with what is in its way.
    """
    read_end, write_end = os.pipe()
    # -P: a module in the current folder must not stand in for one of ours.
    line = [sys.executable, "-P", "-m", "grpc_lb_lab.places.local.daemon", str(state.path), str(port), str(write_end)]
    with open(read_end, "rb") as report:  # noqa: PTH123  a descriptor, not a path
        try:
            with state.log.open("ab") as log:
                earlier = log.tell()
                process = subprocess.Popen(
                    line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=[write_end]
                )
        except OSError as error:
            raise LabError(f"the lab's supervisor cannot start: {error.filename}: {error.strerror}") from error
        finally:
            os.close(write_end)
        readable, _, _ = select.select([report], [], [], _START_TIMEOUT_S)
        said = report.readline() if readable else b""
    if not said:
        raise LabError(f"the lab's supervisor did not start: {_last_words(process, state, earlier)}")
    answer = json.loads(said)
    if "error" in answer:
        raise LabError(answer["error"])
    return None if "already" in answer else process, earlier


def _greet(state: StateFolder, deadline: float) -> dict[str, Any] | None:
    """Wait until a supervisor answers; None when there is none any more. Raises ``LabError`` after the deadline."""
    while True:
        with contextlib.suppress(NotRunningError):
            return connect(state).ask({"op": "hello"}, timeout_s=_HELLO_TIMEOUT_S)
        if _nobody_holds(state):
            return None
        if time.monotonic() > deadline:
            raise LabError(f"the lab's supervisor in {state.path} does not answer")
        time.sleep(0.02)


def _nobody_holds(state: StateFolder) -> bool:
    """Say whether no supervisor runs, nor one that begins to."""
    try:
        lock = state.take_lock()
    except OSError:  # a `down` was faster, or the disk is full: there is no lock that anybody could hold
        return True
    if lock is not None:
        os.close(lock)
    return lock is not None


def _last_words(process: subprocess.Popen[bytes], state: StateFolder, earlier: int) -> str:
    """Say how a supervisor ended and what its log then ends with; what it reports closes a moment before."""
    from grpc_lb_lab.places.local.supervisor.processes import describe_end

    try:
        ended = f"it ended with {describe_end(process.wait(timeout=1))}"
    except subprocess.TimeoutExpired:
        ended = f"pid {process.pid} does not say that it listens"
    return f"{ended}; its log: {tail(state.log, since=earlier)}"


def with_last_words(state: StateFolder, error: LabError) -> LabError:
    """Return the error and, where a supervisor died instead of answering, the end of its log."""
    return LabError(f"{error}; its log: {tail(state.log)}") if isinstance(error, NotRunningError) else error


def abandon(state: StateFolder, pid: int) -> None:
    """End the lab of the supervisor ``pid`` and remove what it left; one that another ``up`` started since goes on."""
    # One that was killed a moment ago no longer answers, and what it forked holds its lock until it has ended too.
    deadline = time.monotonic() + _END_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with _connect(state) as connection:
                if _pid(connection) != pid:
                    return
            break
        except NotRunningError:
            if _nobody_holds(state):
                break
        time.sleep(0.02)
    else:
        return
    end(state)


def end(state: StateFolder, patience_s: float = _END_TIMEOUT_S) -> bool:
    """End the lab of a state folder and remove what it left there. Returns whether there was anything.

    A supervisor that does not answer within ``patience_s`` is killed, and its processes with it. Raises ``LabError``
    when processes stay even so, ``UsageError`` when the folder is somebody else's.
    """
    if not state.exists:
        return False
    with contextlib.suppress(NotRunningError):
        _ask_to_end(state, patience_s)
    # Both locks: the supervisor has ended, and so has every process that it ever started.
    try:
        locks = state.take_what_is_there(_END_TIMEOUT_S)
    except FileNotFoundError:  # another `down` was faster
        return True
    if None in locks:
        raise LabError(f"processes of the lab in {state.path} do not end")
    removed = state.remove()
    for lock in locks:
        os.close(lock)  # type: ignore[arg-type]
    return removed


def _ask_to_end(state: StateFolder, patience_s: float) -> None:
    with _connect(state) as connection:
        pid = _pid(connection)
        try:
            Session(connection).ask({"op": "down"}, timeout_s=patience_s)
        except NotRunningError:
            return
        except LabError:
            os.kill(pid, signal.SIGKILL)


def _pid(connection: socket.socket) -> int:
    """The kernel's word, from when it began to listen: this is the supervisor, whatever a file says."""
    from grpc_lb_lab.places.local.control import peer_pid

    return peer_pid(connection)


def _connect(state: StateFolder) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # By descriptor: the address of a socket holds 108 bytes, and a path may be longer.
        folder = os.open(state.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)
    except OSError as error:
        connection.close()
        raise NotRunningError(f"no lab runs in {state.path}") from error
    return connection

"""The supervisor: ``python -m grpc_lb_lab.places.local.daemon STATE PORT FD``, started by ``lb-lab local up``.

It writes one JSON line to descriptor FD when it listens, or when it could not start, and closes it. It runs until it
is told ``down``, gets SIGTERM, or finds that its state folder is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import time
from typing import Any

from grpc_lb_lab import fault_token
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.local import control
from grpc_lb_lab.places.local.addresses import claim_block
from grpc_lb_lab.places.local.fingerprint import fingerprint
from grpc_lb_lab.places.local.state import SOCKET, StateFolder
from grpc_lb_lab.places.local.supervisor.processes import fork_spawner
from grpc_lb_lab.places.local.supervisor.supervisor import Supervisor

_OLD_PROCESSES_S = 5.0
_LOOK_AT_FOLDER_S = 1.0
_FILES = 65536


def main(state_path: str, port: int, report_to: int) -> int:
    """Run a supervisor. Returns the exit code: 0 after a lab, 4 when it could not start."""
    os.umask(0o077)
    _raise_file_limit()
    state = StateFolder(state_path)
    fingerprint()  # of the code that was just loaded, not of what an editor makes of it later
    try:
        lock = _take_over(state)
        if lock is None:
            _report(report_to, {"already": True})
            return 0
        # Relative paths reach a folder however deep it is; a socket's address holds 108 bytes.
        os.chdir(state.path)
        processes = state.take_processes(_OLD_PROCESSES_S)
        if processes is None:
            raise LabError(f"processes of the lab that ran in {state.path} do not end")
        # Every user of this machine reaches the replicas' addresses; only the lab's own processes know this.
        fault_token.make()
        spawner = fork_spawner(keep=processes, drop=[lock, report_to])
        asyncio.run(_supervise(state, lock, port, spawner, report_to))
    except (LabError, OSError) as error:
        reason = str(error) if isinstance(error, LabError) else f"the lab in {state.path} cannot start: {error}"
        # First to whoever waits: on a full disk the second line fails.
        _report(report_to, {"error": reason})
        print(reason, file=sys.stderr)
        return LabError.exit_code
    return 0


def _take_over(state: StateFolder) -> int | None:
    """Take the lab's lock and clear away what a dead supervisor left; None when a live one has it."""
    state.create()
    lock = state.take_lock()
    if lock is not None:
        (state.path / SOCKET).unlink(missing_ok=True)
        state.write_owner(lock, {"pid": os.getpid(), "since": time.time()})
    return lock


async def _supervise(state: StateFolder, lock: int, port: int, spawner: tuple[Any, int], report_to: int) -> None:
    supervisor = Supervisor(state, claim_block(port), port, spawner)
    server = control.ControlServer(supervisor.handlers())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.finished.set)
    await supervisor.start()
    await server.start(control.listen(SOCKET))
    _report(report_to, {"pid": os.getpid()})
    while not supervisor.finished.is_set() and state.still_ours(lock):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_AT_FOLDER_S):
                await supervisor.finished.wait()
    server.close()
    await supervisor.close()


def _report(descriptor: int, message: dict[str, Any]) -> None:
    # Whoever started the supervisor may have been killed meanwhile; the lab starts all the same.
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(message).encode() + b"\n")
        os.close(descriptor)


def _raise_file_limit() -> None:
    """Two hundred replicas need more descriptors than the usual soft limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        # Not without a limit: some programs close every possible descriptor when they start.
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _FILES), hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

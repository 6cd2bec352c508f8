"""``lb-lab`` in a fork of a process that has loaded it already, as the spawner does it for clients and servers.

A playbook runs the program a dozen times, and to start Python and to import the program takes longer than most of what
it does. The fork is a process of its own in every other way: its end, its output and its signals are its own.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import IO, NoReturn

from grpc_lb_lab import cli

BROKE = 1
"""Exit code after a traceback, as Python has it."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Forked:
    """A program that runs, and the ends of the pipes to which it writes."""

    pid: int
    stdout: IO[str]
    stderr: IO[str]

    def poll(self) -> int | None:
        """The exit code, negative for the signal that ended it; None while it runs. Not to be asked again after."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def wait(self) -> int:
        """Wait for its end and return the exit code as ``poll`` does."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def start(argv: list[str]) -> Forked:
    """Run ``lb-lab ARGV…`` in a fork of this process, which should have one thread. Raises ``OSError``."""
    out, err = os.pipe(), os.pipe()
    # Between the fork and the end of `_become` a signal would meet handlers that are meant for this process.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _run(argv, out[1], err[1], before)
    except OSError:
        for descriptor in (*out, *err):
            os.close(descriptor)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(out[1])
    os.close(err[1])
    return Forked(pid, _reader(out[0]), _reader(err[0]))


def _reader(descriptor: int) -> IO[str]:
    return os.fdopen(descriptor, encoding="utf-8", errors="replace")


def _run(argv: list[str], out: int, err: int, mask: set[int | signal.Signals]) -> NoReturn:
    status = BROKE
    try:
        _become(out, err)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = cli.main(argv)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # Not sys.exit: exit handlers of the process that was forked are none of the fork's business.
        os._exit(status)


def _become(out: int, err: int) -> None:
    """Drop what belongs to the process that was forked: its standard streams, its handlers of signals, its hooks."""
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((null, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  for the process's whole life
    sys.stdout, sys.stderr = _writer(1), _writer(2)
    os.environ |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}  # for what it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.unraisablehook = sys.__unraisablehook__
    # The collector need not look through what was there before, nor copy its pages by doing so.
    gc.freeze()


def _writer(descriptor: int) -> IO[str]:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)

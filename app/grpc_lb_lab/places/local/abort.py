"""Reasons to end a load early, as one descriptor to wait for: a signal, or the end of the process that wanted it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Abort:
    """``descriptor`` becomes readable when there is a reason to end, which ``reason`` then names."""

    def __init__(self) -> None:
        """No reason yet."""
        self.reason = ""
        self.descriptor, self._trigger = os.pipe()

    def because(self, reason: str) -> None:
        """Give a reason; the first one stays. May be called from a signal handler or another thread."""
        if not self.reason:
            self.reason = reason
            os.write(self._trigger, b"!")

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.descriptor)
        os.close(self._trigger)


@contextlib.contextmanager
def aborting(watched_pid: int | None = None) -> Iterator[Abort]:
    """Turn SIGINT, SIGTERM, SIGHUP and the end of ``watched_pid`` into an ``Abort``, inside the ``with`` block.

    Raises ``LabError`` when that process has ended already.
    """
    abort = Abort()
    watched = _open_pid(watched_pid) if watched_pid is not None else None
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda got, _: abort.because(f"interrupted by {signal.Signals(got).name}"))
        for number in numbers
    }
    # A Python handler waits for the main thread to run Python code again, which one that just began to wait does not do
    # for long. The number of the signal is written to this descriptor at once, and another thread reads it.
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    wake_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    done, finished = os.pipe()
    watcher = threading.Thread(target=_watch, args=(watched, done, woken, watched_pid, abort), daemon=True)
    watcher.start()
    try:
        yield abort
    finally:
        signal.set_wakeup_fd(wake_before)
        os.close(finished)
        watcher.join()
        for descriptor in (done, woken, wake, *([] if watched is None else [watched])):
            os.close(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        abort.close()


def _open_pid(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise LabError(f"process {pid}, which the load is for (--watch-pid), has ended: {error.strerror}") from error


def _watch(watched: int | None, done: int, woken: int, pid: int | None, abort: Abort) -> None:
    readable, _, _ = select.select([done, woken, *([] if watched is None else [watched])], [], [])
    if woken in readable:
        abort.because(f"interrupted by {signal.Signals(os.read(woken, 1)[0]).name}")
    elif watched in readable:
        abort.because(f"process {pid}, which the load is for, has ended")

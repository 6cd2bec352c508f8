"""CPU time of other processes of this machine: of what stands between the client and the servers."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    # The CPU seconds of each process, by its pid, of each name.
    Reading = dict[str, dict[int, float]]

_libc = ctypes.CDLL(None)


def cpu_of(processes: Mapping[str, int]) -> Reading:
    """CPU seconds since their start of the processes and of their children (nginx works in one); gone ones have none.

    The kernel's clock of a process counts nanoseconds; ``/proc/PID/stat`` has hundredths of a second, and a short load
    costs a proxy not many of those.
    """
    found: Reading = {}
    for name, pid in processes.items():
        clocks = {one: _cpu_seconds(one) for one in (pid, *_children(pid))}
        found[name] = {one: seconds for one, seconds in clocks.items() if seconds is not None}
    return found


def between(before: Reading, after: Reading) -> dict[str, list[float]]:
    """Both readings of each name, added up over its processes; nothing for one that ended or began between them."""
    return {
        name: [round(sum(early.values()), 6), round(sum(after[name].values()), 6)]
        for name, early in before.items()
        if early and early.keys() == after[name].keys()
    }


def _cpu_seconds(pid: int) -> float | None:
    clock = ctypes.c_int()
    if _libc.clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
        return None
    try:
        return time.clock_gettime(clock.value)
    except OSError:  # it ended between the two questions
        return None


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []

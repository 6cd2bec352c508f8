"""The process that something is for, told from another one that got its number later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process. ``started`` is the kernel's time of its start; empty when it is dead already."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Owner:
        """The process that has this number now."""
        return cls(pid, _started(pid))

    @property
    def lives(self) -> bool:
        """Whether this very process still runs; one that only waits for its parent to notice its end does not."""
        return bool(self.started) and _started(self.pid) == self.started


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's words; nothing when it does not run."""
    if pid == 0:  # what the kernel calls a process that cannot be seen from here: in another container
        return "unknown"
    try:
        # The name before the last bracket may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self").exists() else _answers(pid)
    state, started = fields[0], fields[19]
    return "" if state in "ZX" else started


def _answers(pid: int) -> str:
    """What can be known where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "another user's"
    return "unknown"

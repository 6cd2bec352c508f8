"""The state folder of one lab: its control socket, its locks and its logs, and how to tell a live lab from a dead one.

Two locks, both released by the kernel however a process ends:

* ``lock`` belongs to the supervisor. Whoever gets it may start one.
* ``processes`` is inherited by every process of the lab. Whoever gets it knows that none of them is left.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.own import marks
from grpc_lb_lab.own import state as own

SOCKET, _LOG, _ENDPOINTS, _METRICS, _PROCESSES, _LOCK = own.LOCAL_FILES
_PROBE = ".probe"
_PROBE_BYTES = 1 << 16
"""More than the rest of a page that a file has already."""


class StateFolder:
    """A lab's state folder. Making the object touches nothing."""

    def __init__(self, path: str | Path) -> None:
        """``path`` may be relative, and longer than a Unix socket address may be."""
        self.path = Path(path).absolute()

    @property
    def log(self) -> Path:
        """What the supervisor itself writes."""
        return self.path / _LOG

    @property
    def logs(self) -> Path:
        """One file a replica or proxy."""
        return self.path / "logs"

    @property
    def service(self) -> Path:
        """Files of the Service's layer-4 proxy."""
        return self.path / "service"

    @property
    def endpoints(self) -> Path:
        """The ready replicas, for the control planes."""
        return self.path / _ENDPOINTS

    @property
    def metrics(self) -> Path:
        """Where Prometheus may ask, for Prometheus."""
        return self.path / _METRICS

    @property
    def load(self) -> Path:
        """Files of the load that runs now."""
        return self.path / "load"

    def create(self) -> None:
        """Make the folder and mark it as the lab's.

        Raises ``UsageError`` when it is somebody else's, ``LabError`` when it cannot be made or written.
        """
        try:
            own.claim_local(self.path)
            for name in own.LOCAL_FOLDERS:
                marks.own_folder(self.path / name)
            os.close(self._open(_LOCK))
        except OSError as error:
            raise LabError(f"state folder {self.path} cannot be written: {error.strerror}") from error

    def refuse_foreign(self) -> None:
        """Raise ``UsageError`` when the folder is somebody else's, so that nothing in it may be touched."""
        try:
            reason = own.foreign_local(self.path)
        except OSError as error:
            raise LabError(f"state folder {self.path} cannot be read: {error.strerror}") from error
        if reason:
            raise UsageError(f"{self.path} {reason}: it is left as it is. Allowed: {marks.ALLOWED}")

    def problem(self) -> str:
        """Try to write, and say why that is not possible; nothing when it is."""
        probe = self.path / _PROBE
        try:
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                probe.unlink()
                os.write(descriptor, bytes(_PROBE_BYTES))
            finally:
                os.close(descriptor)
        except OSError as error:
            return f"state folder {self.path} cannot be written: {error.strerror}"
        return ""

    def copy_logs(self, to: Path) -> None:
        """Copy every log that ``to`` does not hold yet. Raises ``OSError``."""
        for log in [*self.path.glob("*.log"), *self.path.glob("logs/*.log")]:
            if not (to / log.name).exists():
                shutil.copyfile(log, to / log.name)

    def explain(self, error: LabError) -> LabError:
        """Return the error, with what keeps the folder from being written where the error does not say it.

        On a full disk processes end without a word, since their logs are there too.
        """
        problem = self.problem() if self.path.is_dir() else ""
        return LabError(f"{problem} ({error})") if problem and problem not in str(error) else error

    def take_lock(self, timeout_s: float = 0) -> int | None:
        """Take the supervisor's lock; None when another process keeps it for ``timeout_s``. Returns its descriptor."""
        return self._take(_LOCK, timeout_s)

    def take_processes(self, timeout_s: float) -> int | None:
        """Take the lock that all processes of the lab share, so that none is left; None when one stays that long."""
        return self._take(_PROCESSES, timeout_s)

    def write_owner(self, lock: int, owner: dict[str, Any]) -> None:
        """Note in the lock file who holds it: for people, and for the message when it does not answer."""
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(owner).encode() + b"\n", 0)

    def still_ours(self, lock: int) -> bool:
        """Say whether the folder on disk is still the one whose lock is held; False after someone deleted it."""
        try:
            return os.path.samestat(os.fstat(lock), (self.path / _LOCK).stat())
        except OSError:
            return False

    @property
    def exists(self) -> bool:
        """Whether anything of a lab is there. Raises as ``refuse_foreign`` does."""
        self.refuse_foreign()
        return own.holds_lab(self.path)

    def remove(self) -> bool:
        """Remove all that a lab puts here, and the folder when nothing else is in it. Returns whether it was there.

        Raises as ``refuse_foreign`` does, and ``LabError`` for what cannot be removed.
        """
        if not self.exists:
            return False
        own.empty_local(self.path)
        return True

    def take_what_is_there(self, timeout_s: float) -> list[int | None]:
        """Take both locks as ``take_lock`` does; one whose file is missing nobody can hold, and nobody may make it.

        None of the processes of a lab is left when both are had. On a full disk no file could be made.
        """
        return [self._take(name, timeout_s) for name in (_LOCK, _PROCESSES) if (self.path / name).exists()]

    def _take(self, name: str, timeout_s: float) -> int | None:
        deadline = time.monotonic() + timeout_s
        while True:
            descriptor = self._open(name)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A `down` may have removed the file between the two calls: a lock without a name is worthless.
                if os.path.samestat(os.fstat(descriptor), (self.path / name).stat()):
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(descriptor)
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.01)

    def _open(self, name: str) -> int:
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def tail(log: Path, lines: int = 5, since: int = 0) -> str:
    """Return the last ``lines`` non-empty lines of a log, joined by `` | `` so that they fit into one-line errors.

    What stands before byte ``since`` is left out.
    """
    try:
        text = log.read_bytes()[since:][-8192:].decode(errors="replace")
    except OSError:
        return "(no log)"
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(kept[-lines:]) or "(its log is empty)"

"""Endpoints from a JSON file that another process replaces atomically, as the local supervisor does.

``{"services": {"echo": [{"address": "127.77.1.1", "port": 50051, "pod": "echo-1", "uid": "…"}]}}``; ``ready`` and
``serving`` may be given and are true otherwise.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.control_planes.endpoints.board import Board
from grpc_lb_lab.control_planes.endpoints.model import Endpoint, Endpoints
from grpc_lb_lab.json_log import log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_EVERY_S = 0.05


class FileWatcher:
    """Calls ``changed`` with the text of a file when it is first seen and whenever it has been replaced or rewritten.

    A file that is missing is waited for; one that vanishes again is not a change.
    """

    def __init__(self, path: Path, changed: Callable[[str], None], every_s: float = LOOK_EVERY_S) -> None:
        """Look at ``path`` each ``every_s`` seconds."""
        self._path = path
        self._changed = changed
        self._every_s = every_s
        self._stop = threading.Event()
        self._seen: tuple[int, int, int] | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path.name}", daemon=True)

    def start(self) -> None:
        """Look once here, then go on in the background."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Look now."""
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen == self._seen:
                return
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as problem:
            self._complain(str(problem))
            return
        self._seen = seen
        try:
            self._changed(text)
        except ValueError as problem:
            self._complain(str(problem))

    def _complain(self, problem: str) -> None:
        log("file-refused", path=str(self._path), problem=problem)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.look()


class FileSource(Board):
    """The endpoint source that reads a file. Content that cannot be read is logged and the last good one stays."""

    def __init__(self, path: Path, every_s: float = LOOK_EVERY_S) -> None:
        """Watch ``path``, which need not be there yet."""
        super().__init__()
        self._watcher = FileWatcher(path, lambda text: self._take(text), every_s)

    def start(self) -> None:
        """Read the file if it is there, then watch it."""
        self._watcher.start()

    def close(self) -> None:
        """Stop watching."""
        self._watcher.close()

    def _take(self, text: str) -> None:
        self.publish(parse(text))


def parse(text: str) -> Endpoints:
    """``text`` as endpoints. Raises ``ValueError`` that says what is wrong with it."""
    document = json.loads(text)
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise ValueError('expected {"services": {NAME: [ENDPOINT, …]}}')
    return Endpoints({name: tuple(sorted(_endpoint(name, e) for e in entries)) for name, entries in services.items()})


def _endpoint(service: str, entry: Any) -> Endpoint:
    try:
        ready = bool(entry.get("ready", True))
        return Endpoint(
            address=str(entry["address"]),
            port=int(entry["port"]),
            ready=ready,
            serving=bool(entry.get("serving", ready)),
            pod=str(entry.get("pod", "")),
            uid=str(entry.get("uid", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"service {service}: {entry!r} is not an endpoint with address and port") from problem

"""The part that all endpoint sources share: the last snapshot, and who wants to know of a new one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from grpc_lb_lab.json_log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.control_planes.endpoints.model import Endpoints


class Board:
    """Keeps one snapshot and wakes its subscribers when it changes. Thread safe."""

    def __init__(self) -> None:
        """Start without a snapshot."""
        self._lock = threading.Lock()
        self._snapshot: Endpoints | None = None
        self._subscribers: dict[int, Callable[[], None]] = {}
        self._next = 0

    def snapshot(self) -> Endpoints | None:
        """The last snapshot that was published."""
        with self._lock:
            return self._snapshot

    def publish(self, endpoints: Endpoints) -> bool:
        """Replace the snapshot; wake everybody and return True when it differs from the last one."""
        with self._lock:
            if self._snapshot == endpoints:
                return False
            self._snapshot = endpoints
            wakes = list(self._subscribers.values())
        counts = {name: len(endpoints.eligible(name) or ()) for name in sorted(endpoints.services)}
        log("endpoints", version=endpoints.version, services=counts)
        for wake in wakes:
            wake()
        return True

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` after each change, until the returned function is called."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._subscribers[number] = wake

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(number, None)

        return unsubscribe

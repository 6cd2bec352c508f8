"""Cutting another thread's HTTP connections, so that it stops to wait for answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import urllib3


class Wires:
    """The connections of one pool manager, which any thread can cut: all that there are and all that come.

    Nothing else wakes a thread that waits in ``recv``, be it for the head of an answer or for the next event.
    """

    def __init__(self) -> None:
        """No connection yet."""
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._cut = False

    def attach(self, manager: urllib3.PoolManager) -> None:
        """Keep an eye on every connection that ``manager`` makes from now on."""
        kinds: dict[str, Any] = dict(manager.pool_classes_by_scheme)
        manager.pool_classes_by_scheme = {scheme: self._watched(kind) for scheme, kind in kinds.items()}

    def cut(self) -> None:
        """Cut what is open; what is being opened is cut as soon as it is open."""
        with self._lock:
            self._cut = True
            wires = list(self._open)
        for wire in wires:
            _shut(wire)

    def _add(self, wire: Any) -> None:
        with self._lock:
            self._open.add(wire)
            late = self._cut
        if late:
            _shut(wire)

    def _watched(self, kind: Any) -> Any:
        add = self._add

        class Connection(kind.ConnectionCls):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                add(self.sock)

        return type(kind.__name__, (kind,), {"ConnectionCls": Connection})


def _shut(wire: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):  # closed meanwhile
        wire.shutdown(socket.SHUT_RDWR)

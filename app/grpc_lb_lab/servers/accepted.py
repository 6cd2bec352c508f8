"""How many transport connections this server accepted, as channelz knows it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

# grpcio-channelz makes the same calls, but through protobuf at many times the cost.
from grpc._cython import cygrpc  # type: ignore[attr-defined]

LOOK_AT_MOST_EVERY_S = 0.2


def server_ids() -> set[int]:
    """The channelz ids of all servers in this process."""
    found: set[int] = set()
    while True:
        page: dict[str, Any] = json.loads(cygrpc.channelz_get_servers(max(found, default=-1) + 1))
        found |= {int(server["ref"]["serverId"]) for server in page.get("server", [])}
        if page.get("end", True):
            return found


class AcceptedConnections:
    """Counts the sockets of one server, each once.

    channelz lists only connections that are open, so somebody has to look: at every peer that is new to the replica
    and when the figure is asked for. A connection that carried no call and closed between two looks is missed.
    """

    def __init__(self, server_id: int) -> None:
        """Count for the server with this channelz id."""
        self._server_id = server_id
        self._lock = threading.Lock()
        self._seen = 0
        self._count = 0
        self._next_look = 0.0

    def look(self) -> int:
        """Look now; return the number of connections accepted so far."""
        with self._lock:
            self._next_look = time.monotonic() + LOOK_AT_MOST_EVERY_S
            while True:
                try:
                    page = json.loads(cygrpc.channelz_get_server_sockets(self._server_id, self._seen + 1, 500))
                except ValueError:  # the server has stopped and taken its sockets along
                    return self._count
                ids = [int(socket["socketId"]) for socket in page.get("socketRef", [])]
                fresh = [entry for entry in ids if entry > self._seen]
                self._count += len(fresh)
                self._seen = max(fresh, default=self._seen)
                if page.get("end", True) or not fresh:
                    return self._count

    def look_if_due(self) -> None:
        """Look, unless somebody did a moment ago."""
        if time.monotonic() >= self._next_look:
            self.look()

"""How far a load is, read from its live feed: what the conductor needs to know of the clients."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_S = 0.05


class Progress:
    """Follows the feed in one file, from the start of the run on."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self._path = path
        self._read = 0
        self._clients: dict[int, live_feed.ClientLine] = {}

    async def began_at(self, timeout_s: float) -> float:
        """Wait for the first measured call of client 0 and return when it was (seconds since the epoch).

        Raises ``LabError`` when the client tells of none in that time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while 0 not in self._look():
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise LabError(f"client 0 made no measured call within {timeout_s:.0f} s") from None
        return self._clients[0].start

    def calls(self) -> dict[str, int]:
        """Calls that each pod has answered so far, over all clients."""
        found: dict[str, int] = {}
        for client in self._look().values():
            for pod, calls in client.per.items():
                found[pod] = found.get(pod, 0) + calls
        return found

    def _look(self) -> dict[int, live_feed.ClientLine]:
        """Read on; the last line of each client. A line that is still being written waits for the next look."""
        with contextlib.suppress(OSError), self._path.open("rb") as feed:
            feed.seek(self._read)
            whole, newline, _ = feed.read().rpartition(b"\n")
            self._read += len(whole) + len(newline)
            for text in whole.split(b"\n"):
                line = live_feed.parse(text.decode(errors="replace"))
                if isinstance(line, live_feed.ClientLine):
                    self._clients[line.i] = line
        return self._clients

"""What clients tell while they run: the runner's own source of when a load began and how far it is."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.run.feed import LiveFeed


class ClientReports:
    """The newest line of each client. Every line goes on to the feed; a line that is lost there is not lost here."""

    def __init__(self, feed: LiveFeed) -> None:
        """``feed`` is what onlookers read. Nobody has told anything yet."""
        self._feed = feed
        self._newest: dict[int, live_feed.ClientLine] = {}
        self._begun = asyncio.Event()

    def see(self, text: str) -> live_feed.ClientLine | None:
        """Take in a line as a client rendered it and return it; None when it is no client's line."""
        line = live_feed.parse(text)
        if not isinstance(line, live_feed.ClientLine):
            return None
        self._newest[line.i] = line
        self._feed.add(line)
        if 0 in self._newest:
            self._begun.set()
        return line

    async def began_at(self, timeout_s: float) -> float:
        """Wait for the first measured call of client 0; when it was by its clock, in seconds since the epoch.

        Raises ``LabError`` when the client tells of none in that time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._begun.wait()
        except TimeoutError:
            raise LabError(f"client 0 made no measured call within {timeout_s:.0f} s") from None
        return self._newest[0].start

    def calls(self) -> dict[str, int]:
        """Calls that each pod has answered so far, over all clients."""
        found: dict[str, int] = {}
        for client in self._newest.values():
            for pod, calls in client.per.items():
                found[pod] = found.get(pod, 0) + calls
        return found

    @property
    def done(self) -> int:
        """Calls that have ended so far, of all clients."""
        return sum(client.done for client in self._newest.values())

    @property
    def total(self) -> int:
        """Calls that there will be, of the clients that have told; 0 where that is not known before."""
        return sum(client.total or 0 for client in self._newest.values())


class ReportFile:
    """A file that clients append their lines to (``--live``), read on as it grows."""

    def __init__(self, path: Path, reports: ClientReports) -> None:
        """``path`` is the lab's own, in its state folder. Touches nothing yet."""
        self.path = path
        self._reports = reports
        self._read = 0

    def create(self) -> None:
        """Make the file anew, empty. Raises ``ArtifactError``."""
        write_text(self.path, "")

    def read(self) -> None:
        """Take in what came since the last time. A line that is still being written waits for the next time."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(newline)
            for text in whole.splitlines():
                self._reports.see(text.decode(errors="replace"))

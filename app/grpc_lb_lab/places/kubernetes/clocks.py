"""How far the clock of the client pods and the one of this machine are apart, as their log lines tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpc_lb_lab.model.inventory import Event

# A line takes some 10 ms from a pod to here, and more when either side is busy. Less than this is no difference.
LEAST_S = 0.25


class Clocks:
    """Compares the time at which a client wrote a line with the time at which it came here.

    The quickest line tells most: the difference is the clocks', plus the way that a line takes.
    """

    def __init__(self) -> None:
        """No line yet."""
        self._least: float | None = None

    def see(self, written_at: float, came_at: float) -> None:
        """Take in one line; both in seconds since the epoch, each by its own clock."""
        least = came_at - written_at
        self._least = least if self._least is None else min(self._least, least)

    @property
    def ahead_s(self) -> float:
        """Seconds by which this machine's clock is ahead of the clients'; 0 when they agree as far as can be told."""
        return self._least if self._least is not None and abs(self._least) >= LEAST_S else 0.0

    def as_clients_see(self, event: Event) -> Event:
        """Return an event of this machine with its time by the clients' clock."""
        return replace(event, at=event.at - self.ahead_s)

    def words(self) -> list[str]:
        """Say how far they are apart, for the report's notes; nothing when nobody could tell."""
        if self._least is None:
            return []
        if not self.ahead_s:
            return [f"the clocks of the client pods and of this machine agree within {LEAST_S * 1000:.0f} ms"]
        way = "ahead of" if self.ahead_s > 0 else "behind"
        return [
            f"this machine's clock is {abs(self.ahead_s):.2f} s {way} that of the client pods; "
            "the times of events are corrected by that"
        ]

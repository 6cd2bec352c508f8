"""What happened to the lab, in order, for the report's timeline."""

from __future__ import annotations

import collections
import sys
import time

from grpc_lb_lab.report.model import Event

_KEPT = 5_000


class EventLog:
    """Keeps the last events and writes each to the supervisor's log."""

    def __init__(self) -> None:
        """Starts empty."""
        self._events: collections.deque[Event] = collections.deque(maxlen=_KEPT)

    def add(self, kind: str, detail: str) -> None:
        """Note that something happened now."""
        event = Event(at=time.time(), kind=kind, detail=detail)
        self._events.append(event)
        print(f"{event.at:.3f} {kind}: {detail}", file=sys.stderr, flush=True)

    def since(self, at: float) -> list[Event]:
        """Return the events from time ``at`` (seconds since the epoch) on, oldest first."""
        return [event for event in self._events if event.at >= at]

    def last(self, count: int) -> list[Event]:
        """Return the last ``count`` events, oldest first."""
        return list(self._events)[-count:]

"""What happened to the lab, in order, for the report's timeline."""

from __future__ import annotations

import collections
import sys
import time
from typing import TYPE_CHECKING

from grpc_lb_lab.model.inventory import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.model.inventory import Replica
    from grpc_lb_lab.places.local.supervisor.member import Member

_KEPT = 5_000


class EventLog:
    """Keeps the last events and writes each to the supervisor's log; ``listener`` is told of each, when it is set."""

    def __init__(self) -> None:
        """Starts empty."""
        self.listener: Callable[[Event], None] | None = None
        self._events: collections.deque[Event] = collections.deque(maxlen=_KEPT)

    def add(self, kind: str, detail: str, replica: Member | Replica | None = None) -> None:
        """Note that something happened now, to this replica if to one."""
        event = Event(at=time.time(), kind=kind, detail=detail)
        if replica is not None:
            event = Event(event.at, kind, detail, replica.pod, replica.uid, replica.ip)
        self._events.append(event)
        if self.listener:
            self.listener(event)
        print(f"{event.at:.3f} {kind}: {detail}", file=sys.stderr, flush=True)

    def since(self, at: float) -> list[Event]:
        """Return the events from time ``at`` (seconds since the epoch) on, oldest first."""
        return [event for event in self._events if event.at >= at]

    def last(self, count: int) -> list[Event]:
        """Return the last ``count`` events, oldest first."""
        return list(self._events)[-count:]

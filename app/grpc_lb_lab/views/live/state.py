"""What the lines of a live feed add up to: the run as it stands, and what it did lately."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpc_lb_lab.model import live_feed

if TYPE_CHECKING:
    from collections.abc import Iterable

RATE_S = 1.0
"""Rates are over at least this time, longer where a client's lines come less often."""

EVENTS_KEPT = 200
SECONDS_KEPT = 600

# What an event says of the pod that it names.
POD_STATES = {
    "replica-started": "starting",
    "replica-ready": "ready",
    "replica-unready": "not ready",
    "replica-terminating": "leaving",
    "replica-ended": "gone",
}


@dataclass
class Second:
    """Calls that ended in one second of the run: answered by pod, and failed. Fractions: lines are cut to seconds."""

    per: dict[str, float] = field(default_factory=dict)
    failed: float = 0.0


@dataclass
class Rates:
    """Calls a second at present: answered by pod, and failed."""

    per: dict[str, float] = field(default_factory=dict)
    failed: float = 0.0

    @property
    def total(self) -> float:
        """All calls that end, a second."""
        return sum(self.per.values()) + self.failed


class LiveState:
    """Fold of a feed. Attributes are for reading; ``take`` is all that changes them.

    ``pods``: what is known of each, in the order they were met: a value of ``POD_STATES``. Where nobody tells who is
    ready (``ready`` is None), a pod that answers is.
    """

    def __init__(self) -> None:
        """Before the first line: no run."""
        self.run: live_feed.RunLine | None = None
        self.end: live_feed.EndLine | None = None
        self.clients: dict[int, live_feed.ClientLine] = {}
        self.events: deque[live_feed.EventLine] = deque(maxlen=EVENTS_KEPT)
        self.ready: list[str] | None = None
        self.pods: dict[str, str] = {}
        self.met_at: dict[str, float] = {}
        self.seconds: dict[int, Second] = {}
        self.last_at = 0.0
        self._recent: dict[int, deque[live_feed.ClientLine]] = {}

    def take(self, text: str) -> bool:
        """Take one line of the feed; returns whether it was one. The line of another run starts anew."""
        line = live_feed.parse(text)
        if line is None:
            return False
        if isinstance(line, live_feed.RunLine):
            self.__init__()  # type: ignore[misc]
            self.run = line
        elif isinstance(line, live_feed.ClientLine):
            self._take_client(line)
        elif isinstance(line, live_feed.EventLine):
            self._take_event(line)
        elif isinstance(line, live_feed.ReplicasLine):
            self._take_replicas(line)
        else:
            self.end = line
        self.last_at = max(self.last_at, line.at)
        return True

    @property
    def started_at(self) -> float | None:
        """The first measured call of the first client (seconds since the epoch); None before it."""
        return min((client.start for client in self.clients.values()), default=None)

    @property
    def done(self) -> int:
        """Calls that have ended."""
        return sum(client.done for client in self.clients.values())

    @property
    def failed(self) -> int:
        """Calls that have failed."""
        return sum(client.failed for client in self.clients.values())

    @property
    def total(self) -> int | None:
        """Calls there will be; None while that is not known."""
        totals = [client.total for client in self.clients.values()]
        if self.run is None or len(totals) < self.run.clients:
            return self.run.requests if self.run else None
        return None if None in totals else sum(total or 0 for total in totals)

    @property
    def calls(self) -> dict[str, int]:
        """Answered calls by pod; pods without any are left out."""
        return self._sum("per")

    @property
    def errors(self) -> dict[str, int]:
        """Failed calls by gRPC status code, most first."""
        return dict(sorted(self._sum("errors").items(), key=lambda item: (-item[1], item[0])))

    @property
    def connections(self) -> int:
        """Connections that clients have open now."""
        return sum(client.conns for client in self.clients.values())

    @property
    def p50_ms(self) -> float | None:
        """The median of the last second: of the slowest client, when there are several."""
        return max((client.p50_ms for client in self.clients.values() if client.p50_ms is not None), default=None)

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile of the last second: of the slowest client, when there are several."""
        return max((client.p99_ms for client in self.clients.values() if client.p99_ms is not None), default=None)

    @property
    def over(self) -> bool:
        """Whether no more calls will come."""
        everyone = self.run is not None and len(self.clients) >= self.run.clients
        return self.end is not None or (everyone and all(client.ended for client in self.clients.values()))

    def rates(self) -> Rates:
        """What happens a second at present; nothing once the run is over."""
        rates = Rates()
        for lines in () if self.over else self._recent.values():
            first, last = lines[0], lines[-1]
            took = last.at - first.at
            if took <= 0 or last.ended:
                continue
            for pod, calls in last.per.items():
                rates.per[pod] = rates.per.get(pod, 0.0) + (calls - first.per.get(pod, 0)) / took
            rates.failed += (last.failed - first.failed) / took
        return rates

    def _sum(self, name: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for client in self.clients.values():
            for key, count in getattr(client, name).items():
                sums[key] = sums.get(key, 0) + count
        return sums

    def _meet(self, pods: Iterable[str], at: float, state: str = "ready") -> None:
        for pod in sorted({*pods} - {*self.pods}):
            self.pods[pod], self.met_at[pod] = state, at

    def _take_event(self, line: live_feed.EventLine) -> None:
        self.events.append(line)
        if line.pod and line.event in POD_STATES:
            self._meet([line.pod], line.at)
            self.pods[line.pod] = POD_STATES[line.event]

    def _take_replicas(self, line: live_feed.ReplicasLine) -> None:
        self.ready = line.ready
        self._meet(line.ready, line.at)
        for pod, state in self.pods.items():
            if pod in line.ready:
                self.pods[pod] = "ready"
            elif state == "ready":
                self.pods[pod] = "not ready"

    def _take_client(self, line: live_feed.ClientLine) -> None:
        before = self.clients.get(line.i)
        if before is not None and line.at <= before.at:
            return  # lines of one client come in order; a copy of a log may bring one twice
        self.clients[line.i] = line
        self._meet(line.per, line.at, "ready" if self.ready is None else "not ready")
        recent = self._recent.setdefault(line.i, deque())
        recent.append(line)
        while len(recent) > 2 and recent[1].at <= line.at - RATE_S:
            recent.popleft()
        if before is not None:
            self._spread(before, line)

    def _spread(self, before: live_feed.ClientLine, line: live_feed.ClientLine) -> None:
        """Give each second its part of the calls between two lines of a client."""
        new = {pod: calls - before.per.get(pod, 0) for pod, calls in line.per.items()}
        failed, start = line.failed - before.failed, self.started_at or line.start
        took, at = line.at - before.at, max(before.at, start)
        while at < line.at:
            number = int(at - start + 1e-9)
            until = min(line.at, max(start + number + 1, at + 1e-6))
            part = (until - at) / took
            second = self.seconds.setdefault(number, Second())
            for pod, calls in new.items():
                second.per[pod] = second.per.get(pod, 0.0) + calls * part
            second.failed += failed * part
            at = until
        while len(self.seconds) > SECONDS_KEPT:
            del self.seconds[min(self.seconds)]

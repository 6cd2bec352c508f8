"""What a replica counts, per run and phase: thread safe, a fraction of a microsecond a call, bounded memory."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from grpc_lb_lab.model.peers import peer_host

RUNS_KEPT = 16
PEER_HOSTS_SHOWN = 100
PEERS_KEPT = 200_000  # three times the ports of one client host; beyond it `connections` stays as it is


@dataclass
class RunCount:
    """Counts of one run; ``attempts``, ``failed``, ``by_previous`` and ``peers`` are of the measured phase only.

    ``cpu_from``: CPU seconds that the process had used when the first measured attempt came; None before it.
    """

    attempts: int = 0
    failed: int = 0
    warmup_attempts: int = 0
    by_previous: dict[int, int] = field(default_factory=dict)
    peers: set[str] = field(default_factory=set)
    cpu_from: float | None = None

    @property
    def retries(self) -> int:
        """Attempts that gRPC marked as the second or a later one of their call."""
        return sum(count for previous, count in self.by_previous.items() if previous)

    def peer_hosts(self) -> list[str]:
        """The hosts of the peers, sorted, at most ``PEER_HOSTS_SHOWN``."""
        return sorted({peer_host(peer) for peer in self.peers})[:PEER_HOSTS_SHOWN]


class Counters:
    """The counts of one replica for its last ``RUNS_KEPT`` runs, and how many calls are in flight now."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, RunCount] = OrderedDict()
        self.in_flight = 0
        self.total = 0

    def begin(self, run: str, peer: str, previous: int, warmup: bool) -> None:
        """Count an attempt that has arrived; ``previous`` is its ``grpc-previous-rpc-attempts``."""
        with self._lock:
            self.in_flight += 1
            self.total += 1
            count = self._runs.get(run)
            if count is None:
                count = self._add(run)
            if warmup:
                count.warmup_attempts += 1
                return
            if not count.attempts:
                count.cpu_from = time.process_time()
            count.attempts += 1
            count.by_previous[previous] = count.by_previous.get(previous, 0) + 1
            if peer not in count.peers and len(count.peers) < PEERS_KEPT:
                count.peers.add(peer)

    def end(self, run: str, failed: bool, warmup: bool) -> None:
        """Count the end of an attempt."""
        with self._lock:
            self.in_flight -= 1
            if failed and not warmup and run in self._runs:
                self._runs[run].failed += 1

    def snapshot(self, run: str) -> RunCount:
        """A copy of what was counted for ``run``; zeros for a run that never came here."""
        with self._lock:
            count = self._runs.get(run, RunCount())
            return dataclasses.replace(count, by_previous=dict(count.by_previous), peers=set(count.peers))

    def runs(self) -> list[str]:
        """The runs that are kept, oldest first."""
        with self._lock:
            return list(self._runs)

    def _add(self, run: str) -> RunCount:
        while len(self._runs) >= RUNS_KEPT:
            self._runs.popitem(last=False)
        self._runs[run] = RunCount()
        return self._runs[run]

"""Calls per interval, in a fixed number of intervals however long the run is."""

from __future__ import annotations

from grpc_lb_lab.model.result import Bucket

FINEST_S = 0.1
MOST_BUCKETS = 200


class Timeline:
    """Counts on the epoch's grid: interval ``i`` covers ``i * interval_s`` up to ``(i + 1) * interval_s``.

    The interval starts at ``FINEST_S`` and doubles when the run spans more than ``MOST_BUCKETS`` of them. All clients
    share the grid, so timelines of different fineness merge without a rest.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._doublings = 0
        self._buckets: dict[int, Bucket] = {}

    @property
    def interval_s(self) -> float:
        """The width of an interval now."""
        return FINEST_S * (1 << self._doublings)

    def next_edge(self, at: float) -> float:
        """The end (seconds since the epoch) of the interval that ``at`` lies in."""
        return ((self._index(at) + 1) << self._doublings) / 10

    def add(self, at: float, ok: int, failed: int, per_backend: dict[str, int]) -> None:
        """Count calls that ended around ``at`` (seconds since the epoch)."""
        if not ok and not failed:
            return
        self._put(Bucket(self._index(at), ok, failed, per_backend))
        while max(self._buckets) - min(self._buckets) >= MOST_BUCKETS:
            self._doublings += 1
            buckets, self._buckets = list(self._buckets.values()), {}
            for bucket in buckets:
                self._put(Bucket(bucket.index >> 1, bucket.ok, bucket.failed, bucket.per_backend))

    def buckets(self) -> list[Bucket]:
        """The intervals in which calls ended, in order."""
        return [self._buckets[index] for index in sorted(self._buckets)]

    def _index(self, at: float) -> int:
        # In whole tenths first: coarser intervals then nest exactly.
        return int(at * 10) >> self._doublings

    def _put(self, bucket: Bucket) -> None:
        there = self._buckets.get(bucket.index)
        if there is None:
            self._buckets[bucket.index] = bucket
            return
        per_backend = dict(there.per_backend)
        for uid, count in bucket.per_backend.items():
            per_backend[uid] = per_backend.get(uid, 0) + count
        self._buckets[bucket.index] = Bucket(
            bucket.index, there.ok + bucket.ok, there.failed + bucket.failed, per_backend
        )

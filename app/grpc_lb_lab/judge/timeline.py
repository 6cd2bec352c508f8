"""Folds the timelines of many clients into one, without losing a call."""

from __future__ import annotations

from grpc_lb_lab.judge.facts import Timeline, TimelineBucket
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.result import Bucket, ClientResult

MAX_BUCKETS = 600
"""More would be finer than any chart; a clock that is far off on one machine must not fill the memory either."""


def merge_timelines(results: list[ClientResult], started_at: float) -> Timeline:
    """Fold to the largest interval, then on by doubling until the run fits into ``MAX_BUCKETS``.

    All buckets lie on the epoch grid ``index * interval_s``, so folding is a division of the index. Raises
    ``LabError`` when intervals are no multiples of one another.
    """
    interval = max(result.interval_s for result in results)
    cells: dict[int, Bucket] = {}
    for result in results:
        factor = _factor(interval, result.interval_s)
        for bucket in result.timeline:
            _add(cells, bucket.index // factor, bucket)
    while cells and max(cells) - min(cells) >= MAX_BUCKETS:
        folded: dict[int, Bucket] = {}
        for index, bucket in cells.items():
            _add(folded, index // 2, bucket)
        cells, interval = folded, interval * 2
    return Timeline(interval, [_placed(cells, index, interval, started_at) for index in _span(cells)])


def _factor(interval: float, smaller: float) -> int:
    ratio = interval / smaller if smaller > 0 else 0.0
    if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6:
        raise LabError(f"timelines with intervals of {smaller} s and {interval} s cannot be merged")
    return round(ratio)


def _add(cells: dict[int, Bucket], index: int, bucket: Bucket) -> None:
    old = cells.get(index, Bucket(index, 0, 0, {}))
    backends = dict(old.per_backend)
    for uid, calls in bucket.per_backend.items():
        backends[uid] = backends.get(uid, 0) + calls
    cells[index] = Bucket(index, old.ok + bucket.ok, old.failed + bucket.failed, backends)


def _span(cells: dict[int, Bucket]) -> range:
    return range(min(cells), max(cells) + 1) if cells else range(0)


def _placed(cells: dict[int, Bucket], index: int, interval: float, started_at: float) -> TimelineBucket:
    bucket = cells.get(index, Bucket(index, 0, 0, {}))
    start = round(max(0.0, index * interval - started_at), 3)
    return TimelineBucket(start, bucket.ok, bucket.failed, bucket.per_backend)

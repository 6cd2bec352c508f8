"""Latency histograms: fixed size, mergeable, the same on the client that records and the report that merges.

High dynamic range histograms (http://hdrhistogram.org) with values in microseconds, 1 µs to 10 minutes, three
significant digits: a recorded value is off by at most 0.1 %, whatever the length of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdrh.histogram import HdrHistogram

from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable

LOWEST_US = 1
HIGHEST_US = 600_000_000
SIGNIFICANT_DIGITS = 3


@dataclass(frozen=True)
class LatencySummary:
    """Milliseconds; every field is None when nothing was recorded."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float | None


@dataclass(frozen=True)
class LatencyBar:
    """Calls that took from ``from_ms`` (included) up to ``to_ms`` (excluded)."""

    from_ms: float
    to_ms: float
    calls: int


def new_histogram() -> HdrHistogram:
    """An empty histogram of the lab's range."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)


def record(histogram: HdrHistogram, microseconds: float) -> None:
    """Record one value; what lies outside the range counts at its edge, so no call is lost."""
    histogram.record_value(min(max(round(microseconds), LOWEST_US), HIGHEST_US))


def encode(histogram: HdrHistogram) -> str:
    """The histogram as text (HdrHistogram V2, compressed, base64)."""
    return str(histogram.encode().decode("ascii"))


def decode(text: str) -> HdrHistogram:
    """The opposite of ``encode``; an empty text is an empty histogram. Raises ``LabError`` for anything else."""
    histogram = new_histogram()
    if text:
        try:
            histogram.decode_and_add(text.encode("ascii"))
        except Exception as error:  # the library raises whatever zlib, base64 and ctypes raise
            raise LabError(f"a latency histogram cannot be read: {error}") from error
    return histogram


def merge(texts: Iterable[str]) -> HdrHistogram:
    """One histogram with the values of all."""
    total = new_histogram()
    for text in texts:
        total.add(decode(text))
    return total


def summarize(histogram: HdrHistogram) -> LatencySummary:
    """Mean, percentiles and maximum in milliseconds."""
    if not histogram.get_total_count():
        return LatencySummary(None, None, None, None, None, None)

    return LatencySummary(
        mean=round(histogram.get_mean_value() / 1000, 3),
        p50=percentile(histogram, 50),
        p90=percentile(histogram, 90),
        p99=percentile(histogram, 99),
        p999=percentile(histogram, 99.9),
        max=round(histogram.get_max_value() / 1000, 3),
    )


def percentile(histogram: HdrHistogram, value: float) -> float | None:
    """One percentile in milliseconds, None without a value. All of ``summarize`` takes a hundred times as long."""
    if not histogram.get_total_count():
        return None
    return round(float(histogram.get_value_at_percentile(value)) / 1000, 3)


def bars(histogram: HdrHistogram, per_octave: int = 4) -> list[LatencyBar]:
    """Counts on a logarithmic scale for a chart: ``per_octave`` bars for each doubling, gaps filled with 0."""
    counts: dict[int, int] = {}
    for item in histogram.get_recorded_iterator():
        index = _bar_index(item.value_iterated_to, per_octave)
        counts[index] = counts.get(index, 0) + item.count_added_in_this_iter_step
    if not counts:
        return []
    return [
        LatencyBar(_edge_ms(index, per_octave), _edge_ms(index + 1, per_octave), counts.get(index, 0))
        for index in range(min(counts), max(counts) + 1)
    ]


def _bar_index(microseconds: int, per_octave: int) -> int:
    return math.floor(math.log2(max(microseconds, LOWEST_US)) * per_octave + 1e-9)


def _edge_ms(index: int, per_octave: int) -> float:
    return math.pow(2, index / per_octave) / 1000

"""Recording into a latency histogram at a tenth of the library's cost a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.model import latency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdrh.histogram import HdrHistogram

# What ``since`` compares at a time: lists compare fast, and most parts of a histogram stay as they are.
PART = 256

# HdrHistogram's own layout for 3 digits: 2048 linear steps, then 1024 to each doubling.
SUB_BUCKET_BITS = 11
HALF_BITS = SUB_BUCKET_BITS - 1


class FastHistogram:
    """Counts by HdrHistogram's index in a plain list; same range and precision, handed over at the end."""

    def __init__(self) -> None:
        """Start empty, with room for the whole range (about 180 kB)."""
        self.counts = [0] * (_index(latency.HIGHEST_US) + 1)

    def record(self, seconds: float) -> None:
        """Count one value; what lies outside the range counts at its edge."""
        value = int(seconds * 1e6 + 0.5)
        if value < latency.LOWEST_US:
            value = latency.LOWEST_US
        elif value > latency.HIGHEST_US:
            value = latency.HIGHEST_US
        # _index, written out: a call costs as much as the rest of this function.
        shift = value.bit_length() - SUB_BUCKET_BITS
        self.counts[(shift << HALF_BITS) + (value >> shift) if shift > 0 else value] += 1

    def mark(self) -> list[int]:
        """The counts as they are now, for ``since``."""
        return self.counts.copy()

    def since(self, mark: list[int]) -> tuple[dict[int, int], list[int]]:
        """What has come since ``mark`` (counts by index), and a new mark. Takes a quarter of a millisecond."""
        now, gained = self.counts.copy(), {}
        for begin in range(0, len(now), PART):
            new, old = now[begin : begin + PART], mark[begin : begin + PART]
            if new != old:
                for offset, count in enumerate(new):
                    if count != old[offset]:
                        gained[begin + offset] = count - old[offset]
        return gained, now

    def to_hdr(self) -> HdrHistogram:
        """The same counts as a library histogram."""
        return _to_hdr(dict(enumerate(self.counts)))

    def up_to(self, bounds_s: Sequence[float]) -> tuple[list[int], float]:
        """How many values are at most as large as each of ``bounds_s`` (ascending), and the sum of all (seconds)."""
        found, total, total_us, begin = [], 0, 0, 0
        for end in [*(_index(int(bound * 1e6 + 0.5)) + 1 for bound in bounds_s), len(self.counts)]:
            part = self.counts[begin:end]
            if any(part):
                total += sum(part)
                total_us += sum(count * _value(begin + place) for place, count in enumerate(part) if count)
            found.append(total)
            begin = end
        return found[:-1], total_us / 1e6

    def encoded(self) -> str:
        """The histogram as ``model.latency`` reads it."""
        return latency.encode(self.to_hdr())


def encode_counts(counts: dict[int, int]) -> str:
    """Counts by index, as ``since`` returns them, as ``model.latency`` reads them."""
    return latency.encode(_to_hdr(counts))


def percentile_ms(counts: dict[int, int], percent: float) -> float | None:
    """The percentile of counts by index, in milliseconds; None when there are none."""
    rank, seen = sum(counts.values()) * percent / 100, 0
    for index in sorted(counts):
        seen += counts[index]
        if seen >= rank:
            return _value(index) / 1000
    return None


def _to_hdr(counts: dict[int, int]) -> HdrHistogram:
    histogram = latency.new_histogram()
    for index, count in counts.items():
        if count:
            histogram.record_value(histogram.get_value_from_index(index), count)
    return histogram


def _value(index: int) -> int:
    """The smallest value (microseconds) that counts at ``index``; the opposite of ``_index``."""
    shift = max(0, (index >> HALF_BITS) - 1)
    return (index - (shift << HALF_BITS)) << shift


def _index(value: int) -> int:
    shift = max(0, value.bit_length() - SUB_BUCKET_BITS)
    return (shift << HALF_BITS) + (value >> shift)

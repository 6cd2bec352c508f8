"""Recording into a latency histogram at a tenth of the library's cost a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.report import latency

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

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

    def to_hdr(self) -> HdrHistogram:
        """The same counts as a library histogram."""
        histogram = latency.new_histogram()
        for index, count in enumerate(self.counts):
            if count:
                histogram.record_value(histogram.get_value_from_index(index), count)
        return histogram

    def encoded(self) -> str:
        """The histogram as ``report.latency`` reads it."""
        return latency.encode(self.to_hdr())


def _index(value: int) -> int:
    shift = max(0, value.bit_length() - SUB_BUCKET_BITS)
    return (shift << HALF_BITS) + (value >> shift)

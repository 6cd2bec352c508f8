"""Latencies over time: what a histogram gained in each slot, in a bounded number of slots however long the run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.load.record.histogram import encode_counts
from grpc_lb_lab.model.result import LatencySlot

if TYPE_CHECKING:
    from grpc_lb_lab.load.record.histogram import FastHistogram

MOST_SLOTS = 120


class LatencySlots:
    """Slots on the epoch's grid: slot ``i`` covers ``i * slot_s`` up to ``(i + 1) * slot_s``.

    A slot is one second wide and doubles when the run spans more than ``MOST_SLOTS``. Nothing is done for a call: at
    the end of a slot the histogram is compared with what it was at the slot's start.
    """

    def __init__(self, histogram: FastHistogram) -> None:
        """Follow ``histogram``, which is empty yet."""
        self._histogram = histogram
        self._mark = histogram.mark()
        self._doublings = 0
        self._slots: dict[int, dict[int, int]] = {}

    @property
    def slot_s(self) -> float:
        """The width of a slot now."""
        return float(1 << self._doublings)

    def next_edge(self, at: float) -> float:
        """The end (seconds since the epoch) of the slot that ``at`` lies in."""
        return float((self._index(at) + 1) << self._doublings)

    def end_slot(self, at: float) -> None:
        """Put what the histogram has gained into the slot of ``at`` (seconds since the epoch)."""
        gained, self._mark = self._histogram.since(self._mark)
        if not gained:
            return
        self._put(self._index(at), gained)
        while max(self._slots) - min(self._slots) >= MOST_SLOTS:
            self._doublings += 1
            slots, self._slots = self._slots, {}
            for index, counts in slots.items():
                self._put(index >> 1, counts)

    def slots(self) -> list[LatencySlot]:
        """The slots in which calls ended, in order."""
        return [LatencySlot(index, encode_counts(self._slots[index])) for index in sorted(self._slots)]

    def _index(self, at: float) -> int:
        return int(at) >> self._doublings

    def _put(self, index: int, counts: dict[int, int]) -> None:
        there = self._slots.setdefault(index, {})
        for value, count in counts.items():
            there[value] = there.get(value, 0) + count

"""Failed calls over time: the error window, what was lost under way, and latency before, during and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.model import latency

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

    from grpc_lb_lab.judge.facts import Facts

_STRIKES = frozenset({"command", "replica-terminating", "replica-ended"})
"""Events at which a call that is under way can be lost."""


@dataclass(frozen=True)
class ErrorWindow:
    """From the begin of the first failed call to the end of the last one; ``window_s`` 0 and None without one.

    ``in_flight``: failed calls that were under way when something was ordered, or a replica left. It is counted among
    the failures that clients kept whole (``kept`` of ``failed``).
    """

    failed: int
    by_code: dict[str, int]
    first_s: float | None
    last_s: float | None
    window_s: float
    in_flight: int
    kept: int


@dataclass(frozen=True)
class Span:
    """Calls that ended between two times; percentiles in milliseconds, None without a call."""

    from_s: float
    to_s: float
    calls: int
    p50: float | None
    p99: float | None


def error_window(facts: Facts) -> ErrorWindow:
    """The error window of a run."""
    first, last = _edges(facts)
    strikes = sorted({event.at for event in facts.events if event.kind in _STRIKES})
    return ErrorWindow(
        failed=facts.failed,
        by_code=facts.errors,
        first_s=None if first is None else round(first, 3),
        last_s=None if last is None else round(last, 3),
        window_s=0.0 if first is None or last is None else round(last - first, 3),
        in_flight=sum(1 for one in facts.failures if any(one.began_at <= at < one.ended_at for at in strikes)),
        kept=len(facts.failures),
    )


def _edges(facts: Facts) -> tuple[float | None, float | None]:
    """Begin of the first and end of the last failed call; from the timeline's buckets where not all were kept."""
    if not facts.failed:
        return None, None
    begins = [one.began_at - facts.started_at for one in facts.failures]
    ends = [one.ended_at - facts.started_at for one in facts.failures]
    if len(facts.failures) < facts.failed:
        bad = [bucket.t_s for bucket in facts.timeline.buckets if bucket.failed]
        begins += bad[:1] if not begins else []
        ends += [min(bad[-1] + facts.timeline.interval_s, facts.duration_s)] if bad else []
    return (max(0.0, min(begins)), max(ends)) if begins and ends else (None, None)


def latency_spans(facts: Facts, first_s: float, over_s: float) -> dict[str, Span]:
    """Latency ``before`` the first event, ``during`` the events and their effects, and ``after`` them.

    A slot that lies across a border counts as ``during``.
    """

    def name_of(begin: float, end: float) -> str:
        return "before" if end <= first_s else "during" if begin < over_s else "after"

    found = {"before": latency.new_histogram(), "during": latency.new_histogram(), "after": latency.new_histogram()}
    for one in facts.over_time:
        for slot in one.latency:
            begin = slot.index * one.slot_s - facts.started_at
            found[name_of(begin, begin + one.slot_s)].add(latency.decode(slot.hdr))
    edges = {"before": (0.0, first_s), "during": (first_s, over_s), "after": (over_s, facts.duration_s)}
    return {name: _summary(*edges[name], histogram) for name, histogram in found.items()}


def latency_course(facts: Facts) -> list[Span]:
    """Latency slot by slot, all clients together, in the coarsest slots that any client has."""
    if not any(one.latency for one in facts.over_time):
        return []
    slot_s = max(one.slot_s for one in facts.over_time)
    found: dict[int, HdrHistogram] = {}
    for one in facts.over_time:
        factor = max(1, round(slot_s / one.slot_s))
        for slot in one.latency:
            found.setdefault(slot.index // factor, latency.new_histogram()).add(latency.decode(slot.hdr))
    return [
        _summary(max(0.0, index * slot_s - facts.started_at), (index + 1) * slot_s - facts.started_at, found[index])
        for index in sorted(found)
    ]


def _summary(begin: float, end: float, histogram: HdrHistogram) -> Span:
    return Span(
        from_s=round(begin, 3),
        to_s=round(end, 3),
        calls=int(histogram.get_total_count()),
        p50=latency.percentile(histogram, 50),
        p99=latency.percentile(histogram, 99),
    )

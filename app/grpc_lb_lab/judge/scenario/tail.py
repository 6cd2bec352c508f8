"""The end of a scenario: the calls that show what the strategy has made of the events, as a sample to classify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.classes import Sample
from grpc_lb_lab.judge.scenario.presence import changes

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts, OverTime
    from grpc_lb_lab.judge.scenario.presence import Presence
    from grpc_lb_lab.model.strategy import Strategy

LONGEST_S = 8.0
"""The end is the last third of a run, at most so long, and begins after the last change of the ready replicas."""


@dataclass(frozen=True)
class Tail:
    """``calls`` answered from ``from_s`` on by each replica that was ready at the end, by label."""

    from_s: float
    calls: dict[str, int]


def measure_tail(facts: Facts, present: list[Presence]) -> Tail:
    """The tail of a run; buckets that begin before it are left out."""
    ready = [one for one in present if one.ready_at(facts.duration_s)]
    last_change = max(changes(present, facts.duration_s), default=0.0)
    begin = max(facts.duration_s - min(LONGEST_S, facts.duration_s / 3), last_change)
    buckets = [bucket for bucket in facts.timeline.buckets if bucket.t_s >= begin]
    calls = {one.label: sum(bucket.per_backend.get(one.uid, 0) for bucket in buckets) for one in ready}
    return Tail(round(buckets[0].t_s if buckets else begin, 3), calls)


def tail_sample(facts: Facts, present: list[Presence], tail: Tail, strategy: Strategy) -> Sample:
    """What the classes look at. Counts are cut by the clock, so ±1 has no meaning: evenness is judged by chance.

    The answers of each channel over time are known where a client has one channel. Of a client with several the whole
    run's are taken, without replicas that have left: a channel that never moved shows the same either way.
    """
    uids = [one.uid for one in present if one.label in tail.calls]
    return Sample(
        uids=uids,
        counts=list(tail.calls.values()),
        channels=_channels(facts, uids, tail.from_s),
        keys={key: _settled(calls, uids) for key, calls in facts.keys.items()},
        exact=False,
        weights=strategy.weights,
        alone=strategy.replicas == 1,
    )


def _channels(facts: Facts, uids: list[str], from_s: float) -> list[dict[str, int]]:
    if all(one.channels == 1 for one in facts.over_time):
        return [_answers(one, uids, facts.started_at + from_s) for one in facts.over_time]
    return [{uid: calls for uid, calls in channel.items() if uid in uids} for channel in facts.channels]


def _answers(one: OverTime, uids: list[str], since: float) -> dict[str, int]:
    total: dict[str, int] = {}
    for bucket in one.buckets:
        if bucket.index * one.interval_s >= since - 1e-6:
            for uid, calls in bucket.per_backend.items():
                if uid in uids:
                    total[uid] = total.get(uid, 0) + calls
    return total


def _settled(calls: dict[str, int], uids: list[str]) -> dict[str, int]:
    """A key's home at the end. Replicas that come and go move keys; drawing for each call uses every replica."""
    here = {uid: count for uid, count in calls.items() if count and uid in uids}
    if len(here) == len(uids) > 1:
        return here
    home = max(sorted(here), key=lambda uid: here[uid], default="")
    return {home: here[home]} if home else {}

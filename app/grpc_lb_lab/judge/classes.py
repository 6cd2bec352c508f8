"""The six classes: which of them the answered calls fit, and how many calls each needs. docs/verdicts.md explains them.

Notation: n answered calls, r replicas, K client channels, α the false-alarm rate of a test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from grpc_lb_lab.judge.statistics import ALPHA, MIN_EXPECTED, chi_square_p, uniform_draws_p

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.model.strategy import Strategy
    from grpc_lb_lab.model.verdict import DistributionClass

SPECIFIC_FIRST: tuple[DistributionClass, ...] = ("even", "hashed", "spread", "pinned", "weighted", "skewed")
"""Which class describes the data best when several fit; data that hits one server is ``pinned`` before all others."""


@dataclass(frozen=True)
class Sample:
    """What the classes look at: ``counts`` and the keys of the inner maps are one entry a replica, 0 included.

    ``methods`` holds such counts for each method, where the calls took several. ``alone``: the strategy itself is about
    one replica.
    """

    uids: list[str]
    counts: list[int]
    channels: list[dict[str, int]]
    keys: dict[str, dict[str, int]]
    exact: bool
    weights: list[float] | None = None
    methods: dict[str, list[int]] = field(default_factory=dict)
    alone: bool = False

    @property
    def calls(self) -> int:
        """n, the answered calls."""
        return sum(self.counts)

    @property
    def replicas(self) -> int:
        """r, the replicas that could have answered."""
        return len(self.counts)

    @property
    def servers_hit(self) -> int:
        """Replicas with at least one call."""
        return sum(1 for count in self.counts if count)

    @property
    def used_channels(self) -> list[dict[str, int]]:
        """The channels that got an answer."""
        return [channel for channel in self.channels if any(channel.values())]


def sample_of(facts: Facts, strategy: Strategy) -> Sample:
    """The sample of a run of a strategy."""
    return Sample(
        uids=[replica.uid for replica in facts.replicas],
        counts=facts.counts,
        channels=facts.channels,
        keys=facts.keys,
        exact=strategy.exact,
        weights=strategy.weights,
        methods=_methods(facts),
        alone=strategy.replicas == 1,
    )


def _methods(facts: Facts) -> dict[str, list[int]]:
    """Counts a replica for each method; empty when there is only one method."""
    if len(facts.methods) < 2:
        return {}
    uids = [replica.uid for replica in facts.replicas]
    return {method: [calls.get(uid, 0) for uid in uids] for method, calls in facts.methods.items()}


def is_pinned(sample: Sample) -> bool:
    """Every channel got all its answers from one replica."""
    return bool(sample.used_channels) and all(_one_replica(channel) for channel in sample.used_channels)


def is_even_by_chance(sample: Sample) -> bool:
    """Chi-square against equal shares: p ≥ α; for each method, where there are several: each may have its own proxy."""
    tables = [sample.counts, *sample.methods.values()]
    # Several tests share the false-alarm rate (Bonferroni).
    return all(sum(table) > 0 and chi_square_p(table) >= ALPHA / len(tables) for table in tables)


def is_within_channels(sample: Sample) -> bool:
    """Round robin differs by at most 1 a channel, so by at most K in all."""
    return sample.calls > 0 and max(sample.counts) - min(sample.counts) <= max(1, len(sample.channels))


def is_even(sample: Sample) -> bool:
    """Chance: the chi-square test. Exact: within ±1 a channel as well (K may be wide where K is large)."""
    return is_even_by_chance(sample) and (not sample.exact or is_within_channels(sample))


def is_spread(sample: Sample) -> bool:
    """Pinned channels, and their choices look like independent uniform draws."""
    return len(sample.used_channels) > 1 and is_pinned(sample) and uniform_draws_p(channel_choices(sample)) >= ALPHA


def is_hashed(sample: Sample) -> bool:
    """Every key stayed on one replica, the keys use at least two, and no replica is left out beyond chance."""
    stayed = bool(sample.keys) and all(_one_replica(found) for found in sample.keys.values())
    left_out = sample.servers_hit < sample.replicas and left_out_p(len(sample.keys), sample.replicas) <= ALPHA
    return stayed and sample.servers_hit > 1 and not left_out


def left_out_p(keys: int, replicas: int) -> float:
    """At most this probable: some replica gets none of the keys, though each owns half an even share of the hash space.

    r (1 - 1/2r)^k, the union bound over the replicas. Half, because a hash ring gives its hosts uneven shares.
    """
    return float(min(1.0, replicas * (1 - 0.5 / replicas) ** keys))


def is_weighted(sample: Sample) -> bool:
    """Chi-square against the strategy's weights, which must not all be equal: p ≥ α."""
    weights = sample.weights
    if weights is None or len(weights) != sample.replicas or min(weights) <= 0 or len(set(weights)) == 1:
        return False
    return sample.calls > 0 and chi_square_p(sample.counts, weights) >= ALPHA


def is_skewed(sample: Sample) -> bool:
    """None of the others."""
    return not any(fits(sample, name) for name in SPECIFIC_FIRST if name != "skewed")


def fits(sample: Sample, name: DistributionClass) -> bool:
    """Whether the data is of the class; several classes can fit the same data."""
    tests = {
        "even": is_even,
        "pinned": is_pinned,
        "spread": is_spread,
        "hashed": is_hashed,
        "weighted": is_weighted,
        "skewed": is_skewed,
    }
    return tests[name](sample)


def classify(sample: Sample, expected: DistributionClass | Literal[""] = "") -> DistributionClass:
    """The expected class when it fits, else the most specific one that does."""
    if expected and fits(sample, expected):
        return expected
    if sample.servers_hit == 1 and is_pinned(sample):
        return "pinned"
    return next(name for name in SPECIFIC_FIRST if fits(sample, name))


def channel_choices(sample: Sample) -> list[int]:
    """How many channels chose each replica."""
    chosen = [max(sorted(channel), key=lambda uid: channel[uid]) for channel in sample.used_channels]
    return [chosen.count(uid) for uid in sample.uids]


def too_small(sample: Sample, expected: DistributionClass) -> str:
    """Empty when the sample can tell the expected class from others, else the words "at least …".

    One replica gets all calls whatever balances them, so every class but ``skewed`` would fit; only a strategy that is
    about one replica can be judged on one.
    """
    if sample.replicas == 1 and not sample.alone:
        return "at least 2 replicas"
    needs = {
        "even": _even_needs,
        "pinned": _pinned_needs,
        "spread": _spread_needs,
        "hashed": _hashed_needs,
        "weighted": _chance_needs,
        "skewed": _chance_needs,
    }
    return needs[expected](sample)


def calls_to_tell_pinned(channels: int, replicas: int) -> int:
    """Smallest n with (1/r)^(n-K) ≤ α: a policy that draws per call would have left its replica by then."""
    return channels + math.ceil(-math.log(ALPHA) / math.log(replicas)) if replicas > 1 else 1


def connections_to_tell_spread(replicas: int) -> int:
    """Smallest K with 2 r^(1-K) ≤ α: K draws that all end at one replica are then refused (two-sided test)."""
    return 1 + math.ceil(math.log(2 / ALPHA) / math.log(replicas)) if replicas > 1 else 1


def _even_needs(sample: Sample) -> str:
    if not sample.exact:
        return _chance_needs(sample)
    calls = sample.replicas * max(2, len(sample.channels))
    return f"at least {calls:,} calls" if sample.calls < calls else ""


def _chance_needs(sample: Sample) -> str:
    calls = MIN_EXPECTED * sample.replicas
    return f"at least {calls:,} calls" if sample.calls < calls else ""


def _pinned_needs(sample: Sample) -> str:
    calls = calls_to_tell_pinned(max(1, len(sample.used_channels)), sample.replicas)
    return f"at least {calls:,} calls" if sample.calls < calls else ""


def _spread_needs(sample: Sample) -> str:
    connections = connections_to_tell_spread(sample.replicas)
    if len(sample.channels) < connections:
        return f"at least {connections:,} connections"
    return _pinned_needs(sample)


def _hashed_needs(sample: Sample) -> str:
    keys = calls_to_tell_pinned(1, sample.replicas)
    if len(sample.keys) < keys:
        return f"at least {keys:,} keys"
    calls = calls_to_tell_pinned(len(sample.keys), sample.replicas)
    return f"at least {calls:,} calls" if sum(sum(found.values()) for found in sample.keys.values()) < calls else ""


def _one_replica(backends: dict[str, int]) -> bool:
    return sum(1 for calls in backends.values() if calls) <= 1

"""Every class: data that fits it, data that must not, and the size from which it can be told."""

from __future__ import annotations

import dataclasses
import random

import pytest
from grpc_lb_lab.judge.classes import (
    Sample,
    calls_to_tell_pinned,
    classify,
    connections_to_tell_spread,
    fits,
    too_small,
)
from grpc_lb_lab.judge.verdict import CLASSES

NAMES = ("a", "b", "c", "d", "e")


def sample(*channels, exact=True, keys=None, weights=None):
    """A sample of channels, each a list of calls by replica."""
    replicas = len(channels[0])
    return Sample(
        uids=list(NAMES[:replicas]),
        counts=[sum(channel[index] for channel in channels) for index in range(replicas)],
        channels=[{NAMES[i]: calls for i, calls in enumerate(channel) if calls} for channel in channels],
        keys=keys or {},
        exact=exact,
        weights=weights,
    )


def pinned_channels(choices, calls=20, **options):
    return sample(*[[calls if index == choice else 0 for index in range(5)] for choice in choices], **options)


KEYS = {f"key-{index}": {NAMES[index % 3]: 30} for index in range(12)}
MANY_KEYS = {f"key-{index}": {NAMES[index % 4]: 4} for index in range(200)}
WANDERING = KEYS | {"key-3": {"a": 29, "b": 1}}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("even", sample([200] * 5)),
        ("even", sample([201, 200, 200, 200, 200])),
        ("even", sample([101, 100, 100, 100, 100], [101, 100, 100, 100, 100])),
        ("even", sample([210, 190, 205, 195, 200], exact=False)),
        ("pinned", sample([0, 0, 1000, 0, 0])),
        ("pinned", pinned_channels([0, 1, 1])),
        ("spread", pinned_channels([0, 1, 2, 3, 4, 0, 1, 2, 0, 0])),
        ("spread", pinned_channels([0] * 7 + [1] * 12 + [2] * 9 + [3] * 11 + [4] * 11)),
        ("hashed", sample([120, 120, 120, 0, 0], keys=KEYS)),
        ("weighted", sample([100, 200, 300], weights=[1, 2, 3])),
        ("skewed", sample([500, 100, 100, 100, 200])),
        ("skewed", sample([210, 190, 205, 195, 200])),
    ],
)
def test_data_that_fits(name, data):
    assert fits(data, name)
    assert classify(data, name) == name


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("even", sample([202, 200, 200, 200, 200])),  # one more than a single channel may be off
        ("even", sample([500, 500, 0, 0, 0], exact=False)),
        ("even", sample([999, 1, 0, 0, 0])),
        ("even", sample([400, 160, 160, 160, 160], *[[0] * 5] * 300)),  # ±K alone would let this pass
        ("pinned", sample([999, 1, 0, 0, 0])),  # a single call elsewhere
        ("pinned", sample([0, 0, 0, 0, 0])),
        ("spread", pinned_channels([2] * 10)),  # ten connections on one replica are no draw
        ("spread", pinned_channels([2])),
        ("spread", pinned_channels([0] * 30 + [1, 2, 3, 4] * 5)),
        ("spread", sample([200] * 5, [200] * 5)),
        ("hashed", sample([120, 120, 120, 0, 0], keys=WANDERING)),
        ("hashed", sample([360, 0, 0, 0, 0], keys={key: {"a": 30} for key in KEYS})),
        ("hashed", sample([120, 120, 120, 0, 0])),
        ("hashed", sample([200, 200, 200, 200, 0], keys=MANY_KEYS)),
        ("weighted", sample([200, 200, 200], weights=[1, 2, 3])),
        ("weighted", sample([200, 200, 200])),
        ("weighted", sample([200, 200, 200], weights=[1, 1, 1])),
        ("skewed", sample([200] * 5)),
        ("skewed", sample([1000, 0, 0, 0, 0])),
    ],
)
def test_data_that_must_fail(name, data):
    assert not fits(data, name)
    assert classify(data, name) != name


@pytest.mark.parametrize(
    ("data", "observed"),
    [
        (sample([0, 0, 1000, 0, 0]), "pinned"),
        (sample([200] * 5), "even"),
        (pinned_channels([2] * 10), "pinned"),
        (pinned_channels([0, 1, 2, 3, 4, 0, 1, 2, 0, 0]), "spread"),
        (pinned_channels([0] * 8 + [1] * 8), "pinned"),  # two of five by sixteen: no uniform draw, but pinned
        (sample([120, 120, 120, 0, 0], keys=KEYS), "hashed"),
        (sample([100, 200, 300], weights=[1, 2, 3]), "weighted"),
        (sample([999, 1, 0, 0, 0]), "skewed"),
        (sample([0, 0, 0, 0, 0]), "skewed"),
    ],
)
def test_the_most_specific_class_is_observed_when_the_expected_one_does_not_fit(data, observed):
    for expected in {"even", "pinned", "spread", "hashed", "weighted", "skewed"} - {observed}:
        if not fits(data, expected):
            assert classify(data, expected) == observed


def test_round_robin_always_fits_even_and_random_never_passes_for_exact():
    """Any window of any turn over any channels is even; draws are, at this size, practically never so exact."""
    generator = random.Random(5)
    for _ in range(300):
        replicas = generator.randint(2, 5)
        channels = []
        for _ in range(generator.randint(1, 6)):
            start, calls = generator.randrange(replicas), generator.randint(20 * replicas, 400)
            channels.append(
                [sum(1 for call in range(calls) if (start + call) % replicas == i) for i in range(replicas)]
            )
        assert fits(sample(*channels), "even"), channels
    drawn = [[0] * 5 for _ in range(200)]
    for counts in drawn:
        for _ in range(1000):
            counts[generator.randrange(5)] += 1
    assert not any(fits(sample(counts), "even") for counts in drawn)
    assert all(fits(sample(counts, exact=False), "even") for counts in drawn)


def test_one_replica_is_pinned_and_even_at_once():
    one = sample([50])
    assert fits(one, "pinned")
    assert fits(one, "even")
    assert classify(one, "pinned") == "pinned"


@pytest.mark.parametrize(
    ("expected", "enough", "short", "need"),
    [
        ("even", sample([2] * 5), sample([2, 2, 2, 2, 1]), "at least 10 calls"),
        ("even", sample(*[[1] * 5] * 3), sample([1] * 5, [1] * 5, [1, 1, 1, 1, 0]), "at least 15 calls"),
        ("even", sample([5] * 5, exact=False), sample([5, 5, 5, 5, 4], exact=False), "at least 25 calls"),
        ("pinned", sample([7, 0, 0, 0, 0]), sample([6, 0, 0, 0, 0]), "at least 7 calls"),
        ("pinned", pinned_channels([0, 1], 4), pinned_channels([0, 1], 3), "at least 8 calls"),
        ("spread", pinned_channels([0] * 8), pinned_channels([0] * 7), "at least 8 connections"),
        ("spread", pinned_channels([0] * 8, 2), pinned_channels([0] * 8, 1), "at least 14 calls"),
        (
            "hashed",
            sample([8, 6, 0, 0, 0], keys={f"k{i}": {"a": 2} for i in range(7)}),
            sample([6, 6, 0, 0, 0], keys={f"k{i}": {"a": 2} for i in range(6)}),
            "at least 7 keys",
        ),
        (
            "hashed",
            sample([8, 6, 0, 0, 0], keys={f"k{i}": {"a": 2} for i in range(7)}),
            sample([6, 6, 0, 0, 0], keys={f"k{i}": {"a": 1} for i in range(7)}),
            "at least 13 calls",
        ),
        ("weighted", sample([5, 10], weights=[1, 2]), sample([3, 6], weights=[1, 2]), "at least 10 calls"),
        ("skewed", sample([10, 0]), sample([9, 0]), "at least 10 calls"),
    ],
)
def test_size_limits(expected, enough, short, need):
    assert too_small(enough, expected) == ""
    assert too_small(short, expected) == need


@pytest.mark.parametrize("expected", CLASSES)
def test_one_replica_shows_no_class_unless_the_strategy_is_about_one(expected):
    assert too_small(sample([1000]), expected) == "at least 2 replicas"


def test_a_strategy_about_one_replica_needs_no_size_to_be_pinned():
    assert too_small(dataclasses.replace(sample([1]), alone=True), "pinned") == ""


@pytest.mark.parametrize("replicas", [2, 3, 5, 7, 60, 200])
def test_size_limits_are_the_smallest_that_keep_their_promise(replicas):
    calls = calls_to_tell_pinned(3, replicas)
    assert (1 / replicas) ** (calls - 3) <= 1e-4 < (1 / replicas) ** (calls - 4)
    connections = connections_to_tell_spread(replicas)
    assert 2 * replicas ** (1 - connections) <= 1e-4 < 2 * replicas ** (2 - connections)

"""The lab's own statistics against SciPy, and the false-alarm rates that docs/verdicts.md states."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy
import pytest
from grpc_lb_lab.judge import statistics as own
from scipy import special, stats

DEGREES = [1, 2, 3, 4, 6, 10, 59, 199, 1999]
QUANTILES = [0.0, 1e-6, 0.01, 0.5, 1, 2, 5, 9.99, 10, 23.5, 50, 98, 250, 1000, 2500]


@pytest.mark.parametrize(("degrees", "statistic"), list(itertools.product(DEGREES, QUANTILES)))
def test_chi_square_survival_equals_scipy(degrees, statistic):
    expected = stats.chi2.sf(statistic, degrees)
    assert own.chi_square_survival(statistic, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("a", [0.5, 1, 3.5, 30, 1000])
def test_upper_gamma_equals_scipy_where_series_and_fraction_meet(a):
    for x in (a + 1 - 1e-9, a + 1, a + 1 + 1e-9):
        assert own.upper_gamma(a, x) == pytest.approx(special.gammaincc(a, x), rel=1e-10)


def test_upper_gamma_refuses_what_is_undefined():
    for a, x in ((0, 1), (-1, 1), (1, -1)):
        with pytest.raises(ValueError):
            own.upper_gamma(a, x)


def test_chi_square_p_equals_scipy_on_random_counts():
    generator = random.Random(7)
    for _ in range(200):
        counts = [generator.randint(0, 300) for _ in range(generator.randint(2, 30))]
        counts[0] += 1
        weights = [generator.uniform(0.5, 3) for _ in counts]
        expected = [weight * sum(counts) / sum(weights) for weight in weights]
        assert own.chi_square_p(counts) == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-8, abs=1e-250)
        assert own.chi_square_p(counts, weights) == pytest.approx(
            stats.chisquare(counts, expected).pvalue, rel=1e-8, abs=1e-250
        )


def test_chi_square_p_of_one_replica_is_certain_and_of_no_calls_undefined():
    assert own.chi_square_p([17]) == 1.0
    for counts, weights in (([0, 0], None), ([1, 2], [1.0]), ([1, 2], [1.0, 0.0])):
        with pytest.raises(ValueError):
            own.chi_square_p(counts, weights)


def test_occupancy_equals_counting_every_outcome():
    draws, bins = 6, 4
    outcomes = Counter(len(set(picks)) for picks in itertools.product(range(bins), repeat=draws))
    for hit, chance in enumerate(own.occupancy(draws, bins)):
        assert chance == pytest.approx(outcomes[hit] / bins**draws)


def test_ten_connections_hit_all_five_replicas_half_the_time():
    assert own.occupancy(10, 5)[5] == pytest.approx(0.5225, abs=1e-4)


def test_uniform_draws_refuse_what_chance_does_not_do():
    assert own.uniform_draws_p([10, 0, 0, 0, 0]) < own.ALPHA
    assert own.uniform_draws_p([3, 2, 2, 2, 1]) >= own.ALPHA
    assert own.uniform_draws_p([50, 0, 0, 0, 0]) < own.ALPHA
    with pytest.raises(ValueError):
        own.uniform_draws_p([0, 0])


def test_describe():
    figures = own.describe([0, 0, 1000, 0, 0])
    assert (figures.servers_hit, figures.replicas, figures.expected_per_server) == (1, 5, 200)
    assert figures.variance == 160_000
    assert figures.stddev == 400
    assert figures.cv == 2
    assert figures.jain == pytest.approx(0.2)
    assert figures.chi_square_p == 0


def test_describe_equals_numpy():
    generator = random.Random(3)
    for _ in range(50):
        counts = [generator.randint(0, 99) for _ in range(9)]
        figures = own.describe(counts)
        assert figures.variance == pytest.approx(numpy.var(counts))
        assert figures.jain == pytest.approx(sum(counts) ** 2 / (9 * numpy.dot(counts, counts)))


def test_describe_without_a_call_leaves_ratios_undefined():
    figures = own.describe([0, 0, 0])
    assert (figures.expected_per_server, figures.variance, figures.servers_hit) == (0, 0, 0)
    assert (figures.cv, figures.jain, figures.chi_square_p) == (None, None, None)


@pytest.mark.parametrize(("replicas", "each"), [(5, 5), (5, 200), (20, 10)])
def test_false_alarm_rate_of_the_chance_test(replicas, each):
    """Even draws are refused about once in 10,000 times, and p is uniform where it should be."""
    draws = numpy.random.default_rng(11).multinomial(each * replicas, [1 / replicas] * replicas, size=20_000)
    values = [own.chi_square_p([int(count) for count in row]) for row in draws]
    alarms = sum(1 for p in values if p < own.ALPHA)
    assert alarms <= 12  # expected 2 to 4; 12 or more has a chance below 1 in 1,000
    assert sum(1 for p in values if p < 0.05) / len(values) == pytest.approx(0.05, abs=0.012)


def test_false_alarm_rate_of_the_connection_test():
    generator = numpy.random.default_rng(12)
    for connections in (8, 12, 24):
        draws = generator.multinomial(connections, [0.2] * 5, size=10_000)
        assert sum(1 for row in draws if own.uniform_draws_p([int(count) for count in row]) < own.ALPHA) <= 8


def test_the_chance_test_finds_a_replica_with_half_its_share():
    draws = numpy.random.default_rng(13).multinomial(1000, [1 / 9] + [2 / 9] * 4, size=500)
    assert sum(1 for row in draws if own.chi_square_p([int(count) for count in row]) < own.ALPHA) > 495


def test_survival_is_a_probability_that_falls():
    values = [own.chi_square_survival(x / 7, 12) for x in range(1000)]
    assert all(0 <= value <= 1 for value in values)
    assert all(later <= sooner for sooner, later in itertools.pairwise(values))
    assert math.isclose(values[0], 1)

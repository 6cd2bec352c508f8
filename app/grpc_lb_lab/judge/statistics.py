"""The figures of a distribution and the tests behind the classes. Pure functions; docs/verdicts.md explains them.

Sources: NIST Digital Library of Mathematical Functions (DLMF) §8.7 and §8.9 for the incomplete gamma function;
W. J. Lentz, Applied Optics 15 (1976) 668, as modified by Thompson and Barnett (1986), for the continued fraction;
R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness" (DEC-TR-301, 1984) for the fairness index;
W. Feller, "An Introduction to Probability Theory", vol. 1, ch. II.5 and IV.2, for the occupancy problem.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA = 1e-4
"""False-alarm rate of each test: how often data of the tested kind is called something else."""

MIN_EXPECTED = 5
"""Calls expected per replica from which the chi-square approximation is used (Cochran's rule)."""

_EPSILON = 1e-15
_TINY = 1e-300
_MAX_TERMS = 100_000


@dataclass(frozen=True)
class Distribution:
    """How calls fell on replicas. ``variance`` is the population's; None: undefined without a call."""

    replicas: int
    servers_hit: int
    expected_per_server: float
    variance: float
    stddev: float
    cv: float | None
    jain: float | None
    chi_square_p: float | None


def describe(counts: Sequence[int]) -> Distribution:
    """All figures of ``counts``, one count a replica, 0 included."""
    replicas, total = len(counts), sum(counts)
    mean = total / replicas if replicas else 0.0
    variance = math.fsum((count - mean) ** 2 for count in counts) / replicas if replicas else 0.0
    stddev = math.sqrt(variance)
    return Distribution(
        replicas=replicas,
        servers_hit=sum(1 for count in counts if count > 0),
        expected_per_server=mean,
        variance=variance,
        stddev=stddev,
        cv=stddev / mean if mean else None,
        jain=jain_index(counts),
        chi_square_p=chi_square_p(counts) if total else None,
    )


def jain_index(counts: Sequence[int]) -> float | None:
    """Jain's fairness: 1 when all are equal, 1/r when one of r has everything; None for no calls at all."""
    squares = sum(count * count for count in counts)
    return sum(counts) ** 2 / (len(counts) * squares) if squares else None


def chi_square_p(counts: Sequence[int], weights: Sequence[float] | None = None) -> float:
    """Probability that independent draws with ``weights`` (equal when None) are at least as uneven as ``counts``.

    Pearson's test with len(counts) - 1 degrees of freedom; 1.0 for a single replica. Raises ``ValueError`` for no
    calls, for a weight that is not positive, and when lengths differ.
    """
    total = sum(counts)
    shares = list(weights) if weights is not None else [1.0] * len(counts)
    if total <= 0 or len(shares) != len(counts) or min(shares) <= 0:
        raise ValueError("chi-square needs at least one call and one positive weight a replica")
    scale = total / math.fsum(shares)
    statistic = math.fsum(
        (count - share * scale) ** 2 / (share * scale) for count, share in zip(counts, shares, strict=True)
    )
    return chi_square_survival(statistic, len(counts) - 1)


def chi_square_survival(statistic: float, degrees: int) -> float:
    """P(X ≥ statistic) for a chi-square variable: Q(degrees/2, statistic/2). 0 degrees: the variable is 0."""
    if degrees == 0:
        return 1.0 if statistic <= 0 else 0.0
    return upper_gamma(degrees / 2, statistic / 2)


def upper_gamma(a: float, x: float) -> float:
    """Regularized upper incomplete gamma function Q(a, x) for a > 0, x ≥ 0.

    Below a + 1 the series of the lower function converges fast (DLMF 8.7.1), above it the continued fraction of the
    upper one (DLMF 8.9.2).
    """
    if a <= 0 or x < 0:
        raise ValueError("Q(a, x) needs a > 0 and x >= 0")
    if x == 0:
        return 1.0
    factor = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        return max(0.0, 1.0 - factor * _lower_series(a, x))
    return min(1.0, factor * _upper_fraction(a, x))


def _lower_series(a: float, x: float) -> float:
    """Σ x^k / (a (a+1) … (a+k))."""
    term = total = 1 / a
    for k in range(1, _MAX_TERMS):
        term *= x / (a + k)
        total += term
        if term < total * _EPSILON:
            break
    return total


def _upper_fraction(a: float, x: float) -> float:
    """1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- …))) by Lentz's method."""
    b = x + 1 - a
    c = 1 / _TINY
    d = 1 / b
    value = d
    for k in range(1, _MAX_TERMS):
        numerator = -k * (k - a)
        b += 2
        d = 1 / _nonzero(numerator * d + b)
        c = _nonzero(b + numerator / c)
        value *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def occupancy(draws: int, bins: int) -> list[float]:
    """P(exactly d of ``bins`` are hit) for d = 0 … bins, by ``draws`` independent uniform draws.

    Draw by draw: the next one falls into one of the d hit bins (d/bins) or into a new one.
    """
    chances = [1.0] + [0.0] * bins
    for _ in range(draws):
        chances = [0.0] + [chances[d] * d / bins + chances[d - 1] * (bins - d + 1) / bins for d in range(1, bins + 1)]
    return chances


def uniform_draws_p(counts: Sequence[int]) -> float:
    """P-value of the claim that ``counts`` come from independent uniform draws, for any number of draws.

    From 5 draws a bin on: chi-square. Below that: the number of bins hit, two-sided, exact.
    Raises ``ValueError`` for no draws.
    """
    draws, bins = sum(counts), len(counts)
    if draws >= MIN_EXPECTED * bins:
        return chi_square_p(counts)
    if draws <= 0:
        raise ValueError("no draws, no test")
    chances = occupancy(draws, bins)
    hit = sum(1 for count in counts if count > 0)
    return min(1.0, 2 * min(math.fsum(chances[: hit + 1]), math.fsum(chances[hit:])))

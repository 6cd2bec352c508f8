"""The words of a verdict, and the version of the report that bears it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA_VERSION = 1

DistributionClass = Literal["even", "pinned", "spread", "hashed", "weighted", "skewed"]
CLASSES: tuple[DistributionClass, ...] = get_args(DistributionClass)
Status = Literal["pass", "fail", "invalid", "observed"]
"""``observed``: nothing was expected, so nothing was judged."""

WORST_FIRST: tuple[Status, ...] = ("fail", "invalid", "pass", "observed")


GOOD: tuple[Status, ...] = ("pass", "observed")
"""Nothing is wrong: a program ends with 0."""


def worst(statuses: Iterable[Status]) -> Status:
    """What several verdicts come to; ``observed`` only where none of them was judged."""
    return min(statuses, key=WORST_FIRST.index, default="invalid")

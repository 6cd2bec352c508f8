"""How long to wait before the next try."""

from __future__ import annotations

import random


class Backoff:
    """Doubles from ``first_s`` to ``most_s``; each wait is 50 % to 100 % of that, drawn from a seeded generator."""

    def __init__(self, first_s: float, most_s: float, seed: int = 1) -> None:
        """Begin with ``first_s`` seconds."""
        self._first_s = first_s
        self._most_s = most_s
        self._random = random.Random(seed)
        self._failures = 0

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        # Past 2**16 the limit has long been reached; the power must not grow for ever.
        whole = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return whole * (0.5 + self._random.random() / 2)

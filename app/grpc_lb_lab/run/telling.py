"""Tells the user how far a load is: all clients together, ever more calls, and few lines however long it lasts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.model.plan import Load

_EVERY_S = 2.0
_SHARE = 0.1


class Telling:
    """A line every 2 s or, in a longer load, as often as its time so far grows by a tenth: some 50 in an hour."""

    def __init__(self, asked: Load, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """``asked`` says how many calls there will be, or how long; ``say`` gets the lines. Says nothing yet."""
        self._asked, self._say, self._clock = asked, say, clock
        self._done, self._said = 0, 0
        self._began_at: float | None = None
        self._next_at = 0.0

    def see(self, done: int) -> None:
        """Take in that ``done`` calls have ended, of all clients; fewer than before is old news."""
        now = self._clock()
        if done <= self._done:
            return
        self._done = done
        self._began_at = self._began_at or now
        if now >= self._next_at:
            self._next_at = now + max(_EVERY_S, (now - self._began_at) * _SHARE)
            self._tell(now - self._began_at)

    def end(self, done: int) -> None:
        """Tell how many it were in the end, which only the clients' results say."""
        self._done = done
        if done != self._said:
            self._tell(self._asked.duration_s or 0.0)

    def _tell(self, elapsed_s: float) -> None:
        self._said = self._done
        text = f"{self._done:,}"
        if self._asked.requests:
            self._say(f"{text} of {self._asked.requests:,} calls")
        else:
            duration_s = self._asked.duration_s or 0.0
            self._say(f"{text} calls, {min(elapsed_s, duration_s):.0f} of {duration_s:g} s")

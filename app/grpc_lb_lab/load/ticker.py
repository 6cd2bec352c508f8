"""Sleep until a moment, to a few dozen microseconds where the system can."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

# Any: type checkers look at Python 3.12, which has no timerfd.
SYSTEM: Any = os


class Ticker:
    """``sleep_until`` on the clock of ``time.perf_counter``; one sleeper at a time.

    The event loops' own timers count in milliseconds: an open loop would add half of one to each latency it measures.
    A timerfd (Python 3.13, Linux) does not; elsewhere the loop's timer has to do.
    """

    def __init__(self) -> None:
        """Needs a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._fd = -1
        if hasattr(os, "timerfd_create"):
            self._fd = SYSTEM.timerfd_create(time.CLOCK_MONOTONIC, flags=SYSTEM.TFD_NONBLOCK | SYSTEM.TFD_CLOEXEC)
            self._loop.add_reader(self._fd, self._fired)

    async def sleep_until(self, moment: float) -> None:
        """Return at ``moment`` or, when it is past already, at once."""
        wait = moment - time.perf_counter()
        if wait <= 0:
            return
        if self._fd < 0:
            await asyncio.sleep(wait)
            return
        self._waiter = self._loop.create_future()
        SYSTEM.timerfd_settime(self._fd, initial=max(wait, 1e-9))
        await self._waiter

    def close(self) -> None:
        """Give the timer back."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set anew between the event and this call
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

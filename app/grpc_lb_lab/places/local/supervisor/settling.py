"""Waiting for replicas: until they are as wanted, too many of them died at once, or time is up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

_EARLY_DEATHS = 3
_PAUSE_S = 0.5
_PAUSE_MOST_S = 10.0


class Settling:
    """Knows when something changed, and how many replicas in a row died before they were ready."""

    def __init__(self) -> None:
        """Nothing has died yet."""
        self._changed = asyncio.Condition()
        self._deaths = 0
        self._last_death = ""

    @property
    def failing(self) -> bool:
        """Whether so many died before they were ready that the next one will too."""
        return self._deaths >= _EARLY_DEATHS

    @property
    def pause_s(self) -> float:
        """How long to wait before a dead replica is replaced: longer each time, as Kubernetes' back-off."""
        return min(_PAUSE_S * 2.0**self._deaths, _PAUSE_MOST_S)

    def died_early(self, last_words: str) -> None:
        """Note that a replica died before it was ready."""
        self._deaths += 1
        self._last_death = last_words

    def fresh_start(self) -> None:
        """Forget the deaths: a replica got ready, or somebody wants to try again."""
        self._deaths = 0

    def one_more_try(self) -> None:
        """Let one replica be started even though the last ones died."""
        self._deaths = min(self._deaths, _EARLY_DEATHS - 1)

    async def announce(self) -> None:
        """Wake everyone who waits."""
        async with self._changed:
            self._changed.notify_all()

    async def until(
        self, condition: Callable[[], bool], timeout_s: float, failure: str, late: Callable[[], str] = str
    ) -> None:
        """Wait for a condition. Raises ``LabError``: ``failure``, and the last death or what ``late`` says then."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: condition() or self.failing)
        except TimeoutError:
            raise LabError(f"{failure} within {timeout_s:.0f} s{late()}") from None
        if not condition():
            raise LabError(f"{failure}: {self._last_death}")

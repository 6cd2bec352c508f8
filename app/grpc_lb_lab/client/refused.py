"""A call that failed before it could begin, with the face of a ``grpc.aio`` call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class RefusedCall:
    """Ends at once with UNAVAILABLE and ``details``."""

    def __init__(self, details: str) -> None:
        """Nothing is sent."""
        self._details = details

    def __await__(self) -> Generator[Any, None, Any]:
        """Raise the error, as awaiting a failed call does."""
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details=self._details
        )
        yield  # makes this a generator, which an awaitable has to return

    async def code(self) -> grpc.StatusCode:
        """UNAVAILABLE."""
        return grpc.StatusCode.UNAVAILABLE

    async def details(self) -> str:
        """Why."""
        return self._details

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """None came."""
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """None came."""
        return grpc.aio.Metadata()

    async def wait_for_connection(self) -> None:
        """Raise the error."""
        await self

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback`` now: the call is over."""
        callback(self)

    def done(self) -> bool:
        """Always."""
        return True

    def cancel(self) -> bool:
        """There is nothing to cancel."""
        return False

    def cancelled(self) -> bool:
        """Never."""
        return False

    def time_remaining(self) -> float | None:
        """No deadline."""
        return None

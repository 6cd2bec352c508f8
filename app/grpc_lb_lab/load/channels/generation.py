"""One channel over one list of addresses, and the calls that are on it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.load.channels import core

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

LOOK_S = 0.02


def target(addresses: Sequence[str]) -> str:
    """The gRPC target for a hand-made list of ADDRESS:PORT, all of one family (IPv6 in brackets)."""
    family = "ipv6" if addresses[0].startswith("[") else "ipv4"
    return f"{family}:{','.join(addresses)}"


class Generation:
    """A channel with ``round_robin`` over ``addresses``; closes only when no call is on it any more."""

    def __init__(self, addresses: tuple[str, ...], options: Sequence[tuple[str, Any]]) -> None:
        """Begin to connect at once."""
        self.addresses = addresses
        self._channel, self.channelz_id = core.open_channel(target(addresses), options)
        self._channel.get_state(try_to_connect=True)
        self._callers: dict[tuple[Any, ...], Callable[[bytes], Awaitable[core.Outcome]]] = {}
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def call_bytes(self, method: tuple[Any, ...], request: bytes) -> core.Outcome:
        """Make one call the short way; ``method`` are the arguments of ``core.unary_caller`` after the channel."""
        caller = self._callers.get(method)
        if caller is None:
            caller = self._callers[method] = core.unary_caller(self._channel, *method)
        self._begin()
        try:
            return await caller(request)
        finally:
            self._done()

    def ready(self) -> bool:
        """Whether calls can go out now."""
        return self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    async def connected(self, limit_s: float, hurry: Callable[[], bool]) -> bool:
        """Wait until every address is connected; after a READY one, for half of ``limit_s`` at most for the others.

        Gives up after ``limit_s`` or when ``hurry`` returns True. Returns whether calls can go out.
        """
        started = time.monotonic()
        while (waited := time.monotonic() - started) < limit_s and not hurry():
            if self.ready() and (waited > limit_s / 2 or self._all_ready()):
                return True
            await asyncio.sleep(LOOK_S)
        return self.ready()

    async def drain(self, limit_s: float) -> None:
        """Let the calls in flight end, then close; after ``limit_s`` those that are left are cancelled."""
        try:
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            await self._channel.close()

    def _begin(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _done(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def _all_ready(self) -> bool:
        subchannels = core.look_at(self.channelz_id).subchannels.values()
        return sum(state == "READY" for _, state in subchannels) >= len(self.addresses)

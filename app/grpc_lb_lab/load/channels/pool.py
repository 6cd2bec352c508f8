"""A connection pool, as many write it by hand: n connections to each address, calls over the READY ones in turn.

What happens when
* a server dies: gRPC notices the closed connection, and from that moment no call is given to it while another
  connection is READY. The pool asks for a new connection at once, and the check replaces what has failed;
* an address is new or gone in DNS: the next check adds or retires its connections, calls in flight end on them;
* nothing is READY: calls go to a connection that is still trying, for it may have its server back; a call to one that
  is known to be broken comes last. Without an address at all they fail with UNAVAILABLE;
* a server hangs: its connection stays READY, as nothing but keepalive or a deadline would show it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.load.channels import core
from grpc_lb_lab.load.channels.generation import Generation
from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from grpc_lb_lab.load.channels.channel import Caller, Metadata

    Resolve = Callable[[], Awaitable[list[str]]]

DRAIN_LIMIT_S = 30.0
START_LIMIT_S = 10.0
AGAIN_S = 0.2
State = grpc.ChannelConnectivity
BROKEN = (State.TRANSIENT_FAILURE, State.SHUTDOWN)


class PooledConnection(Generation):
    """One connection of the pool. ``calls`` counts what it was given."""

    def __init__(self, address: str, options: Sequence[tuple[str, Any]]) -> None:
        """Begin to connect at once."""
        super().__init__((address,), options)
        self.address = address
        self.calls = 0

    def state(self) -> grpc.ChannelConnectivity:
        """The state now; an idle one begins to connect."""
        return self._channel.get_state(try_to_connect=True)

    async def close(self) -> None:
        """Close at once."""
        await self._channel.close()


class PoolChannel:
    """``per_address`` connections to each address that ``resolve`` names, checked every ``check_s`` seconds."""

    policy = "pool"
    connects_to_all = True

    def __init__(
        self,
        index: int,
        resolve: Resolve,
        options: Sequence[tuple[str, Any]],
        per_address: int = 2,
        check_s: float = 10,
    ) -> None:
        """Nothing happens before ``start``."""
        self.index = index
        self.connections: list[PooledConnection] = []
        self.checks = self.replaced = 0
        self._resolve = resolve
        self._options = list(options)
        self._per_address = per_address
        self._check_s = check_s
        self._next = 0
        self._checking: asyncio.Task[None] | None = None
        self._draining: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Resolve, begin to connect, begin to check. Raises ``LabError`` when there is no address in time."""
        end = asyncio.get_running_loop().time() + START_LIMIT_S
        while True:
            try:
                self._follow(await self._resolve())
                break
            except OSError as error:
                if asyncio.get_running_loop().time() >= end:
                    raise LabError(f"the pool has no address to connect to: {error}") from error
                await asyncio.sleep(AGAIN_S)
        self._checking = asyncio.get_running_loop().create_task(self._check_for_ever())

    def caller(self, method: str, metadata: Metadata, deadline_s: float) -> Caller:
        """A function that makes one call over the connection whose turn it is."""
        key = (f"/{method}", metadata, deadline_s)

        async def call(request: bytes) -> core.Outcome:
            connection = self.pick()
            if connection is None:
                return None, "UNAVAILABLE"
            connection.calls += 1
            return await connection.call_bytes(key, request)

        return call

    def pick(self) -> PooledConnection | None:
        """The next READY connection; without one the next that is connecting, else any; None in an empty pool."""
        count, second, last = len(self.connections), None, None
        for step in range(count):
            connection = self.connections[(self._next + step) % count]
            state = connection.state()
            if state is State.READY:
                self._next = (self._next + step + 1) % count
                return connection
            if state not in BROKEN:
                second = second or connection
            last = last or connection
        self._next = (self._next + 1) % count if count else 0
        return second or last

    async def check(self) -> None:
        """Look at every connection once: replace broken ones, follow DNS. A name that fails keeps what is there."""
        self.checks += 1
        # A replaced connection tries at once; the broken one would wait for gRPC's backoff, up to two minutes.
        for place, connection in enumerate(self.connections):
            if connection.state() in BROKEN:
                self.replaced += 1
                self.connections[place] = PooledConnection(connection.address, self._options)
                self._retire(connection)
        with contextlib.suppress(OSError):
            self._follow(await self._resolve())

    def look(self) -> core.Look:
        """READY when all are; one entry a connection."""
        looks = [core.look_at(connection.channelz_id) for connection in self.connections]
        ready = bool(looks) and all(look.state == "READY" for look in looks)
        subchannels = {number: found for look in looks for number, found in look.subchannels.items()}
        return core.Look("READY" if ready else "CONNECTING", subchannels, (self.policy,))

    def channelz_ids(self) -> list[int]:
        """Every connection is a gRPC channel of its own."""
        return [connection.channelz_id for connection in self.connections]

    def facts(self) -> dict[str, float | int | str | list[Any]]:
        """Connections, the calls that each got (fewest and most), and what the checks did."""
        calls = [connection.calls for connection in self.connections]
        return {
            "connections": len(calls),
            "addresses": len({connection.address for connection in self.connections}),
            "calls_fewest": min(calls, default=0),
            "calls_most": max(calls, default=0),
            "checks": self.checks,
            "replaced": self.replaced,
        }

    async def close(self) -> None:
        """Close all connections; calls in flight are cancelled."""
        work = [task for task in (self._checking, *self._draining) if task]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await asyncio.gather(*(connection.close() for connection in self.connections))
        self.connections = []

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._check_s)
            await self.check()

    def _follow(self, addresses: Sequence[str]) -> None:
        """Have ``per_address`` connections to each of ``addresses``, ordered so that neighbours differ in address.

        Two in a row to one address would make its share differ by two at the end of a run, not by one.
        """
        if not addresses:
            return
        there: dict[str, list[PooledConnection]] = {}
        for connection in self.connections:
            there.setdefault(connection.address, []).append(connection)
        if set(there) == set(addresses):
            return
        for gone in set(there) - set(addresses):
            for connection in there.pop(gone):
                self._retire(connection)
        for new in set(addresses) - set(there):
            there[new] = [PooledConnection(new, self._options) for _ in range(self._per_address)]
        self.connections = [there[address][turn] for turn in range(self._per_address) for address in addresses]
        self._next = 0

    def _retire(self, connection: PooledConnection) -> None:
        work: Coroutine[Any, Any, None] = connection.drain(DRAIN_LIMIT_S)
        task = asyncio.get_running_loop().create_task(work)
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

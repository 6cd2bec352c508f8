"""The client of the lookaside balancer: follows its watch stream and calls the servers that it names.

gRPC for Python has no public way to add a resolver or a balancing policy, so the follower builds a new channel for each
new list (``ipv4:a,b,c`` with ``round_robin``) and moves new calls to it when it is connected. The price: an address
that stays in the list gets a new connection too, because gRPC shares connections only between equal targets.

What happens when
* the balancer is not there at the start: ``start`` waits for it, ``connect_limit_s`` at most, then raises;
* the balancer goes away later: calls go on over the last list, the follower reconnects with backoff;
* the list is empty: calls in flight end, new ones fail with UNAVAILABLE until there is a server again;
* a server leaves the list: new calls avoid it, calls in flight end on it (``drain_limit_s`` at most).
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.load.channels.generation import Generation
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.pb.lookaside.v1 import lookaside_pb2, lookaside_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from grpc_lb_lab.load.channels import core

RETRY_FIRST_S = 0.2
RETRY_MOST_S = 5.0
BALANCER_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A balancer that hangs is as good as gone; ping_timeout is what the transport really waits.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
)


class LookasideChannel:
    """A channel to ``service`` whose servers come from the balancer at ``balancer`` (a gRPC target).

    Weights are equal for gRPC's round_robin; a server of weight 0 takes no calls. ``resolved`` are the addresses that
    new calls go to, ``updates`` counts the lists that replaced one another.
    """

    def __init__(
        self,
        balancer: str,
        service: str,
        options: Sequence[tuple[str, Any]] = (),
        service_config: Mapping[str, Any] | None = None,
        connect_limit_s: float = 10.0,
        drain_limit_s: float = 30.0,
        seed: int = 1,
    ) -> None:
        """Nothing happens before ``start``. ``options`` and ``service_config`` (without policy) are for the servers."""
        self.updates = 0
        self._balancer = balancer
        self._service = service
        self._connect_limit_s = connect_limit_s
        self._drain_limit_s = drain_limit_s
        self._random = random.Random(seed)
        config = {**(service_config or {}), "loadBalancingConfig": [{"round_robin": {}}]}
        self._options = (
            *options,
            ("grpc.service_config", json.dumps(config)),
            # The servers shall read the service's name in :authority, not the list of addresses.
            ("grpc.default_authority", service),
            # Two followers with the same list would share connections otherwise.
            ("grpc.use_local_subchannel_pool", 1),
        )
        self._current: Generation | None = None
        self._wanted: tuple[str, ...] | None = None
        self._started = asyncio.Event()
        self._problem = "no answer"
        self._switching: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining: set[asyncio.Task[None]] = set()

    @property
    def resolved(self) -> list[str]:
        """The addresses that new calls go to, as ADDRESS:PORT."""
        return list(self._current.addresses) if self._current else []

    @property
    def channelz_id(self) -> int | None:
        """The name in this process's channelz of the channel that new calls go over; another one after each update."""
        return self._current.channelz_id if self._current else None

    async def start(self) -> None:
        """Wait for the first list and its connections.

        Raises ``LabError`` with the balancer's last words when there is none within ``connect_limit_s`` seconds.
        """
        _spawn(self._follow(), self._tasks)
        try:
            async with asyncio.timeout(self._connect_limit_s):
                await self._started.wait()
        except TimeoutError:
            await self.close()
            raise LabError(
                f"the balancer at {self._balancer} named no servers for {self._service!r} within "
                f"{self._connect_limit_s:g} s: {self._problem}"
            ) from None

    def unary_caller(
        self, method: str, metadata: tuple[tuple[str, str], ...], deadline_s: float
    ) -> Callable[[bytes], Awaitable[core.Outcome]]:
        """As ``core.unary_caller``, each call over the list that is in force when it begins."""
        key = (method, metadata, deadline_s)

        async def call(request: bytes) -> core.Outcome:
            generation = self._current
            return await generation.call_bytes(key, request) if generation else (None, "UNAVAILABLE")

        return call

    async def close(self, grace: float | None = None) -> None:
        """Stop following; calls in flight get ``grace`` seconds (default: none), then are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        generation, self._current = self._current, None
        if generation:
            self._retire(generation, grace or 0)
        if self._draining:
            _, late = await asyncio.wait(self._draining, timeout=grace or 0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _follow(self) -> None:
        async with grpc.aio.insecure_channel(self._balancer, options=BALANCER_OPTIONS) as channel:
            stub = lookaside_pb2_grpc.LoadBalancerStub(channel)
            request = lookaside_pb2.WatchServersRequest(service_name=self._service)
            failures = 0
            while True:
                try:
                    # wait_for_ready: gRPC's own reconnects, with their backoff and jitter.
                    async for servers in stub.WatchServers(request, wait_for_ready=True):
                        failures = 0
                        self._take(servers)
                except grpc.aio.AioRpcError as error:
                    self._problem = f"{error.code().name}: {error.details()}"
                whole = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(failures, 8))
                failures += 1
                await asyncio.sleep(whole * (0.5 + self._random.random() / 2))

    def _take(self, servers: lookaside_pb2.ServerList) -> None:
        """A list arrived; one that says nothing new, as after a reconnect, changes nothing."""
        addresses = tuple(sorted({server.address for server in servers.servers if server.weight}))
        if addresses == self._wanted:
            return
        self._wanted = addresses
        if self._switching:
            self._switching.cancel()
        self._switching = _spawn(self._switch(addresses), self._tasks)

    async def _switch(self, addresses: tuple[str, ...]) -> None:
        """Put ``addresses`` in force when connected; at once when the present ones are of no use either."""
        old = self._current
        new = Generation(addresses, self._options) if addresses else None
        if new:
            try:
                await new.connected(self._connect_limit_s / 2, hurry=lambda: old is not None and not old.ready())
            except asyncio.CancelledError:
                self._retire(new, 0)
                raise
        self._current = new
        self.updates += 1
        self._started.set()
        if old:
            self._retire(old, self._drain_limit_s)

    def _retire(self, generation: Generation, limit_s: float) -> None:
        _spawn(generation.drain(limit_s), self._draining)


def _spawn(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task

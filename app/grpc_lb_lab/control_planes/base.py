"""What both control planes share: an aio server over an endpoint source, health beside it, a drain at its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grpc_lb_lab.control_planes.endpoints.model import EndpointSource
from grpc_lb_lab.json_log import log
from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator


GRACE_S = 2.0
OPTIONS = (
    # On by default, and then two servers share one port without a word.
    ("grpc.so_reuseport", 0),
    # Clients ping while nothing changes; without this the server answers GOAWAY too_many_pings.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
)


class Follower:
    """One coroutine that waits for changes. Everything that happens while it does not wait counts as one change."""

    def __init__(self, changes: Changes) -> None:
        """Built by ``Changes.follow``."""
        self._changes = changes
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Something happened that concerns this follower."""
        self._event.set()

    async def changed(self) -> bool:
        """Wait until something happened since the last wait; False when the control plane stops."""
        if not self._changes.closed:
            await self._event.wait()
            self._event.clear()
        return not self._changes.closed


class Changes:
    """Tells any number of coroutines of one loop that something changed, and at last that it is over."""

    def __init__(self) -> None:
        """Begin with nobody listening."""
        self.closed = False
        self._followers: set[Follower] = set()

    def announce(self) -> None:
        """Something changed."""
        for follower in self._followers:
            follower.wake()

    def close(self) -> None:
        """It is over: everybody who waits is let go."""
        self.closed = True
        self.announce()

    @contextlib.contextmanager
    def follow(self) -> Iterator[Follower]:
        """A follower, as long as the context lasts."""
        follower = Follower(self)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)


@dataclass(frozen=True)
class ControlPlane:
    """A control plane before it runs: ``register`` adds its services, called ``services``, to a server."""

    name: str
    services: tuple[str, ...]
    source: EndpointSource
    register: Callable[[grpc.aio.Server, Changes], None]


class RunningControlPlane:
    """A control plane that listens. ``port`` is the one it listens on, also when it was asked for port 0."""

    def __init__(self, plane: ControlPlane, server: grpc.aio.Server, port: int, changes: Changes) -> None:
        """Built by ``start``."""
        self.port = port
        self._plane = plane
        self._server = server
        self._changes = changes
        self._health = health.aio.HealthServicer()
        self._loop = asyncio.get_running_loop()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._announcing: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, plane: ControlPlane, listen: str) -> RunningControlPlane:
        """Listen at ``listen`` and start the source. Raises ``LabError`` when one of them cannot be."""
        changes = Changes()
        server = grpc.aio.server(options=OPTIONS)
        plane.register(server, changes)
        running = cls(plane, server, _listen(server, listen), changes)
        health_pb2_grpc.add_HealthServicer_to_server(running._health, server)
        await running._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        running._unsubscribe = plane.source.subscribe(running._wake)
        try:
            # It may read files or begin threads that wait: not in the loop.
            await asyncio.to_thread(plane.source.start)
        except LabError:
            await running.stop()
            raise
        running._wake()
        log("listening", plane=plane.name, address=listen, port=running.port)
        return running

    async def stop(self) -> None:
        """Say NOT_SERVING, end all streams, stop."""
        await self._health.enter_graceful_shutdown()
        self._unsubscribe()
        self._changes.close()
        await self._server.stop(GRACE_S)
        await asyncio.to_thread(self._plane.source.close)

    def _wake(self) -> None:
        """Called from any thread. A loop that has ended needs to hear of nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._announce)

    def _announce(self) -> None:
        if self._plane.source.snapshot() is not None and self._announcing is None:
            self._announcing = self._loop.create_task(self._set_health(health_pb2.HealthCheckResponse.SERVING))
        self._changes.announce()

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *self._plane.services):
            await self._health.set(name, status)


async def serve_control_plane(plane: ControlPlane, listen: str) -> None:
    """Run ``plane`` until SIGTERM or SIGINT, then drain and return."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    running = await RunningControlPlane.start(plane, listen)
    await asked_to_stop.wait()
    log("draining", plane=plane.name)
    await running.stop()


def _listen(server: grpc.aio.Server, address: str) -> int:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise LabError(f"cannot listen on {address}: the port is taken or the address is not one of this machine")
    return port

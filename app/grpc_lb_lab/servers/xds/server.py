"""The xDS control plane: one aggregated stream a client, state of the world."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy.service.status.v3 import csds_pb2_grpc

from grpc_lb_lab.servers.control_plane import ControlPlane, serve_control_plane
from grpc_lb_lab.servers.endpoints.file import FileWatcher
from grpc_lb_lab.servers.xds.broken import parse_broken
from grpc_lb_lab.servers.xds.catalog import Catalog
from grpc_lb_lab.servers.xds.csds import ClientStatus
from grpc_lb_lab.servers.xds.status import Status
from grpc_lb_lab.servers.xds.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from grpc_lb_lab.servers.control_plane import Changes, Follower
    from grpc_lb_lab.servers.endpoints.model import EndpointSource
    from grpc_lb_lab.servers.xds.subscription import Push

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
CSDS = "envoy.service.status.v3.ClientStatusDiscoveryService"
IDENTIFIER = "grpc-lb-lab"


class Discovery(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """Serves what ``catalog`` returns, again whenever ``changes`` says so."""

    def __init__(self, catalog: Callable[[], Catalog], changes: Changes, status: Status) -> None:
        """Tell ``status`` all that happens."""
        self._catalog = catalog
        self._changes = changes
        self._status = status

    async def StreamAggregatedResources(  # noqa: N802
        self,
        requests: AsyncIterator[discovery_pb2.DiscoveryRequest],
        context: grpc.aio.ServicerContext[discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse],
    ) -> AsyncIterator[discovery_pb2.DiscoveryResponse]:
        """One client, until it leaves or the control plane stops."""
        stream = Stream()
        with self._changes.follow() as follower:
            self._status.streams.add(stream)
            listener = asyncio.create_task(self._listen(requests, stream, follower))
            try:
                while await follower.changed() and not listener.done():
                    for push in stream.pushes(self._catalog()):
                        self._status.sent(stream, push)
                        yield _response(push)
            finally:
                self._status.streams.discard(stream)
                listener.cancel()
        if self._changes.closed:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the control plane is shutting down")

    async def _listen(
        self, requests: AsyncIterator[discovery_pb2.DiscoveryRequest], stream: Stream, follower: Follower
    ) -> None:
        try:
            async for message in requests:
                said = stream.request(message)
                if said is not None:
                    self._status.heard(stream, message.type_url, said)
                follower.wake()
        finally:
            # The client has left: nothing more will wake the sender.
            follower.wake()


def _response(push: Push) -> discovery_pb2.DiscoveryResponse:
    return discovery_pb2.DiscoveryResponse(
        type_url=push.type_url,
        version_info=push.version,
        nonce=push.nonce,
        resources=[resource.body for resource in push.resources],
        control_plane=base_pb2.ControlPlane(identifier=IDENTIFIER),
    )


class XdsControlPlane:
    """The control plane over ``source``; ``plane`` is what ``RunningControlPlane`` starts.

    ``override_file``, when given, is watched too: ``{"bad": ["EDS"]}`` serves resources of these types that every
    client refuses (LDS, RDS, CDS, EDS), ``{"bad": []}`` ends it.
    """

    def __init__(self, source: EndpointSource, override_file: Path | None = None) -> None:
        """Nothing listens yet."""
        self._status = Status()
        self._discovery: Discovery | None = None
        self._wake: Callable[[], None] = lambda: None
        self._bad: frozenset[str] = frozenset()
        if override_file is not None:
            source = _WithOverride(source, FileWatcher(override_file, lambda text: self.serve_bad(parse_broken(text))))
        self.plane = ControlPlane("xds", (SERVICE, CSDS), source, self._register)

    def status(self) -> dict[str, Any]:
        """Versions sent, accepted and refused, a client and a type; plain data."""
        return self._status.status()

    def serve_bad(self, type_urls: frozenset[str]) -> None:
        """Serve these types broken from now on. From any thread."""
        self._bad = type_urls
        self._wake()

    def _register(self, server: grpc.aio.Server, changes: Changes) -> None:
        source = self.plane.source
        discovery = Discovery(lambda: Catalog(source.snapshot(), self._bad), changes, self._status)
        loop = asyncio.get_running_loop()
        self._wake = lambda: _announce(loop, changes)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(discovery, server)
        csds_pb2_grpc.add_ClientStatusDiscoveryServiceServicer_to_server(ClientStatus(self._status), server)


def _announce(loop: asyncio.AbstractEventLoop, changes: Changes) -> None:
    # A loop that has ended needs to hear of nothing.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(changes.announce)


class _WithOverride:
    """A source that starts and stops a file watcher along with it."""

    def __init__(self, source: EndpointSource, watcher: FileWatcher) -> None:
        self._source = source
        self._watcher = watcher
        self.snapshot = source.snapshot
        self.subscribe = source.subscribe

    def start(self) -> None:
        self._watcher.start()
        self._source.start()

    def close(self) -> None:
        self._watcher.close()
        self._source.close()


def serve(listen: str, source: EndpointSource, override_file: Path | None = None) -> None:
    """Run the control plane at ``listen`` (ADDRESS:PORT) until SIGTERM or SIGINT, then drain and return.

    Raises ``LabError`` when the address cannot be listened on.
    """
    asyncio.run(serve_control_plane(XdsControlPlane(source, override_file).plane, listen))

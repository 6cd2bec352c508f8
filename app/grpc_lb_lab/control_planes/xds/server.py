"""The xDS control plane: one aggregated stream a client, state of the world."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy.service.status.v3 import csds_pb2_grpc

from grpc_lb_lab.control_planes.base import ControlPlane, serve_control_plane
from grpc_lb_lab.control_planes.xds.catalog import Catalog
from grpc_lb_lab.control_planes.xds.csds import ClientStatus
from grpc_lb_lab.control_planes.xds.status import Status
from grpc_lb_lab.control_planes.xds.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from grpc_lb_lab.control_planes.base import Changes, Follower
    from grpc_lb_lab.control_planes.endpoints.model import EndpointSource
    from grpc_lb_lab.control_planes.xds.subscription import Push

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


def xds_plane(source: EndpointSource) -> ControlPlane:
    """The control plane over ``source``, ready to be started."""

    def register(server: grpc.aio.Server, changes: Changes) -> None:
        status = Status()
        discovery = Discovery(lambda: Catalog(source.snapshot()), changes, status)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(discovery, server)
        csds_pb2_grpc.add_ClientStatusDiscoveryServiceServicer_to_server(ClientStatus(status), server)

    return ControlPlane("xds", (SERVICE, CSDS), source, register)


def serve(listen: str, source: EndpointSource) -> None:
    """Run the control plane at ``listen`` (ADDRESS:PORT) until SIGTERM or SIGINT, then drain and return.

    Raises ``LabError`` when the address cannot be listened on.
    """
    asyncio.run(serve_control_plane(xds_plane(source), listen))

"""The client status service (CSDS): what the control plane knows of its clients, for tools that speak xDS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.admin.v3 import config_dump_shared_pb2
from envoy.config.core.v3 import base_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from grpc_lb_lab.control_planes.xds.status import Status
    from grpc_lb_lab.control_planes.xds.stream import Stream
    from grpc_lb_lab.control_planes.xds.subscription import Subscription


class ClientStatus(csds_pb2_grpc.ClientStatusDiscoveryServiceServicer):  # type: ignore[misc]
    """Answers from ``status``, all clients at once: node matchers are not looked at."""

    def __init__(self, status: Status) -> None:
        """Answer from ``status``."""
        self._status = status

    async def FetchClientStatus(  # noqa: N802
        self,
        request: csds_pb2.ClientStatusRequest,  # noqa: ARG002
        context: grpc.aio.ServicerContext[csds_pb2.ClientStatusRequest, csds_pb2.ClientStatusResponse],  # noqa: ARG002
    ) -> csds_pb2.ClientStatusResponse:
        """All clients now."""
        return csds_pb2.ClientStatusResponse(config=[_client(s) for s in self._status.ordered()])

    async def StreamClientStatus(  # noqa: N802
        self,
        requests: AsyncIterator[csds_pb2.ClientStatusRequest],
        context: grpc.aio.ServicerContext[csds_pb2.ClientStatusRequest, csds_pb2.ClientStatusResponse],
    ) -> AsyncIterator[csds_pb2.ClientStatusResponse]:
        """All clients, once for each request."""
        async for request in requests:
            yield await self.FetchClientStatus(request, context)


def _client(stream: Stream) -> csds_pb2.ClientConfig:
    return csds_pb2.ClientConfig(
        node=base_pb2.Node(id=stream.node.id, user_agent_name=stream.node.agent),
        generic_xds_configs=[
            _config(subscription, name)
            for _, subscription in sorted(stream.subscriptions.items())
            for name in sorted(subscription.sent)
        ],
    )


def _config(subscription: Subscription, name: str) -> csds_pb2.ClientConfig.GenericXdsConfig:
    config = csds_pb2.ClientConfig.GenericXdsConfig(
        type_url=subscription.type_url, name=name, version_info=subscription.accepted
    )
    if subscription.error:
        config.client_status = config_dump_shared_pb2.ClientResourceStatus.NACKED
        config.error_state.details = subscription.error
        config.error_state.version_info = subscription.version
    elif subscription.accepted == subscription.version:
        config.client_status = config_dump_shared_pb2.ClientResourceStatus.ACKED
    else:
        config.client_status = config_dump_shared_pb2.ClientResourceStatus.REQUESTED
    return config

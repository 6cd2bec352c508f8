"""The balancer of the strategy ``lookaside``: tells clients the addresses of a service, and tells them again at change.

An aio server: a watcher costs a coroutine, not a thread, so hundreds of clients may follow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from grpc_lb_lab.control_planes.base import Changes, ControlPlane, serve_control_plane
from grpc_lb_lab.control_planes.endpoints.model import digest
from grpc_lb_lab.json_log import log
from grpc_lb_lab.pb.lookaside.v1 import lookaside_pb2, lookaside_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from grpc_lb_lab.control_planes.endpoints.model import Endpoint, EndpointSource

SERVICE = "lookaside.v1.LoadBalancer"


class LoadBalancer(lookaside_pb2_grpc.LoadBalancerServicer):
    """Answers from an endpoint source; ``changes`` says when to look again."""

    def __init__(self, source: EndpointSource, changes: Changes) -> None:
        """Answer from ``source``."""
        self._source = source
        self._changes = changes

    async def GetServers(  # noqa: N802
        self,
        request: lookaside_pb2.GetServersRequest,
        context: grpc.aio.ServicerContext[lookaside_pb2.GetServersRequest, lookaside_pb2.ServerList],
    ) -> lookaside_pb2.ServerList:
        """The servers now."""
        return await self._answer(request.service_name, context)

    async def WatchServers(  # noqa: N802
        self,
        request: lookaside_pb2.WatchServersRequest,
        context: grpc.aio.ServicerContext[lookaside_pb2.WatchServersRequest, lookaside_pb2.ServerList],
    ) -> AsyncIterator[lookaside_pb2.ServerList]:
        """The servers now and at each change. A watched service that vanishes has no servers any more."""
        name = request.service_name
        with self._changes.follow() as follower:
            sent = await self._answer(name, context)
            log("watch", service=name, peer=context.peer(), version=sent.version)
            yield sent
            while await follower.changed():
                new = self._list(name) or server_list(())
                if new.version != sent.version:
                    yield new
                    sent = new
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the balancer is shutting down")

    def _list(self, name: str) -> lookaside_pb2.ServerList | None:
        endpoints = self._source.snapshot()
        eligible = endpoints.eligible(name) if endpoints else None
        return None if eligible is None else server_list(eligible)

    async def _answer(
        self,
        name: str,
        context: grpc.aio.ServicerContext[Any, lookaside_pb2.ServerList],
    ) -> lookaside_pb2.ServerList:
        answer = self._list(name)
        if answer is None:
            endpoints = self._source.snapshot()
            if endpoints is None:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the balancer has no list of endpoints yet")
            known = ", ".join(sorted(endpoints.services)) or "none"
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {name!r}; known: {known}")
        return answer


def server_list(endpoints: tuple[Endpoint, ...]) -> lookaside_pb2.ServerList:
    """``endpoints`` as the message; all of equal weight."""
    servers = [
        lookaside_pb2.Server(
            address=e.target, weight=1, metadata={k: v for k, v in (("pod", e.pod), ("uid", e.uid)) if v}
        )
        for e in endpoints
    ]
    return lookaside_pb2.ServerList(servers=servers, version=digest(repr(endpoints)))


def lookaside_plane(source: EndpointSource) -> ControlPlane:
    """The balancer over ``source``, ready to be started."""

    def register(server: grpc.aio.Server, changes: Changes) -> None:
        lookaside_pb2_grpc.add_LoadBalancerServicer_to_server(LoadBalancer(source, changes), server)

    return ControlPlane("lookaside", (SERVICE,), source, register)


def serve(listen: str, source: EndpointSource) -> None:
    """Run the balancer at ``listen`` (ADDRESS:PORT) until SIGTERM or SIGINT, then drain and return.

    Raises ``LabError`` when the address cannot be listened on.
    """
    asyncio.run(serve_control_plane(lookaside_plane(source), listen))

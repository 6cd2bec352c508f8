"""Readiness of a replica, asked as a kubelet does: the standard gRPC health service on the replica's own address."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

_CHECK = "/grpc.health.v1.Health/Check"
_OPTIONS = (
    # A proxy variable of the user's shell must not reach loopback addresses.
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


async def accepts(address: str, port: int) -> bool:
    """Say whether somebody listens on ``address:port``. Cheaper than a channel, which would back off for a second."""
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


class HealthProbe:
    """Asks one replica for its health, over one connection that stays."""

    def __init__(self, address: str, port: int) -> None:
        """Connects with the first question."""
        self._channel = grpc.aio.insecure_channel(f"ipv4:{address}:{port}", options=_OPTIONS)
        self._check = self._channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def serving(self, timeout_s: float = 1.0) -> bool | None:
        """Return the replica's own word; None when it gave none in time, which may just be a busy machine."""
        try:
            reply = await self._check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return None
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

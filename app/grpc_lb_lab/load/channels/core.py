"""What the client needs of grpcio and its public interface does not give, all in this one module.

Two things: channelz of this process without a server to ask, and a unary call without the layers between
``grpc.aio`` and its Cython core. Those layers (a task, a metadata object and a weak reference a call) are a third of a
call's CPU time, and what the client spends is taken from what it measures. grpcio is pinned;
tests/unit/client/test_client_core.py fails when a new version moves these parts.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

STATUS_NAMES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}

# The reply's bytes and the status name: one of them is None.
Outcome = tuple[bytes | None, str | None]


def unary_caller(
    channel: grpc.aio.Channel, method: str, metadata: tuple[tuple[str, str], ...], deadline_s: float
) -> Callable[[bytes], Awaitable[Outcome]]:
    """A function that makes one call with a serialised request.

    It returns ``(reply, None)`` or ``(None, status code name)`` and raises nothing of gRPC's; over a closed channel
    every call is CANCELLED. Cancelling it cancels the call.
    """
    core = channel._channel  # type: ignore[attr-defined]
    path = method.encode()
    # Of a channel that is closed the core would read freed memory here.
    handle = None if core.closed() else core.get_registered_call_handle(path)
    now = time.time  # the core takes deadlines in seconds since the epoch

    async def call(request: bytes) -> Outcome:
        try:
            rpc = core.call(path, now() + deadline_s, None, None, handle)
        except grpc.aio.UsageError:  # the channel is closed
            return None, "CANCELLED"
        try:
            reply = await rpc.unary_unary(request, metadata, None)
        except asyncio.CancelledError:
            rpc.cancel("the client stopped")
            raise
        except cygrpc.InternalError:  # the core refused the call's batch of operations
            return None, "INTERNAL"
        if reply is not None and rpc.is_ok():
            return reply, None
        return None, STATUS_NAMES.get((await rpc.status()).code(), "UNKNOWN")

    return call


class Look(NamedTuple):
    """A channel at one moment, by channelz. ``subchannels`` maps id to ``(target, state)``."""

    state: str
    subchannels: dict[int, tuple[str, str]]
    policies: tuple[str, ...]


_newest = -1


def open_channel(uri: str, options: Sequence[tuple[str, Any]]) -> tuple[grpc.aio.Channel, int]:
    """A new channel and its name in this process's channelz; needs a running event loop, connects nothing yet."""
    global _newest
    # First what others opened meanwhile; only the newest are listed, since a list of all takes time.
    _newest = max([_newest, *channel_ids(after=_newest)])
    channel = grpc.aio.insecure_channel(uri, options=list(options))
    (_newest,) = channel_ids(after=_newest)
    return channel, _newest


def channel_ids(after: int = -1) -> list[int]:
    """The channelz ids above ``after`` of this process's channels, in order.

    An id is given when channelz first names the channel, so a channel that was not asked for yet gets one above all.
    """
    found: list[int] = []
    while True:
        page = json.loads(cygrpc.channelz_get_top_channels(max([after, *found]) + 1))
        found += [int(channel["ref"]["channelId"]) for channel in page.get("channel", [])]
        if page.get("end", True) or not page.get("channel"):
            return sorted(found)


def look_at(channel_id: int) -> Look:
    """The state, the subchannels and the load-balancing policies (latest last) of one channel of this process."""
    channel = _channelz(cygrpc.channelz_get_channel, channel_id, "channel")
    subchannels = {}
    for reference in channel.get("subchannelRef", []):
        subchannel_id = int(reference["subchannelId"])
        data = _channelz(cygrpc.channelz_get_subchannel, subchannel_id, "subchannel").get("data", {})
        if data:  # gone between two questions
            subchannels[subchannel_id] = (data.get("target", ""), data.get("state", {}).get("state", "UNKNOWN"))
    data = channel.get("data", {})
    return Look(
        state=data.get("state", {}).get("state", "UNKNOWN"),
        subchannels=subchannels,
        policies=tuple(_policies(data.get("trace", {}).get("events", []))),
    )


def socket_ids(subchannel_id: int) -> list[int]:
    """The transport connections that a subchannel has now."""
    subchannel = _channelz(cygrpc.channelz_get_subchannel, subchannel_id, "subchannel")
    return [int(reference["socketId"]) for reference in subchannel.get("socketRef", [])]


def socket_addresses(socket_id: int) -> tuple[str, str]:
    """Local and remote address, ``HOST:PORT``; empty for a connection that has gone."""
    socket = _channelz(cygrpc.channelz_get_socket, socket_id, "socket")
    return _address(socket.get("local", {})), _address(socket.get("remote", {}))


def _channelz(ask: Callable[[int], bytes], entity: int, key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(ask(entity))[key]
    except ValueError:  # the entity has gone
        return {}
    return found


def _policies(events: list[dict[str, Any]]) -> list[str]:
    """The core says which policy it made in no other place than the channel's trace."""
    marker = 'Created new LB policy "'
    return [
        event["description"].removeprefix(marker).rstrip('"')
        for event in events
        if event.get("description", "").startswith(marker)
    ]


def _address(value: dict[str, Any]) -> str:
    tcp = value.get("tcpipAddress")
    if not tcp:
        return ""
    host = ipaddress.ip_address(base64.b64decode(tcp["ipAddress"]))
    return f"[{host}]:{tcp.get('port', 0)}" if host.version == 6 else f"{host}:{tcp.get('port', 0)}"

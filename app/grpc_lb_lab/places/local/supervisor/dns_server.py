"""The lab's DNS server: sockets around ``dns_records.answer``, and a log of what was asked."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import time
from typing import TYPE_CHECKING

from grpc_lb_lab.places.local.supervisor.dns_records import Query, Transport, Zone, answer

if TYPE_CHECKING:
    import socket

_KEPT_QUERIES = 20_000
_IDLE_TCP_S = 10.0


class DnsServer:
    """Serves one zone, over UDP and TCP. ``zone`` may be replaced at any time; the next answer uses it."""

    def __init__(self, zone: Zone, seed: int = 1) -> None:
        """``seed`` decides the order of answers when the zone is shuffled."""
        self.zone = zone
        self.queries: collections.deque[Query] = collections.deque(maxlen=_KEPT_QUERIES)
        self._chance = random.Random(seed)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self, tcp: socket.socket, udp: socket.socket) -> None:
        """Serve on sockets that are bound (and, for TCP, listening) already."""
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._tcp = await asyncio.start_server(self._connection, sock=tcp)

    def close(self) -> None:
        """Stop serving and close the sockets."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    def since(self, at: float) -> list[Query]:
        """Return the logged queries from time ``at`` (seconds since the epoch) on, oldest first."""
        return [query for query in self.queries if query.at >= at]

    def respond(self, packet: bytes, transport: Transport, client: str) -> bytes | None:
        """Answer one packet and log it; None when it deserves no answer."""
        made = answer(packet, self.zone, transport, self._chance)
        if made is None:
            return None
        self.queries.append(
            Query(time.time(), made.name, made.type, transport, client, made.code, made.answers, made.truncated)
        )
        return made.packet

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            while True:
                async with asyncio.timeout(_IDLE_TCP_S):
                    length = int.from_bytes(await reader.readexactly(2))
                    packet = await reader.readexactly(length)
                reply = self.respond(packet, "tcp", client)
                if reply is None:
                    break
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.respond(data, "udp", addr[0])
        if reply is not None:
            self._transport.sendto(reply, addr)

"""``lb-lab local forward``: a TCP forwarder to one replica, what ``kubectl port-forward service/…`` comes down to.

kubectl picks one pod when it starts and sends every connection there until it ends; it never looks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError, UsageError

if TYPE_CHECKING:
    import argparse

_CHUNK = 1 << 16


def add_parser(commands: Any) -> None:
    """Add ``forward`` to the commands of ``lb-lab local``."""
    text = "forward every connection to one address until SIGTERM, as kubectl port-forward does"
    parser: argparse.ArgumentParser = commands.add_parser("forward", help=text, description=f"{text}.".capitalize())
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT", help="also the source address of its own")
    parser.add_argument("--to", required=True, metavar="ADDRESS:PORT", help="where everything goes")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """The command. Returns 0 after SIGTERM; raises ``UsageError`` or ``LabError``."""
    asyncio.run(forward(_address(arguments.listen), _address(arguments.to)))
    return 0


async def forward(listen: tuple[str, int], to: tuple[str, int]) -> None:
    """Forward until SIGTERM or SIGINT. Raises ``LabError`` when ``listen`` cannot be listened on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            # From the forwarder's own address, so that the replica sees who came, as it would see the kubelet.
            there, back = await asyncio.open_connection(*to, local_addr=(listen[0], 0))
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        writer.close()

    try:
        server = await asyncio.start_server(serve, *listen)
    except OSError as error:
        raise LabError(f"cannot listen on {listen[0]}:{listen[1]}: {error.strerror}") from error
    print(f"Forwarding from {listen[0]}:{listen[1]} -> {to[0]}:{to[1]}", file=sys.stderr, flush=True)
    async with server:
        await stop.wait()
        # Connections still open would be waited for; whoever ends a port-forward does not.
        server.close_clients() if hasattr(server, "close_clients") else None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is not ADDRESS:PORT")
    return host, int(port)

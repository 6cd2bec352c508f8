"""The control socket: one JSON object a line. The client sends one request; the supervisor answers with any number of
``{"progress": TEXT}`` and then one ``{"result": {…}}`` or ``{"error": TEXT, "exit_code": N}``.

A client that closes its end before the answer has lost interest, by will or by death.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

LINE_LIMIT = 1 << 24
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Request:
    """One request. ``peer_pid`` is the process that asked; ``gone`` is set when it closes its end."""

    data: dict[str, Any]
    peer_pid: int
    progress: Callable[[str], None]
    gone: asyncio.Event = field(default_factory=asyncio.Event)


type Handler = Callable[[Request], Awaitable[dict[str, Any]]]


def peer_pid(connection: socket.socket) -> int:
    """Return the pid of the process at the other end of a Unix socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])


def listen(path: str) -> socket.socket:
    """Listen on a Unix socket, over a left-over one of a dead supervisor. The caller holds the lab's lock."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(16)
    listening.setblocking(False)
    return listening


class ControlServer:
    """Serves requests, each by the handler of its ``op``."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        """``handlers`` maps the word in ``op`` to a coroutine function that returns the result."""
        self._handlers = handlers
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve on a listening socket."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LINE_LIMIT)

    def close(self) -> None:
        """Accept nobody any more; requests under way go on."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(message: dict[str, Any]) -> None:
            if not writer.is_closing():
                writer.write(json.dumps(message).encode() + b"\n")

        connection = writer.get_extra_info("socket")
        with contextlib.suppress(OSError, ValueError):
            line = await reader.readline()
            if line:
                request = Request(json.loads(line), peer_pid(connection), lambda text: send({"progress": text}))
                listening = asyncio.create_task(_until_gone(reader, request.gone))
                send(await self._answer(request))
                await writer.drain()
                listening.cancel()
        writer.close()

    async def _answer(self, request: Request) -> dict[str, Any]:
        op = str(request.data.get("op"))
        if op not in self._handlers:
            return {"error": f"the supervisor knows no {op!r}", "exit_code": LabError.exit_code}
        try:
            return {"result": await self._handlers[op](request)}
        except LabError as error:
            return {"error": str(error), "exit_code": error.exit_code}
        except OSError as error:
            traceback.print_exc()
            where = f"{error.filename}: " if error.filename else ""
            return {"error": f"{op}: {where}{error.strerror or error}", "exit_code": LabError.exit_code}
        except Exception as error:
            # A bug. Its traceback stays in the supervisor's log; whoever asked gets one line, and the lab lives on.
            traceback.print_exc()
            return {
                "error": f"the supervisor failed at {op!r}: {error!r} (see its log)",
                "exit_code": LabError.exit_code,
            }


async def _until_gone(reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        await reader.read()
    gone.set()

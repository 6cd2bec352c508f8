"""After the run: ask every replica directly what it counted."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.result import Pause, ServerStats
from grpc_lb_lab.observe.names import resolve
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc

AT_A_TIME = 32
TIMEOUT_S = 3.0
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


async def ask_all(headless: str, dns: str, run: str) -> tuple[list[ServerStats], list[str]]:
    """The stats of ``run`` from every address of ``headless`` (``HOST:PORT``), and notes on those that gave none.

    Direct calls, one an address: over the strategy's own channel they would go wherever the strategy sends them.
    """
    try:
        addresses = await resolve(headless, dns)
    except OSError as error:
        return [], [f"the servers' own counts are missing: {error}"]
    places = asyncio.Semaphore(AT_A_TIME)
    answers = await asyncio.gather(*(_ask(address, headless, run, places) for address in addresses))
    stats = sorted((answer for answer in answers if isinstance(answer, ServerStats)), key=lambda entry: entry.uid)
    return stats, [answer for answer in answers if isinstance(answer, str)]


async def _ask(address: str, name: str, run: str, places: asyncio.Semaphore) -> ServerStats | str:
    # The name as authority: by it a mesh's sidecar knows whose address this is, and that it wants mutual TLS.
    options = (*OPTIONS, ("grpc.default_authority", name))
    async with places, grpc.aio.insecure_channel(f"ipv4:{address}", options=options) as channel:
        stub = echo_pb2_grpc.EchoServiceStub(channel)
        try:
            reply = await stub.Stats(echo_pb2.StatsRequest(run=run), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            return f"no counts from {address}: {error.code().name}"
        return from_reply(reply)


def ask_server(address: str, run: str) -> ServerStats:
    """The stats of ``run`` from the one server at ``address`` (``HOST:PORT``); blocks. Raises ``LabError``."""
    with grpc.insecure_channel(f"ipv4:{address}", options=OPTIONS) as channel:
        stub = echo_pb2_grpc.EchoServiceStub(channel)
        try:
            return from_reply(stub.Stats(echo_pb2.StatsRequest(run=run), timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else error
            raise LabError(f"no counts from {address}: {getattr(code, 'name', code)}") from error


def from_reply(reply: echo_pb2.StatsReply) -> ServerStats:
    """The reply as data of the report."""
    return ServerStats(
        pod=reply.backend.pod,
        uid=reply.backend.uid,
        ip=reply.backend.ip,
        attempts=reply.attempts,
        retries=reply.retries,
        failed=reply.failed,
        warmup_attempts=reply.warmup_attempts,
        connections=reply.connections,
        peer_hosts=list(reply.peer_hosts),
        cpu_s=reply.cpu_seconds,
        attempts_by_previous={str(previous): count for previous, count in sorted(reply.attempts_by_previous.items())},
        connections_accepted=reply.connections_accepted,
        run_cpu_s=reply.run_cpu_seconds if reply.HasField("run_cpu_seconds") else None,
        pauses=[Pause(pause.began_at, pause.ended_at) for pause in reply.pauses],
    )

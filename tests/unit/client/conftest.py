"""Replicas, names and plans for a client: all real, all on loopback."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer
from grpc_lb_lab.load.load import Stop
from grpc_lb_lab.load.run import Client
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.servers.config import EchoConfig
from grpc_lb_lab.servers.echo import EchoServer, start
from grpc_lb_lab.servers.service import EchoService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpc_lb_lab.model.result import ClientResult


@pytest.fixture
def replicas() -> Iterator[Callable[..., list[EchoServer]]]:
    """Starts n replicas, each on its own loopback address, all on one port."""
    servers: list[EchoServer] = []

    def begin(count: int, service_class: type[EchoService] = EchoService, **settings: Any) -> list[EchoServer]:
        for _ in range(10):  # the port that the first one got may be taken on the address of another
            port, mine = 0, []
            try:
                for number in range(count):
                    listen = f"127.98.1.{number + 1}:{port}"
                    config = EchoConfig(listen, pod=f"echo-{number}", uid=f"uid-{number}", **settings)
                    mine.append(start(config, service_class))
                    port = mine[0].port
            except LabError:
                for server in mine:
                    server.server.stop(0).wait()
                continue
            servers.extend(mine)
            return mine
        raise AssertionError("no port is free on all addresses")

    yield begin
    for server in servers:
        server.server.stop(0).wait()


class _Zone(BaseResolver):
    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names

    def resolve(self, request: Any, handler: Any) -> Any:
        reply = request.reply()
        addresses = self.names.get(str(request.q.qname).rstrip(".").lower())
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            for address in addresses:
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=30))
        return reply


@pytest.fixture
def name_server() -> Iterator[Callable[[dict[str, list[str]]], str]]:
    """Starts a DNS server, UDP (truncating) and TCP, for the names given; returns its HOST:PORT."""
    servers: list[DNSServer] = []

    def begin(names: dict[str, list[str]]) -> str:
        quiet = DNSLogger(log="-request,-reply,-truncated,-error,-recv,-send,-data")
        udp = DNSServer(_Zone(names), address="127.0.0.1", port=0, logger=quiet)
        port = udp.server.server_address[1]
        tcp = DNSServer(_Zone(names), address="127.0.0.1", port=port, tcp=True, logger=quiet)
        for server in (udp, tcp):
            server.start_thread()
            servers.append(server)
        return f"127.0.0.1:{port}"

    yield begin
    # Each looks only twice a second whether it shall stop: all at once, then.
    stopping = [threading.Thread(target=server.stop) for server in servers]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()
    for server in servers:
        server.server.server_close()


def make_plan(
    address: str = "127.0.0.1:1",
    channel: str = "pick_first",
    target: str = "headless",
    dns: str = "",
    client: dict[str, Any] | None = None,
    targets: dict[str, str] | None = None,
    **load: Any,
) -> Plan:
    words = {"strategy": {"name": "test"}, "client": {"channel": channel, "target": target, **(client or {})}}
    return Plan(
        run="run-1",
        scenario="steady",
        strategy=Strategy.parse(words),
        load=Load(**{"requests": 20, "replicas": 1, **load}),
        targets=targets or {"headless": address, target: address},
        dns=dns,
    )


@pytest.fixture
def plan() -> Callable[..., Plan]:
    return make_plan


@pytest.fixture
def run() -> Callable[..., ClientResult]:
    """Runs one client of a plan here; it is stopped as soon as ``stop_when`` says so."""

    def go(plan: Plan, index: int = 0, stop_when: Callable[[], bool] = lambda: False) -> ClientResult:
        async def main() -> ClientResult:
            stop = Stop()
            # A time would be a guess: on a busy machine it could be over before the first call.
            watching = asyncio.ensure_future(_stop_when(stop_when, stop))
            try:
                return await Client(plan, index, stop).run()
            finally:
                watching.cancel()

        return uvloop.run(main())

    return go


async def _stop_when(condition: Callable[[], bool], stop: Stop) -> None:
    while not condition():
        await asyncio.sleep(0.01)
    stop.now("stopped by the test")


class Gated(EchoService):
    """Answers at once while ``gate`` is open, and when it opens otherwise."""

    gate = threading.Event()

    def answer(self, request: Any, peer: Any, attempt: Any, context: Any) -> bytes:
        if not attempt.warmup:
            self.gate.wait(10)
        return super().answer(request, peer, attempt, context)


@pytest.fixture
def gated() -> Iterator[type[Gated]]:
    Gated.gate.clear()
    yield Gated
    Gated.gate.set()

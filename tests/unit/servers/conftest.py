"""Real echo servers on loopback ports that the system picks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_lb_lab import fault_token
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.servers.config import EchoConfig
from grpc_lb_lab.servers.echo import EchoServer, start
from grpc_lb_lab.servers.service import EchoService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


TOKEN = "what the lab knows"


@pytest.fixture
def start_echo() -> Iterator[Callable[..., EchoServer]]:
    servers: list[EchoServer] = []

    def begin(service_class: type[EchoService] = EchoService, **settings: Any) -> EchoServer:
        config = EchoConfig(
            **{"listen": "127.0.0.1:0", "pod": "pod-a", "uid": "uid-a", "fault_token": TOKEN, **settings}
        )
        servers.append(start(config, service_class))
        return servers[-1]

    yield begin
    for server in servers:
        server.server.stop(0).wait()


@pytest.fixture
def connect() -> Iterator[Callable[..., grpc.Channel]]:
    channels: list[grpc.Channel] = []

    def begin(server: EchoServer, **options: Any) -> grpc.Channel:
        arguments = [
            ("grpc.use_local_subchannel_pool", 1),
            *((f"grpc.{name}", value) for name, value in options.items()),
        ]
        channels.append(grpc.insecure_channel(f"127.0.0.1:{server.port}", options=arguments))
        return channels[-1]

    yield begin
    for channel in channels:
        channel.close()


@pytest.fixture
def stub(start_echo: Callable[..., EchoServer], connect: Callable[..., grpc.Channel]) -> echo_pb2_grpc.EchoServiceStub:
    return echo_pb2_grpc.EchoServiceStub(connect(start_echo()))


class AskFault:
    """Gives, for a channel, the function that asks for a fault as the lab does, which knows ``token``."""

    token = TOKEN

    def __call__(self, channel: grpc.Channel) -> Callable[..., echo_pb2.FaultReply]:
        stub, known = echo_pb2_grpc.EchoServiceStub(channel), fault_token.metadata(TOKEN)
        return lambda **fault: stub.SetFault(echo_pb2.FaultRequest(**fault), timeout=5, metadata=known)


@pytest.fixture
def ask_fault() -> AskFault:
    return AskFault()

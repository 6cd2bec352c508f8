"""Further services of the echo server, for strategies that route by gRPC service: the same answer, another name.

Their messages are those of ``echo.v1``, so one implementation on serialised messages serves all.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import grpc

# Reflection answers from the descriptors that these register.
from grpc_lb_lab.pb.greeter import greeter_pb2  # noqa: F401
from grpc_lb_lab.pb.orders import orders_pb2  # noqa: F401

if TYPE_CHECKING:
    from grpc_lb_lab.servers.service import EchoService

METHODS = {"greeter.Greeter": "SayHello", "orders.OrderService": "GetOrder"}
"""Each service to its one method."""


def handlers(echo: EchoService) -> tuple[grpc.GenericRpcHandler, ...]:
    """Handlers to register with a server: calls of all services are counted and answered by ``echo``."""
    return tuple(
        grpc.method_handlers_generic_handler(
            service,
            {method: grpc.unary_unary_rpc_method_handler(functools.partial(echo.echo, service=service))},
        )
        for service, method in METHODS.items()
    )

"""Asks single servers for faults. Pod addresses are out of reach here, so each has a port-forward, opened before."""

from __future__ import annotations

import base64
import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc

from grpc_lb_lab import fault_token
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.observe.stats import OPTIONS
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.places.kubernetes.forward import forward

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpc_lb_lab.places.kubernetes.cluster.programs import Kubectl

# Each is a kubectl of its own; one for a server beyond these is opened when it is needed, a second later.
MOST_OPEN = 20
LIMIT_S = 5.0
SECRET = "echo-faults"


class FaultLines:
    """One line to each server, kept open so that a fault comes when it shall, not when kubectl is up."""

    def __init__(self, kubectl: Kubectl, port: int) -> None:
        """``port`` is that of the servers. Opens nothing yet."""
        self._kubectl, self._port = kubectl, port
        self._stack = contextlib.ExitStack()
        self._channels: dict[str, grpc.Channel] = {}
        # A port-forward ends with the thread that started it, so the threads stay until `close`.
        self._threads = ThreadPoolExecutor(MOST_OPEN)

    def open(self, names: Iterable[str]) -> None:
        """Open lines to the pods of these names. Raises ``LabError`` when one cannot be opened."""
        _ = self._token  # read now, so that no fault waits for it
        list(self._threads.map(self._channel, list(names)[:MOST_OPEN]))

    def ask(self, pod: str, request: echo_pb2.FaultRequest) -> None:
        """Have a server take a fault. Raises ``LabError`` when it does not; blocks."""
        known = pod in self._channels
        try:
            self._ask(pod, request)
        except grpc.RpcError as error:
            if not known or _code(error) != "UNAVAILABLE":
                raise LabError(f"pod {pod} took no fault: {_code(error)}") from error
            del self._channels[pod]  # kubectl may have lost it since: once more, by a new one
            self.ask(pod, request)

    def close(self) -> None:
        """Close all lines."""
        self._stack.close()
        self._threads.shutdown(cancel_futures=True)

    @functools.cached_property
    def _token(self) -> str:
        found = self._kubectl.run("get", "secret", SECRET, "--output=jsonpath={.data.token}")
        return base64.b64decode(found).decode()

    def _ask(self, pod: str, request: echo_pb2.FaultRequest) -> None:
        channel = self._channels.get(pod) or self._threads.submit(self._channel, pod).result()
        headers = fault_token.metadata(self._token)
        echo_pb2_grpc.EchoServiceStub(channel).SetFault(request, timeout=LIMIT_S, metadata=headers)

    def _channel(self, pod: str) -> grpc.Channel:
        address = self._stack.enter_context(forward(self._kubectl, f"pod/{pod}", self._port))
        channel = grpc.insecure_channel(f"ipv4:{address}", options=OPTIONS)
        self._stack.callback(channel.close)
        try:
            grpc.channel_ready_future(channel).result(LIMIT_S)
        except grpc.FutureTimeoutError:
            raise LabError(f"pod {pod} cannot be asked for a fault: no connection within {LIMIT_S:.0f} s") from None
        self._channels[pod] = channel
        return channel


def _code(error: grpc.RpcError) -> str:
    return str(error.code().name) if isinstance(error, grpc.Call) else repr(error)

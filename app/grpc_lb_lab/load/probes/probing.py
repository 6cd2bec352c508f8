"""What probes share: calls of their own, faults of replicas, waiting."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc.aio

from grpc_lb_lab import fault_token
from grpc_lb_lab.load import call_schedule
from grpc_lb_lab.load.channels.channel import LabChannel
from grpc_lb_lab.load.record.replies import read_reply
from grpc_lb_lab.model.plan import Plan
from grpc_lb_lab.model.result import ClientResult
from grpc_lb_lab.observe import names
from grpc_lb_lab.observe.stats import OPTIONS
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grpc_lb_lab.load.channels.channel import Caller

TIMEOUT_S = 3.0
LOOK_S = 0.1
REQUEST = echo_pb2.EchoRequest(payload=b"probe").SerializeToString()


@dataclass(frozen=True)
class Probing:
    """A probe's view: the plan, the client's first channel, and what was measured."""

    plan: Plan
    channel: LabChannel
    result: ClientResult

    def caller(self, method: str = call_schedule.METHOD, key: str = "", deadline_s: float = 0) -> Caller:
        """A function that makes one call that no measured count contains."""
        metadata = (("x-lab-run", f"{self.plan.run}.probe"), *call_schedule.key_metadata(self.plan, key))
        return self.channel.caller(method, metadata, deadline_s or self.plan.load.deadline_s)

    async def who_answers(self, key: str) -> str:
        """The UID of the replica that answers a call with ``key`` now. Raises ``OSError`` for a failed call."""
        reply, code = await self.caller(key=key)(REQUEST)
        answer = read_reply(reply) if reply is not None else None
        if answer is None:
            raise OSError(f"a call of the probe with key {key!r} failed: {code or 'not an answer of the lab'}")
        return answer.uid

    def address(self, uid: str) -> str:
        """The replica's own ADDRESS:PORT. Raises ``OSError`` when its counts never came."""
        port = self.plan.targets.get("headless", "").rpartition(":")[2]
        for server in self.result.servers:
            if server.uid == uid and port:
                return f"{server.ip}:{port}"
        raise OSError(f"the address of replica {uid} is not known")

    async def fault(self, address: str, fault: echo_pb2.FaultRequest) -> None:
        """Give the replica at ``address`` a fault, directly. Raises ``OSError`` when it does not take it."""
        async with grpc.aio.insecure_channel(f"ipv4:{address}", options=OPTIONS) as channel:
            try:
                await echo_pb2_grpc.EchoServiceStub(channel).SetFault(
                    fault, timeout=TIMEOUT_S, metadata=fault_token.metadata(fault_token.own())
                )
            except grpc.aio.AioRpcError as error:
                raise OSError(f"the replica at {address} took no fault: {error.code().name}") from error

    async def heal(self, address: str) -> None:
        """End the fault, and wait until the replica's name has its address again, so that the next run finds it."""
        await self.fault(address, echo_pb2.FaultRequest())

        async def is_named() -> bool:
            try:
                return address in await names.resolve(self.plan.targets["headless"], self.plan.dns)
            except OSError:
                return False

        await within(15.0, is_named)


async def within(limit_s: float, condition: Callable[[], Awaitable[bool]]) -> float | None:
    """Seconds until ``condition`` was true; None when it was not within ``limit_s``."""
    began = time.monotonic()
    while True:
        true, waited = await condition(), time.monotonic() - began
        if true:
            return waited
        if waited >= limit_s:
            return None
        await asyncio.sleep(LOOK_S)

"""Carries a scenario's events out on this machine: on the supervisor's replicas."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from grpc_lb_lab import fault_token
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.inventory import Replica
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.places.local.supervisor.server_proxy import port_behind

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from grpc_lb_lab.model.scenario import ScenarioPlan
    from grpc_lb_lab.places.local.supervisor.member import Member
    from grpc_lb_lab.places.local.supervisor.replicas import Replicas

_RPC_S = 5.0
_ROLLOUT_S = 10.0
"""How long a rollout takes: about what it takes five pods to start, and to be seen ready, on Kubernetes."""

_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


class LocalInjector:
    """Implements ``run.injector.FaultInjector``. Signals are sent as they are, faults are asked for over gRPC."""

    def __init__(self, replicas: Replicas, drain_s: float) -> None:
        """``drain_s``: how long a replica that leaves goes on serving. Nothing happens before ``prepare``."""
        self._replicas = replicas
        self._drain_s = drain_s
        self._orders: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.Task[None]] = set()
        self._faulty: dict[str, Member] = {}

    async def prepare(self, _: ScenarioPlan) -> None:
        """Let replicas that leave serve on for a while, as pods do."""
        self._replicas.drain_s = self._drain_s

    async def replicas(self) -> list[Replica]:
        """The replicas that count now, oldest first."""
        return [
            Replica(member.pod, member.uid, member.ip, ready=member.state == "ready")
            for member in self._replicas.current
        ]

    async def scale(self, replicas: int) -> None:
        """Want this many replicas; the youngest leave first."""
        self._order(self._replicas.scale(replicas))

    async def restart(self) -> None:
        """Replace the replicas one by one."""
        self._order(self._replicas.restart(_ROLLOUT_S))

    async def replace(self) -> None:
        """Replace all replicas: the whole new set first."""
        self._order(self._replicas.replace_at_once())

    async def delete(self, pod: str) -> None:
        """Let one replica leave with grace; another takes its place."""
        self._find(pod)
        self._order(self._replicas.delete(pod))

    async def kill(self, pod: str) -> None:
        """End one replica's process with SIGKILL."""
        self._find(pod)
        await self._replicas.signal(pod, signal.SIGKILL)

    async def stop(self, pod: str, for_s: float) -> None:
        """Stop one replica's process for a while."""
        self._faulty[pod] = self._find(pod)
        await self._replicas.signal(pod, signal.SIGSTOP)
        timer = asyncio.create_task(self._go_on(pod, for_s))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def slow(self, pod: str, delay_ms: int, for_s: float) -> None:
        """Let one replica wait before each answer."""
        await self._set_fault(self._find(pod), echo_pb2.FaultRequest(delay_ms=delay_ms, for_ms=round(for_s * 1000)))

    async def fail(self, pod: str, code: str, for_s: float) -> None:
        """Let one replica answer each call with a gRPC status code."""
        await self._set_fault(self._find(pod), echo_pb2.FaultRequest(fail_code=code, for_ms=round(for_s * 1000)))

    async def settled(self) -> None:
        """Wait until what was ordered has happened; the replicas set the limits. Raises ``LabError``."""
        while self._orders:
            done, self._orders = self._orders, set()
            await asyncio.gather(*done)
        await self._replicas.settled()

    def missing(self) -> str:
        """Nothing: the replicas say it themselves when their time is over."""
        return ""

    async def close(self) -> None:
        """Stop what is still under way, and heal the replicas that have a fault."""
        under_way = [*self._orders, *self._timers]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for pod, member in self._faulty.items():
            if member.stopped:
                await self._replicas.signal(pod, signal.SIGCONT)
            elif member.wanted:
                await asyncio.gather(self._set_fault(member, echo_pb2.FaultRequest()), return_exceptions=True)
        self._replicas.drain_s = 0.0

    def _find(self, pod: str) -> Member:
        for member in self._replicas.current:
            if member.pod == pod:
                return member
        known = ", ".join(member.pod for member in self._replicas.current) or "none"
        raise LabError(f"there is no replica {pod!r}; there are: {known}")

    async def _go_on(self, pod: str, for_s: float) -> None:
        await asyncio.sleep(for_s)
        if self._faulty[pod].stopped:
            await self._replicas.signal(pod, signal.SIGCONT)

    async def _set_fault(self, member: Member, fault: echo_pb2.FaultRequest) -> None:
        port = port_behind(member.port) if member.proxy else member.port
        self._faulty[member.pod] = member
        async with grpc.aio.insecure_channel(f"ipv4:{member.ip}:{port}", options=_OPTIONS) as channel:
            service: Any = echo_pb2_grpc.EchoServiceStub(channel)
            try:
                await service.SetFault(fault, timeout=_RPC_S, metadata=fault_token.metadata(fault_token.own()))
            except grpc.aio.AioRpcError as error:
                raise LabError(f"{member.pod} took no fault: {error.code().name}: {error.details()}") from error

    def _order(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the load; ``settled`` waits for it and tells what went wrong."""
        self._orders.add(asyncio.create_task(work))

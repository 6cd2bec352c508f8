"""The balancer as a process, the follower of the client against it, real servers behind."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from control_plane_parts import LOCAL, Backends, Plane, Planes, free_port, wait_until
from grpc_health.v1 import health_pb2
from grpc_lb_lab.load.channels import core
from grpc_lb_lab.load.channels.generation import Generation
from grpc_lb_lab.load.channels.lookaside import LookasideChannel
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.pb.echo.v1 import echo_pb2
from grpc_lb_lab.pb.lookaside.v1 import lookaside_pb2, lookaside_pb2_grpc

ECHO = "/echo.v1.EchoService/Echo"
Call = Callable[[], Awaitable[str]]


def started(planes: Planes) -> Plane:
    plane = planes.start("lookaside")
    plane.wait_serving()
    return plane


class CallError(Exception):
    """The name of the status code."""


def echo(follower: LookasideChannel) -> Call:
    """A call that returns the pod which answered, or raises ``CallError``."""
    short = follower.unary_caller(ECHO, (("x-lab-run", "r"),), 20.0)

    async def call() -> str:
        reply, code = await short(echo_pb2.EchoRequest().SerializeToString())
        if reply is None:
            raise CallError(code)
        return str(echo_pb2.EchoReply.FromString(reply).backend.pod)

    return call


class Load:
    """Calls in the background, four at a time, until it is left; every one must succeed."""

    def __init__(self, call: Call) -> None:
        self.pods: Counter[str] = Counter()
        self.errors: list[str] = []
        self._call = call
        self._over = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _work(self) -> None:
        while not self._over:
            try:
                self.pods[await self._call()] += 1
            except CallError as error:
                self.errors.append(str(error))
            await asyncio.sleep(0.002)


async def until(happened: Callable[[], Any], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not happened():
            await asyncio.sleep(0.02)


def targets(backends: Backends, *numbers: int) -> list[str]:
    return [f"127.78.9.{k}:{backends.running[k].port}" for k in numbers]


def test_server_answers_pushes_on_change_and_drains(backends: Backends, planes: Planes) -> None:
    plane = planes.start("lookaside")
    wait_until(lambda: plane.health() == health_pb2.HealthCheckResponse.NOT_SERVING)
    backends.add(1, 2)
    planes.write(backends.entries())
    plane.wait_serving()
    with grpc.insecure_channel(plane.address, options=LOCAL) as channel:
        stub = lookaside_pb2_grpc.LoadBalancerStub(channel)
        servers = stub.GetServers(lookaside_pb2.GetServersRequest(service_name="echo"), timeout=5).servers
        assert [(s.address, s.weight, dict(s.metadata)) for s in servers] == [
            (target, 1, {"pod": f"echo-{k}", "uid": f"uid-{k}"})
            for k, target in zip((1, 2), targets(backends, 1, 2), strict=True)
        ]
        with pytest.raises(grpc.RpcError) as failure:
            stub.GetServers(lookaside_pb2.GetServersRequest(service_name="nobody"), timeout=5)
        assert failure.value.code() is grpc.StatusCode.NOT_FOUND
        assert failure.value.details() == "no service 'nobody'; known: echo"
        stream = stub.WatchServers(lookaside_pb2.WatchServersRequest(service_name="echo"), timeout=20)
        seen: list[int] = []

        def read() -> None:
            with pytest.raises(grpc.RpcError):
                seen.extend(len(push.servers) for push in stream)

        reader = threading.Thread(target=read)
        reader.start()
        for numbers, pushes in (((1,), 2), ((1,), 2), ((2,), 3), ((1, 2), 4)):
            planes.write(backends.entries(*numbers))
            wait_until(lambda pushes=pushes: len(seen) == pushes)
            time.sleep(0.15)  # for the list that changes nothing to be seen
        both = {"echo": backends.entries(), "other": backends.entries(1)}
        planes.replace(planes.file, {"services": both})
        wait_until(lambda: '"other": 1' in plane.log())
        planes.write([])
        wait_until(lambda: len(seen) == 5)
        assert seen == [2, 1, 1, 2, 0]  # what changed nothing for this service was not pushed
        assert plane.end(signal.SIGTERM) == 0
        reader.join()
        assert stream.code() is grpc.StatusCode.UNAVAILABLE
        assert stream.details() == "the balancer is shutting down"


def test_two_hundred_watchers(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2)
    planes.write(backends.entries(1))
    plane = started(planes)

    async def watch(stub: Any, first: asyncio.Semaphore) -> list[int]:
        stream = stub.WatchServers(lookaside_pb2.WatchServersRequest(service_name="echo"), timeout=20)
        found = [len((await stream.read()).servers)]
        first.release()
        found.append(len((await stream.read()).servers))
        stream.cancel()
        return found

    async def main() -> None:
        async with grpc.aio.insecure_channel(plane.address, options=LOCAL) as channel:
            first = asyncio.Semaphore(0)
            stub = lookaside_pb2_grpc.LoadBalancerStub(channel)
            watchers = [asyncio.create_task(watch(stub, first)) for _ in range(200)]
            for _ in watchers:
                await first.acquire()
            planes.write(backends.entries(1, 2))
            assert await asyncio.gather(*watchers) == [[1, 2]] * 200

    asyncio.run(main())


def test_follower_is_exact_and_closes_what_it_left(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2, 3)
    planes.write(backends.entries(1, 2))
    plane = started(planes)

    async def main() -> None:
        follower = LookasideChannel(plane.address, "echo")
        await follower.start()
        assert follower.resolved == targets(backends, 1, 2)
        assert follower.channelz_id in core.channel_ids()
        open_channels, first = len(core.channel_ids()), follower.channelz_id
        call = echo(follower)
        pods = Counter([await call() for _ in range(100)])
        assert pods == {"echo-1": 50, "echo-2": 50}
        planes.write(backends.entries(1, 2, 3))
        await until(lambda: len(follower.resolved) == 3)
        pods = Counter([await call() for _ in range(100)])
        assert sorted(pods.values()) == [33, 33, 34]
        await until(lambda: first not in core.channel_ids())
        assert len(core.channel_ids()) == open_channels
        await follower.close()
        await until(lambda: len(core.channel_ids()) == open_channels - 2)

    asyncio.run(main())


def test_new_list_waits_for_every_address_but_not_for_ever(backends: Backends) -> None:
    backends.add(1, 2)
    dead = f"127.78.9.3:{free_port('127.78.9.3')}"

    async def seconds(*addresses: str, limit_s: float, hurry: bool = False) -> tuple[bool, float]:
        generation = Generation(addresses, [("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')])
        began = time.monotonic()
        ready = await generation.connected(limit_s, hurry=lambda: hurry)
        await generation.drain(0)
        return ready, time.monotonic() - began

    ready, waited = asyncio.run(seconds(*targets(backends, 1, 2), limit_s=4))
    assert ready
    assert waited < 2
    ready, waited = asyncio.run(seconds(*targets(backends, 1), dead, limit_s=2))
    assert ready
    assert 1 < waited < 3
    ready, waited = asyncio.run(seconds(dead, limit_s=0.4))
    assert not ready
    assert 0.4 <= waited < 2
    _, waited = asyncio.run(seconds(dead, limit_s=4, hurry=True))
    assert waited < 2


def test_no_call_is_lost_while_servers_come_and_go_and_the_balancer_dies(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2)
    planes.write(backends.entries())
    plane = started(planes)

    async def main() -> None:
        follower = LookasideChannel(plane.address, "echo")
        await follower.start()
        async with Load(echo(follower)) as load:
            await until(lambda: set(load.pods) == {"echo-1", "echo-2"})
            backends.add(3)
            planes.write(backends.entries())
            await until(lambda: load.pods["echo-3"])
            planes.write(backends.entries(2, 3))
            await until(lambda: follower.resolved == targets(backends, 2, 3))
            await asyncio.to_thread(backends.remove, 1)
            plane.end()
            count = load.pods.total()
            await until(lambda: load.pods.total() > count + 50)  # on the last list
            backends.add(4)
            planes.write(backends.entries())
            updates = follower.updates
            plane.start()
            await until(lambda: load.pods["echo-4"])
            assert follower.updates == updates + 1
        assert not load.errors
        await follower.close(grace=2)

    asyncio.run(main())


def test_calls_in_flight_end_on_a_server_that_left_the_list(backends: Backends, planes: Planes) -> None:
    backends.add(1, 2)
    slow = backends.running[1].service
    quick = slow.answer
    arrived, go = threading.Semaphore(0), threading.Event()

    def answer_late(*arguments: Any) -> bytes:
        arrived.release()
        assert go.wait(20)
        return quick(*arguments)

    slow.answer = answer_late  # type: ignore[method-assign,assignment]
    planes.write(backends.entries(1))
    plane = started(planes)

    async def main() -> None:
        follower = LookasideChannel(plane.address, "echo")
        await follower.start()
        call = echo(follower)
        pending = [asyncio.ensure_future(call()) for _ in range(3)]
        for _ in pending:
            assert await asyncio.to_thread(arrived.acquire, timeout=10)
        planes.write(backends.entries(2))
        await until(lambda: follower.resolved == targets(backends, 2))
        assert not any(task.done() for task in pending)
        assert await call() == "echo-2"
        go.set()
        assert await asyncio.gather(*pending) == ["echo-1"] * 3
        await follower.close()

    asyncio.run(main())


def test_empty_list_fails_calls_until_there_is_a_server(backends: Backends, planes: Planes) -> None:
    backends.add(1)
    planes.write([])
    plane = started(planes)

    async def main() -> None:
        follower = LookasideChannel(plane.address, "echo")
        await follower.start()
        call = echo(follower)
        with pytest.raises(CallError, match="UNAVAILABLE"):
            await call()
        planes.write(backends.entries())
        await until(lambda: follower.resolved)
        assert await call() == "echo-1"
        planes.write([])
        await until(lambda: not follower.resolved)
        with pytest.raises(CallError, match="UNAVAILABLE"):
            await call()
        await follower.close()

    asyncio.run(main())


def test_balancer_that_is_down_or_knows_no_such_service(backends: Backends, planes: Planes) -> None:
    planes.write([])
    plane = started(planes)

    async def start(balancer: str, service: str) -> str:
        with pytest.raises(LabError) as failure:
            await LookasideChannel(balancer, service, connect_limit_s=1.0).start()
        return str(failure.value)

    nowhere = f"127.78.9.200:{free_port('127.78.9.200')}"
    assert asyncio.run(start(nowhere, "echo")) == (
        f"the balancer at {nowhere} named no servers for 'echo' within 1 s: no answer"
    )
    assert asyncio.run(start(plane.address, "nobody")).endswith("1 s: NOT_FOUND: no service 'nobody'; known: echo")


def test_balancer_that_comes_late_is_waited_for(backends: Backends, planes: Planes) -> None:
    backends.add(1)
    planes.write(backends.entries())
    plane = started(planes)
    plane.end()

    async def main() -> None:
        follower = LookasideChannel(plane.address, "echo")
        waiting = asyncio.create_task(follower.start())
        await asyncio.sleep(0.3)
        plane.start()
        await waiting
        assert follower.resolved == targets(backends, 1)
        plane.end()
        plane.start()
        await until(lambda: plane.log().count('"event": "watch"') == 2)
        await asyncio.sleep(0.1)
        assert follower.updates == 1  # the same list again is no update
        await follower.close()

    asyncio.run(main())

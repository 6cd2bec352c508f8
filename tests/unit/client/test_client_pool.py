"""The connection pool, with real servers that come and go."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import grpc
import pytest
import uvloop
from grpc_lb_lab.load.call_schedule import METHOD
from grpc_lb_lab.load.channels import pool as pool_module
from grpc_lb_lab.load.channels.pool import PoolChannel
from grpc_lb_lab.load.record.replies import read_reply
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.servers.config import EchoConfig
from grpc_lb_lab.servers.echo import start

OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_channelz", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
]
READY = grpc.ChannelConnectivity.READY


class Names:
    """What the name resolves to: change ``addresses``; an empty list is a name that does not resolve."""

    def __init__(self, *servers):
        self.addresses = [server.config.listen.rpartition(":")[0] + f":{server.port}" for server in servers]

    async def resolve(self):
        if not self.addresses:
            raise OSError("echo-headless does not resolve")
        return list(self.addresses)


def with_pool(names, work, per_address=2, check_s=60.0):
    async def main():
        pool = PoolChannel(0, names.resolve, OPTIONS, per_address, check_s)
        try:
            await pool.start()
            return await work(pool)
        finally:
            await pool.close()

    return uvloop.run(main())


async def until(condition, limit_s=5.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


def all_ready(pool):
    return bool(pool.connections) and all(connection.state() is READY for connection in pool.connections)


async def calls(pool, count, deadline_s=2.0):
    """Answers by UID and errors by code."""
    call, found = pool.caller(METHOD, (), deadline_s), Counter()
    for _ in range(count):
        reply, code = await call(b"")
        found[code if reply is None else read_reply(reply).uid] += 1
    return found


def test_connections_to_each_address_take_calls_in_turn(replicas):
    async def work(pool):
        await until(lambda: all_ready(pool))
        found = await calls(pool, 100)
        return found, pool.facts(), pool.look(), len(pool.channelz_ids())

    found, facts, look, channels = with_pool(Names(*replicas(3)), work)
    assert sorted(found.values()) == [33, 33, 34]
    assert (facts["connections"], facts["addresses"], channels) == (6, 3, 6)
    assert facts["calls_most"] - facts["calls_fewest"] <= 1
    assert look.state == "READY"
    assert Counter(target for target, _ in look.subchannels.values()).most_common(1)[0][1] == 2


def test_a_dead_server_is_left_out_at_once_and_comes_back(replicas):
    servers = replicas(3)

    async def work(pool):
        await until(lambda: all_ready(pool))
        victim = pool.connections[1].address
        await asyncio.to_thread(servers[1].server.stop(0).wait)
        await until(lambda: sum(connection.state() is READY for connection in pool.connections) == 4)
        without = await calls(pool, 60)
        # Its address stays in the name, its connections fail; the check replaces them until one succeeds.
        await until(lambda: pool.replaced)
        again = start(EchoConfig(victim, pod="echo-1", uid="uid-new"))
        try:
            await until(lambda: all_ready(pool))
            return without, await calls(pool, 60)
        finally:
            again.server.stop(0)

    without, after = with_pool(Names(*servers), work, check_s=0.1)
    assert without == {"uid-0": 30, "uid-2": 30}
    assert after == {"uid-0": 20, "uid-2": 20, "uid-new": 20}


def test_the_check_follows_the_name_and_calls_in_flight_end(replicas, gated):
    servers = replicas(3, gated)
    names = Names(*servers)
    third = names.addresses.pop()

    async def work(pool):
        await until(lambda: all_ready(pool))
        in_flight = asyncio.ensure_future(calls(pool, 1))  # on the first address, which leaves now
        await asyncio.sleep(0.1)
        names.addresses = [names.addresses[1], third]
        await pool.check()
        assert {connection.address for connection in pool.connections} == set(names.addresses)
        gated.gate.set()
        await until(lambda: all_ready(pool))
        return await in_flight, await calls(pool, 40)

    in_flight, after = with_pool(names, work)
    assert in_flight == {"uid-0": 1}
    assert after == {"uid-1": 20, "uid-2": 20}


def test_a_name_that_fails_keeps_what_is_there(replicas):
    names = Names(*replicas(2))

    async def work(pool):
        await until(lambda: all_ready(pool))
        names.addresses = []
        await pool.check()
        return await calls(pool, 10)

    assert with_pool(names, work) == {"uid-0": 5, "uid-1": 5}


def test_broken_connections_come_last(replicas):
    names = Names(*replicas(1))
    names.addresses.append("127.98.1.250:1")  # nobody listens

    async def work(pool):
        await until(lambda: [c.state() for c in pool.connections].count(READY) == 2)
        await until(lambda: any(c.state() in pool_module.BROKEN for c in pool.connections))
        good = await calls(pool, 20)
        for connection in [c for c in pool.connections if c.state() is READY]:
            pool.connections.remove(connection)
            await connection.close()
        return good, await calls(pool, 3)

    good, bad = with_pool(names, work)
    assert good == {"uid-0": 20}
    assert bad == {"UNAVAILABLE": 3}


def test_an_empty_pool_refuses_calls(replicas):
    async def work(pool):
        connections, pool.connections = pool.connections, []
        found = await calls(pool, 2)
        pool.connections = connections
        return found

    assert with_pool(Names(*replicas(1)), work) == {"UNAVAILABLE": 2}


def test_no_address_at_the_start_is_told(monkeypatch):
    monkeypatch.setattr(pool_module, "START_LIMIT_S", 0.3)
    with pytest.raises(LabError, match="no address to connect to: echo-headless does not resolve"):
        with_pool(Names(), calls)


def test_a_run_over_a_pool_is_exact_and_tells_its_figures(replicas, name_server, plan, run):
    servers = replicas(3)
    names = name_server({"echo-headless": [f"127.98.1.{number + 1}" for number in range(3)]})
    address = f"echo-headless:{servers[0].port}"
    client = {"pool": {"connectionsPerAddress": 3, "checkIntervalMs": 50}}
    result = run(plan(address, "pool", dns=names, client=client, requests=100, replicas=3))
    assert sorted(backend.requests for backend in result.backends) == [33, 33, 34]
    assert result.policy == "pool"
    assert len(result.connections) == 9
    assert len(result.per_channel) == 1  # one round robin, so one channel for the verdict's ±1
    assert result.probes["channel"]["connections"] == 9
    assert result.notes == []

"""The private parts of grpcio that the client uses are where it looks for them."""

from __future__ import annotations

import asyncio

import grpc
import uvloop
from grpc_lb_lab.load.channels import core
from grpc_lb_lab.load.record.replies import read_reply
from grpc_lb_lab.pb.echo.v1 import echo_pb2

METHOD = "/echo.v1.EchoService/Echo"


def call(address, method=METHOD, request=b"", deadline_s=5.0):
    async def main():
        async with grpc.aio.insecure_channel(f"ipv4:{address}") as channel:
            return await core.unary_caller(channel, method, (("x-lab-run", "r"),), deadline_s)(request)

    return uvloop.run(main())


def test_answer_is_the_replys_bytes(replicas):
    (server,) = replicas(1)
    reply, code = call(f"127.98.1.1:{server.port}", request=echo_pb2.EchoRequest(payload=b"x").SerializeToString())
    assert code is None
    assert echo_pb2.EchoReply.FromString(reply).payload == b"x"
    assert read_reply(reply).uid == "uid-0"
    assert server.service.counters.snapshot("r").attempts == 1


def test_failures_are_named_by_their_status(replicas, gated):
    (server,) = replicas(1, gated)
    address = f"127.98.1.1:{server.port}"
    assert call(address, method="/echo.v1.EchoService/Nothing") == (None, "UNIMPLEMENTED")
    assert call(address, deadline_s=0.1) == (None, "DEADLINE_EXCEEDED")
    assert call("127.98.1.99:1") == (None, "UNAVAILABLE")


def test_cancelling_cancels_the_call(replicas, gated):
    (server,) = replicas(1, gated)

    async def main():
        async with grpc.aio.insecure_channel(f"ipv4:127.98.1.1:{server.port}") as channel:
            task = asyncio.ensure_future(core.unary_caller(channel, METHOD, (), 30.0)(b""))
            while not server.service.counters.in_flight:
                await asyncio.sleep(0.01)
            task.cancel()
            return await asyncio.gather(task, return_exceptions=True)

    (outcome,) = uvloop.run(main())
    assert isinstance(outcome, asyncio.CancelledError)


def test_calls_over_a_closed_channel_are_cancelled(replicas):
    (server,) = replicas(1)

    async def main():
        channel = grpc.aio.insecure_channel(f"ipv4:127.98.1.1:{server.port}")
        before = core.unary_caller(channel, METHOD, (), 5.0)
        assert (await before(b""))[1] is None
        await channel.close()
        await asyncio.sleep(0.05)  # the core frees the channel behind our back
        after = core.unary_caller(channel, f"{METHOD}Stream", (), 5.0)
        return await before(b""), await after(b"")

    assert uvloop.run(main()) == ((None, "CANCELLED"), (None, "CANCELLED"))


def test_channelz_tells_state_policy_and_connections(replicas):
    (server,) = replicas(1)

    async def main():
        before = max(core.channel_ids(), default=-1)
        options = [("grpc.enable_channelz", 1), ("grpc.max_channel_trace_event_memory_per_node", 16384)]
        async with grpc.aio.insecure_channel(f"ipv4:127.98.1.1:{server.port}", options=options) as channel:
            (channel_id,) = core.channel_ids(after=before)
            assert core.look_at(channel_id).state != "READY"
            await channel.channel_ready()
            look = core.look_at(channel_id)
            (subchannel_id,) = look.subchannels
            (socket_id,) = core.socket_ids(subchannel_id)
            return look, core.socket_addresses(socket_id)

    look, (local, remote) = uvloop.run(main())
    assert look.state == "READY"
    assert look.policies == ("pick_first",)
    assert list(look.subchannels.values()) == [(f"ipv4:127.98.1.1:{server.port}", "READY")]
    assert remote == f"127.98.1.1:{server.port}"
    assert local.startswith("127.0.0.1:")


def test_what_has_gone_is_empty():
    assert core.look_at(10**9) == core.Look("UNKNOWN", {}, ())
    assert core.socket_ids(10**9) == []
    assert core.socket_addresses(10**9) == ("", "")


def test_addresses_of_both_families():
    assert core._address({"tcpipAddress": {"ipAddress": "AAAAAAAAAAAAAAAAAAAAAQ==", "port": 5}}) == "[::1]:5"
    assert core._address({"tcpipAddress": {"ipAddress": "fwAAAQ==", "port": 5}}) == "127.0.0.1:5"

"""Which channel, method and key each call takes, and what the recorder keeps of it."""

from __future__ import annotations

from collections import Counter
from itertools import cycle, islice

import pytest
from grpc_lb_lab.load import call_schedule
from grpc_lb_lab.load.call_schedule import CallSlot
from grpc_lb_lab.load.record.recorder import Recorder
from grpc_lb_lab.pb.echo.v1 import echo_pb2


@pytest.fixture
def keyed(plan):
    def make(count=200, **load):
        return plan(client={"keys": {"header": "x-user", "count": count}}, **load)

    return make


def taken(plan, index):
    requests = call_schedule.pace_of(plan.load, index).requests
    return list(islice(cycle(call_schedule.lanes(plan, index)), requests))


def test_without_keys_a_lane_is_a_channel(plan):
    assert call_schedule.lanes(plan(connections=3), 1) == [CallSlot(0), CallSlot(1), CallSlot(2)]


def test_keys_are_seeded_and_different(keyed):
    keys = call_schedule.keys_of(keyed(1000))
    assert len(set(keys)) == 1000
    assert keys == call_schedule.keys_of(keyed(1000))
    assert not set(keys) & set(call_schedule.keys_of(keyed(1000, seed=2)))
    assert keys[:200] == call_schedule.keys_of(keyed(200))


@pytest.mark.parametrize(
    ("clients", "connections", "requests"), [(1, 1, 1000), (3, 1, 2003), (4, 7, 1001), (10, 5, 999)]
)
def test_all_keys_get_as_many_calls_over_all_clients(keyed, clients, connections, requests):
    plan = keyed(200, clients=clients, connections=connections, requests=requests)
    calls = [lane for index in range(clients) for lane in taken(plan, index)]
    keys, channels = Counter(lane.key for lane in calls), Counter(lane.channel for lane in calls)
    assert len(calls) == requests
    assert len(keys) == 200
    assert max(keys.values()) - min(keys.values()) <= 1
    assert max(channels.values()) - min(channels.values()) <= clients


def test_long_rounds_are_cut_but_use_everything(keyed):
    lanes = call_schedule.lanes(keyed(1000, connections=999), 0)
    assert len(lanes) <= call_schedule.MOST_LANES
    assert {lane.channel for lane in lanes} == set(range(999))
    assert len({lane.key for lane in lanes}) == 1000


def test_methods_take_turns(plan):
    lanes = call_schedule.lanes(
        plan(client={"methods": ["greeter.Greeter/SayHello", "orders.OrderService/GetOrder"]}), 0
    )
    assert [lane.method for lane in lanes] == ["greeter.Greeter/SayHello", "orders.OrderService/GetOrder"]


def test_a_duration_spreads_the_clients_over_the_keys(keyed):
    plan = keyed(200, clients=4, requests=None, duration_s=5)
    first = [call_schedule.lanes(plan, index)[0].key for index in range(4)]
    assert first == [call_schedule.keys_of(plan)[place] for place in (0, 50, 100, 150)]


def test_recorder_counts_by_key_method_and_channel():
    def reply(uid):
        return echo_pb2.EchoReply(backend=echo_pb2.Backend(pod=uid, uid=uid), peer="ipv4:1.2.3.4:5").SerializeToString()

    lanes = [CallSlot(0, "a.A/B", "one"), CallSlot(1, "a.A/C", "two"), CallSlot(0, "a.A/B", "never")]
    recorder = Recorder(2, 1e9, 0.0, lanes)
    for number in range(10):
        recorder.record_ok(number % 2, 0.0, 0.01, reply(f"uid-{number % 2}"))
    recorder.record_ok(0, 0.0, 0.01, reply("uid-1"))
    recorder.fold(1.0)
    assert recorder.keys() == {"one": {"uid-0": 5, "uid-1": 1}, "two": {"uid-1": 5}}
    assert recorder.methods() == {"a.A/B": {"uid-0": 5, "uid-1": 1}, "a.A/C": {"uid-1": 5}}
    assert recorder.per_channel() == [{"uid-0": 5, "uid-1": 1}, {"uid-1": 5}]


def test_memory_is_bounded_over_all_keys_together(monkeypatch):
    monkeypatch.setattr("grpc_lb_lab.load.record.recorder.REPLIES_KEPT", 50)
    recorder = Recorder(1, 1e9, 0.0, [CallSlot(0, key=str(number)) for number in range(40)])
    for number in range(4000):
        backend = echo_pb2.Backend(pod="p", uid=f"uid-{number % 7}")
        message = echo_pb2.EchoReply(backend=backend, peer=f"ipv4:1.2.3.4:{number}")
        recorder.record_ok(number % 40, 0.0, 0.01, message.SerializeToString())
        assert sum(len(cells) for cells in recorder._cells) <= 50
    recorder.fold(1.0)
    assert sum(sum(found.values()) for found in recorder.keys().values()) == 4000

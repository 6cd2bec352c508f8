"""The recorder: exact sums, fixed size."""

from __future__ import annotations

import pickle
import random

import pytest
from grpc_lb_lab.load.record import recorder as recorder_module
from grpc_lb_lab.load.record.histogram import FastHistogram
from grpc_lb_lab.load.record.recorder import Recorder
from grpc_lb_lab.load.record.timeline import MOST_BUCKETS, Timeline
from grpc_lb_lab.model import latency
from grpc_lb_lab.pb.echo.v1 import echo_pb2

EPOCH = 1_800_000_000.0


def reply(uid="uid-0", port=1, headers=None):
    backend = echo_pb2.Backend(pod=f"pod of {uid}", uid=uid, ip="10.0.0.1", started_at=1.0)
    message = echo_pb2.EchoReply(backend=backend, peer=f"ipv4:10.0.0.9:{port}", path_headers=headers or {})
    return message.SerializeToString()


def test_histogram_is_the_librarys():
    draw = random.Random(7)
    values = [1, 2, 2047, 2048, 2049, 4095, 4096, 599_999_999, 600_000_000]
    values += [int(10 ** draw.uniform(0, 8.7)) for _ in range(20_000)]
    fast, slow = FastHistogram(), latency.new_histogram()
    for value in values:
        fast.record(value / 1e6)
        latency.record(slow, value)
    assert fast.encoded() == latency.encode(slow)


@pytest.mark.parametrize(("seconds", "microseconds"), [(0.0, 1), (-1.0, 1), (1e9, latency.HIGHEST_US)])
def test_histogram_counts_what_is_out_of_range_at_the_edge(seconds, microseconds):
    fast, slow = FastHistogram(), latency.new_histogram()
    fast.record(seconds)
    latency.record(slow, microseconds)
    assert fast.encoded() == latency.encode(slow)


def test_empty_histogram_reads_as_empty():
    assert latency.decode(FastHistogram().encoded()).get_total_count() == 0


def test_every_figure_adds_up():
    recorder = Recorder(2, EPOCH, 0.0)
    for number in range(1000):
        now = number * 0.013
        if number % 10 == 9:
            recorder.record_failed(now - 0.5, now, "UNAVAILABLE" if number % 20 == 9 else "DEADLINE_EXCEEDED")
        else:
            recorder.record_ok(number % 2, now - 0.001, now, reply(f"uid-{number % 3}", port=number % 2))
    recorder.fold(13.0)
    buckets = recorder.timeline.buckets()
    assert (recorder.requests, recorder.ok, recorder.failed) == (1000, 900, 100)
    assert recorder.errors == {"UNAVAILABLE": 50, "DEADLINE_EXCEEDED": 50}
    assert sum(bucket.ok for bucket in buckets) == 900
    assert sum(bucket.failed for bucket in buckets) == 100
    assert sum(sum(bucket.per_backend.values()) for bucket in buckets) == 900
    assert sum(backend.requests for backend in recorder.backends()) == 900
    assert sum(sum(counts.values()) for counts in recorder.per_channel()) == 900
    assert sum(path.requests for path in recorder.paths()) == 900
    assert recorder.latency.to_hdr().get_total_count() == 1000


def test_calls_count_in_the_interval_they_ended_in():
    recorder = Recorder(1, EPOCH, 0.0)
    for now in (0.01, 0.09, 0.11, 0.35):
        recorder.record_ok(0, now, now, reply())
    recorder.fold(0.4)
    first = int(EPOCH * 10)
    assert [(bucket.index - first, bucket.ok) for bucket in recorder.timeline.buckets()] == [(0, 2), (1, 1), (3, 1)]


def test_first_and_last_seen_are_epoch_times():
    recorder = Recorder(1, EPOCH, 0.0)
    for now in (0.5, 1.0, 7.25):
        recorder.record_ok(0, now, now, reply())
    recorder.fold(8.0)
    (backend,) = recorder.backends()
    assert (backend.first_seen_at, backend.last_seen_at) == (EPOCH + 0.5, EPOCH + 7.25)


def test_paths_are_counted_by_host_and_headers():
    recorder = Recorder(1, EPOCH, 0.0)
    for port in range(5):
        recorder.record_ok(0, 0.0, 0.01, reply(port=port))
    recorder.record_ok(0, 0.0, 0.01, reply(headers={"via": "envoy-client"}))
    recorder.fold(1.0)
    found = [(path.peer_host, path.headers, path.requests) for path in recorder.paths()]
    assert found == [("10.0.0.9", {}, 5), ("10.0.0.9", {"via": "envoy-client"}, 1)]


@pytest.mark.parametrize("answer", [b"\xff\xff\xff", echo_pb2.EchoReply(payload=b"x").SerializeToString()])
def test_answer_that_names_no_replica_is_a_failed_call(answer):
    recorder = Recorder(1, EPOCH, 0.0)
    recorder.record_ok(0, 0.0, 0.01, answer)
    recorder.fold(1.0)
    assert (recorder.ok, recorder.failed, recorder.errors) == (0, 1, {"INTERNAL": 1})
    assert sum(bucket.failed for bucket in recorder.timeline.buckets()) == 1


def test_a_million_calls_take_the_memory_of_a_hundred_thousand():
    recorder = Recorder(1, EPOCH, 0.0)
    replies = [reply(f"uid-{number % 5}", port=number) for number in range(3000)]  # more than are kept

    def record(first, last):
        for number in range(first, last):
            now = number * 0.0006  # ten minutes in all
            recorder.record_ok(0, now - 0.0005, now, replies[number // 300 % 3000])

    record(0, 100_000)
    early = len(pickle.dumps(recorder))
    record(100_000, 1_000_000)
    recorder.fold(600.0)
    assert recorder.requests == 1_000_000
    assert sum(bucket.ok for bucket in recorder.timeline.buckets()) == 1_000_000
    assert sum(backend.requests for backend in recorder.backends()) == 1_000_000
    assert len(recorder.timeline.buckets()) <= MOST_BUCKETS
    assert max(len(cells) for cells in recorder._cells) <= recorder_module.REPLIES_KEPT
    assert len(pickle.dumps(recorder)) < 2 * early


def test_more_paths_than_are_kept_are_counted_together(monkeypatch):
    monkeypatch.setattr(recorder_module, "PATHS_KEPT", 3)
    recorder = Recorder(1, EPOCH, 0.0)
    for number in range(10):
        recorder.record_ok(0, 0.0, 0.01, reply(headers={"x-envoy-attempt-count": str(number)}))
    recorder.fold(1.0)
    assert len(recorder.paths()) == 4
    assert sum(path.requests for path in recorder.paths()) == 10


def test_timeline_doubles_its_interval_on_the_epochs_grid():
    timeline = Timeline()
    for tenth in range(450):
        timeline.add(EPOCH + tenth / 10 + 0.05, 1, 1, {"u": 1})
    assert timeline.interval_s == pytest.approx(0.4)
    buckets = timeline.buckets()
    assert buckets[0].index == int(EPOCH * 10) >> 2
    assert len(buckets) <= MOST_BUCKETS
    assert sum(bucket.ok for bucket in buckets) == sum(bucket.per_backend["u"] for bucket in buckets) == 450


def test_timeline_counts_a_gap_as_length():
    timeline = Timeline()
    timeline.add(EPOCH, 1, 0, {})
    timeline.add(EPOCH + 600, 1, 0, {})
    assert timeline.interval_s == pytest.approx(3.2)
    assert [bucket.ok for bucket in timeline.buckets()] == [1, 1]
    assert timeline.next_edge(EPOCH) > EPOCH


def test_histogram_up_to_bounds():
    draw = random.Random(3)
    values = [draw.lognormvariate(-8, 1.5) for _ in range(5_000)]
    fast = FastHistogram()
    for value in values:
        fast.record(value)
    bounds = (1e-4, 3e-4, 1e-3, 0.01, 1.0)
    counts, seconds = fast.up_to(bounds)
    assert counts == [pytest.approx(sum(value <= bound for value in values), abs=15) for bound in bounds]
    assert counts[-1] == 5_000
    assert seconds == pytest.approx(sum(values), rel=0.01)
    assert FastHistogram().up_to(bounds) == ([0] * 5, 0)


def test_answered_counts_what_is_folded_and_what_is_not():
    recorder = Recorder(2, EPOCH, 0.0)
    for call in range(5):
        recorder.record_ok(call % 2, 0.0, 0.001, reply(f"uid-{call % 2}"))
    recorder.fold(0.002)
    recorder.record_ok(0, 0.002, 0.003, reply("uid-0"))
    recorder.record_failed(0.002, 0.003, "UNAVAILABLE")
    before = recorder.timeline.buckets()
    assert recorder.answered() == {"pod of uid-0": 4, "pod of uid-1": 2}
    assert recorder.timeline.buckets() == before
    assert recorder.pods() == {"10.0.0.1": "pod of uid-1"}

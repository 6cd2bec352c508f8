"""Merging loses nothing: sums over clients, timelines, histograms, snapshots."""

from __future__ import annotations

import dataclasses
import random

import pytest
import report_factory as made
from grpc_lb_lab.judge.merge import merge
from grpc_lb_lab.judge.timeline import MAX_BUCKETS, merge_timelines
from grpc_lb_lab.model import latency
from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.inventory import Inventory, Replica
from grpc_lb_lab.model.result import Bucket, ClientResult


def random_client(generator, index):
    """A client with any interval of the grid and calls anywhere in its time."""
    interval = 0.1 * 2 ** generator.randint(0, 6)
    first = int((made.START + generator.uniform(0, 5)) / interval)
    timeline, counts, lost = [], [0] * 5, 0
    for step in range(generator.randint(1, 60)):
        backends = {made.uid(i): generator.randint(0, 9) for i in range(5)}
        failed = generator.choice([0, 0, 0, 2])
        for i in range(5):
            counts[i] += backends[made.uid(i)]
        lost += failed
        if generator.random() < 0.8 or step == 0:
            timeline.append(Bucket(first + step, sum(backends.values()), failed, backends))
        else:  # a hole: nothing ended in this interval
            lost -= failed
            for i in range(5):
                counts[i] -= backends[made.uid(i)]
    return made.client(
        [counts], index=index, failed={"UNAVAILABLE": lost} if lost else {}, timeline=timeline, interval_s=interval
    )


def test_sums_survive_any_mixture_of_clients():
    generator = random.Random(42)
    for _ in range(60):
        results = [random_client(generator, index) for index in range(generator.randint(1, 12))]
        facts = merge(results, made.inventory())
        buckets = facts.timeline.buckets
        assert facts.requests == sum(result.requests for result in results)
        assert sum(bucket.ok + bucket.failed for bucket in buckets) == facts.requests
        assert sum(sum(bucket.per_backend.values()) for bucket in buckets) == facts.ok == sum(facts.counts)
        assert sum(bucket.failed for bucket in buckets) == facts.failed == sum(facts.errors.values())
        assert facts.latency.get_total_count() == facts.ok
        assert facts.timeline.interval_s >= max(result.interval_s for result in results)
        assert all(bucket.t_s >= 0 for bucket in buckets)
        assert facts.clients == len(results)


def test_timeline_folds_to_the_largest_interval_on_the_epoch_grid():
    fine = made.client([[4, 0]], interval_s=0.1, timeline=[Bucket(7, 1, 0, {"u": 1}), Bucket(8, 3, 0, {"u": 3})])
    coarse = made.client([[5, 0]], index=1, interval_s=0.4, timeline=[Bucket(1, 4, 1, {"u": 4})])
    timeline = merge_timelines([fine, coarse], started_at=0.5)
    assert timeline.interval_s == 0.4
    # 0.7 s lies in 0.4 … 0.8, together with the coarse one; 0.8 s begins the next
    assert [(bucket.t_s, bucket.ok, bucket.failed) for bucket in timeline.buckets] == [(0.0, 5, 1), (0.3, 3, 0)]


def test_timeline_fills_holes_and_stays_small():
    one = made.client([[2, 0]], timeline=[Bucket(0, 1, 0, {"u": 1}), Bucket(3, 1, 0, {"u": 1})])
    assert [bucket.ok for bucket in merge_timelines([one], 0.0).buckets] == [1, 0, 0, 1]
    long = made.client([[2, 0]], timeline=[Bucket(0, 1, 0, {"u": 1}), Bucket(10**9, 1, 0, {"u": 1})])
    folded = merge_timelines([long], 0.0)
    assert len(folded.buckets) <= MAX_BUCKETS
    assert sum(bucket.ok for bucket in folded.buckets) == 2


def test_timelines_off_the_grid_are_refused():
    results = [made.client([[1, 0]], interval_s=0.1), made.client([[1, 0]], index=1, interval_s=0.15)]
    with pytest.raises(LabError, match=r"0\.1 s and 0\.15 s"):
        merge_timelines(results, 0.0)


def test_replicas_are_all_listed_in_natural_order_with_zero():
    known = [Replica(f"echo-{index}", f"u{index}", f"127.77.1.{index}") for index in (10, 2, 1)]
    facts = merge([made.client([[5, 0]])], Inventory(cluster="local", replicas=known))
    assert [(replica.label, replica.requests, replica.known) for replica in facts.replicas] == [
        ("echo-1", 0, True),
        ("echo-2", 0, True),
        ("echo-10", 0, True),
        ("echo-0", 5, False),
    ]
    assert facts.replicas[0].first_seen_at is None


def test_a_reused_name_is_told_apart_by_uid():
    known = Inventory(cluster="kind", replicas=[Replica("echo-0", "new-uid-1234567", "10.0.0.1")])
    facts = merge([made.client([[5, 0]])], known)
    assert [replica.label for replica in facts.replicas] == ["echo-0 (new-uid-)", "echo-0 (uid-0)"]
    assert facts.label("uid-0") == "echo-0 (uid-0)"
    assert facts.label("nobody") == "nobody"


def test_servers_keep_the_snapshot_with_most_attempts():
    early = made.client([[10, 0]], attempts=[10, 0])
    late = made.client([[10, 0]], index=1, attempts=[20, 0])
    for results in ([early, late], [late, early]):
        assert [server.attempts for server in merge(results, made.inventory(2)).servers] == [20, 0]


def test_each_client_has_its_own_sidecar_even_at_the_same_address():
    results = [
        made.client([[10, 0]], index=index, proxies=[made.envoy(10, address="127.0.0.1:9901")]) for index in range(3)
    ]
    assert sum(proxy.upstream_requests for proxy in merge(results, made.inventory(2)).proxies) == 30


def test_a_shared_proxy_read_by_many_counts_once():
    shared = [dataclasses.replace(made.envoy(amount), hop="gateway") for amount in (20, 30)]
    results = [made.client([[10, 0]], index=index, proxies=[proxy]) for index, proxy in enumerate(shared)]
    assert [proxy.upstream_requests for proxy in merge(results, made.inventory(2)).proxies] == [30]


def test_notes_and_versions():
    results = [
        made.client([[5, 0]], index=0, notes=["slow start", "only here"], versions={"grpcio": "1.85.0"}),
        made.client([[5, 0]], index=1, notes=["slow start"], versions={"grpcio": "1.84.0"}),
    ]
    facts = merge(results, made.inventory(2, notes=["from the lab"]))
    assert facts.notes == ["from the lab", "slow start", "client 0: only here"]
    assert facts.versions == {"envoy": "1.40.0", "grpcio": "1.84.0, 1.85.0"}


def test_no_client_and_a_client_twice_are_errors():
    with pytest.raises(LabError, match="no client finished"):
        merge([], made.inventory())
    with pytest.raises(LabError, match="client 0 reported twice"):
        merge([made.client([[5, 0]]), made.client([[5, 0]])], made.inventory(2))


def test_results_survive_json():
    one = made.client([[5, 0]], keys={"k": {"uid-0": 5}}, proxies=[made.envoy(5)])
    assert from_dict(ClientResult, to_dict(one)) == one


def test_latency_merges_as_if_recorded_together():
    generator = random.Random(9)
    parts, together = [], latency.new_histogram()
    for _ in range(5):
        part = latency.new_histogram()
        for _ in range(500):
            value = generator.lognormvariate(7, 1.5)
            latency.record(part, value)
            latency.record(together, value)
        parts.append(latency.encode(part))
    merged = latency.merge(parts)
    assert latency.summarize(merged) == latency.summarize(together)
    assert sum(bar.calls for bar in latency.bars(merged)) == 2500


def test_latency_keeps_three_digits_and_both_ends_of_the_range():
    histogram = latency.new_histogram()
    for value in (0, 1234, 10**12):
        latency.record(histogram, value)
    assert histogram.get_total_count() == 3
    assert latency.summarize(histogram).p50 == pytest.approx(1.234, rel=1e-3)
    assert latency.summarize(histogram).max == pytest.approx(600_000, rel=1e-3)


def test_latency_of_nothing_and_of_nonsense():
    assert latency.summarize(latency.decode("")).p99 is None
    assert latency.bars(latency.decode("")) == []
    for text in ("nonsense", "HISTFAAAACJ4nJNpmSzMwMDAzAABMJoRRCgfdmOw", "é"):
        with pytest.raises(LabError, match="latency histogram"):
            latency.decode(text)


def test_cpu_of_shared_proxies_is_that_between_all_clients_first_and_last_call():
    gateway, sidecar = "127.77.0.20:9901", "127.77.2.{}:15001"
    proxies = [dataclasses.replace(made.envoy(500, address=sidecar.format(i)), cpu_s=None) for i in (1, 2)]
    shared = dataclasses.replace(made.envoy(0, address=gateway), hop="gateway", first={}, counters={}, cpu_s=None)
    results = [
        made.client([[100] * 5], proxies=[proxies[0], shared],
                    hop_cpu={gateway: [3.0, 3.4], sidecar.format(1): [1.0, 1.1], "the port-forward": [0.0, 0.01]}),
        made.client([[100] * 5], index=1, proxies=[proxies[1], shared],
                    hop_cpu={gateway: [3.1, 3.5], sidecar.format(2): [2.0, 2.2], "the port-forward": [0.005, 0.02]}),
    ]  # fmt: skip
    facts = merge(results, made.inventory())
    assert {proxy.address: proxy.cpu_s for proxy in facts.proxies} == {
        gateway: 0.5, sidecar.format(1): 0.1, sidecar.format(2): 0.2,
    }  # fmt: skip
    assert facts.cpu.proxies_s == 0.82
    assert [one.name for one in facts.cpu.busiest if one.role == "proxy"] == ["gateway"]


def test_a_proxy_without_a_reading_leaves_all_proxies_unknown():
    proxies = [dataclasses.replace(made.envoy(500, address=f"127.77.2.{i}:15001"), cpu_s=None) for i in (1, 2)]
    results = [
        made.client(
            [[100] * 5], index=i, proxies=[proxies[i]], hop_cpu={proxies[0].address: [1.0, 1.1]} if not i else {}
        )
        for i in range(2)
    ]
    assert merge(results, made.inventory()).cpu.proxies_s is None

"""Proxies that clients share: many readings make one figure, and each method of a call is judged for itself."""

from __future__ import annotations

import dataclasses

import pytest
import report_factory as made
from grpc_lb_lab.judge.classes import classify, sample_of
from grpc_lb_lab.judge.merge import merge
from grpc_lb_lab.judge.path import prove_path
from grpc_lb_lab.judge.reconciliation import reconcile
from grpc_lb_lab.judge.shared_proxies import combine
from grpc_lb_lab.model.result import ProxyStats
from grpc_lb_lab.model.strategy import Strategy

FULL = [[200] * 5]
CHANCE = Strategy(precision="chance")


def reading(first: int, last: int, hop: str = "gateway", address: str = "127.77.0.20:9901", **more) -> ProxyStats:
    return ProxyStats(
        hop, address, last - first, 5, 0, {"requests": last, "connections": 5}, first={"requests": first}, **more
    )


def servers(*warmups: int):
    return [
        dataclasses.replace(server, warmup_attempts=warmup)
        for server, warmup in zip(made.client([[1] * len(warmups)]).servers, warmups, strict=True)
    ]


def test_the_earliest_and_the_latest_reading_enclose_all_calls():
    found = combine([reading(100, 700), reading(110, 1120), reading(105, 900)], servers(10, 10))
    assert found.upstream_requests == 1020 - 20
    assert found.upstream_connections == 5
    assert found.counters["requests"] == 1020


def test_readings_that_count_themselves_are_taken_off():
    # Three clients read twice each; the first reading is not in what came after it.
    found = combine([reading(1, 1026, reading_counts=1) for _ in range(3)], servers(20, 0))
    assert found.upstream_requests == 1000


def test_a_proxy_beside_a_server_answers_for_that_server_alone():
    own = [reading(0, 210, "envoy-server", f"{made.ip(index)}:9902") for index in range(2)]
    assert [combine([one], servers(10, 7)).upstream_requests for one in own] == [200, 203]


def test_merged_readings_are_one_proxy():
    results = [made.client([[10, 0]], index=index, proxies=[reading(0, 14 + 10 * index)]) for index in range(2)]
    [proxy] = merge(results, made.inventory(2)).proxies
    assert proxy.upstream_requests == 20


@pytest.mark.parametrize("counted", [999, 0])
def test_a_gateway_that_counted_less_than_was_answered_proves_nothing(counted):
    result = made.client(FULL, remotes=["127.77.0.20:8080"], via="gateway", proxies=[reading(0, counted)])
    path = prove_path(merge([result], made.inventory()), made.plan(hops=("gateway",)))
    assert not path.proven
    assert "fewer than the calls answered" in path.reason


def test_a_gateway_whose_counters_are_missing_proves_nothing():
    result = made.client(FULL, remotes=["127.77.0.20:8080"], via="gateway")
    path = prove_path(merge([result], made.inventory()), made.plan(hops=("gateway",)))
    assert not path.proven
    assert "counters of gateway could not be read" in path.reason


def test_the_second_proxy_must_have_counted_as_well():
    both = [made.envoy(1000), *(reading(0, 202, "envoy-server", f"{made.ip(index)}:9902") for index in range(5))]
    assert reconcile(merge([made.client(FULL, proxies=both)], made.inventory())).explained
    short = reconcile(merge([made.client(FULL, proxies=both[:-1])], made.inventory()))
    assert not short.explained
    assert "envoy-server counted 800 attempts" in short.detail


def methods(*tables: list[int]) -> dict[str, dict[str, int]]:
    return {
        f"a.Service/Method{number}": {made.uid(index): calls for index, calls in enumerate(table)}
        for number, table in enumerate(tables)
    }


@pytest.mark.parametrize(
    ("tables", "observed"),
    [
        (([100] * 5, [100] * 5), "even"),
        # In sum even, but each method knows only some of the replicas.
        (([200, 200, 100, 0, 0], [0, 0, 100, 200, 200]), "skewed"),
        (([100, 110, 90, 105, 95], [100, 90, 110, 95, 105]), "even"),
    ],
)
def test_even_means_even_for_each_method(tables, observed):
    result = dataclasses.replace(made.client(FULL), methods=methods(*tables))
    assert classify(sample_of(merge([result], made.inventory()), CHANCE), "even") == observed

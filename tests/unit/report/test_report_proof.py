"""Path proof and reconciliation: what counts as proven and explained, and what does not."""

from __future__ import annotations

import dataclasses

import pytest
import report_factory as made
from grpc_lb_lab.judge.merge import merge
from grpc_lb_lab.judge.path import normal_address, prove_path, via_hops
from grpc_lb_lab.judge.reconciliation import reconcile
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.model.result import PathCount

SERVICE = [f"ipv4:{made.SERVICE_IP}:50051"]
SIDECAR = ["ipv4:127.77.2.1:15001"]
FULL = [[200] * 5]
GATEWAY = dataclasses.replace(made.envoy(1000), hop="gateway")
BOTH = [made.envoy(1000), dataclasses.replace(made.envoy(1000), hop="envoy-server")]


def proof(result, *hops):
    return prove_path(merge([result], made.inventory()), made.plan(hops=hops))


def test_via_header():
    assert via_hops({"via": "1.1 envoy-client, envoy-server"}) == ["envoy-client", "envoy-server"]
    assert via_hops({"Via": "envoy-client"}) == ["envoy-client"]
    assert via_hops({"x-forwarded-for": "a"}) == []


@pytest.mark.parametrize(
    ("grpc", "plain"),
    [("ipv4:10.0.0.1:80", "10.0.0.1:80"), ("ipv6:%5B::1%5D:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")],
)
def test_addresses_are_compared_without_grpcs_scheme(grpc, plain):
    assert normal_address(grpc) == plain


@pytest.mark.parametrize(
    ("result", "hops"),
    [
        (made.client(FULL), ()),
        (made.client(FULL, remotes=SERVICE), ("service",)),
        (made.client(FULL, remotes=["127.0.0.1:40000"]), ("port-forward",)),
        (made.client(FULL, remotes=SIDECAR, via="1.1 envoy-client", proxies=[made.envoy(1000)]), ("envoy-client",)),
        (
            made.client(FULL, remotes=SIDECAR, via="envoy-client, envoy-server", proxies=BOTH),
            ("envoy-client", "envoy-server"),
        ),
        (made.client(FULL, remotes=["203.0.113.7:443"], via="gateway", proxies=[GATEWAY]), ("gateway",)),
    ],
)
def test_proven(result, hops):
    path = proof(result, *hops)
    assert path.proven, path.reason
    assert path.hops == ["client", *hops, "server"] == path.expected
    assert path.server_saw_peers == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("result", "hops", "reason"),
    [
        (made.client(FULL), ("service",), "127.77.1.1:50051, a replica, instead of the Service's address"),
        (made.client(FULL, remotes=SERVICE), (), "the Service's address, instead of the replicas directly"),
        (made.client(FULL, remotes=SIDECAR), (), "neither the Service's nor a replica's"),
        (made.client(FULL, remotes=["127.0.0.1:40000"]), ("service",), "a port-forward, instead of"),
        (made.client(FULL, remotes=[]), (), "no connection"),
        (made.client(FULL, remotes=[*SERVICE, "127.77.1.2:50051"]), ("service",), "a replica"),
        (made.client(FULL, via="envoy-client"), (), "1,000 of 1,000 calls came through envoy-client, expected none"),
        (made.client(FULL, remotes=SIDECAR, proxies=[made.envoy(1000)]), ("envoy-client",), "came through no proxy"),
        (made.client(FULL, via="envoy-client", proxies=[made.envoy(1000)]), ("envoy-client",), "a replica, instead of"),
        (made.client(FULL, remotes=SIDECAR, via="envoy-client"), ("envoy-client",), "could not be read"),
        (
            made.client(FULL, remotes=SIDECAR, via="envoy-client", proxies=[made.envoy(900)]),
            ("envoy-client",),
            "counted 900 requests, fewer than the calls answered",
        ),
        (
            made.client(FULL, remotes=SIDECAR, via="envoy-server, envoy-client", proxies=[made.envoy(1000)]),
            ("envoy-client", "envoy-server"),
            "came through envoy-server and envoy-client",
        ),
        (made.client([[0] * 5], failed={"UNAVAILABLE": 9}), (), "no call was answered"),
        (made.client(FULL, paths=[PathCount("127.0.0.1", {}, 999)]), (), "999 of 1,000 answered calls"),
    ],
)
def test_not_proven(result, hops, reason):
    path = proof(result, *hops)
    assert not path.proven
    assert reason in path.reason


def test_one_call_that_went_another_way_is_enough():
    paths = [PathCount("127.0.0.1", {"via": "envoy-client"}, 999), PathCount("127.0.0.9", {}, 1)]
    path = proof(made.client(FULL, remotes=SIDECAR, paths=paths, proxies=[made.envoy(1000)]), "envoy-client")
    assert not path.proven
    assert "1 of 1,000 calls came through no proxy" in path.reason
    assert path.hops == ["client", "envoy-client", "server"]
    assert path.server_saw_peers == ["127.0.0.1", "127.0.0.9"]


def counted(result, **inventory):
    return reconcile(merge([result], made.inventory(**inventory)))


def with_retries(result, amount):
    servers = [dataclasses.replace(result.servers[0], retries=amount), *result.servers[1:]]
    return dataclasses.replace(result, servers=servers)


def test_equal_counts():
    sides = counted(made.client(FULL, proxies=[made.envoy(1000)]))
    assert (sides.client_calls, sides.server_attempts, sides.proxy_requests, sides.explained) == (
        1000,
        1000,
        1000,
        True,
    )
    assert sides.detail == "1,000 client calls = 1,000 proxy requests = 1,000 server attempts"
    assert counted(made.client(FULL)).proxy_requests is None


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (with_retries(made.client(FULL, attempts=[203, 200, 200, 200, 200]), 3), "3 retries seen by servers"),
        (
            made.client(FULL, attempts=[201, 200, 200, 200, 200], proxies=[made.envoy(1001, retries=1)]),
            "1 retry by proxies",
        ),
        (made.client(FULL, failed={"UNAVAILABLE": 4}), "4 failed calls"),
        (made.client(FULL, failed={"UNAVAILABLE": 4}, attempts=[204, 200, 200, 200, 200]), "1,004 client calls ="),
    ],
)
def test_differences_that_are_explained(result, words):
    sides = counted(result)
    assert sides.explained, sides.detail
    assert words in sides.detail


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (with_retries(made.client(FULL, attempts=[203, 200, 200, 200, 200]), 2), "servers counted 1,003 attempts"),
        (made.client(FULL, attempts=[199, 201, 200, 200, 200]), "echo-0 answered 200 calls, but counted only 199"),
        (made.client(FULL, proxies=[made.envoy(1001)]), "envoy-client counted 1,001 attempts"),
        (made.client(FULL, proxies=[made.envoy(999)]), "fewer than the 1,000 answered calls"),
        (made.client(FULL, servers=[]), "its own count could not be read"),
        (made.client(FULL, per_channel=[{"uid-0": 999}]), "answers by channel add up to 999, not 1,000"),
        (made.client(FULL, timeline=[]), "calls of the timeline add up to 0, not 1,000"),
        (made.client(FULL, failed={"UNAVAILABLE": 4}, errors={}), "failed calls by code add up to 0, not 4"),
        (made.client(FULL, backends=[]), "answers by replica add up to 0"),
        (made.client(FULL, ok=999, per_channel=[{"uid-0": 999}]), "ok and failed calls add up to 999"),
    ],
)
def test_differences_that_are_not_explained(result, words):
    sides = counted(result)
    assert not sides.explained
    assert words in sides.detail


def test_a_killed_replica_takes_its_counter_with_it():
    result = made.client(FULL)
    result = dataclasses.replace(result, servers=result.servers[1:])
    assert not counted(result).explained
    killed = counted(result, events=[Event(made.START + 1, "kill", "echo-0 SIGKILL")])
    assert killed.explained
    assert "200 answers of replicas that are gone" in killed.detail

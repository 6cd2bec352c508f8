"""A mesh in the report: proof, rules, mutual TLS and causes, from what made-up clients recorded."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.result import ClientResult, PathCount, ProxyStats
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.views.render.terminal import render_terminal

HOPS = ("istio-client", "istio-server")
RULE = {"loadBalancer": {"simple": "ROUND_ROBIN"}, "connectionPool": {"http": {"http2MaxRequests": 100}}}
IN_FORCE = {"loadBalancer.simple": "ROUND_ROBIN", "connectionPool.http.http2MaxRequests": 100}
TOLD = {"endpoints": "EDS", "protocol": "http2", "rule": IN_FORCE}
WHO = "spiffe://cluster.local/ns/lab/sa/load"
CERTIFICATE = {"x-forwarded-client-cert": f'By=spiffe://cluster.local/ns/lab/sa/echo;Hash=ab;Subject="";URI={WHO}'}
EVEN, PINNED = [200] * 5, [0, 0, 1000, 0, 0]


def sidecar(requests: int, *, blind: bool = False, handshakes: int = 100) -> ProxyStats:
    counters = {"upstream_rq_total": requests, "ssl.handshake": handshakes}
    return ProxyStats("istio-client", "outbound|50051||echo", requests, 105, 0, counters, connections_only=blind)


def beside_servers(counts: list[int]) -> list[ProxyStats]:
    """What one client read of the servers' sidecars, the warm-up's calls and its own question included."""
    return [
        ProxyStats("istio-server", f"{made.ip(index)}:15020", 0, 2, 0, {"requests": count + 3}, first={}, questions=1)
        for index, count in enumerate(counts)
    ]


def in_mesh(counts: list[int], **changes: Any) -> ClientResult:
    values: dict[str, Any] = {
        "remotes": [f"ipv4:{made.SERVICE_IP}:50051"],
        "resolved": [f"{made.SERVICE_IP}:50051"],
        "policy": "pick_first",
        "proxies": [sidecar(sum(counts)), *beside_servers(counts)],
        "paths": [PathCount("127.0.0.6", CERTIFICATE, sum(counts))],
        "probes": {"mesh": TOLD},
    }
    return made.client([counts], **values | changes)


def report(*results: ClientResult, rule: Any = RULE, target: str = "service", hops: tuple[str, ...] = HOPS) -> Any:
    asked = made.plan(
        "even", hops, name="istio", policy="pick_first", target=target, clients=len(results),
        requests=sum(result.requests for result in results),
    )  # fmt: skip
    mesh = {"proxy": "sidecar", "mtls": "PERMISSIVE", "destinationRule": rule}
    asked = dataclasses.replace(asked, strategy=Strategy.parse({**asked.strategy.words, "mesh": mesh}))
    return build_report(asked, made.inventory(), list(results))


def test_both_sidecars_are_proven_and_balance():
    found = report(in_mesh(EVEN))
    assert (found.verdict.status, found.path.proven) == ("pass", True), found.verdict.cause
    assert found.path.hops == ["client", "istio-client", "istio-server", "server"]
    counted = found.reconciliation
    assert (counted.client_calls, counted.proxy_requests, counted.server_attempts) == (1000, 1000, 1000)
    assert "ends at Istio's sidecar, which balanced each call by ROUND_ROBIN over 105 upstream" in found.verdict.cause
    assert f"mutual TLS for all 1,000 calls from\n           {WHO}, 100 handshakes" in render_terminal(found)


def test_each_client_has_a_sidecar_of_its_own():
    clients = [in_mesh(EVEN), in_mesh(EVEN, index=1, start=made.START + 0.1)]
    servers = list(clients[0].servers)
    both = [dataclasses.replace(item, attempts=400, warmup_attempts=4) for item in servers]
    last = [dataclasses.replace(item, counters={"requests": 400 + 4 + 2}) for item in beside_servers(EVEN)]
    clients = [dataclasses.replace(item, servers=both, proxies=[sidecar(1000), *last]) for item in clients]
    found = report(*clients)
    assert found.verdict.status == "pass", found.verdict.cause
    assert found.reconciliation.proxy_requests == 2000
    assert [item.detail for item in found.path.evidence if "istio-server itself" in item.detail] == [
        "istio-server itself counted 2,000 requests"
    ]
    without = report(clients[0], dataclasses.replace(clients[1], proxies=last))
    assert "1 of 2 clients have no sidecar" in without.verdict.cause


def test_a_client_without_sidecar_is_told_the_right_way():
    plain = {"paths": [PathCount("127.0.0.6", {}, 1000)], "probes": {}, "proxies": beside_servers(PINNED)}
    found = report(in_mesh(PINNED, **plain))
    assert (found.verdict.status, found.verdict.balanced) == ("invalid", False)
    assert "the client has no sidecar, so the calls bypassed the mesh. Test with a client inside" in found.verdict.cause
    assert found.path.hops == ["client", "service", "istio-server", "server"]
    assert "no mutual TLS in 1,000 calls" in render_terminal(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"proxies": [sidecar(999), *beside_servers(EVEN)]}, "istio-client counted 999 requests, fewer"),
        (
            {"paths": [PathCount("127.0.0.6", {}, 990), PathCount("10.0.0.9", {}, 10)]},
            "10 of 1,000 calls reached a server past its sidecar",
        ),
        ({"proxies": [sidecar(1000)]}, "the counters of istio-server could not be read"),
        ({"proxies": [sidecar(1000), *beside_servers([100] * 5)]}, "istio-server counted 500 requests, fewer"),
        ({"remotes": [f"ipv4:{made.ip(0)}:50051"]}, "a replica, instead of the Service's address"),
    ],
)
def test_what_refutes_the_path(changes, words):
    found = report(in_mesh(EVEN, **changes))
    assert (found.verdict.status, found.path.proven) == ("invalid", False)
    assert words in found.verdict.cause


def test_a_rule_that_is_not_in_force_was_not_under_test():
    rule = RULE | {"outlierDetection": {"consecutive5xxErrors": 5}}
    found = report(in_mesh(EVEN), rule=rule)
    assert found.verdict.status == "invalid"
    assert "does not follow the DestinationRule's outlierDetection.consecutive5xxErrors 5: Istio" in found.verdict.cause
    there = TOLD | {"rule": IN_FORCE | {"outlierDetection.consecutive5xxErrors": 5}}
    assert report(in_mesh(EVEN, probes={"mesh": there}), rule=rule).verdict.status == "pass"


def test_a_guessed_protocol_is_told():
    found = report(in_mesh(EVEN, probes={"mesh": TOLD | {"protocol": "guessed"}}))
    assert found.verdict.status == "pass"
    assert found.verdict.cause.endswith(
        "It had to guess the protocol from the first bytes: name the port or set appProtocol."
    )


def test_a_port_that_says_tcp():
    blind = [sidecar(1, blind=True), *beside_servers(PINNED)]
    found = report(in_mesh(PINNED, proxies=blind, probes={"mesh": TOLD | {"protocol": "tcp", "rule": {}}}))
    assert (found.verdict.status, found.verdict.observed, found.path.proven) == ("fail", "pinned", True)
    assert "the Service's port says TCP, so the sidecar balances connections" in found.verdict.cause
    assert found.reconciliation.explained


def test_a_headless_name_in_the_mesh():
    told = {"endpoints": "ORIGINAL_DST", "protocol": "http2", "rule": {}}
    remote = {"remotes": [f"ipv4:{made.ip(2)}:50051"], "resolved": [f"{made.ip(i)}:50051" for i in range(5)]}
    found = report(in_mesh(PINNED, probes={"mesh": told}, **remote), target="headless")
    assert (found.verdict.status, found.path.proven) == ("fail", True), found.verdict.cause
    assert "follows the replica that the client chose (ORIGINAL_DST)" in found.verdict.cause


def test_port_forward_names_the_bypass():
    changes = {
        "remotes": ["ipv4:127.0.0.1:40000"], "resolved": [], "proxies": [], "probes": {},
        "paths": [PathCount("127.0.0.1", {}, 1000)],
    }  # fmt: skip
    found = report(in_mesh(PINNED, **changes), target="port-forward", hops=("port-forward",))
    assert (found.path.proven, found.verdict.observed) == (True, "pinned")
    assert "bypassed the Service and the client's sidecar, which is what balances" in found.verdict.cause
    assert "mesh" not in found.probes

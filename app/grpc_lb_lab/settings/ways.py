"""How a strategy learns of addresses: what decides how it fares when replicas come and go.

Scenario files say what they expect of each way, so a strategy is one file for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.model.strategy import Strategy

WAYS = {
    "one-replica": "always runs one replica",
    "address-list": "the client has a fixed list of addresses",
    "forwarded-port": "`kubectl port-forward` leads to one pod",
    "cluster-ip": "the client knows the Service's address and has one connection",
    "cluster-ip-connections": "the client knows the Service's address and has several connections",
    "dns": "the client asks DNS, at most every 30 s, and connects to every address",
    "dns-soon": "the client asks DNS, at most every few seconds (`dnsMinIntervalMs`), and connects to every address",
    "dns-aging": "as `dns-soon`, and connections end by themselves (`maxConnectionAgeMs`), so that it asks",
    "dns-first": "the client asks DNS and keeps to one address (`pick_first`)",
    "dns-pool": "the client asks DNS itself and checks its connections (`channel: pool`)",
    "proxy": "a proxy asks DNS, and keeps a replica that answers its health checks",
    "proxy-hash": "the same proxy, which chooses by a key in each call",
    "proxy-dns": "a proxy asks DNS, and drops what DNS no longer names",
    "control-plane": "the client is told by a control plane",
    "mesh": "Istio tells the sidecars, or the client itself",
}
"""The ways that scenario files speak of, in words."""

DNS_INTERVAL_MS = 30_000
"""gRPC's own minimum time between two resolutions of a name."""

SOON_MS = 5_000
"""A client that resolves again after this time at most hears of new replicas soon after it asks."""

AGING_MS = 10_000
"""Within this time a client whose connections age has a new connection, and the addresses of then."""

FOLLOWS_DNS = ("sidecar-resilient.yaml", "gateway-nginx.conf", "gateway-haproxy.cfg")
"""Configurations of proxies that drop a replica as soon as DNS does, well or not."""

HASHES = ("RING_HASH", "MAGLEV")


def way_of(strategy: Strategy) -> str:
    """Return one of ``WAYS``, or nothing for a strategy whose settings belong to none of them."""
    if strategy.replicas == 1:
        return "one-replica"
    find = _WAY_OF_TARGET.get(strategy.client.target)
    return find(strategy) if find else ""


def _of_list(strategy: Strategy) -> str:
    return "address-list" if strategy.client.policy == "round_robin" else ""


def _of_service(strategy: Strategy) -> str:
    if strategy.mesh:
        return "mesh"
    return "cluster-ip-connections" if _connections(strategy) > 1 else "cluster-ip"


def _of_dns(strategy: Strategy) -> str:
    client, age_ms = strategy.client, strategy.server.max_connection_age_ms
    if strategy.mesh:
        return ""
    if client.policy == "pool":
        return "dns-pool"
    if client.policy == "pick_first":
        return "dns-first" if _connections(strategy) == 1 and age_ms is None else ""
    if client.policy != "round_robin":
        return ""
    interval_ms = client.dns_min_interval_ms or DNS_INTERVAL_MS
    if age_ms is not None:
        return "dns-aging" if age_ms + interval_ms <= AGING_MS else ""
    return "dns-soon" if interval_ms <= SOON_MS else "dns"


def _of_proxy(strategy: Strategy) -> str:
    if strategy.envoy.lb_policy in HASHES:
        return "proxy-hash" if strategy.client.keys.count else ""
    config = strategy.gateway.config if strategy.gateway else strategy.envoy.client
    return "proxy-dns" if config in FOLLOWS_DNS else "proxy"


def _connections(strategy: Strategy) -> int:
    return (strategy.load.clients or 1) * (strategy.load.connections or 1)


_WAY_OF_TARGET: dict[str, Callable[[Strategy], str]] = {
    "endpoints": _of_list,
    "port-forward": lambda _: "forwarded-port",
    "service": _of_service,
    "headless": _of_dns,
    "sidecar": _of_proxy,
    "gateway": _of_proxy,
    "lookaside": lambda _: "control-plane",
    "xds": lambda _: "control-plane",
    "mesh": lambda _: "mesh",
}

"""Path proof: which hops the calls really took, and whether those are the hops under test.

Evidence: the remote address of every TCP connection of the client (channelz), the ``via`` header that each proxy of
the lab adds and the servers send back, and the proxies' own counters. A call of which nothing is known proves nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from grpc_lb_lab.judge import mesh
from grpc_lb_lab.judge.evidence import Evidence
from grpc_lb_lab.judge.reconciliation import BESIDE_SERVERS, lost_beside
from grpc_lb_lab.judge.text import count, host, listing, natural, number

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts
    from grpc_lb_lab.model.plan import Plan

VIA_HOPS = ("envoy-client", "envoy-server", "gateway")
"""Hops that write their name into the ``via`` header."""

ADDRESS_HOPS = ("service", "port-forward")
"""Hops that work on connections and leave no header: only the address that the client connected to shows them."""


@dataclass(frozen=True)
class PathProof:
    """``hops`` is what was observed, client and server included. ``reason`` says why, proven or not."""

    hops: list[str]
    expected: list[str]
    server_saw_peers: list[str]
    proven: bool
    reason: str
    evidence: list[Evidence]


def prove_path(facts: Facts, plan: Plan) -> PathProof:
    """Compare the hops that the strategy names with those that every recorded connection and call shows."""
    wanted = plan.strategy.hops
    evidence = mesh.evidence(facts, plan)
    evidence += [_first_leg(facts, plan, wanted), _headers(facts, wanted)]
    evidence += [_counters(facts, hop) for hop in wanted if hop in VIA_HOPS]
    missing = [item for item in evidence if not item.proven]
    return PathProof(
        hops=["client", *_observed(facts, plan), "server"],
        expected=["client", *wanted, "server"],
        server_saw_peers=_peers(facts),
        proven=not missing,
        reason=missing[0].detail if missing else "; ".join(item.detail for item in evidence),
        evidence=evidence,
    )


def via_hops(headers: dict[str, str]) -> list[str]:
    """The proxies named by a ``via`` header, in the order of the call: ``1.1 a, b`` → ``[a, b]``."""
    value = next((value for name, value in headers.items() if name.lower() == "via"), "")
    return [entry.split()[-1] for entry in value.split(",") if entry.strip()]


def normal_address(address: str) -> str:
    """``ipv4:10.0.0.1:80`` and ``ipv6:%5B::1%5D:80`` (gRPC's way) → ``10.0.0.1:80``, ``[::1]:80``."""
    for scheme in ("ipv4:", "ipv6:"):
        address = address.removeprefix(scheme)
    return unquote(address)


def _leg(remote: str, facts: Facts, plan: Plan) -> str:
    """What the client's connection ends at: ``service``, ``port-forward``, ``replica`` or ``other`` (a proxy)."""
    address = normal_address(remote)
    if facts.service_ip and host(address) == facts.service_ip:
        return "service"
    if address and address == plan.targets.get("port-forward"):
        return "port-forward"
    addresses = {replica.ip for replica in facts.replicas} | {server.ip for server in facts.servers}
    return "replica" if host(address) in addresses else "other"


def _first_leg(facts: Facts, plan: Plan, wanted: list[str]) -> Evidence:
    """Every connection of the client must end where the strategy says."""
    hop = wanted[0] if wanted else "direct"
    need = hop if hop in ADDRESS_HOPS else "other" if wanted else "replica"
    if hop == mesh.CLIENT:  # it takes the connection on its way, and leaves no trace in its address
        need = "replica" if plan.strategy.client.target == "headless" else "service"
    remotes = sorted({normal_address(item.remote) for item in facts.connections}, key=natural)
    if not remotes:
        return Evidence(hop, False, "the client recorded no connection, so nothing shows where its calls went")
    wrong = [remote for remote in remotes if _leg(remote, facts, plan) != need]
    if wrong:
        goes = {"service": "the Service's address", "port-forward": "a port-forward", "replica": "a replica"}
        what = goes.get(_leg(wrong[0], facts, plan), "an address that is neither the Service's nor a replica's")
        return Evidence(hop, False, f"the client connected to {wrong[0]}, {what}, instead of {_aim(need, wanted)}")
    return Evidence(hop, True, f"the client connected to {_aim(need, wanted)} ({listing(remotes)})")


def _aim(need: str, wanted: list[str]) -> str:
    words = {"service": "the Service's address", "port-forward": "the port-forward", "replica": "the replicas directly"}
    return words.get(need) or f"the proxy {wanted[0]}"


def _headers(facts: Facts, wanted: list[str]) -> Evidence:
    """Every answered call must name exactly the expected proxies, in order."""
    proxies = [hop for hop in wanted if hop in VIA_HOPS]
    hop = proxies[-1] if proxies else "direct"
    shown = Counter[tuple[str, ...]]()
    for path in facts.paths:
        shown[tuple(via_hops(path.headers))] += path.requests
    if not facts.ok:
        return Evidence(hop, False, "no call was answered, so none shows its path")
    if sum(shown.values()) != facts.ok:
        known = f"{number(sum(shown.values()))} of {count(facts.ok, 'answered call')}"
        return Evidence(hop, False, f"the path of only {known} was recorded")
    for names, calls in sorted(shown.items()):
        if list(names) != proxies:
            came = f"came through {' and '.join(names)}" if names else "came through no proxy"
            aim = " and ".join(proxies) or "none"
            return Evidence(hop, False, f"{number(calls)} of {count(facts.ok, 'call')} {came}, expected {aim}")
    if not proxies:
        return Evidence(hop, True, "no call names a proxy")
    return Evidence(hop, True, f"all {count(facts.ok, 'call')} name {' and '.join(proxies)} in their via header")


def _counters(facts: Facts, hop: str) -> Evidence:
    """The proxy's own count of requests must cover the answered calls."""
    proxies = [proxy for proxy in facts.proxies if proxy.hop == hop]
    total = sum(proxy.upstream_requests for proxy in proxies)
    if not proxies:
        return Evidence(hop, False, f"the counters of {hop} could not be read")
    lost = lost_beside(facts) if hop in BESIDE_SERVERS else 0
    if total + lost < facts.ok:
        return Evidence(hop, False, f"{hop} counted {count(total, 'request')}, fewer than the calls answered")
    gone = f"; {count(lost, 'answer')} came through those that left with their replica" if lost else ""
    return Evidence(hop, True, f"{hop} itself counted {count(total, 'request')}{gone}")


def _observed(facts: Facts, plan: Plan) -> list[str]:
    """The hops between client and server that most connections and most calls show."""
    legs = Counter(_leg(item.remote, facts, plan) for item in facts.connections)
    leg = max(sorted(legs), key=lambda name: legs[name], default="")
    chains = Counter[tuple[str, ...]]()
    for path in facts.paths:
        chains[tuple(via_hops(path.headers))] += path.requests
    chain = max(sorted(chains), key=lambda names: chains[names], default=())
    unknown = ["unknown"] if leg == "other" and not chain else []
    sidecars = mesh.observed(facts)
    if mesh.CLIENT in sidecars:
        return [*sidecars, *chain]
    return [*([leg] if leg in ADDRESS_HOPS else unknown), *chain, *sidecars]


def _peers(facts: Facts) -> list[str]:
    """Hosts that the servers saw at the other end of their connections; at most 100."""
    peers = {path.peer_host for path in facts.paths} | {peer for server in facts.servers for peer in server.peer_hosts}
    return sorted(peers, key=natural)[:100]

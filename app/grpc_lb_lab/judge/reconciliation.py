"""Reconciliation: the calls that clients counted beside the attempts that servers and proxies counted.

One call can be several attempts (retries), and a failed call may have reached no server at all. Every difference must
be covered by such counts; one that is not makes the run worthless, for then somebody lost calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.scenario.presence import concerns
from grpc_lb_lab.judge.text import count, host, listing, number

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts, ReplicaFacts


BESIDE_SERVERS = ("envoy-server", "istio-server")
"""The hops whose proxies live and die with the replicas."""


@dataclass(frozen=True)
class Reconciliation:
    """``proxy_requests`` is None without a proxy that counts; ``detail`` explains the figures in a sentence."""

    client_calls: int
    server_attempts: int
    proxy_requests: int | None
    explained: bool
    detail: str
    retries_seen_by_servers: int
    retries_by_proxies: int


def reconcile(facts: Facts) -> Reconciliation:
    """Put the three counts side by side and explain what lies between them."""
    attempts = sum(server.attempts for server in facts.servers)
    # A proxy that forwards connections sees no requests to count.
    proxies = [proxy for proxy in facts.proxies if not proxy.connections_only]
    first_hop = proxies[0].hop if proxies else ""
    requests = sum(proxy.upstream_requests for proxy in proxies if proxy.hop == first_hop)
    server_retries = sum(server.retries for server in facts.servers)
    proxy_retries = sum(proxy.retries for proxy in facts.proxies)
    proxy_requests = requests if proxies else None
    problem = (
        _own_counts(facts)
        or _per_replica(facts)
        or _between("servers", attempts, facts, server_retries + proxy_retries)
        or next(filter(None, (_between(*hop, facts, server_retries + proxy_retries) for hop in _hops(facts))), "")
    )
    return Reconciliation(
        client_calls=facts.requests,
        server_attempts=attempts,
        proxy_requests=proxy_requests,
        explained=not problem,
        detail=problem or _sentence(facts, attempts, proxy_requests, server_retries, proxy_retries),
        retries_seen_by_servers=server_retries,
        retries_by_proxies=proxy_retries,
    )


def _own_counts(facts: Facts) -> str:
    """The client's own figures must agree with one another: no call without outcome, replica and time."""
    timeline = sum(bucket.ok + bucket.failed for bucket in facts.timeline.buckets)
    pairs = [
        ("ok and failed calls", facts.ok + facts.failed, facts.requests),
        ("answers by replica", sum(facts.counts), facts.ok),
        ("answers by channel", sum(sum(channel.values()) for channel in facts.channels), facts.ok),
        ("failed calls by code", sum(facts.errors.values()), facts.failed),
        ("calls of the timeline", timeline, facts.requests),
    ]
    return next(
        (
            f"the client's own counts disagree: {name} add up to {number(found)}, not {number(wanted)}"
            for name, found, wanted in pairs
            if found != wanted
        ),
        "",
    )


def _per_replica(facts: Facts) -> str:
    """No replica may have answered more calls than it counted. Its counter dies with it: an event must say so."""
    counted = {server.uid: server.attempts for server in facts.servers}
    for replica in facts.replicas:
        if replica.uid not in counted and replica.requests and not _explained_by_event(facts, replica):
            return f"{replica.label} answered {count(replica.requests, 'call')}, but its own count could not be read"
        if replica.uid in counted and counted[replica.uid] < replica.requests and not _restarted(facts, replica):
            own = count(counted[replica.uid], "attempt")
            return f"{replica.label} answered {count(replica.requests, 'call')}, but counted only {own} itself"
    return ""


def _explained_by_event(facts: Facts, replica: ReplicaFacts) -> bool:
    return any(concerns(event, replica) for event in facts.events)


def _restarted(facts: Facts, replica: ReplicaFacts) -> bool:
    return any(event.kind == "replica-ended" and concerns(event, replica) for event in facts.events)


def _hops(facts: Facts) -> list[tuple[str, int]]:
    """The requests that each kind of proxy counted, in the order of the call."""
    totals: dict[str, int] = {}
    for proxy in facts.proxies:
        if proxy.connections_only:
            continue
        totals[proxy.hop] = totals.get(proxy.hop, 0) + proxy.upstream_requests
    return list(totals.items())


def _between(who: str, counted: int, facts: Facts, retries: int) -> str:
    """A count may lie between the answered calls and all calls with all retries."""
    lost = _lost(facts) if who == "servers" else lost_beside(facts) if who in BESIDE_SERVERS else 0
    least, most = facts.ok - lost, facts.requests + retries
    if counted < least:
        return f"{who} counted {count(counted, 'attempt')}, fewer than the {count(least, 'answered call')}"
    if counted > most:
        known = f"{count(facts.requests, 'call')} and {count(retries, 'retry', 'retries')} explain {number(most)}"
        return f"{who} counted {count(counted, 'attempt')}, but {known}"
    return ""


def lost_beside(facts: Facts) -> int:
    """Answers that came through proxies which left together with their replicas, their counters with them."""
    known = {host(proxy.address) for proxy in facts.proxies if proxy.hop in BESIDE_SERVERS}
    return sum(
        replica.requests
        for replica in facts.replicas
        if replica.ip not in known and _explained_by_event(facts, replica)
    )


def _lost(facts: Facts) -> int:
    """Answers of replicas that are gone or were restarted, their counters with them."""
    counted = {server.uid: server.attempts for server in facts.servers}
    return sum(
        max(0, replica.requests - counted.get(replica.uid, 0))
        for replica in facts.replicas
        if replica.uid not in counted or _restarted(facts, replica)
    )


def _sentence(facts: Facts, attempts: int, requests: int | None, server_retries: int, proxy_retries: int) -> str:
    middle = f" = {count(requests, 'proxy request')}" if requests is not None else ""
    if facts.requests == attempts and requests in (None, attempts):
        return f"{count(facts.requests, 'client call')}{middle} = {count(attempts, 'server attempt')}"
    sides = [count(facts.requests, "client call")]
    if requests is not None:
        sides.append(count(requests, "proxy request"))
    sides.append(count(attempts, "server attempt"))
    reasons = [
        count(amount, *words)
        for amount, words in (
            (server_retries, ("retry seen by servers", "retries seen by servers")),
            (proxy_retries, ("retry by proxies", "retries by proxies")),
            (facts.failed, ("failed call", "failed calls")),
            (_lost(facts), ("answer of a replica that is gone", "answers of replicas that are gone")),
        )
        if amount
    ]
    return f"{listing(sides)}; the difference is covered by {listing(reasons, 4)}"

"""Merges one client process or a hundred client pods, and the inventory, into the facts of one run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge import shared_proxies
from grpc_lb_lab.judge.cpu import measure_cpu
from grpc_lb_lab.judge.disturbance import common_pauses
from grpc_lb_lab.judge.facts import Facts, OverTime, ReplicaFacts
from grpc_lb_lab.judge.text import natural
from grpc_lb_lab.judge.timeline import merge_timelines
from grpc_lb_lab.model import latency
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.inventory import Inventory, Replica
from grpc_lb_lab.model.result import BackendCount, ClientResult, PathCount, ProxyStats, ServerStats

if TYPE_CHECKING:
    from collections.abc import Iterable

BESIDE_CLIENTS = ("envoy-client", "istio-client")


def merge(results: list[ClientResult], inventory: Inventory) -> Facts:
    """The facts of a run. Raises ``LabError`` for no result, and for one client that reported twice."""
    if not results:
        raise LabError("no client result to report on: no client finished")
    results = sorted(results, key=lambda result: result.index)
    twice = [index for index, times in Counter(result.index for result in results).items() if times > 1]
    if twice:
        raise LabError(f"client {twice[0]} reported twice; the results of two runs are mixed up")
    started_at = min(result.started_at for result in results)
    servers = _servers(results)
    hop_cpu = _hop_cpu(results)
    proxies = [replace(proxy, cpu_s=hop_cpu.pop(proxy.address, proxy.cpu_s)) for proxy in _proxies(results, servers)]
    return Facts(
        cluster=inventory.cluster,
        service_ip=inventory.service_ip,
        clients=len(results),
        started_at=started_at,
        finished_at=max(result.finished_at for result in results),
        requests=sum(result.requests for result in results),
        ok=sum(result.ok for result in results),
        failed=sum(result.failed for result in results),
        errors=_sum_maps(result.errors for result in results),
        replicas=_replicas(results, inventory),
        channels=[channel for result in results for channel in result.per_channel],
        latency=latency.merge(result.latency_hdr for result in results),
        lag=latency.merge(result.lag_hdr for result in results),
        timeline=merge_timelines(results, started_at),
        connections=[connection for result in results for connection in result.connections],
        resolved=sorted({address for result in results for address in result.resolved}, key=natural),
        policies=sorted({name for result in results for name in result.policy.split(", ") if name}),
        paths=_paths(results),
        keys=_by_name(result.keys for result in results),
        methods=_by_name(result.methods for result in results),
        probes=next((result.probes for result in results if result.probes), {}),
        servers=servers,
        proxies=proxies,
        events=sorted(inventory.events, key=lambda event: (event.at, event.kind, event.detail)),
        warmup=_warmup(results),
        cpu=measure_cpu(results, servers, proxies, hop_cpu),
        versions=_versions(results, inventory),
        notes=_notes(results, inventory),
        failures=sorted((one for result in results for one in result.failures), key=lambda one: one.began_at),
        over_time=[_over_time(result) for result in results],
        pauses=common_pauses([result.pauses for result in results]),
    )


def _over_time(result: ClientResult) -> OverTime:
    return OverTime(
        channels=len(result.per_channel),
        interval_s=result.interval_s,
        buckets=result.timeline,
        slot_s=result.slot_s,
        latency=result.latency_slots,
        dns=result.dns_answers,
    )


def _sum_maps(maps: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in maps:
        total.update(one)
    return dict(sorted(total.items()))


def _replicas(results: list[ClientResult], inventory: Inventory) -> list[ReplicaFacts]:
    """Every replica of the inventory, then those that answered although the inventory does not know them."""
    seen: dict[str, list[BackendCount]] = {}
    for result in results:
        for backend in result.backends:
            seen.setdefault(backend.uid, []).append(backend)
    known = {replica.uid: replica for replica in inventory.replicas}
    strangers = [Replica(entries[0].pod, uid, entries[0].ip) for uid, entries in seen.items() if uid not in known]
    everyone = _in_order(known.values()) + _in_order(strangers)
    names = Counter(replica.pod for replica in everyone)
    return [_replica(replica, seen.get(replica.uid, []), replica.uid in known, names) for replica in everyone]


def _in_order(replicas: Iterable[Replica]) -> list[Replica]:
    return sorted(replicas, key=lambda replica: (natural(replica.pod), replica.uid))


def _replica(replica: Replica, counts: list[BackendCount], known: bool, names: Counter[str]) -> ReplicaFacts:
    # Names get reused (a StatefulSet's pod comes back under its old name): tell them apart by the UID.
    label = replica.pod if names[replica.pod] == 1 else f"{replica.pod} ({replica.uid[:8]})"
    answered = [count for count in counts if count.requests]
    return ReplicaFacts(
        label=label,
        pod=replica.pod,
        uid=replica.uid,
        ip=replica.ip,
        requests=sum(count.requests for count in counts),
        first_seen_at=min((count.first_seen_at for count in answered), default=None),
        last_seen_at=max((count.last_seen_at for count in answered), default=None),
        known=known,
        ready=replica.ready,
        node=replica.node,
    )


def _paths(results: list[ClientResult]) -> list[PathCount]:
    total: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    for result in results:
        for path in result.paths:
            total[(path.peer_host, tuple(sorted(path.headers.items())))] += path.requests
    return [PathCount(peer, dict(headers), calls) for (peer, headers), calls in sorted(total.items())]


def _by_name(maps: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Calls by key or by method, then by UID."""
    total: dict[str, Counter[str]] = {}
    for one in maps:
        for name, backends in one.items():
            total.setdefault(name, Counter()).update(backends)
    return {name: dict(sorted(backends.items())) for name, backends in sorted(total.items())}


def _servers(results: list[ClientResult]) -> list[ServerStats]:
    """One snapshot a replica: the one with the most attempts, for the last client to finish has seen everything."""
    best: dict[str, ServerStats] = {}
    for result in results:
        for server in result.servers:
            old = best.get(server.uid)
            if old is None or (server.attempts, server.connections) > (old.attempts, old.connections):
                best[server.uid] = server
    return sorted(best.values(), key=lambda server: (natural(server.pod), server.uid))


def _proxies(results: list[ClientResult], servers: list[ServerStats]) -> list[ProxyStats]:
    """One entry a proxy. Several clients that read the same shared proxy: their readings together."""
    best: dict[tuple[str, str], ProxyStats] = {}
    readings: dict[tuple[str, str], list[ProxyStats]] = {}
    for result in results:
        for proxy in result.proxies:
            if proxy.first is not None:
                readings.setdefault((proxy.hop, proxy.address), []).append(proxy)
                continue
            # A proxy beside the client is that client's own, even where pods give all of them the same address.
            owner = f"{result.index} {proxy.address}" if proxy.hop in BESIDE_CLIENTS else proxy.address
            old = best.get((proxy.hop, owner))
            if old is None or proxy.upstream_requests > old.upstream_requests:
                best[(proxy.hop, owner)] = proxy
    gone = {backend.uid for result in results for backend in result.backends} - {server.uid for server in servers}
    sent = sum(result.warmup_requests for result in results) if gone else 0
    return [*best.values(), *(shared_proxies.combine(found, servers, sent) for found in readings.values())]


def _hop_cpu(results: list[ClientResult]) -> dict[str, float]:
    """CPU seconds of each process between client and servers, from the first client's start to the last one's end."""
    readings: dict[str, list[list[float]]] = {}
    for result in results:
        for name, reading in result.hop_cpu.items():
            readings.setdefault(name, []).append(reading)
    return {
        name: round(max(last for _, last in found) - min(first for first, _ in found), 6)
        for name, found in sorted(readings.items())
    }


def _warmup(results: list[ClientResult]) -> dict[str, Any]:
    return {
        "requests": sum(result.warmup_requests for result in results),
        "longest_s": round(max(result.warmup_s for result in results), 3),
    }


def _versions(results: list[ClientResult], inventory: Inventory) -> dict[str, str]:
    versions: dict[str, set[str]] = {name: {version} for name, version in inventory.versions.items()}
    for result in results:
        for name, version in result.versions.items():
            versions.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(found)) for name, found in sorted(versions.items())}


def _notes(results: list[ClientResult], inventory: Inventory) -> list[str]:
    """Notes in order, each once; with several clients a note says whose it is unless all wrote the same."""
    notes = list(inventory.notes)
    written: dict[str, list[int]] = {}
    for result in results:
        for note in dict.fromkeys(result.notes):
            written.setdefault(note, []).append(result.index)
    for note, indexes in written.items():
        shared = len(indexes) == len(results)
        notes.append(note if shared else f"client {', '.join(map(str, indexes[:5]))}: {note}")
    return list(dict.fromkeys(notes))

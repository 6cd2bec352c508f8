"""What a client measured, and what servers and proxies counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class BackendCount:
    """What one client got from one replica (key: UID)."""

    pod: str
    uid: str
    ip: str
    started_at: float
    requests: int
    first_seen_at: float
    last_seen_at: float


@dataclass(frozen=True)
class ConnectionFact:
    """One TCP connection of the client, as channelz saw it. ``channel`` is the index of the channel it belongs to.

    ``opened_at`` and ``closed_at`` are as exact as the client looks (0: not told); None: open to the end.
    """

    channel: int
    local: str
    remote: str
    opened_at: float = 0.0
    closed_at: float | None = None


@dataclass(frozen=True)
class Failure:
    """One call that failed: when it was due, when it ended, its gRPC status code."""

    began_at: float
    ended_at: float
    code: str


@dataclass(frozen=True)
class LatencySlot:
    """Latencies of calls that ended in slot number ``index`` since the epoch (``index * slot_s``), failed ones too."""

    index: int
    hdr: str


@dataclass(frozen=True)
class DnsAnswer:
    """From ``at`` on the headless name had these addresses, as this client saw by asking again and again."""

    at: float
    addresses: list[str]


@dataclass(frozen=True)
class PathCount:
    """Calls that came the same way: the peer the server saw (host only) and the headers that proxies added."""

    peer_host: str
    headers: dict[str, str]
    requests: int


@dataclass(frozen=True)
class Bucket:
    """Calls that ended in interval number ``index`` since the epoch (``index * interval_s``)."""

    index: int
    ok: int
    failed: int
    per_backend: dict[str, int]


@dataclass(frozen=True)
class Pause:
    """A time in which a process stood still as a whole."""

    began_at: float
    ended_at: float


@dataclass(frozen=True)
class ServerStats:
    """What one replica counted for the run (proto ``StatsReply``).

    ``cpu_s`` counts from the start of the process, ``run_cpu_s`` from the first measured call of the run; None when the
    server does not tell it.
    """

    pod: str
    uid: str
    ip: str
    attempts: int
    retries: int
    failed: int
    warmup_attempts: int
    connections: int
    peer_hosts: list[str]
    cpu_s: float
    attempts_by_previous: dict[str, int] = field(default_factory=dict)
    connections_accepted: int = 0
    run_cpu_s: float | None = None
    pauses: list[Pause] = field(default_factory=list)


@dataclass(frozen=True)
class ProxyStats:
    """What one proxy counted for the run, from its own admin interface. ``hop`` is its name in the path.

    A proxy that clients share is read by each of them before its first call and after its last one: ``first`` are the
    totals then and ``counters`` those at the end, warm-up and all. ``reading_counts``: requests that a reading adds;
    ``questions``: other requests of each client, outside of its load, that are in the last reading.
    ``connections_only``: it forwards connections and does not see calls.
    """

    hop: str
    address: str
    upstream_requests: int
    upstream_connections: int
    retries: int
    counters: dict[str, int] = field(default_factory=dict)
    cpu_s: float | None = None
    first: dict[str, int] | None = None
    reading_counts: int = 0
    questions: int = 0
    connections_only: bool = False


@dataclass(frozen=True)
class ClientResult:
    """One client process, whole. Maps are keyed by backend UID; several results merge into one report.

    ``keys`` and ``methods`` map a key or a method's full name to calls by UID. ``probes`` are figures by name: of what
    client 0 tried after its measured calls, and under ``channel`` of what the channel did by itself. ``proxy_stats``:
    all that the Envoy beside client 0 counted, as its admin interface writes it, for the artifacts. In a scenario:
    ``failures`` are the first 5,000 failed calls, ``latency_slots`` latencies over time, ``dns_answers`` what DNS said.
    ``hop_cpu``: for each of the plan's processes the CPU seconds since its start, as the first measured call began and
    as the last one had ended.
    """

    index: int
    host: str
    started_at: float
    finished_at: float
    requests: int
    ok: int
    failed: int
    errors: dict[str, int]
    backends: list[BackendCount]
    per_channel: list[dict[str, int]]
    latency_hdr: str
    lag_hdr: str
    interval_s: float
    timeline: list[Bucket]
    connections: list[ConnectionFact]
    resolved: list[str]
    policy: str
    paths: list[PathCount]
    keys: dict[str, dict[str, int]]
    servers: list[ServerStats]
    proxies: list[ProxyStats]
    warmup_requests: int
    warmup_s: float
    cpu_s: float
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)
    methods: dict[str, dict[str, int]] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    proxy_stats: str = ""
    failures: list[Failure] = field(default_factory=list)
    slot_s: float = 1.0
    latency_slots: list[LatencySlot] = field(default_factory=list)
    dns_answers: list[DnsAnswer] = field(default_factory=list)
    hop_cpu: dict[str, list[float]] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)

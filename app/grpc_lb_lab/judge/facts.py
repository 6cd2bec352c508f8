"""The facts of a run: every client's result and the inventory in one frozen value, before any judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram

from grpc_lb_lab.judge.cpu import Cpu
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.model.result import (
    Bucket,
    ConnectionFact,
    DnsAnswer,
    Failure,
    LatencySlot,
    PathCount,
    Pause,
    ProxyStats,
    ServerStats,
)

LOAD_MARKS = frozenset({"load-started", "load-ended"})
"""Events that tell of the load and not of replicas."""


@dataclass(frozen=True)
class ReplicaFacts:
    """One replica and the calls it answered. ``known``: the inventory lists it. ``label`` is unique in the run."""

    label: str
    pod: str
    uid: str
    ip: str
    requests: int
    first_seen_at: float | None
    last_seen_at: float | None
    known: bool
    ready: bool
    node: str


@dataclass(frozen=True)
class TimelineBucket:
    """Calls that ended from ``t_s`` on (seconds from the first measured call) for one interval; keys: UIDs."""

    t_s: float
    ok: int
    failed: int
    per_backend: dict[str, int]


@dataclass(frozen=True)
class Timeline:
    """Buckets without holes; the first one may be cut short by the start of the run."""

    interval_s: float
    buckets: list[TimelineBucket]


@dataclass(frozen=True)
class OverTime:
    """What one client kept over time, not merged: its buckets, its latencies, what DNS told it."""

    channels: int
    interval_s: float
    buckets: list[Bucket]
    slot_s: float
    latency: list[LatencySlot]
    dns: list[DnsAnswer]


@dataclass(frozen=True)
class Facts:
    """Everything that the clients and the inventory recorded, merged. Times ending in ``_at`` are epoch seconds.

    ``channels`` has one map a client channel: answers by UID. ``servers`` has one snapshot a UID. ``failures``: the
    first failed calls of every client, by the time they began. ``over_time``: one entry a client.
    ``pauses``: when all clients stood still.
    """

    cluster: str
    service_ip: str
    clients: int
    started_at: float
    finished_at: float
    requests: int
    ok: int
    failed: int
    errors: dict[str, int]
    replicas: list[ReplicaFacts]
    channels: list[dict[str, int]]
    latency: HdrHistogram
    lag: HdrHistogram
    timeline: Timeline
    connections: list[ConnectionFact]
    resolved: list[str]
    policies: list[str]
    paths: list[PathCount]
    keys: dict[str, dict[str, int]]
    methods: dict[str, dict[str, int]]
    probes: dict[str, dict[str, Any]]
    servers: list[ServerStats]
    proxies: list[ProxyStats]
    events: list[Event]
    warmup: dict[str, Any]
    cpu: Cpu
    versions: dict[str, str]
    notes: list[str]
    failures: list[Failure] = field(default_factory=list)
    over_time: list[OverTime] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)

    @property
    def disturbed(self) -> bool:
        """Whether anything but the load itself happened to the lab until the last measured call."""
        return any(event.kind not in LOAD_MARKS and event.at <= self.finished_at for event in self.events)

    @property
    def duration_s(self) -> float:
        """From the first measured call to the end of the last client."""
        return max(0.0, self.finished_at - self.started_at)

    @property
    def counts(self) -> list[int]:
        """Answered calls, one number a replica, 0 included."""
        return [replica.requests for replica in self.replicas]

    def label(self, uid: str) -> str:
        """The name of a replica; the UID itself when nobody listed it."""
        return next((replica.label for replica in self.replicas if replica.uid == uid), uid)

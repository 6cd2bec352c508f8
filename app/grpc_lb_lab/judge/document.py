"""The finished report: one frozen value that every view reads. Its fields are the keys of ``report.json``.

Keys that the contract names never change without a new ``SCHEMA_VERSION``; ``strategy``, ``cpu``, ``warmup``,
``lag_ms``, ``latency_bars``, ``notes``, ``configuration``, ``repeats``, ``keys``, ``methods``, ``probes``, ``course``
and the finer fields inside the others are additions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grpc_lb_lab.judge.cpu import Cpu
from grpc_lb_lab.judge.path import PathProof
from grpc_lb_lab.judge.reconciliation import Reconciliation

# Needed when the program runs, too: ``from_dict`` reads a report back by these types.
from grpc_lb_lab.judge.scenario.figures import ScenarioReport
from grpc_lb_lab.judge.scenario.repeats import ScenarioFigures, ScenarioRanges
from grpc_lb_lab.judge.special_figures import KeyFigures
from grpc_lb_lab.judge.statistics import Distribution
from grpc_lb_lab.judge.verdict import Verdict
from grpc_lb_lab.model.latency import LatencyBar, LatencySummary


@dataclass(frozen=True)
class RunInfo:
    """Which run this is. ``started_at``: first measured call, UTC, ISO 8601."""

    id: str
    strategy: str
    scenario: str
    cluster: str
    started_at: str
    seed: int
    versions: dict[str, str]


@dataclass(frozen=True)
class StrategyInfo:
    """What the strategy file says for readers, and the settings of the client's channel."""

    title: str
    shows: str
    advice: str
    precision: str
    channel: str
    target: str


@dataclass(frozen=True)
class Requested:
    """The load that was asked for; ``connections`` is a client's."""

    requests: int | None
    duration_s: float | None
    rate_rps: float | None
    concurrency: int
    replicas: int
    clients: int
    connections: int
    deadline_s: float


@dataclass(frozen=True)
class Actual:
    """The load that was run; ``rps`` counts answered calls."""

    requests: int
    ok: int
    failed: int
    duration_s: float
    rps: float
    clients: int


@dataclass(frozen=True)
class Backend:
    """One replica; ``pod`` is unique in the report. Seen times are None when it answered nothing.

    ``came_s`` and ``left_s``: when a scenario's replica became ready and began to leave; None: there from the start,
    stayed to the end.
    """

    pod: str
    uid: str
    ip: str
    requests: int
    share: float
    first_seen_s: float | None
    last_seen_s: float | None
    ready: bool
    in_inventory: bool
    node: str
    came_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True)
class Connections:
    """TCP connections: the client's own, and those that brought measured attempts to the servers."""

    client: int
    server: int
    requests_per_connection: float | None
    upstream: int | None
    channels: int
    resolved: list[str]
    policy: str


@dataclass(frozen=True)
class BucketRow:
    """One interval; ``per_backend`` by pod."""

    t_s: float
    ok: int
    failed: int
    per_backend: dict[str, int]


@dataclass(frozen=True)
class TimelineRows:
    """Calls over time, by the time they ended."""

    interval_s: float
    buckets: list[BucketRow]


@dataclass(frozen=True)
class EventRow:
    """Something that happened, in seconds from the first measured call."""

    t_s: float
    kind: str
    detail: str
    pod: str = ""


@dataclass(frozen=True)
class Range:
    """A figure over the repeats of a cell."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class RepeatRow:
    """One repeat of a cell; ``status`` invalid and no figure for one that left no report."""

    number: int
    status: str
    observed: str
    servers_hit: int | None
    rps: float | None
    p50_ms: float | None
    p99_ms: float | None
    course: ScenarioFigures | None = None


@dataclass(frozen=True)
class Repeats:
    """All repeats of a cell. The report shows repeat ``chosen``: the worst verdict, else the median of calls/s."""

    chosen: int
    rows: list[RepeatRow]
    figures: dict[str, Range]
    course: ScenarioRanges | None = None


@dataclass(frozen=True)
class Report:
    """A run, judged. ``configuration``: the strategy file in force, the addresses and the DNS server.

    ``methods``: calls by method and pod. ``probes``: figures by the name of a probe (docs/verdicts.md).
    ``course``: what a scenario did and what became of it, None in ``steady``.
    """

    schema_version: int
    run: RunInfo
    strategy: StrategyInfo
    requested: Requested
    actual: Actual
    backends: list[Backend]
    distribution: Distribution
    errors: dict[str, int]
    latency_ms: LatencySummary
    latency_bars: list[LatencyBar]
    lag_ms: LatencySummary
    connections: Connections
    path: PathProof
    reconciliation: Reconciliation
    timeline: TimelineRows
    events: list[EventRow]
    verdict: Verdict
    warmup: dict[str, Any]
    cpu: Cpu
    notes: list[str]
    configuration: dict[str, Any] = field(default_factory=dict)
    repeats: Repeats | None = None
    keys: KeyFigures | None = None
    methods: dict[str, dict[str, int]] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    course: ScenarioReport | None = None

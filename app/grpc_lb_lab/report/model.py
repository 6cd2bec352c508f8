"""The data of a run, as frozen dataclasses: what a client measured, what servers counted, and the finished report.

Units are in the names: ``_s`` seconds, ``_ms`` milliseconds, ``_rps`` calls a second. A field that ends in ``_at`` is a
time in seconds since the epoch; ``t_s`` counts from the first measured call.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 1

DistributionClass = Literal["even", "pinned", "spread", "hashed", "weighted", "skewed"]
Status = Literal["pass", "fail", "invalid"]


# --- what goes into a run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """The load that was asked for; ``requests`` or ``duration_s`` is set, not both. ``rate_rps`` None: closed loop."""

    requests: int | None = 1000
    duration_s: float | None = None
    rate_rps: float | None = None
    concurrency: int = 1
    clients: int = 1
    connections: int = 1
    replicas: int = 5
    seed: int = 1
    deadline_s: float = 5.0


@dataclass(frozen=True)
class PlannedEvent:
    """One thing that a scenario does, ``at_s`` seconds after the first measured call.

    ``do``: a method of ``events.stage.Stage``. ``which`` replica: ``busiest`` (most calls so far), ``first`` (oldest),
    a number (``2``: the second oldest) or ``all``. ``by``: replicas more (or fewer) than now, for ``scale``.
    ``delay_ms`` and ``code`` are for ``slow`` and ``fail``. ``for_s``: how long a fault lasts; 0: to the run's end.
    """

    at_s: float
    do: str
    which: str = ""
    by: int = 0
    delay_ms: int = 0
    code: str = ""
    for_s: float = 0.0


@dataclass(frozen=True)
class Expectation:
    """What a scenario expects of one strategy.

    ``observed``: the class of the calls at the end, over the replicas that are ready then. ``share``: whether every
    ready replica gets its share again: ``never`` within the run, ``within`` ``share_s`` seconds of the first event, or
    ``any``. ``errors``: ``none``, ``some``, ``any``, or ``within``: an error window of at most ``errors_s`` seconds.
    """

    observed: DistributionClass
    share: Literal["never", "within", "any"] = "any"
    share_s: float = 0.0
    errors: Literal["none", "some", "any", "within"] = "any"
    errors_s: float = 0.0


@dataclass(frozen=True)
class Course:
    """A scenario as one strategy meets it: events at their drawn times, and what to expect.

    ``phase_s`` is when the first event happens, drawn from ``phase_from_s`` to ``phase_to_s``. A replica has its share
    when each window of ``window_s`` gives it at least ``tolerance`` of an even share (less where chance explains it).
    ``base_delay_ms``: every replica that runs when the load begins waits this long before each answer.
    """

    name: str
    title: str
    shows: str
    phase_s: float
    events: list[PlannedEvent]
    expect: Expectation
    window_s: float = 2.0
    tolerance: float = 0.55
    phase_from_s: float = 0.0
    phase_to_s: float = 0.0
    base_delay_ms: int = 0


@dataclass(frozen=True)
class Plan:
    """All that a client needs to know. The same JSON in a ConfigMap and in a local file.

    ``strategy`` is the parsed strategy file. ``targets`` maps the words of ``client.target`` to addresses, for example
    ``{"service": "echo:50051", "sidecar": "127.0.0.1:15001", "sidecar_admin": "127.0.0.1:9901"}``. ``dns`` is
    ``HOST:PORT`` of the DNS server that gRPC shall ask, or empty for the machine's own. ``course`` is None in the
    scenario ``steady``, where nothing happens but the load. ``processes`` are the pids of what stands between client
    and servers on this machine, by the address that ``ProxyStats`` has for it, or by a name where nobody asks it for
    counts.
    """

    run: str
    scenario: str
    strategy: dict[str, Any]
    load: Load
    targets: dict[str, str]
    dns: str = ""
    course: Course | None = None
    processes: dict[str, int] = field(default_factory=dict)


# --- what a client measured -------------------------------------------------------------------------------------------


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


# --- what the world says ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replica:
    """A replica that the supervisor or Kubernetes knows of."""

    pod: str
    uid: str
    ip: str
    ready: bool = True
    node: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened to the lab during the run. ``at`` is in seconds since the epoch.

    Kinds of a scenario: ``command`` (an event was ordered), ``recovered`` (a fault ended by itself),
    ``replica-started``, ``replica-ready``, ``replica-unready``, ``replica-terminating``, ``replica-ended`` (``pod``
    names it), ``endpoints`` (the ready addresses, with commas, that EndpointSlices or supervisor give out from now on).
    """

    at: float
    kind: str
    detail: str
    pod: str = ""
    uid: str = ""
    ip: str = ""


@dataclass(frozen=True)
class Inventory:
    """The lab beside the load: which replicas exist, at which address the Service is, which versions run."""

    cluster: str
    replicas: list[Replica]
    service_ip: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def to_dict(value: Any) -> Any:
    """Turn dataclasses into plain JSON data."""
    return dataclasses.asdict(value)


def from_dict[T](cls: type[T], data: dict[str, Any]) -> T:
    """Build the dataclass ``cls`` from JSON data, nested ones too.

    Unknown keys are ignored, so an older reader accepts a newer writer. Raises ``ValueError`` naming a missing key.
    """
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        if item.name in data:
            values[item.name] = _convert(hints[item.name], data[item.name])
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ValueError(f"{cls.__name__}: key {item.name!r} is missing")
    return cls(**values)


def _hints(cls: type) -> dict[str, Any]:
    import typing

    return typing.get_type_hints(cls)


def _convert(hint: Any, value: Any) -> Any:
    import types
    import typing

    if value is None:
        return None
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(typing.cast("type", hint), value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list and arguments and dataclasses.is_dataclass(arguments[0]):
        return [from_dict(typing.cast("type", arguments[0]), entry) for entry in value]
    if origin is dict and dataclasses.is_dataclass(arguments[1]):
        return {key: from_dict(typing.cast("type", arguments[1]), entry) for key, entry in value.items()}
    if origin is types.UnionType:  # ``X | None``, and None is dealt with
        return _convert(arguments[0], value)
    return value

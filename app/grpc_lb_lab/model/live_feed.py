"""The feed of a run while it runs: JSON lines of five kinds, and the picture that they add up to.

Whoever runs the load starts a new file; clients and the lab append to it. A reader may come at any time and reads it
from the start. Times (``at``, ``start``) are seconds since the epoch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpc_lb_lab.model.data import from_dict
from grpc_lb_lab.model.text import plain

if TYPE_CHECKING:
    from grpc_lb_lab.model.plan import Plan

FILE = "live.jsonl"
"""Name of the feed in the lab's state folder."""

PREFIX = "live "
"""What a client writes to stderr before each line where it cannot reach the file: in a pod."""


@dataclass(frozen=True)
class RunLine:
    """A run begins. ``title`` is the strategy's, ``scenario_title`` the scenario's; empty where nothing happens."""

    at: float
    run: str
    strategy: str
    title: str
    scenario: str
    cluster: str
    clients: int
    replicas: int
    requests: int | None = None
    duration_s: float | None = None
    rate_rps: float | None = None
    scenario_title: str = ""


@dataclass(frozen=True)
class ClientLine:
    """Client ``i`` so far: ``done`` calls since ``start``; ``per`` answered calls by pod.

    ``total`` None: not known before. ``conns``: open connections now. ``p50_ms`` and ``p99_ms`` are of about the last
    second; None when no call ended in it. ``ended``: the client makes no more calls.
    """

    at: float
    i: int
    start: float
    done: int
    ok: int
    failed: int
    total: int | None = None
    per: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    conns: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    ended: bool = False


@dataclass(frozen=True)
class EventLine:
    """Something happened; ``event`` is a kind of ``model.Event``."""

    at: float
    event: str
    detail: str = ""
    pod: str = ""


@dataclass(frozen=True)
class ReplicasLine:
    """From now on these pods are ready."""

    at: float
    ready: list[str]


@dataclass(frozen=True)
class EndLine:
    """The run is over; ``problem`` says what broke it, empty when nothing did."""

    at: float
    problem: str = ""


Line = RunLine | ClientLine | EventLine | ReplicasLine | EndLine

_KINDS: dict[str, type[Line]] = {
    "run": RunLine,
    "client": ClientLine,
    "event": EventLine,
    "replicas": ReplicasLine,
    "end": EndLine,
}
_NAMES = {cls: kind for kind, cls in _KINDS.items()}


def render(line: Line) -> str:
    """One line of JSON, without its newline."""
    return json.dumps({"kind": _NAMES[type(line)], **vars(line)}, separators=(",", ":"))


def parse(text: str) -> Line | None:
    """Read a line; None when it is none of the feed's (cut off, from a newer version, something else).

    Feeds are for onlookers: nothing in the line can act on their terminal.
    """
    try:
        data = plain(json.loads(text))
        return from_dict(_KINDS[data["kind"]], data)
    except (ValueError, TypeError, KeyError):
        return None


def run_line(plan: Plan, cluster: str, at: float) -> RunLine:
    """The line that starts the feed of ``plan`` on ``cluster`` (``local``, ``kind`` or ``existing``)."""
    return RunLine(
        at=at,
        run=plan.run,
        strategy=plan.strategy.name,
        title=plan.strategy.title,
        scenario=plan.scenario,
        cluster=cluster,
        clients=plan.load.clients,
        replicas=plan.load.replicas,
        requests=plan.load.requests,
        duration_s=plan.load.duration_s,
        rate_rps=plan.load.rate_rps,
        scenario_title=plan.course.title if plan.course else "",
    )


def from_log(text: str) -> str | None:
    """The feed's line in a line of a client's log, or None when the log's line is another one."""
    return text.removeprefix(PREFIX).rstrip("\n") if text.startswith(PREFIX) else None

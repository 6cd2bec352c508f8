"""The clocks of a change: command, replica ready, EndpointSlice, DNS, first call. Each lags behind the one before it.

docs/verdicts.md says who tells which. All are seconds from the first measured call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.path import normal_address
from grpc_lb_lab.judge.scenario.presence import commands, concerns
from grpc_lb_lab.judge.text import host

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts, ReplicaFacts
    from grpc_lb_lab.judge.scenario.presence import Presence


@dataclass(frozen=True)
class ReplicaClocks:
    """One replica that came; None: it was not seen within the run. ``idle_s``: from ready to its first call."""

    pod: str
    command_s: float | None
    started_s: float | None
    ready_s: float
    endpoints_s: float | None
    dns_s: float | None
    first_call_s: float | None
    idle_s: float | None


def clocks(facts: Facts, present: list[Presence], first_s: float) -> list[ReplicaClocks]:
    """One entry for each replica that became ready after the first event, in that order."""
    came = [
        (one.came_s, replica)
        for one, replica in zip(present, facts.replicas, strict=True)
        if one.came_s is not None and one.came_s >= first_s
    ]
    return [_clocks(facts, ready_s, replica) for ready_s, replica in sorted(came, key=lambda pair: pair[0])]


def _clocks(facts: Facts, ready_s: float, replica: ReplicaFacts) -> ReplicaClocks:
    started = _since(facts, [e.at for e in facts.events if e.kind == "replica-started" and concerns(e, replica)])
    born = ready_s if started is None else started
    ordered = [event.at for event in commands(facts) if event.at - facts.started_at <= born]
    # Addresses are used again: what an earlier replica had there is of no interest.
    after = max(ordered, default=facts.started_at)
    told = [e.at for e in facts.events if e.kind == "endpoints" and replica.ip in hosts(e.detail) and e.at >= after]
    named = [
        answer.at
        for one in facts.over_time
        for answer in one.dns
        if answer.at >= after and replica.ip in map(_host, answer.addresses)
    ]
    call = None if replica.first_seen_at is None else _since(facts, [replica.first_seen_at])
    return ReplicaClocks(
        pod=replica.label,
        command_s=_since(facts, ordered[-1:]),
        started_s=started,
        ready_s=round(ready_s, 3),
        endpoints_s=_since(facts, told),
        dns_s=_since(facts, named),
        first_call_s=call,
        idle_s=None if call is None else round(max(0.0, call - ready_s), 3),
    )


def _since(facts: Facts, times: list[float]) -> float | None:
    return round(min(times) - facts.started_at, 3) if times else None


def clocks_apart_s(facts: Facts) -> float:
    """How far apart the clocks of the machines are at least: a first answer before its replica started shows it."""
    starts: dict[str, float] = {}
    for event in facts.events:
        if event.kind == "replica-started":
            starts.setdefault(event.uid, event.at)
    early = [
        starts[replica.uid] - replica.first_seen_at
        for replica in facts.replicas
        if replica.uid in starts and replica.first_seen_at is not None
    ]
    return round(max([0.0, *early]), 3)


def hosts(listed: str) -> list[str]:
    """The hosts of addresses that are separated by commas or spaces."""
    return [_host(address) for address in listed.replace(",", " ").split()]


def _host(address: str) -> str:
    return host(normal_address(address))

"""CPU seconds of a run: what a call cost the client, the proxies and the servers, and who had no core to spare.

A process that used more than ``SATURATED`` of one core while the load ran explains the calls a second: a faster way
to the replicas could not have shown itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.text import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpc_lb_lab.model.result import ClientResult, ProxyStats, ServerStats

SATURATED = 0.9
"""Share of one core. Client and servers are Python, whose calls run one at a time: one core is all they can use."""


@dataclass(frozen=True)
class ProcessCpu:
    """The busiest process of its kind (``client``, ``proxy``, ``server``); ``core_share`` 1.0 is one whole core."""

    role: str
    name: str
    cpu_s: float
    core_share: float


@dataclass(frozen=True)
class Cpu:
    """CPU of all processes of a kind during the run; None where nobody measured it.

    ``saturated`` is a sentence naming the process that explains the calls a second; empty when none does.
    """

    client_s: float
    client_us_per_call: float
    servers_s: float | None = None
    servers_us_per_call: float | None = None
    proxies_s: float | None = None
    proxies_us_per_call: float | None = None
    busiest: list[ProcessCpu] | None = None
    saturated: str = ""


def measure_cpu(
    results: list[ClientResult],
    servers: list[ServerStats],
    proxies: list[ProxyStats],
    forwarders: Mapping[str, float] | None = None,
) -> Cpu:
    """Add up what each process used for the measured calls of the run.

    ``forwarders`` are CPU seconds of processes on the way that count no requests: the local lab's Service, which on a
    cluster is the kernel, and a port-forward. They are proxies here.
    """
    between = [*((proxy.hop, proxy.cpu_s) for proxy in proxies), *(forwarders or {}).items()]
    calls = sum(result.requests for result in results)
    took = max(result.finished_at for result in results) - min(result.started_at for result in results)
    client_s = sum(result.cpu_s for result in results)
    servers_s = _total(server.run_cpu_s for server in servers)
    proxies_s = _total(cpu_s for _, cpu_s in between)
    busiest = [
        *_busiest("client", [(f"client {one.index}", one.cpu_s, one.finished_at - one.started_at) for one in results]),
        *_busiest("proxy", [(name, cpu_s, took) for name, cpu_s in between]),
        *_busiest("server", [(server.pod, server.run_cpu_s, took) for server in servers]),
    ]
    return Cpu(
        client_s=round(client_s, 4),
        client_us_per_call=_per_call(client_s, calls) or 0.0,
        servers_s=servers_s,
        servers_us_per_call=_per_call(servers_s, calls),
        proxies_s=proxies_s,
        proxies_us_per_call=_per_call(proxies_s, calls),
        busiest=busiest,
        saturated=_saturated(busiest),
    )


def _total(seconds: Iterable[float | None]) -> float | None:
    """The sum; None as soon as one is missing, for a part of the cost would pass for all of it."""
    values = list(seconds)
    known = [value for value in values if value is not None]
    return round(sum(known), 4) if known and len(known) == len(values) else None


def _per_call(seconds: float | None, calls: int) -> float | None:
    return round(seconds / calls * 1e6, 1) if seconds is not None and calls else None


def _busiest(role: str, processes: list[tuple[str, float | None, float]]) -> list[ProcessCpu]:
    shares = [
        ProcessCpu(role, name, round(cpu, 4), round(cpu / took, 4))
        for name, cpu, took in processes
        if cpu is not None and took > 0
    ]
    return [max(shares, key=lambda process: process.core_share)] if shares else []


def _saturated(busiest: list[ProcessCpu]) -> str:
    full = [process for process in busiest if process.core_share > SATURATED]
    if not full:
        return ""
    one = max(full, key=lambda process: process.core_share)
    return (
        f"One saturated core explains the calls a second: {one.name} used {number(round(one.core_share * 100))} % of a "
        "core while the load ran."
    )

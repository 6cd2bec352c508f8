"""The proxies that all clients share, read by each client before its first call and after its last one.

The earliest and the latest reading of all clients together enclose every call of the run, whoever made it; the report
puts them together (``report/shared.py``). So it works with one client and with a hundred, in every world.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from grpc_lb_lab.model.ports import ISTIO_AGENT_PORT, SERVER_ADMIN_PORT
from grpc_lb_lab.model.result import ProxyStats
from grpc_lb_lab.observe import edge_counters
from grpc_lb_lab.observe.names import resolve

if TYPE_CHECKING:
    from grpc_lb_lab.model.plan import Plan


class Proxy(NamedTuple):
    """One shared proxy: its hop, the kind of program, where its admin interface is."""

    hop: str
    kind: str
    admin: str


class Readings(NamedTuple):
    """What the proxies said at one moment, and what went wrong."""

    totals: dict[Proxy, dict[str, int]]
    notes: list[str]


async def read_all(plan: Plan) -> Readings:
    """Ask every shared proxy of the plan; the plan names none: nothing is asked."""
    found, notes = await _proxies(plan)
    readings = await asyncio.gather(*(asyncio.to_thread(_read, proxy) for proxy in found))
    totals = {proxy: value for proxy, value in zip(found, readings, strict=True) if isinstance(value, dict)}
    return Readings(totals, notes + [value for value in readings if isinstance(value, str)])


def compare(first: Readings, last: Readings) -> tuple[list[ProxyStats], list[str]]:
    """What the proxies counted between two readings, and the notes of both. New ones counted from zero."""
    stats = []
    for proxy, totals in last.totals.items():
        before = first.totals.get(proxy, {})
        grown = {name: value - before.get(name, 0) for name, value in totals.items()}
        stats.append(
            ProxyStats(
                hop=proxy.hop,
                address=proxy.admin,
                upstream_requests=grown["requests"],
                upstream_connections=totals.get("connections", 0),
                retries=grown.get("retries", 0),
                counters=totals,
                first=before,
                reading_counts=edge_counters.READINGS_COUNTED.get(proxy.kind, 0),
                # Each client asks every server for its counts before the last reading, and Istio counts that too.
                questions=1 if proxy.kind == "istio" else 0,
            )
        )
    return stats, list(dict.fromkeys(first.notes + last.notes))


async def _proxies(plan: Plan) -> tuple[list[Proxy], list[str]]:
    found, notes = [], []
    gateway, admin = plan.strategy.proxies.gateway, plan.targets.get("gateway_admin", "")
    if gateway and admin:
        found.append(Proxy("gateway", gateway, admin))
    elif gateway:
        notes.append("the gateway's counters are missing: the plan names no admin interface of it")
    beside = _beside_servers(plan)
    if beside:
        hop, kind, port = beside
        try:
            replicas = await resolve(plan.targets.get("headless", ""), plan.dns)
        except (OSError, ValueError) as error:
            return found, [*notes, f"the counters of the proxies beside the servers are missing: {error}"]
        hosts = [replica.rpartition(":")[0] for replica in replicas]
        found += [Proxy(hop, kind, f"{host}:{port}") for host in hosts]
    return found, notes


def _beside_servers(plan: Plan) -> tuple[str, str, int] | None:
    """Hop, kind and port of the proxies beside the servers, where the strategy has any on the calls' way."""
    found = {
        "envoy": ("envoy-server", "envoy", SERVER_ADMIN_PORT),
        "istio": ("istio-server", "istio", ISTIO_AGENT_PORT),
    }
    return found.get(plan.strategy.proxies.server)


def _read(proxy: Proxy) -> dict[str, int] | str:
    try:
        return edge_counters.read(proxy.kind, proxy.admin)
    except OSError as error:
        return f"the counters of {proxy.hop} at {proxy.admin} cannot be read: {error}"

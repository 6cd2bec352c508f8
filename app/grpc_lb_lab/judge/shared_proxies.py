"""Proxies that clients share: the readings of all clients make one, and what the warm-ups sent is taken off.

A client reads before its own first call and after its own last one. The lowest first and the highest last reading of
all clients enclose every call, for no client calls before it has read, or after.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from grpc_lb_lab.judge.reconciliation import BESIDE_SERVERS
from grpc_lb_lab.judge.text import host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.model.result import ProxyStats, ServerStats


def combine(readings: Sequence[ProxyStats], servers: Sequence[ServerStats], warmups_sent: int = 0) -> ProxyStats:
    """One proxy from all clients' readings of it; ``servers`` tell what reached them in the warm-ups.

    ``warmups_sent``: what the clients sent in them, where a server has gone and cannot tell any more.
    """
    names = {name for reading in readings for name in reading.counters}
    first = {name: min((reading.first or {}).get(name, 0) for reading in readings) for name in names}
    last = {name: max(reading.counters.get(name, 0) for reading in readings) for name in names}
    # Each client read twice, and the very first reading is no part of what came after it.
    own = readings[0].reading_counts * (2 * len(readings) - 1) + sum(reading.questions for reading in readings)
    beside = host(readings[0].address) if readings[0].hop in BESIDE_SERVERS else ""
    warmup = sum(server.warmup_attempts for server in servers if beside in ("", server.ip))
    if not beside:
        warmup = max(warmup, warmups_sent)
    return dataclasses.replace(
        readings[0],
        upstream_requests=last.get("requests", 0) - first.get("requests", 0) - own - warmup,
        upstream_connections=last.get("connections", 0),
        retries=last.get("retries", 0) - first.get("retries", 0),
        counters={name: last[name] - first[name] for name in sorted(names)},
        first=first,
    )

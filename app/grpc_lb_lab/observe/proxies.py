"""The counters of the Envoy beside the client, read from its admin interface before and after the load.

Counters are those of the clusters that carry calls, added up; where there are several, each has its own ones as well,
under ``CLUSTER/COUNTER``.
"""

from __future__ import annotations

import json
import re

from grpc_lb_lab.model.result import ProxyStats
from grpc_lb_lab.observe.admin import ask, ask_text

HOP = "envoy-client"
CLUSTER = re.compile(r"^cluster\.([^.]+)\.(.+)$")
# The clusters that carry calls, by their names in the lab's files. Others carry health checks and the lab's questions.
WITH_CALLS = frozenset({"echo", "greeter", "orders", "default"})
# What is no running total, but how things stand now.
GAUGE = re.compile(r"^(membership_.*|.*_active|.*_overflowed|max_host_weight|circuit_breakers\..*|version)$")
# Connections are opened in the warm-up and carry the load: the total is the fact, not the difference.
WHOLE = frozenset({"upstream_cx_total", "upstream_cx_http2_total"})


def read_counters(admin: str) -> dict[str, int]:
    """Counters and gauges of the proxy at ``admin`` (``HOST:PORT``), as the module says.

    Raises ``OSError`` when the admin interface does not answer or answers something else.
    """
    try:
        return add_up(
            {
                entry["name"]: entry["value"]
                for entry in json.loads(ask(admin, "stats?format=json&usedonly"))["stats"]
                if entry.get("name", "").startswith("cluster.") and isinstance(entry.get("value"), int)
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(f"the answer is not Envoy's: {error}") from error


def read_text(admin: str) -> str:
    """All figures of the proxy at ``admin`` as it writes them, a line each; raises ``OSError`` when it does not."""
    return ask_text(admin, "stats?usedonly")


def add_up(entries: dict[str, int]) -> dict[str, int]:
    """Envoy's figures by full name, made into counters as the module says."""
    clusters: dict[str, dict[str, int]] = {}
    for name, value in entries.items():
        found = CLUSTER.match(name)
        if found and found[1] in WITH_CALLS:
            clusters.setdefault(found[1], {})[found[2]] = value
    totals: dict[str, int] = {}
    for cluster, own in clusters.items():
        for name, value in own.items():
            totals[name] = totals.get(name, 0) + value
            if len(clusters) > 1:
                totals[f"{cluster}/{name}"] = value
    return totals


def is_total(name: str) -> bool:
    """Whether a counter only grows, so that the difference of two readings is what happened between them."""
    return not GAUGE.match(name.rpartition("/")[2])


def compare(address: str, before: dict[str, int], after: dict[str, int]) -> ProxyStats:
    """What the proxy at ``address`` did between two readings."""
    counters = {
        name: value - before.get(name, 0) if is_total(name) and name.rpartition("/")[2] not in WHOLE else value
        for name, value in sorted(after.items())
    }
    return ProxyStats(
        hop=HOP,
        address=address,
        upstream_requests=counters.get("upstream_rq_total", 0),
        upstream_connections=counters.get("upstream_cx_total", 0),
        retries=counters.get("upstream_rq_retry", 0),
        counters=counters,
    )

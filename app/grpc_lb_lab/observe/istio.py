"""What the Istio sidecar beside the client says of itself: its counters for the calls, and the rules that it follows.

Its admin interface answers only inside the pod. Nobody there: the client has no sidecar, and nothing is read.
"""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.ports import ISTIO_ADMIN_PORT
from grpc_lb_lab.model.result import ProxyStats
from grpc_lb_lab.observe import proxies
from grpc_lb_lab.observe.admin import ask

if TYPE_CHECKING:
    from grpc_lb_lab.model.plan import Plan

HOP = "istio-client"
ADMIN = f"127.0.0.1:{ISTIO_ADMIN_PORT}"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Where Envoy's cluster has what a DestinationRule names otherwise. Limits that nobody set are "no limit".
THRESHOLDS = {
    "connectionPool.tcp.maxConnections": "max_connections",
    "connectionPool.http.http2MaxRequests": "max_requests",
}
OUTLIERS = {
    "consecutive5xxErrors": "consecutive_5xx",
    "interval": "interval",
    "baseEjectionTime": "base_ejection_time",
    "maxEjectionPercent": "max_ejection_percent",
}
NO_LIMIT = 2**32 - 1
# Connections that the warm-up opened carry the load, too.
WHOLE = proxies.WHOLE | {"ssl.handshake"}


def cluster_of(plan: Plan) -> str:
    """The sidecar's name for where the calls go, such as ``outbound|50051||echo.lab.svc.cluster.local``."""
    name, _, port = plan.targets[plan.strategy.client.target].rpartition(":")
    domain = plan.targets["mesh"].rpartition(":")[0].partition(".")[2]
    return f"outbound|{port}||{name}.{domain}"


def read_counters(cluster: str, admin: str = ADMIN) -> dict[str, int]:
    """Counters and gauges of one cluster of the sidecar. Raises ``OSError`` when no sidecar answers."""
    prefix = f"cluster.{cluster}"
    try:
        entries = json.loads(ask(admin, "stats?format=json&usedonly"))["stats"]
        return {
            entry["name"].removeprefix(prefix).lstrip(";").lstrip("."): entry["value"]
            for entry in entries
            if entry.get("name", "").startswith((f"{prefix};", f"{prefix}.")) and isinstance(entry.get("value"), int)
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(f"the answer is not Envoy's: {error}") from error


def compare(cluster: str, before: dict[str, int], after: dict[str, int]) -> ProxyStats:
    """What the sidecar did for the cluster between two readings."""
    counters = {
        name: value - before.get(name, 0) if proxies.is_total(name) and name not in WHOLE else value
        for name, value in sorted(after.items())
    }
    # A sidecar that takes the port for plain TCP counts a connection as a request, but no answer.
    blind = bool(counters.get("upstream_cx_total")) and not counters.get("upstream_rq_completed")
    return ProxyStats(
        hop=HOP,
        address=cluster,
        upstream_requests=0 if blind else counters.get("upstream_rq_total", 0),
        upstream_connections=counters.get("upstream_cx_total", 0),
        retries=counters.get("upstream_rq_retry", 0),
        counters=counters,
        connections_only=blind,
    )


def read_rules(cluster: str, admin: str = ADMIN) -> dict[str, Any]:
    """How the sidecar handles the cluster's calls, for the report: see ``describe``. Raises ``OSError``."""
    words = urllib.parse.urlencode({"resource": "dynamic_active_clusters", "name_regex": _exactly(cluster)})
    try:
        configs = json.loads(ask(admin, f"config_dump?{words}")).get("configs", [])
        return describe(configs[0]["cluster"]) if configs else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(f"the answer is not Envoy's: {error}") from error


def describe(cluster: dict[str, Any]) -> dict[str, Any]:
    """An Envoy cluster in the words of Istio.

    ``endpoints``: ``EDS`` where the sidecar chooses a replica, ``ORIGINAL_DST`` where it follows the client's choice.
    ``protocol``: ``http2``, ``guessed`` (from a connection's first bytes) or ``tcp``. ``rule``: the settings that a
    DestinationRule can make, by their paths in one.
    """
    options = cluster.get("typed_extension_protocol_options", {}).get(HTTP_OPTIONS, {})
    explicit = options.get("explicit_http_config", {})
    protocol = "http2" if "http2_protocol_options" in explicit else "tcp"
    if "use_downstream_protocol_config" in options:
        protocol = "guessed"
    limits: dict[str, Any] = next(iter(cluster.get("circuit_breakers", {}).get("thresholds", [])), {})
    rule = {
        "loadBalancer.simple": cluster.get("lb_policy", "ROUND_ROBIN"),
        "connectionPool.tcp.connectTimeout": cluster.get("connect_timeout"),
        "connectionPool.http.maxRequestsPerConnection": options.get("common_http_protocol_options", {}).get(
            "max_requests_per_connection"
        ),
        **{path: None if limits.get(name) == NO_LIMIT else limits.get(name) for path, name in THRESHOLDS.items()},
        **{
            f"outlierDetection.{path}": cluster.get("outlier_detection", {}).get(name)
            for path, name in OUTLIERS.items()
        },
    }
    return {
        "endpoints": cluster.get("type", "STATIC"),
        "protocol": protocol,
        "rule": {path: value for path, value in rule.items() if value is not None},
    }


def _exactly(name: str) -> str:
    """A regular expression (RE2) for this text and no other."""
    return "".join(f"[{letter}]" if letter in "|." else letter for letter in name)

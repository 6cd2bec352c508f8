"""What proxies say of themselves that several clients share: at the edge (Envoy, nginx, HAProxy) and beside servers."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from grpc_lb_lab.observe import proxies
from grpc_lb_lab.observe.admin import ask_text

if TYPE_CHECKING:
    from collections.abc import Callable

_NGINX = re.compile(
    r"Active connections: \d+\s+server accepts handled requests\s+(?P<accepts>\d+) (?P<handled>\d+) (?P<requests>\d+)"
)
_ISTIO = re.compile(
    r'^envoy_cluster_upstream_(rq_total|cx_total|rq_retry)\{cluster_name="inbound\|\d+\|\|"\} (\d+)$', re.M
)
_HAPROXY_TOTALS = ("stot", "lbtot", "connect", "reuse", "wretr", "wredis", "econ", "eresp")

READINGS_COUNTED = {"nginx": 1}
"""How many requests a reading adds to what it reads; 0 for who is not named."""


def read(kind: str, admin: str) -> dict[str, int]:
    """The totals of the ``kind`` of proxy (``envoy``, ``nginx``, ``haproxy``, ``istio``) whose admin is at ``admin``.

    ``requests`` (sent to replicas), ``connections`` (to replicas; not told by nginx) and ``retries`` stand beside the
    proxy's own names; ``servers_up`` where it says so. Raises ``OSError`` when it does not answer, or not as it should.
    """
    return READERS[kind](admin)


def _envoy(admin: str) -> dict[str, int]:
    own = {name: value for name, value in proxies.read_counters(admin).items() if proxies.is_total(name)}
    totals = {
        "requests": own.get("upstream_rq_total", 0),
        "connections": own.get("upstream_cx_total", 0),
        "retries": own.get("upstream_rq_retry", 0),
    }
    return own | totals


def _nginx(admin: str) -> dict[str, int]:
    found = _NGINX.search(ask_text(admin, "stub_status"))
    if found is None:
        raise OSError("the answer is not nginx's stub_status")
    return {name: int(value) for name, value in found.groupdict().items()}


def _haproxy(admin: str) -> dict[str, int]:
    rows = list(csv.DictReader(io.StringIO(ask_text(admin, "stats;csv").removeprefix("# "))))
    backend = [row for row in rows if (row.get("pxname"), row.get("svname")) == ("echo", "BACKEND")]
    if not backend:
        raise OSError("the answer is not HAProxy's statistics")
    own = {name: int(backend[0].get(name) or 0) for name in _HAPROXY_TOTALS}
    servers = [row for row in rows if row.get("pxname") == "echo" and row.get("svname") not in ("BACKEND", "FRONTEND")]
    up = sum((row.get("status") or "").startswith("UP") for row in servers)
    totals = {"requests": own["lbtot"], "connections": own["connect"], "retries": own["wretr"], "servers_up": up}
    return own | totals


def _istio(admin: str) -> dict[str, int]:
    """A server's sidecar, as Istio's agent passes it on for Prometheus: what it sent to the server beside it."""
    # Before the first call the sidecar has nothing to tell of the server.
    found = {name: int(value) for name, value in _ISTIO.findall(ask_text(admin, "stats/prometheus"))}
    return {
        "requests": found.get("rq_total", 0),
        "connections": found.get("cx_total", 0),
        "retries": found.get("rq_retry", 0),
    }


READERS: dict[str, Callable[[str], dict[str, int]]] = {
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "istio": _istio,
}

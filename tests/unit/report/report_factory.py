"""Made-up runs: client results and an inventory as the real client writes them, small enough to change by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model import latency
from grpc_lb_lab.model.inventory import Inventory, Replica
from grpc_lb_lab.model.plan import Load, Plan
from grpc_lb_lab.model.result import (
    BackendCount,
    Bucket,
    ClientResult,
    ConnectionFact,
    PathCount,
    ProxyStats,
    ServerStats,
)
from grpc_lb_lab.model.strategy import Strategy

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Report

START = 1_790_000_000.05
SERVICE_IP = "127.77.0.10"


def uid(index: int) -> str:
    return f"uid-{index}"


def ip(index: int) -> str:
    return f"127.77.1.{index + 1}"


def inventory(replicas: int = 5, **changes: Any) -> Inventory:
    known = [Replica(f"echo-{index}", uid(index), ip(index)) for index in range(replicas)]
    return Inventory(
        **{"cluster": "local", "replicas": known, "service_ip": SERVICE_IP, "versions": {"envoy": "1.40.0"}} | changes
    )


def plan(
    expect: str = "even", hops: tuple[str, ...] = (), precision: str = "exact", name: str = "headless",
    policy: str = "round_robin", target: str = "headless", strategy: dict[str, Any] | None = None, **load: Any,
) -> Plan:  # fmt: skip
    words = {
        "name": name, "title": f"Title of {name}", "shows": "What it shows.", "advice": "What to do.",
        "expect": {"steady": expect}, "precision": precision, "hops": list(hops),
    }  # fmt: skip
    return Plan(
        run="20261122T010203Z-test",
        scenario="steady",
        strategy=Strategy.parse(
            {
                "strategy": words | (strategy or {}),
                "client": {"channel": policy, "target": target},
                "envoy": {"client": "sidecar.yaml", "lbPolicy": "ROUND_ROBIN"},
            }
        ),
        load=Load(**load),
        targets={"service": "echo:50051", "headless": "echo-headless:50051", "port-forward": "127.0.0.1:40000"},
    )


def client(
    channels: list[list[int]],
    *,
    index: int = 0,
    failed: dict[str, int] | None = None,
    remotes: list[str] | None = None,
    via: str = "",
    policy: str = "round_robin",
    resolved: list[str] | None = None,
    attempts: list[int] | None = None,
    proxies: list[ProxyStats] | None = None,
    interval_s: float = 0.1,
    start: float = START,
    **changes: Any,
) -> ClientResult:
    """A consistent result: ``channels`` has a list of calls per replica for each channel."""
    replicas = len(channels[0])
    counts = [sum(channel[index] for channel in channels) for index in range(replicas)]
    ok, errors = sum(counts), failed or {}
    histogram = latency.new_histogram()
    for call in range(ok):
        latency.record(histogram, 400 + 7 * (call % 90))
    answered = {uid(i): count for i, count in enumerate(counts) if count}
    first = int(start / interval_s)
    half = {key: count // 2 for key, count in answered.items()}
    rest = {key: count - half[key] for key, count in answered.items()}
    lost = sum(errors.values())
    attempts = attempts if attempts is not None else counts
    values: dict[str, Any] = {
        "index": index,
        "host": "host",
        "started_at": start,
        "finished_at": start + 0.5,
        "requests": ok + lost,
        "ok": ok,
        "failed": lost,
        "errors": errors,
        "backends": [
            BackendCount(f"echo-{i}", uid(i), ip(i), START - 60, count, start + 0.01, start + 0.4)
            for i, count in enumerate(counts)
            if count
        ],
        "per_channel": [{uid(i): count for i, count in enumerate(channel) if count} for channel in channels],
        "latency_hdr": latency.encode(histogram),
        "lag_hdr": "",
        "interval_s": interval_s,
        "timeline": [Bucket(first, sum(half.values()), 0, half), Bucket(first + 3, sum(rest.values()), lost, rest)],
        "connections": [
            ConnectionFact(0, f"ipv4:127.0.0.1:{41000 + i}", remote)
            for i, remote in enumerate(
                remotes if remotes is not None else [f"ipv4:{ip(i)}:50051" for i in range(replicas)]
            )
        ],
        "resolved": resolved if resolved is not None else [f"{ip(i)}:50051" for i in range(replicas)],
        "policy": policy,
        "paths": [PathCount("127.0.0.1", {"via": via} if via else {}, ok)] if ok else [],
        "keys": {},
        "servers": [
            ServerStats(f"echo-{i}", uid(i), ip(i), count, 0, 0, 2, 1, ["127.0.0.1"], 0.5)
            for i, count in enumerate(attempts)
        ],
        "proxies": proxies or [],
        "warmup_requests": 10,
        "warmup_s": 0.2,
        "cpu_s": 0.3,
        "versions": {"grpcio": "1.85.0"},
    }
    return ClientResult(**values | changes)


def envoy(requests: int, connections: int = 5, retries: int = 0, address: str = "127.77.2.1:9901") -> ProxyStats:
    return ProxyStats("envoy-client", address, requests, connections, retries, {"upstream_rq_total": requests}, 0.2)


def headless(counts: list[int], **load: Any) -> Report:
    """One client, round_robin straight to the replicas."""
    return build_report(
        plan(requests=sum(counts), replicas=len(counts), **load), inventory(len(counts)), [client([counts])]
    )


def service(counts: list[int], policy: str = "pick_first", **changes: Any) -> Report:
    """One client through the Service's address."""
    one = client(
        [counts], policy=policy, remotes=[f"ipv4:{SERVICE_IP}:50051"], resolved=[f"{SERVICE_IP}:50051"], **changes
    )
    asked = plan(
        "pinned",
        ("service",),
        name="service",
        policy=policy,
        target="service",
        requests=one.requests,
        replicas=len(counts),
    )
    return build_report(asked, inventory(len(counts)), [one])


def through_envoy(counts: list[int], **changes: Any) -> Report:
    """One client through the Envoy beside it."""
    total = sum(counts)
    values: dict[str, Any] = {
        "remotes": ["ipv4:127.77.2.1:15001"], "resolved": ["127.77.2.1:15001"], "via": "1.1 envoy-client",
        "policy": "pick_first", "proxies": [envoy(total)],
    }  # fmt: skip
    one = client([counts], **values | changes)
    asked = plan(
        "even",
        ("envoy-client",),
        name="envoy",
        policy="pick_first",
        target="sidecar",
        requests=one.requests,
        replicas=len(counts),
    )
    return build_report(asked, inventory(len(counts)), [one])

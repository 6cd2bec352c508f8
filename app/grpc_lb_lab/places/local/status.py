"""``lb-lab local status`` for people, as a function from the supervisor's answer to text."""

from __future__ import annotations

from typing import Any

_EVENTS_SHOWN = 5


def render(status: dict[str, Any]) -> str:
    """Return the status as lines of text."""
    if not status["running"]:
        return "no lab runs here"
    replicas = status["replicas"]
    service = status["service"]
    lines = [
        f"lab in {status['block']}, port {status['port']}, supervisor pid {status['pid']}",
        f"DNS      {status['dns']}, {status['dns_queries']:,} queries",
        f"Service  {service['address']}, {'running' if service['running'] else 'not needed yet'}",
        f"replicas {_count(replicas, status)}",
    ]
    width = max((len(replica["pod"]) for replica in replicas), default=0)
    lines += [_replica(replica, width) for replica in replicas]
    lines += _load(status["load"])
    recent = status["events"][-_EVENTS_SHOWN:]
    lines += [f"event    {event['kind']}: {event['detail']}" for event in recent]
    return "\n".join(lines)


def _count(replicas: list[dict[str, Any]], status: dict[str, Any]) -> str:
    """Return how many of those that are wanted now are ready, and who is there besides."""
    asked = int(status["wish"]["replicas"])
    wanted = int(status.get("desired", asked))  # a lab of an older version does not tell
    ready = sum(replica["ready"] for replica in replicas)
    leaving = sum(replica["state"] == "terminating" for replica in replicas)
    words = [f"{min(ready, wanted)} of {wanted} ready"]
    words += [f"{ready - wanted} more for a moment"] if ready > wanted else []
    words += [f"{leaving} leaving"] if leaving else []
    words += [f"{asked} asked for"] if wanted != asked else []
    return ", ".join(words)


def _replica(replica: dict[str, Any], width: int) -> str:
    stopped = ", stopped" if replica["stopped"] else ""
    return f"  {replica['pod']:<{width}}  {replica['ip']:<15}  pid {replica['pid']:<7}  {replica['state']}{stopped}"


def _load(load: dict[str, Any] | None) -> list[str]:
    if load is None:
        return ["load     none"]
    of = f" of {load['total']:,}" if load["total"] else ""
    return [f"load     {load['done']:,}{of} calls, {len(load['clients'])} clients, owned by pid {load['owner']}"]

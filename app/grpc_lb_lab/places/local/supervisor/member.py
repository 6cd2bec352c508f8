"""One replica as the supervisor sees it, from its start to its end."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from grpc_lb_lab.places.local.supervisor.health import HealthProbe, accepts
from grpc_lb_lab.places.local.supervisor.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable


State = Literal["starting", "ready", "unready", "terminating", "ended"]

_FIRST_LOOK_S = 0.02
_MISSES = 3
"""Checks without an answer before a replica counts as not ready, as a kubelet's ``failureThreshold``."""

# Kubernetes leaves vowels and look-alikes out of the names it makes up.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(eq=False)
class Member:
    """A replica. ``pod`` is a name like a Deployment gives; ``ready_at`` and ``started_at`` are epoch seconds."""

    pod: str
    uid: str
    ip: str
    port: int
    process: Process
    proxy: Process | None = None
    state: State = "starting"
    stopped: bool = False
    started_at: float = field(default_factory=time.time)
    ready_at: float | None = None
    ended_at: float | None = None

    @property
    def processes(self) -> list[Process]:
        """The server and, where there is one, the Envoy beside it."""
        return [self.process, *([self.proxy] if self.proxy else [])]

    @property
    def wanted(self) -> bool:
        """Whether it counts towards the number of replicas: neither ended nor on its way out."""
        return self.state in ("starting", "ready", "unready")

    def describe(self) -> dict[str, Any]:
        """Return it as JSON data: the keys of ``model.Replica``, and what else is known."""
        return {
            "pod": self.pod,
            "uid": self.uid,
            "ip": self.ip,
            "ready": self.state == "ready",
            "node": "local",
            "state": self.state,
            "stopped": self.stopped,
            "pid": self.process.pid,
            "proxy_pid": self.proxy.pid if self.proxy else None,
            "started_at": self.started_at,
            "ready_at": self.ready_at,
            "ended_at": self.ended_at,
        }


def new_identity(template: str) -> tuple[str, str]:
    """Make up a pod name and a UID; ``template`` marks replicas that were made with the same options."""
    return f"echo-{template}-{''.join(secrets.choice(_LETTERS) for _ in range(5))}", str(uuid.uuid4())


async def watch(member: Member, changed: Callable[[Member, bool], None], pause: Callable[[], float]) -> None:
    """Follow a replica's readiness until cancelled; ``changed(member, ready)`` is called on every change.

    ``pause`` says how long to wait between two checks of a replica that has been ready once (seconds).
    """
    while not await accepts(member.ip, member.port):
        await asyncio.sleep(_FIRST_LOOK_S)
    probe = HealthProbe(member.ip, member.port)
    ready, misses = False, 0
    try:
        while True:
            serving = await probe.serving()
            misses = misses + 1 if serving is None else 0
            now_ready = (ready and misses < _MISSES) if serving is None else serving
            if now_ready != ready:
                ready = now_ready
                changed(member, ready)
            await asyncio.sleep(_FIRST_LOOK_S if member.ready_at is None else pause())
    finally:
        await probe.close()

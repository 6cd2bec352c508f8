"""The proxy beside this client, an Envoy of the lab's or Istio's sidecar: read before and after the load."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.load.channels import modes
from grpc_lb_lab.observe import istio, proxies

if TYPE_CHECKING:
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.result import ProxyStats


class OwnProxy:
    """The plan's proxy beside this client; for a plan without one nothing is read. ``notes``: what could not be."""

    def __init__(self, plan: Plan) -> None:
        """Nothing is read yet."""
        self.notes: list[str] = []
        self._plan = plan
        self._in_mesh = plan.strategy.proxies.client == "istio"
        self._admin = istio.ADMIN if self._in_mesh else plan.targets.get("sidecar_admin", "")
        self._there = self._in_mesh or bool(plan.strategy.proxies.client and self._admin)

    async def counters(self) -> dict[str, int] | None:
        """Its counters now; None where there is no proxy or it does not answer."""
        if not self._there:
            return None
        try:
            if self._in_mesh:
                return await asyncio.to_thread(istio.read_counters, istio.cluster_of(self._plan))
            return await asyncio.to_thread(proxies.read_counters, self._admin)
        except OSError as error:
            who = "no Istio sidecar answers" if self._in_mesh else "the proxy's counters"
            self.notes.append(f"{who} at {self._admin}{'' if self._in_mesh else ' cannot be read'}: {error}")
            return None

    def compare(self, before: dict[str, int] | None, after: dict[str, int] | None) -> list[ProxyStats]:
        """What it did between two readings; nothing when one is missing."""
        if before is None or after is None:
            return []
        if self._in_mesh:
            return [istio.compare(istio.cluster_of(self._plan), before, after)]
        return [proxies.compare(modes.target_address(self._plan), before, after)]

    async def text(self) -> str:
        """All figures as it writes them; empty when it does not answer."""
        with contextlib.suppress(OSError):
            return await asyncio.to_thread(proxies.read_text, self._admin)
        return ""

    async def mesh(self) -> dict[str, dict[str, Any]]:
        """How Istio's sidecar handled the calls, for the report; empty without one."""
        if self._in_mesh:
            with contextlib.suppress(OSError):  # its counters are missing then as well, and that is noted
                return {"mesh": await asyncio.to_thread(istio.read_rules, istio.cluster_of(self._plan))}
        return {}

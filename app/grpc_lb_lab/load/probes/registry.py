"""What client 0 tries after the measured calls: one function a probe, the words of ``client.probes``.

A probe makes calls of its own, under a run of its own, so that nothing of it is in the measured counts. What it does to
a replica (``EchoService.SetFault``) ends before it returns, and by itself should the client die. It needs gRPC and the
sidecar's admin interface only, so it is the same in every world.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.load.probes import breaker, ejection, keys_move
from grpc_lb_lab.load.probes.probing import Probing
from grpc_lb_lab.observe import stats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grpc_lb_lab.load.channels.channel import LabChannel
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.result import ClientResult

    Probe = Callable[[Probing], Awaitable[dict[str, Any]]]

OTHERS_LIMIT_S = 30.0
UNCHANGED_S = 2.0
LOOK_S = 0.2

PROBES: dict[str, Probe] = {
    "keys-move": keys_move.keys_move,
    "breaker": breaker.breaker,
    "ejection": ejection.ejection,
}


async def run_probes(
    plan: Plan, channel: LabChannel, result: ClientResult, stopped: Callable[[], bool]
) -> dict[str, dict[str, Any]]:
    """The figures of the plan's probes by name; ``problem`` instead of figures where one could not be made."""
    found: dict[str, dict[str, Any]] = {}
    for name in plan.strategy.client.probes:
        if stopped():
            break
        if name not in PROBES:
            found[name] = {"problem": f"no probe of this name; there are: {', '.join(sorted(PROBES))}"}
            continue
        try:
            found[name] = await PROBES[name](Probing(plan, channel, result))
        except OSError as error:  # a replica or a proxy that does not do as it should: a finding, not a broken lab
            found[name] = {"problem": str(error)}
    return found


async def wait_for_others(plan: Plan, stopped: Callable[[], bool]) -> None:
    """Wait until no client of the plan makes measured calls any more: a probe would disturb them.

    The servers know: all attempts have arrived, or none has for a while.
    """
    headless = plan.targets.get("headless", "")
    if plan.load.clients == 1 or not headless:
        return
    seen, changed, end = -1, time.monotonic(), time.monotonic() + OTHERS_LIMIT_S
    while time.monotonic() < end and not stopped():
        servers, _ = await stats.ask_all(headless, plan.dns, plan.run)
        attempts = sum(server.attempts for server in servers)
        now = time.monotonic()
        if attempts != seen:
            seen, changed = attempts, now
        if now - changed >= UNCHANGED_S or (plan.load.requests is not None and attempts >= plan.load.requests):
            return
        await asyncio.sleep(LOOK_S)

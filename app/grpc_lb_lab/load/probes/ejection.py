"""The probe ``ejection``: one replica fails the greeter's calls until Envoy's outlier detection takes it out."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.load.probes.breaker import CLUSTER, METHOD, SERVICE
from grpc_lb_lab.load.probes.probing import REQUEST, within
from grpc_lb_lab.load.record.replies import read_reply
from grpc_lb_lab.observe import proxies
from grpc_lb_lab.pb.echo.v1 import echo_pb2

if TYPE_CHECKING:
    from grpc_lb_lab.load.probes.probing import Probing

FOR_MS = 30_000
MOST_CALLS = 500
CALLS_A_LOOK = 5
BACK_LIMIT_S = 45.0
ANSWERS_WITHIN = 200
ACTIVE = f"{CLUSTER}/outlier_detection.ejections_active"
ENFORCED = f"{CLUSTER}/outlier_detection.ejections_enforced_total"


async def ejection(probing: Probing) -> dict[str, Any]:
    """Let one replica fail, see it leave and come back, by Envoy's own gauges.

    Raises ``OSError`` when Envoy does not eject it within ``MOST_CALLS`` calls.
    """
    admin, call = probing.plan.targets["sidecar_admin"], probing.caller(METHOD)
    victim = probing.result.servers[0]
    address = probing.address(victim.uid)
    before = await asyncio.to_thread(proxies.read_counters, admin)
    made = failed = 0
    failing = echo_pb2.FaultRequest(fail_code="UNAVAILABLE", service=SERVICE, for_ms=FOR_MS)
    await probing.fault(address, failing)
    try:
        while not (await asyncio.to_thread(proxies.read_counters, admin)).get(ACTIVE):
            if made >= MOST_CALLS:
                raise OSError(f"Envoy ejected nobody within {made} calls, of which {failed} failed")
            for _ in range(CALLS_A_LOOK):
                reply, _ = await call(REQUEST)
                made, failed = made + 1, failed + (reply is None)
        out = time.monotonic()
        while_out = [await call(REQUEST) for _ in range(CALLS_A_LOOK * len(probing.result.servers))]
    finally:
        await probing.fault(address, echo_pb2.FaultRequest())

    async def is_back() -> bool:
        return not (await asyncio.to_thread(proxies.read_counters, admin)).get(ACTIVE)

    back = await within(BACK_LIMIT_S, is_back)
    after = await asyncio.to_thread(proxies.read_counters, admin)
    return {
        "replica": victim.pod,
        "calls_until_ejected": made,
        "failed_until_ejected": failed,
        "failed_while_out": sum(reply is None for reply, _ in while_out),
        "ejections": after.get(ENFORCED, 0) - before.get(ENFORCED, 0),
        "active_at_the_end": after.get(ACTIVE, 0),
        "out_for_s": None if back is None else round(time.monotonic() - out, 2),
        "answers_again": "yes" if back is not None and await _answers(probing, victim.uid) else "no",
    }


async def _answers(probing: Probing, uid: str) -> bool:
    """Whether the replica answers one of the next calls."""
    call = probing.caller(METHOD)
    for _ in range(ANSWERS_WITHIN):
        reply, _ = await call(REQUEST)
        answer = read_reply(reply) if reply is not None else None
        if answer is not None and answer.uid == uid:
            return True
    return False

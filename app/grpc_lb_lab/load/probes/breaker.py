"""The probe ``breaker``: more calls at the same time than the greeter cluster's circuit breaker lets through."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.load.probes.probing import REQUEST
from grpc_lb_lab.observe import proxies
from grpc_lb_lab.pb.echo.v1 import echo_pb2

if TYPE_CHECKING:
    from grpc_lb_lab.load.probes.probing import Probing

SERVICE, METHOD, CLUSTER = "greeter.Greeter", "greeter.Greeter/SayHello", "greeter"
# Above max_requests 1000. Slow replicas keep what was let through in flight until all have been offered.
OFFERED = 1500
DELAY_MS = 200
OVERFLOWS = ("upstream_rq_pending_overflow", "upstream_rq_active_overflow")
FOR_MS = 20_000
DEADLINE_S = 15.0


async def breaker(probing: Probing) -> dict[str, Any]:
    """Offer a burst to slowed greeters and read what Envoy refused. Raises ``OSError`` when something cannot be read.

    ``rejected`` is the client's count of calls that failed with UNAVAILABLE, the others are Envoy's own: calls refused
    because too many waited for a connection, and because too many were in flight.
    """
    admin = probing.plan.targets["sidecar_admin"]
    addresses = [probing.address(server.uid) for server in probing.result.servers]
    slow = echo_pb2.FaultRequest(delay_ms=DELAY_MS, service=SERVICE, for_ms=FOR_MS)
    call = probing.caller(METHOD, deadline_s=DEADLINE_S)
    before = await asyncio.to_thread(proxies.read_counters, admin)
    await asyncio.gather(*(probing.fault(address, slow) for address in addresses))
    try:
        began = time.monotonic()
        outcomes = await asyncio.gather(*(call(REQUEST) for _ in range(OFFERED)))
        took = time.monotonic() - began
    finally:
        await asyncio.gather(*(probing.fault(address, echo_pb2.FaultRequest()) for address in addresses))
    after = await asyncio.to_thread(proxies.read_counters, admin)
    refused = {name: after.get(f"{CLUSTER}/{name}", 0) - before.get(f"{CLUSTER}/{name}", 0) for name in OVERFLOWS}
    answer, code = await call(REQUEST)
    return {
        "offered": OFFERED,
        "ok": sum(reply is not None for reply, _ in outcomes),
        "rejected": sum(failed == "UNAVAILABLE" for _, failed in outcomes),
        "other_failures": sum(failed not in (None, "UNAVAILABLE") for _, failed in outcomes),
        **refused,
        "seconds": round(took, 2),
        "closed_again": "yes" if answer is not None else f"no ({code})",
    }

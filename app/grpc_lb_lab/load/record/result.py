"""The result of a load, put together from those who watched it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
from typing import TYPE_CHECKING

import grpc

import grpc_lb_lab
from grpc_lb_lab.model.result import ClientResult

if TYPE_CHECKING:
    from grpc_lb_lab.load.channels.connections import ConnectionLog
    from grpc_lb_lab.load.record.recorder import Recorder


def measured(
    index: int, recorder: Recorder, log: ConnectionLog, started_at: float, finished_at: float, cpu_s: float
) -> ClientResult:
    """What client ``index`` measured itself; what others counted is empty yet. Times are seconds since the epoch."""
    return ClientResult(
        index=index,
        host=os.environ.get("POD_NAME") or socket.gethostname(),
        started_at=started_at,
        finished_at=finished_at,
        requests=recorder.requests,
        ok=recorder.ok,
        failed=recorder.failed,
        errors=dict(sorted(recorder.errors.items())),
        backends=recorder.backends(),
        per_channel=recorder.per_channel(),
        latency_hdr=recorder.latency.encoded(),
        lag_hdr=recorder.lag.encoded(),
        interval_s=recorder.timeline.interval_s,
        timeline=recorder.timeline.buckets(),
        connections=log.connections(),
        resolved=[],
        policy=log.policy(),
        paths=recorder.paths(),
        keys=recorder.keys(),
        servers=[],
        proxies=[],
        warmup_requests=0,
        warmup_s=0.0,
        cpu_s=round(cpu_s, 6),
        versions=versions(),
        methods=recorder.methods(),
        failures=recorder.failures,
        slot_s=recorder.slots.slot_s if recorder.slots else 1.0,
        latency_slots=recorder.slots.slots() if recorder.slots else [],
    )


def versions() -> dict[str, str]:
    """What the client runs on."""
    return {
        "grpc-lb-lab": grpc_lb_lab.__version__,
        "grpcio": grpc.__version__,
        "python": platform.python_version(),
        "uvloop": importlib.metadata.version("uvloop"),
    }

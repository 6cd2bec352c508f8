"""What can be known to fail before anything is started; each check takes milliseconds and says what to do."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.places.local.addresses import RESERVED_PORTS

MOST_REPLICAS = 5_000

_REPLICA_MB = 10
"""What a forked replica with its threads adds (measured: 8 MB)."""

_REPLICA_FILES = 2
"""Connections of the supervisor to a replica: one for its health, and at times one for its faults."""

_BASE_FILES = 64
"""The supervisor without replicas (measured: 17), one Envoy, one client."""

_BASE_MB = 200
"""Supervisor, spawner, one Envoy and one client."""


def check_platform() -> None:
    """Raise ``LabError`` where the parts that the lab needs from Linux are missing."""
    if not sys.platform.startswith("linux"):
        raise LabError(f"lab_cluster=local needs Linux (127.0.0.0/8, /proc, prctl), this is {sys.platform}: use kind")


def check_numbers(replicas: int | None, port: int) -> None:
    """Raise ``UsageError`` for numbers that make no sense anywhere."""
    if replicas is not None and not 1 <= replicas <= MOST_REPLICAS:
        raise UsageError(f"--replicas must be 1 to {MOST_REPLICAS}, not {replicas}")
    if not 1024 <= port <= 65535 or any(port in span for span in RESERVED_PORTS):
        own = ", ".join(f"{span[0]}" if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in RESERVED_PORTS)
        raise UsageError(f"--port must be 1024 to 65535 and none of {own} (the lab's own), not {port}")


def check_memory(more_replicas: int, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Raise ``LabError`` when this many more replicas do not fit into the memory that is free now."""
    free_mb = _available_mb(meminfo)
    needed_mb = more_replicas * _REPLICA_MB + _BASE_MB
    if more_replicas > 0 and free_mb is not None and needed_mb > free_mb:
        fit = max(0, (free_mb - _BASE_MB) // _REPLICA_MB)
        raise LabError(
            f"{more_replicas} more replicas need about {needed_mb} MB of memory, {free_mb} MB are free: "
            f"at most {fit} would fit"
        )


def check_files(replicas: int, allowed: int | None = None) -> None:
    """Raise ``LabError`` when a process may not have as many open files as a supervisor of ``replicas`` needs.

    ``allowed`` is the limit that no process can raise by itself (default: that of this one).
    """
    if allowed is None:
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = _BASE_FILES + replicas * _REPLICA_FILES
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise LabError(
            f"a process may have {allowed} open files here (ulimit -Hn), {replicas} replicas need {needed}: "
            "raise the limit, or start fewer with lab_replicas"
        )


def _available_mb(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) // 1024 if found else None

"""Where Prometheus finds the parts of a local lab: a file that its file_sd_configs reads, rewritten on every change."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.ports import METRICS_PORT
from grpc_lb_lab.places.local.supervisor.service import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from grpc_lb_lab.places.local.addresses import Block
    from grpc_lb_lab.places.local.supervisor.events import EventLog
    from grpc_lb_lab.places.local.supervisor.member import Member


def targets(block: Block, members: Iterable[Member], clients: int) -> list[dict[str, Any]]:
    """The replicas that are there, and ``clients`` clients, which only answer while a load runs.

    They are named before it runs: Prometheus takes up to 5 s to see a change, and many a load is shorter.
    """
    found = [
        {"targets": [f"{member.ip}:{METRICS_PORT}"], "labels": {"role": "server", "pod": member.pod}}
        for member in members
        if member.wanted
    ]
    return found + [
        {"targets": [f"{block.sidecar(index)}:{METRICS_PORT}"], "labels": {"role": "client", "pod": f"client-{index}"}}
        for index in range(clients)
    ]


def write(path: Path, block: Block, members: Iterable[Member], clients: int, events: EventLog) -> None:
    """Write the file; what hinders it is an event, for a lab works without being watched."""
    try:
        write_atomically(path, json.dumps(targets(block, members, clients), indent=1) + "\n")
    except OSError as error:
        events.add("metrics-stale", f"{path.name}: {os.strerror(error.errno or 0)}")

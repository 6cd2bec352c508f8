"""The inventory: what the report needs to know of the lab beside the load."""

from __future__ import annotations

import dataclasses
import os
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grpc_lb_lab.model.inventory import Event
    from grpc_lb_lab.places.local.supervisor.member import Member


def versions(envoy: str, grpcio: str) -> dict[str, str]:
    """Return what runs here, by name; Envoy only where one runs."""
    found = {"grpcio": grpcio, "kernel": os.uname().release, "python": platform.python_version()}
    return {"envoy": envoy, **found} if envoy else found


def make_inventory(
    members: Iterable[Member],
    service_ip: str,
    envoy: str,
    grpcio: str,
    events: Sequence[Event] = (),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a ``model.Inventory`` as JSON data; replicas also carry what only this world knows (state, pid, times)."""
    return {
        "cluster": "local",
        "replicas": [member.describe() for member in members],
        "service_ip": service_ip,
        "versions": versions(envoy, grpcio),
        "events": [dataclasses.asdict(event) for event in events],
        "notes": list(notes),
    }

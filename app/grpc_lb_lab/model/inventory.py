"""What the place says of a run: its replicas and what happened to them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Replica:
    """A replica that the supervisor or Kubernetes knows of."""

    pod: str
    uid: str
    ip: str
    ready: bool = True
    node: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened to the lab during the run. ``at`` is in seconds since the epoch.

    Kinds of a scenario: ``command`` (an event was ordered), ``recovered`` (a fault ended by itself),
    ``replica-started``, ``replica-ready``, ``replica-unready``, ``replica-terminating``, ``replica-ended`` (``pod``
    names it), ``endpoints`` (the ready addresses, with commas, that EndpointSlices or supervisor give out from now on).
    """

    at: float
    kind: str
    detail: str
    pod: str = ""
    uid: str = ""
    ip: str = ""


@dataclass(frozen=True)
class Inventory:
    """The lab beside the load: which replicas exist, at which address the Service is, which versions run."""

    cluster: str
    replicas: list[Replica]
    service_ip: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

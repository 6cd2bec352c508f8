"""Endpoints as the control planes see them, whatever told them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, order=True)
class Endpoint:
    """One replica of one service. ``ready``: takes new calls; ``serving``: answers, though it may be terminating."""

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    pod: str = ""
    uid: str = ""

    @property
    def target(self) -> str:
        """ADDRESS:PORT, an IPv6 address in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Endpoints:
    """All services at one moment; the endpoints of each are sorted."""

    services: Mapping[str, tuple[Endpoint, ...]]

    def eligible(self, service: str) -> tuple[Endpoint, ...] | None:
        """The endpoints that calls may go to; None when there is no such service.

        These are the ready ones and, where there is none, those that still serve while they terminate: the rule of
        kube-proxy.
        """
        known = self.services.get(service)
        if known is None:
            return None
        return tuple(e for e in known if e.ready) or tuple(e for e in known if e.serving)

    @property
    def version(self) -> str:
        """Names the content: equal content has the same version, also in another process."""
        return digest(repr(sorted(self.services.items())))


def digest(text: str | bytes) -> str:
    """Twelve hexadecimal digits that name ``text``."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:12]


class EndpointSource(Protocol):
    """Something that knows the endpoints and says when they change. Safe to use from any thread."""

    def start(self) -> None:
        """Begin to watch, in the background. Raises ``LabError`` for what a user must repair first."""

    def snapshot(self) -> Endpoints | None:
        """The endpoints now; None until the first list is there. Later faults keep the last one."""

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` from the source's own thread after each change; returns the function that ends this."""

    def close(self) -> None:
        """Stop watching; the snapshot stays."""

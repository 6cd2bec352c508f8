"""The state of the world protocol for one type on one stream. Pure: no sockets, no clock.

What a client subscribed to, what it was sent last, what it said about it: enough to decide what to send next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from grpc_lb_lab.control_planes.xds.catalog import Resource, version_of
from grpc_lb_lab.control_planes.xds.kinds import WHOLE_STATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


Said = Literal["first", "ack", "nack", "stale"]


@dataclass(frozen=True)
class Push:
    """One response to send."""

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]


@dataclass
class Subscription:
    """One type on one stream.

    ``sent`` is the version of each resource as last sent, refused ones included: they are not sent again until they
    change. ``accepted`` is the last version that the client acknowledged.
    """

    type_url: str
    names: frozenset[str] = frozenset()
    wildcard: bool = False
    nonce: str = ""
    version: str = ""
    accepted: str = ""
    error: str = ""
    sent: dict[str, str] = field(default_factory=dict)
    _pushes: int = 0
    _named: bool = False
    _owed: bool = False

    def request(self, names: Iterable[str], nonce: str, error: str | None) -> Said:
        """Take in one request; ``error`` is the message of a NACK. A request with a stale nonce changes nothing."""
        if nonce != self.nonce and nonce:
            return "stale"
        said: Said = "first"
        if nonce:
            said = "ack" if error is None else "nack"
        if said == "nack":
            self.error = error or "no reason given"
        elif said == "ack":
            self.accepted, self.error = self.version, ""
        self._subscribe(frozenset(names))
        if not nonce and not self._pushes:
            self._owed = True
        return said

    def push(self, found: Mapping[str, Resource]) -> Push | None:
        """What to send now, given everything there is; None when the client is up to date."""
        wanted = {name: r for name, r in found.items() if self.wildcard or name in self.names}
        versions = {name: r.version for name, r in wanted.items()}
        changed = sorted(name for name, version in versions.items() if self.sent.get(name) != version)
        if self.type_url in WHOLE_STATE:
            # The response is the whole truth: what is not in it does not exist.
            if not self._owed and versions == self.sent:
                return None
            chosen = sorted(wanted)
            self.sent = versions
        else:
            if not changed:
                return None
            chosen = changed
            self.sent = {**{n: v for n, v in self.sent.items() if n in versions}, **versions}
        self._owed = False
        self._pushes += 1
        self.nonce = str(self._pushes)
        self.version = version_of(found)
        return Push(self.type_url, self.version, self.nonce, tuple(wanted[name] for name in chosen))

    def send_again(self, names: Iterable[str]) -> None:
        """Forget that these were sent: what refers to them changed, and the client waits for them."""
        for name in names:
            self.sent.pop(name, None)

    def _subscribe(self, names: frozenset[str]) -> None:
        before = self.names
        self._named = self._named or bool(names)
        # Naming nothing means everything, until something was named once; from then on it means nothing.
        self.wildcard = self.type_url in WHOLE_STATE and ("*" in names or not self._named)
        self.names = names - {"*"}
        for name in before - self.names:
            if not self.wildcard:
                self.sent.pop(name, None)
        if self.type_url in WHOLE_STATE and self.names - before:
            # Also when there is no such resource: the client learns so from a response without it.
            self._owed = True

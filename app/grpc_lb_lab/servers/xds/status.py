"""What each client was sent and what it accepted: the same as CSDS tells, for reports and tests."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.servers.log import log
from grpc_lb_lab.servers.xds.kinds import SHORT

if TYPE_CHECKING:
    from grpc_lb_lab.servers.xds.stream import Stream
    from grpc_lb_lab.servers.xds.subscription import Push, Said

ENTRIES_KEPT = 1000


@dataclass(frozen=True)
class Entry:
    """One thing that happened; ``what`` is sent, ack, nack, stale or first."""

    node: str
    type: str
    what: str
    version: str
    detail: str = ""


class Status:
    """The log of a control plane (the last ``ENTRIES_KEPT``) and its streams."""

    def __init__(self) -> None:
        """Nobody is there yet."""
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_KEPT)
        self._counts = dict.fromkeys(("sent", "ack", "nack", "stale", "first"), 0)
        self.streams: set[Stream] = set()

    def sent(self, stream: Stream, push: Push) -> None:
        """A push went out."""
        names = ", ".join(resource.name for resource in push.resources)
        self._add(Entry(stream.node.id, SHORT[push.type_url], "sent", push.version, names))

    def heard(self, stream: Stream, type_url: str, said: Said) -> None:
        """A request came in."""
        subscription = stream.subscriptions[type_url]
        detail = subscription.error if said == "nack" else ""
        self._add(Entry(stream.node.id, SHORT[type_url], said, subscription.version, detail))

    def status(self) -> dict[str, Any]:
        """``counts`` of all that happened, ``clients`` connected now, ``log`` of the last events; plain data."""
        return {
            "counts": dict(self._counts),
            "clients": [_client(stream) for stream in self.ordered()],
            "log": [asdict(entry) for entry in self._entries],
        }

    def ordered(self) -> list[Stream]:
        """The streams that are open, by node id."""
        return sorted(self.streams, key=lambda stream: stream.node.id)

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._counts[entry.what] += 1
        log(f"xds-{entry.what}", node=entry.node, type=entry.type, version=entry.version, detail=entry.detail)


def _client(stream: Stream) -> dict[str, Any]:
    return {
        "node": stream.node.id,
        "agent": stream.node.agent,
        "types": {
            SHORT[url]: {
                "names": sorted(s.names),
                "wildcard": s.wildcard,
                "sent": s.version,
                "accepted": s.accepted,
                "nacks": s.nacks,
                "error": s.error,
            }
            for url, s in sorted(stream.subscriptions.items())
        },
    }

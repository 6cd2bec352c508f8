"""The streams that are open, and a line of log for each thing that happens on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.control_planes.xds.kinds import SHORT
from grpc_lb_lab.json_log import log

if TYPE_CHECKING:
    from grpc_lb_lab.control_planes.xds.stream import Stream
    from grpc_lb_lab.control_planes.xds.subscription import Push, Said


class Status:
    """The streams of a control plane."""

    def __init__(self) -> None:
        """Nobody is there yet."""
        self.streams: set[Stream] = set()

    def sent(self, stream: Stream, push: Push) -> None:
        """A push went out."""
        _log(stream, push.type_url, "sent", push.version, ", ".join(resource.name for resource in push.resources))

    def heard(self, stream: Stream, type_url: str, said: Said) -> None:
        """A request came in."""
        subscription = stream.subscriptions[type_url]
        _log(stream, type_url, said, subscription.version, subscription.error if said == "nack" else "")

    def ordered(self) -> list[Stream]:
        """The streams that are open, by node id."""
        return sorted(self.streams, key=lambda stream: stream.node.id)


def _log(stream: Stream, type_url: str, what: str, version: str, detail: str) -> None:
    log(f"xds-{what}", node=stream.node.id, type=SHORT[type_url], version=version, detail=detail)

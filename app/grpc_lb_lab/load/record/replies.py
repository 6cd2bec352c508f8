"""What a reply says, read once for all replies with the same bytes."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from grpc_lb_lab.model.peers import peer_host
from grpc_lb_lab.pb.echo.v1 import echo_pb2


@dataclass(frozen=True)
class Answer:
    """Who answered, and which way the call came (``headers`` sorted)."""

    uid: str
    pod: str
    ip: str
    started_at: float
    peer_host: str
    headers: tuple[tuple[str, str], ...]


def read_reply(reply: bytes) -> Answer | None:
    """The answer in a serialised ``EchoReply``; None when it is none or names no replica."""
    try:
        message = echo_pb2.EchoReply.FromString(reply)
    except DecodeError:
        return None
    backend = message.backend
    if not backend.uid:
        return None
    return Answer(
        uid=backend.uid,
        pod=backend.pod,
        ip=backend.ip,
        started_at=backend.started_at,
        peer_host=peer_host(message.peer),
        headers=tuple(sorted(message.path_headers.items())),
    )

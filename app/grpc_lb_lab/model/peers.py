"""Transport peers as gRPC names them, for example ``ipv4:127.0.0.1:40112`` or ``ipv6:%5B::1%5D:40112``."""

from __future__ import annotations

from urllib.parse import unquote


def peer_host(peer: str) -> str:
    """The host part of ``peer`` without family, brackets and port; a peer of another kind (``unix:…``) as it is."""
    family, _, address = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return peer
    return address.rpartition(":")[0].strip("[]")

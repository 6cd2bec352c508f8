"""The client's TCP connections, and what its channels resolved, as channelz of this process knows them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from grpc_lb_lab.load.channels import core
from grpc_lb_lab.model.result import ConnectionFact

if TYPE_CHECKING:
    from grpc_lb_lab.load.channels.channel import LabChannel


class ConnectionLog:
    """Every connection seen at any ``sample``, closed ones too.

    channelz forgets a connection when it closes, so one that opens and closes between two samples is missed. One
    counts as opened at the first sample that shows it and as closed at the first one that no longer does.
    """

    def __init__(self, channels: list[LabChannel]) -> None:
        """Watch ``channels``; nothing is read yet."""
        self._channels = channels
        self._connections: dict[int, ConnectionFact] = {}
        self._open: set[int] = set()
        self._targets: set[str] = set()
        self._policies: dict[int, str] = {}

    def sample(self) -> None:
        """Look at all channels once."""
        now, seen = time.time(), set()
        for channel in self._channels:
            for channelz_id in channel.channelz_ids():
                seen |= self._sample(channel, core.look_at(channelz_id), now)
        for socket_id in self._open - seen:
            self._connections[socket_id] = replace(self._connections[socket_id], closed_at=now)
        self._open = seen

    def _sample(self, channel: LabChannel, look: core.Look, now: float) -> set[int]:
        """Take in what a channel looks like; returns the connections that it has."""
        seen: set[int] = set()
        policies = [channel.policy] if channel.policy else look.policies
        if policies:
            self._policies[channel.index] = policies[-1]
        for subchannel_id, (target, _) in look.subchannels.items():
            self._targets.add(_without_family(target))
            for socket_id in core.socket_ids(subchannel_id):
                if socket_id in self._connections or self._add(channel.index, socket_id, now):
                    seen.add(socket_id)
        return seen

    @property
    def open(self) -> int:
        """Connections at the last sample."""
        return len(self._open)

    def connections(self) -> list[ConnectionFact]:
        """All connections so far, by channel, then in the order they were seen."""
        return sorted(self._connections.values(), key=lambda connection: connection.channel)

    def targets(self) -> set[str]:
        """The addresses (``HOST:PORT``) that the channels had subchannels for."""
        return set(self._targets)

    def policy(self) -> str:
        """The load-balancing policy in force; more than one name only if channels differ."""
        return ", ".join(sorted(set(self._policies.values())))

    def _add(self, channel: int, socket_id: int, now: float) -> bool:
        local, remote = core.socket_addresses(socket_id)
        if remote:
            self._connections[socket_id] = ConnectionFact(channel, local, remote, now)
        return bool(remote)


def _without_family(target: str) -> str:
    family, _, address = target.partition(":")
    return address if family in ("ipv4", "ipv6") else target

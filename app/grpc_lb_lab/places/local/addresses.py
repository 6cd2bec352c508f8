"""Loopback addresses: which /16 of 127.0.0.0/8 a lab uses, and which address each of its parts gets in it.

Every part has an address of its own, so that all of them can use the same port, as pods do. Nothing here leaves the
machine: Linux routes the whole of 127.0.0.0/8 to the loopback device.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.ports import ADMIN_PORT, ISTIO_PORTS, METRICS_PORT, SERVER_ADMIN_PORT
from grpc_lb_lab.places.local import ports

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCKS = range(77, 100)
"""Second octets to try, in order: a lab takes the first /16 that no other lab holds."""

DNS_PORT = 5353

RESERVED_PORTS = (
    range(DNS_PORT, DNS_PORT + 1),
    range(METRICS_PORT, METRICS_PORT + 1),
    range(ADMIN_PORT, SERVER_ADMIN_PORT + 1),
    ISTIO_PORTS,
)
"""What the echo service cannot have: the lab's own, where one of its parts may stand beside a replica. A pod's
containers share its ports, and ``SIDECAR_PORT`` is one of Istio's."""

_HOSTS = 254
_SIDECAR_NETS = (2, 3)
_REPLICA_NETS = (1, *range(4, 256))

MAX_SIDECARS = len(_SIDECAR_NETS) * _HOSTS
MAX_REPLICAS = len(_REPLICA_NETS) * _HOSTS


@dataclass(frozen=True)
class Block:
    """One /16 of loopback addresses, ``127.<number>.0.0/16``."""

    number: int

    def __str__(self) -> str:
        """Return the block in CIDR notation."""
        return f"127.{self.number}.0.0/16"

    @property
    def dns(self) -> str:
        """Address of the lab's DNS server."""
        return f"127.{self.number}.0.2"

    @property
    def service(self) -> str:
        """The Service's cluster IP, also the source address of its layer-4 proxy."""
        return f"127.{self.number}.0.10"

    @property
    def control_plane(self) -> str:
        """Address of the control planes; each has a port of its own."""
        return f"127.{self.number}.0.3"

    @property
    def gateway(self) -> str:
        """Address of the proxy at the edge."""
        return f"127.{self.number}.0.20"

    @property
    def port_forward(self) -> str:
        """Address where a port-forward listens, also the source address of its connections to the replica."""
        return f"127.{self.number}.0.30"

    def sidecar(self, index: int) -> str:
        """Address of the proxy beside client ``index`` (from 0). Raises ``LabError`` past ``MAX_SIDECARS``."""
        return self._host(_SIDECAR_NETS, index, "proxies beside clients")

    def replica(self, index: int) -> str:
        """Address number ``index`` (from 0) for replicas. Raises ``LabError`` past ``MAX_REPLICAS``."""
        return self._host(_REPLICA_NETS, index, "replica addresses")

    def _host(self, nets: tuple[int, ...], index: int, what: str) -> str:
        net, host = divmod(index, _HOSTS)
        if net >= len(nets):
            raise LabError(
                f"block {self} has room for {len(nets) * _HOSTS} {what}; all are used: run `lb-lab local down`"
            )
        return f"127.{self.number}.{nets[net]}.{host + 1}"


class ReplicaAddresses:
    """Hands out replica addresses in order, each once: an address that comes back would hide that a replica is new."""

    def __init__(self, block: Block, free: Callable[[str], bool]) -> None:
        """``free`` says whether an address can be listened on; one that a stranger holds is passed over."""
        self._block = block
        self._free = free
        self._next = 0

    def start_over(self) -> None:
        """Hand out the first ones again: of those that had them, none is left, nor anybody who knew them."""
        self._next = 0

    def take(self) -> str:
        """Return the next free address. Raises ``LabError`` when the block is used up."""
        while True:
            address = self._block.replica(self._next)
            self._next += 1
            if self._free(address):
                return address


@dataclass(frozen=True)
class Claim:
    """A block that is ours for as long as its DNS sockets are open."""

    block: Block
    tcp: socket.socket
    udp: socket.socket


def claim_block(port: int, blocks: range = BLOCKS) -> Claim:
    """Take the first block where the DNS port and the echo ``port`` are free.

    Raises ``LabError`` naming the port, and its holder where /proc tells, when no block is free.
    """
    blocked = port
    for number in blocks:
        block = Block(number)
        if not (ports.can_listen(block.service, port) and ports.can_listen(block.replica(0), port)):
            blocked = port
            continue
        sockets = _dns_sockets(block.dns)
        if sockets is not None:
            return Claim(block, *sockets)
        blocked = DNS_PORT
    raise LabError(_no_block(blocked, blocks))


def _dns_sockets(address: str) -> tuple[socket.socket, socket.socket] | None:
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A desktop's mDNS daemon holds UDP 0.0.0.0:5353; the kernel prefers the more specific socket, if both allow it.
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind((address, DNS_PORT))
            tcp.listen(128)
            udp.bind((address, DNS_PORT))
        except OSError:
            return None
        tcp.setblocking(False)
        udp.setblocking(False)
        stack.pop_all()
        return tcp, udp


def _no_block(port: int, blocks: range) -> str:
    holder = ports.holder(port)
    held = f" (held by {holder})" if holder else ""
    advice = "end a lab or that program" if port == DNS_PORT else "end that program, or choose another --port"
    return f"port {port} is taken on every address block from {Block(blocks[0])} to {Block(blocks[-1])}{held}: {advice}"

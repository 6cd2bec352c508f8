"""What the lab's DNS server answers, as a function from one packet to another: no sockets, no clock.

The zone is what Kubernetes' DNS specification (version 1.1, github.com/kubernetes/dns) asks for two Services: ``echo``
with a cluster IP and ``echo-headless`` without. Short names answer directly, since nobody here has search domains.

Order of A records: CoreDNS shuffles them for every answer (its plugin ``loadbalance``, on in kubeadm's Corefile), which
matters to clients that take the first; so does the lab, with a seed. ``address`` keeps one order, for wire tests.
"""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass
from typing import Literal

import dnslib

TTL_S = 30
"""Time to live of every record, as CoreDNS's ``kubernetes`` plugin has it on kubeadm clusters."""

SERVICE = "echo"
HEADLESS = "echo-headless"

_NAMESPACE = "grpc-lb-lab"
_SUFFIXES = ("", f".{_NAMESPACE}", f".{_NAMESPACE}.svc", f".{_NAMESPACE}.svc.cluster.local")
_PLAIN_UDP = 512  # RFC 1035 §4.2.1; a client that takes more says so by EDNS (RFC 6891)
_LARGEST_UDP = 4096

Transport = Literal["udp", "tcp"]
Order = Literal["address", "shuffled"]


@dataclass(frozen=True)
class Zone:
    """The records of this moment. ``headless`` are the addresses of ready replicas, ``others`` further Services."""

    service_ip: str
    headless: tuple[str, ...] = ()
    order: Order = "address"
    others: tuple[tuple[str, str], ...] = ()

    def addresses(self, name: str) -> tuple[str, ...] | None:
        """Return the A records of a name; None when it does not exist.

        A headless name without a ready replica does not exist either, as the specification has it.
        """
        plain = name.rstrip(".").lower()
        if plain in {SERVICE + suffix for suffix in _SUFFIXES}:
            return (self.service_ip,)
        if plain in {HEADLESS + suffix for suffix in _SUFFIXES} and self.headless:
            return tuple(sorted(self.headless, key=ipaddress.IPv4Address))
        found = [address for service, address in self.others if plain in {service + suffix for suffix in _SUFFIXES}]
        return tuple(found) or None


@dataclass(frozen=True)
class Query:
    """One question that was answered, for the report. ``at`` is in seconds since the epoch."""

    at: float
    name: str
    type: str
    transport: Transport
    client: str
    code: str
    answers: int
    truncated: bool


@dataclass(frozen=True)
class Answer:
    """The reply packet and what the query log keeps of it."""

    packet: bytes
    name: str
    type: str
    code: str
    answers: int
    truncated: bool


def answer(packet: bytes, zone: Zone, transport: Transport, chance: random.Random | None = None) -> Answer | None:
    """Answer one DNS query; None for what is not one (malformed, a reply, no question): such packets are dropped.

    ``chance`` shuffles when the zone's order is ``shuffled``.
    """
    query = _parse(packet)
    if query is None:
        return None
    reply = query.reply(ra=0, aa=1)
    edns = [record for record in query.ar if record.rtype == dnslib.QTYPE.OPT]
    if query.header.opcode != dnslib.OPCODE.QUERY or len(query.questions) != 1:
        reply.header.rcode = dnslib.RCODE.NOTIMP
        reply.header.aa = 0
    else:
        _fill(reply, query.q, zone, chance)
    if edns:
        reply.add_ar(dnslib.EDNS0(udp_len=_LARGEST_UDP))
    found = len(reply.rr)
    data = reply.pack()
    truncated = transport == "udp" and len(data) > _room(edns)
    if truncated:
        data = _truncate(reply, _room(edns))
    return Answer(
        packet=data,
        name=str(query.q.qname),
        type=dnslib.QTYPE.get(query.q.qtype),
        code=dnslib.RCODE.get(reply.header.rcode),
        answers=found,
        truncated=truncated,
    )


def _parse(packet: bytes) -> dnslib.DNSRecord | None:
    try:
        query = dnslib.DNSRecord.parse(packet)
        str(query.q.qname)
    except Exception:
        # dnslib answers bad packets with its own error, but also with IndexError, UnicodeError, struct.error, …
        return None
    return None if query.header.qr or not query.questions else query


def _fill(reply: dnslib.DNSRecord, question: dnslib.DNSQuestion, zone: Zone, chance: random.Random | None) -> None:
    addresses = zone.addresses(str(question.qname))
    if question.qclass not in (dnslib.CLASS.IN, dnslib.QTYPE.ANY) or addresses is None:
        reply.header.rcode = dnslib.RCODE.NXDOMAIN
        return
    if question.qtype not in (dnslib.QTYPE.A, dnslib.QTYPE.ANY):
        return  # the name exists, a record of this type does not: NOERROR without answers (RFC 2308 §2.2)
    if zone.order == "shuffled":
        addresses = tuple((chance or random.Random()).sample(addresses, len(addresses)))
    for address in addresses:
        reply.add_answer(dnslib.RR(question.qname, dnslib.QTYPE.A, rdata=dnslib.A(address), ttl=TTL_S))


def _room(edns: list[dnslib.RR]) -> int:
    return max(_PLAIN_UDP, min(edns[0].edns_len, _LARGEST_UDP)) if edns else _PLAIN_UDP


def _truncate(reply: dnslib.DNSRecord, room: int) -> bytes:
    """Keep the records that fit and set TC, as CoreDNS does; a client that wants them all asks again by TCP."""
    reply.header.tc = 1
    spare = len(reply.pack()) - room
    record = 16  # a compressed name (2), type, class, TTL, length (10), address (4)
    keep = max(0, len(reply.rr) - -(-spare // record))
    reply.rr = reply.rr[:keep]
    return bytes(reply.pack())

"""The wire: what the lab's DNS server answers to each kind of packet."""

from __future__ import annotations

import random

import dnslib
import pytest
from grpc_lb_lab.places.local.supervisor.dns_records import TTL_S, Answer, Transport, Zone, answer

SERVICE = "127.77.0.10"
READY = ("127.77.1.10", "127.77.1.9", "127.77.1.2")
ZONE = Zone(SERVICE, READY)


def ask(
    name: str, kind: str = "A", zone: Zone = ZONE, transport: Transport = "udp", edns: int | None = None
) -> tuple[dnslib.DNSRecord, Answer]:
    query = dnslib.DNSRecord.question(name, kind)
    if edns is not None:
        query.add_ar(dnslib.EDNS0(udp_len=edns))
    made = answer(query.pack(), zone, transport)
    assert made is not None
    reply = dnslib.DNSRecord.parse(made.packet)
    assert reply.header.id == query.header.id
    return reply, made


def addresses(reply: dnslib.DNSRecord) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


def many(count: int) -> Zone:
    return Zone(SERVICE, tuple(f"127.77.1.{host}" for host in range(1, count + 1)))


@pytest.mark.parametrize(
    "suffix",
    ["", ".", ".grpc-lb-lab", ".grpc-lb-lab.svc", ".grpc-lb-lab.svc.cluster.local", ".GRPC-LB-LAB.SVC.cluster.local."],
)
def test_service_and_headless_in_every_form(suffix: str) -> None:
    assert addresses(ask("echo" + suffix)[0]) == [SERVICE]
    assert addresses(ask("echo-headless" + suffix)[0]) == ["127.77.1.2", "127.77.1.9", "127.77.1.10"]


def test_answers_are_authoritative_with_the_ttl() -> None:
    reply, _ = ask("echo-headless")
    assert reply.header.aa == 1
    assert reply.header.ra == 0
    assert {record.ttl for record in reply.rr} == {TTL_S} == {30}


@pytest.mark.parametrize("name", ["ech0", "echo.example.com", "pod.echo-headless", "_grpclb._tcp.echo", "localhost"])
def test_unknown_names_do_not_exist(name: str) -> None:
    reply, made = ask(name)
    assert (reply.header.rcode, reply.rr, made.code) == (dnslib.RCODE.NXDOMAIN, [], "NXDOMAIN")


@pytest.mark.parametrize("kind", ["AAAA", "TXT", "SRV"])
def test_known_names_without_such_a_record_are_no_error(kind: str) -> None:
    for name in ("echo", "echo-headless"):
        reply, _ = ask(name, kind)
        assert (reply.header.rcode, reply.rr) == (dnslib.RCODE.NOERROR, [])


def test_a_headless_name_without_ready_replicas_does_not_exist() -> None:
    assert ask("echo-headless", zone=Zone(SERVICE))[0].header.rcode == dnslib.RCODE.NXDOMAIN
    assert addresses(ask("echo", zone=Zone(SERVICE))[0]) == [SERVICE]


def test_too_many_for_plain_udp_is_truncated_and_tcp_has_them_all() -> None:
    reply, made = ask("echo-headless", zone=many(60))
    assert reply.header.tc == 1
    assert len(made.packet) <= 512
    assert len(reply.rr) == (512 - 12 - 19) // 16  # as many as fit: header, question, 16 bytes a record
    assert (made.truncated, made.answers) == (True, 60)
    whole, _ = ask("echo-headless", zone=many(60), transport="tcp")
    assert whole.header.tc == 0
    assert len(whole.rr) == 60


@pytest.mark.parametrize(("size", "truncated"), [(512, True), (1000, True), (1024, False), (4096, False)])
def test_the_size_that_edns_offers_is_honoured(size: int, truncated: bool) -> None:
    reply, made = ask("echo-headless", zone=many(60), edns=size)
    assert bool(reply.header.tc) == truncated
    assert len(made.packet) <= size
    assert [record.rtype for record in reply.ar] == [dnslib.QTYPE.OPT]


def test_an_edns_size_below_512_counts_as_512() -> None:
    reply, _ = ask("echo-headless", zone=many(20), edns=100)
    assert (reply.header.tc, len(reply.rr)) == (0, 20)


def test_shuffled_answers_hold_the_same_addresses_in_another_order() -> None:
    zone = Zone(SERVICE, many(20).headless, order="shuffled")
    packet = dnslib.DNSRecord.question("echo-headless").pack()

    def sequence(seed: int) -> list[list[str]]:
        chance = random.Random(seed)
        made = [answer(packet, zone, "udp", chance) for _ in range(3)]
        return [addresses(dnslib.DNSRecord.parse(each.packet)) for each in made if each]

    first = sequence(1)
    assert first == sequence(1)
    assert first[0] != first[1]
    assert all(set(order) == set(zone.headless) for order in first)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x00",
        b"\x12\x34" * 5,
        b"\xff" * 64,
        bytes(12),  # no question
        dnslib.DNSRecord.question("echo").pack()[:-3],  # cut off
        dnslib.DNSRecord.question("echo").pack()[:12] + b"\xc0\x0c\x00\x01\x00\x01",  # a name that points to itself
    ],
)
def test_malformed_packets_get_no_answer(packet: bytes) -> None:
    assert answer(packet, ZONE, "udp") is None


def test_replies_get_no_answer() -> None:
    reply = dnslib.DNSRecord.question("echo").reply()
    assert answer(reply.pack(), ZONE, "udp") is None


def test_other_operations_are_not_implemented() -> None:
    query = dnslib.DNSRecord.question("echo")
    query.header.opcode = dnslib.OPCODE.UPDATE
    made = answer(query.pack(), ZONE, "udp")
    assert made is not None
    assert made.code == "NOTIMP"


def test_random_bytes_never_raise() -> None:
    chance = random.Random(7)
    good = dnslib.DNSRecord.question("echo-headless").pack()
    for _ in range(3000):
        packet = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        made = answer(bytes(packet), ZONE, "udp")
        assert made is None or len(made.packet) <= 512

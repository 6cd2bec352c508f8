"""Address blocks: who gets which, and what happens when something is taken."""

from __future__ import annotations

import socket

import pytest
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.places.local import ports
from grpc_lb_lab.places.local.addresses import (
    DNS_PORT,
    MAX_REPLICAS,
    MAX_SIDECARS,
    Block,
    ReplicaAddresses,
    claim_block,
)

# High blocks, so that a lab that runs on this machine is not in the way.
FIRST, SECOND = 230, 231


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_infrastructure_replicas_and_proxies_never_share_an_address() -> None:
    block = Block(77)
    replicas = [block.replica(index) for index in range(MAX_REPLICAS)]
    sidecars = [block.sidecar(index) for index in range(MAX_SIDECARS)]
    everyone = [block.dns, block.service, *replicas, *sidecars]
    assert len(set(everyone)) == len(everyone)
    assert (block.dns, block.service) == ("127.77.0.2", "127.77.0.10")
    assert (replicas[0], replicas[253], replicas[254]) == ("127.77.1.1", "127.77.1.254", "127.77.4.1")
    assert (sidecars[0], sidecars[253], sidecars[254]) == ("127.77.2.1", "127.77.2.254", "127.77.3.1")


def test_a_full_block_says_what_to_do() -> None:
    with pytest.raises(LabError, match="replica addresses; all are used: run `lb-lab local down`"):
        Block(77).replica(MAX_REPLICAS)


def test_addresses_are_handed_out_once_and_taken_ones_passed_over() -> None:
    pool = ReplicaAddresses(Block(77), lambda address: address != "127.77.1.2")
    assert [pool.take() for _ in range(3)] == ["127.77.1.1", "127.77.1.3", "127.77.1.4"]


def test_two_labs_get_two_blocks() -> None:
    port = free_port()
    first = claim_block(port, range(FIRST, SECOND + 1))
    second = claim_block(port, range(FIRST, SECOND + 1))
    try:
        assert (first.block.number, second.block.number) == (FIRST, SECOND)
        with pytest.raises(LabError, match=rf"port {DNS_PORT} is taken on every address block from 127\.230\.0\.0/16"):
            claim_block(port, range(FIRST, SECOND + 1))
    finally:
        for claim in (first, second):
            claim.tcp.close()
            claim.udp.close()


def test_a_port_taken_everywhere_is_named_with_its_holder() -> None:
    port = free_port()
    with socket.socket() as stranger, socket.socket() as another:
        stranger.bind((Block(FIRST).service, port))
        stranger.listen()
        another.bind((Block(SECOND).replica(0), port))
        another.listen()
        with pytest.raises(LabError, match=rf"port {port} is taken .*held by \S+, pid \d+.*another --port"):
            claim_block(port, range(FIRST, SECOND + 1))


def test_can_listen_sees_a_listener_and_its_absence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.230.9.9", 0))
        port = taken.getsockname()[1]
        taken.listen()
        assert not ports.can_listen("127.230.9.9", port)
        assert ports.can_listen("127.230.9.8", port)
    assert ports.can_listen("127.230.9.9", port)


def test_nobody_holds_a_free_port() -> None:
    assert ports.holder(free_port()) is None

"""What happens when something dies: replicas, the supervisor, the Service's proxy; and when a port is taken."""

from __future__ import annotations

import os
import re
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import dnslib
import grpc
import pytest
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.places.local.addresses import BLOCKS, Block
from live_lab import Lab, alive, comm, kill, until


def test_a_killed_replica_is_replaced_by_another_and_dns_follows(lab: Lab) -> None:
    lab.up(replicas=3)
    before = lab.ready()
    victim = lab.do("kill")["replica"]
    assert victim["uid"] in before
    until(lambda: victim["uid"] not in lab.ready() and len(lab.ready()) == 3, "a replacement is ready")
    after = lab.ready()
    [new] = [replica for uid, replica in after.items() if uid not in before]
    assert new["ip"] not in {replica["ip"] for replica in before.values()}
    answers = {str(record.rdata) for record in lab.ask_dns("echo-headless").rr}
    assert answers == {replica["ip"] for replica in after.values()}
    kinds = [event["kind"] for event in lab.status()["events"] if victim["pod"] in event["detail"]]
    assert kinds == ["replica-started", "replica-ready", "kill", "replica-ended"]


def test_a_fault_is_taken_from_the_lab_only(lab: Lab) -> None:
    """Every user of the machine reaches its loopback addresses."""
    lab.up(replicas=1)
    replica = lab.status()["replicas"][0]
    with grpc.insecure_channel(f"{replica['ip']}:50051") as channel, pytest.raises(grpc.RpcError) as caught:
        echo_pb2_grpc.EchoServiceStub(channel).SetFault(echo_pb2.FaultRequest(crash=True), timeout=5)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    lab.set_fault(replica, unready=True, for_ms=60_000)
    until(lambda: not lab.ready(), "the lab's own fault is taken")


def test_a_named_replica_is_the_one_that_is_killed(lab: Lab) -> None:
    lab.up(replicas=3)
    chosen = list(lab.ready().values())[2]
    assert lab.do("kill", chosen["pod"])["replica"]["uid"] == chosen["uid"]
    wrong = lab.run("kill", "echo-nobody")
    assert wrong.returncode == 2
    assert "no replica 'echo-nobody'; there are: echo-" in wrong.stderr


def test_a_supervisor_killed_takes_everyone_along_and_the_next_up_heals(lab: Lab) -> None:
    lab.up("service", 3)
    pids = lab.pids()
    assert len(pids) == 2 + 3 + 1  # supervisor, spawner, replicas, the Service's Envoy
    kill(pids[0])
    until(lambda: not any(alive(pid) for pid in pids), "all processes are gone", timeout_s=3)
    assert lab.status() == {"running": False}
    healed = lab.up("service", 3)
    assert healed["changed"] is True
    assert len(lab.ready()) == 3


def test_a_spawner_killed_ends_the_lab_and_the_next_up_heals(lab: Lab) -> None:
    lab.up(replicas=2)
    pids = lab.pids()
    kill(pids[1])
    until(lambda: not any(alive(pid) for pid in pids), "all processes are gone")
    assert lab.up(replicas=2)["changed"] is True


def test_down_after_the_supervisor_was_killed_cleans_up(lab: Lab) -> None:
    lab.up(replicas=2)
    kill(lab.pids()[0])
    assert lab.do("down") == {"changed": True}
    assert not lab.state.exists()


def test_a_supervisor_that_hangs_is_ended_by_down(lab: Lab) -> None:
    lab.up(replicas=1)
    pids = lab.pids()
    os.kill(pids[0], signal.SIGSTOP)
    # Not down's full patience: the request is what it sends when that has run out.
    from grpc_lb_lab.places.local import session
    from grpc_lb_lab.places.local.state import StateFolder

    session.end(StateFolder(lab.state), patience_s=0.5)
    assert [pid for pid in pids if alive(pid)] == []


def test_the_service_gives_each_connection_a_replica_and_shows_its_own_address(lab: Lab) -> None:
    import grpc
    from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc

    up = lab.up("service", 3)
    address = f"{up['inventory']['service_ip']}:50051"
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    pods, peers = set(), set()
    for _ in range(40):  # all on one or two of three replicas: chance below 1e-6
        with grpc.insecure_channel(f"ipv4:{address}", options=options) as channel:
            stub = echo_pb2_grpc.EchoServiceStub(channel)
            replies = [stub.Echo(echo_pb2.EchoRequest(), timeout=5) for _ in range(2)]
        assert len({reply.backend.uid for reply in replies}) == 1
        pods.add(replies[0].backend.pod)
        peers.add(replies[0].peer.rpartition(":")[0])
    assert len(pods) == 3
    assert peers == {f"ipv4:{up['inventory']['service_ip']}"}


def test_a_stopped_replica_leaves_the_ready_set_and_comes_back(lab: Lab) -> None:
    lab.up("service", 1)
    address = lab.status()["service"]["address"]
    stopped = lab.do("stop")["replica"]
    until(lambda: not lab.ready(), "the stopped one is not ready", timeout_s=15)
    assert alive(stopped["pid"])
    assert lab.ask_dns("echo-headless").header.get_rcode() == dnslib.RCODE.NXDOMAIN

    def refused() -> bool:
        try:
            with socket.create_connection((address, 50051), timeout=2) as connection:
                return connection.recv(1) == b""
        except ConnectionError:
            return True

    until(refused, "the Service closes connections at once")
    lab.do("cont", stopped["pod"])
    until(lambda: stopped["uid"] in lab.ready(), "the same one is ready again")


def test_up_replaces_a_replica_that_was_left_stopped(lab: Lab) -> None:
    lab.up(replicas=2)
    stopped = lab.do("stop")["replica"]
    lab.do("scale", "3")  # more are possible meanwhile
    assert lab.up(replicas=3)["changed"] is True
    assert stopped["uid"] not in lab.ready()
    assert len(lab.ready()) == 3
    until(lambda: not alive(stopped["pid"]), "the stopped one is gone")


def test_the_services_proxy_comes_back_when_it_dies(lab: Lab) -> None:
    lab.up("service", 1)
    envoy = lab.pids()[-1]
    kill(next(pid for pid in lab.pids() if "envoy" in comm(pid) or "service" in comm(pid)))
    until(lambda: lab.status()["service"]["running"] and lab.pids()[-1] != envoy, "another Envoy runs")
    assert lab.up("service", 1)["changed"] is False


def listener(address: str, port: int) -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind((address, port))
    taken.listen()
    return taken


def test_a_port_that_is_taken_on_every_block_is_named(lab: Lab) -> None:
    with ExitStack() as stack:
        for number in BLOCKS:
            stack.enter_context(listener(Block(number).service, 50071))
        done = lab.run("up", "--strategy", "strategies/headless.yaml", "--port", "50071")
    assert done.returncode == 4
    assert "port 50071 is taken on every address block" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert lab.status() == {"running": False}


def test_a_block_that_is_taken_is_passed_over(lab: Lab) -> None:
    first = lab.up(replicas=1)["dns"]
    lab.do("down")
    host = first.replace(".0.2:5353", ".0.10")
    with listener(host, 50051):
        assert lab.up(replicas=1)["dns"] != first


def test_an_address_that_is_taken_is_passed_over(lab: Lab) -> None:
    up = lab.up(replicas=1)
    prefix = up["dns"].removesuffix("0.2:5353")
    with listener(f"{prefix}1.2", 50051):
        lab.do("scale", "2")
    assert [replica["ip"] for replica in lab.ready().values()] == [f"{prefix}1.1", f"{prefix}1.3"]


def test_nothing_listens_outside_loopback(lab: Lab) -> None:
    lab.up("service", 2)
    inodes = {inode for pid in lab.pids() for inode in sockets(pid)}
    listening = [row for table in ("tcp", "tcp6", "udp", "udp6") for row in rows(table) if row[9] in inodes]
    served = [row for row in listening if row[3] in ("0A", "07")]
    assert len(served) >= 2 + 3  # replicas, Service, DNS by both transports
    # The kernel writes 127.78.1.2 as 02014E7F, and as an IPv4 address on an IPv6 socket with 0:0:0:0:0:FFFF before it.
    loopback = re.compile(r"(0{16}FFFF0{4})?[0-9A-F]{6}7F:")
    assert [row[1] for row in served if not loopback.match(row[1])] == []


def sockets(pid: int) -> list[str]:
    links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return [link[8:-1] for link in links if link.startswith("socket:[")]


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]


def test_a_failed_start_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    strategy = tmp_path / "odd.yaml"
    strategy.write_text("client: {channel: pick_first, target: headless}\nserver: {maxConnectionAgeMs: [never]}\n")
    done = lab.run("up", "--strategy", strategy, "--replicas", "2")
    assert done.returncode == 4
    assert "not all of 2 replicas got ready: echo-" in done.stderr
    assert lab.status() == {"running": False}

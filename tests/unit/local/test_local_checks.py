"""Checks before the start, the human status, and the fingerprint of the code."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

import pytest
from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.places.local import preflight
from grpc_lb_lab.places.local.fingerprint import fingerprint
from grpc_lb_lab.places.local.status import render
from grpc_lb_lab.places.local.supervisor.member import Member, new_identity

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("replicas", [0, -3, 5001])
def test_absurd_numbers_of_replicas_are_refused(replicas: int) -> None:
    with pytest.raises(UsageError, match=rf"--replicas must be 1 to 5000, not {replicas}"):
        preflight.check_numbers(replicas, 50051)


@pytest.mark.parametrize("port", [0, 80, 5353, 9901, 15001, 65536])
def test_ports_that_cannot_be_are_refused(port: int) -> None:
    with pytest.raises(UsageError, match=rf"--port must be .*, not {port}"):
        preflight.check_numbers(5, port)


def test_good_numbers_pass() -> None:
    preflight.check_numbers(200, 50051)
    preflight.check_numbers(None, 1024)


def test_memory_that_does_not_suffice_is_told_in_numbers(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9999999 kB\nMemAvailable:   1024000 kB\n")  # 1000 MB
    preflight.check_memory(80, meminfo)
    with pytest.raises(LabError, match="81 more replicas need about 1010 MB of memory, 1000 MB are free: at most 80"):
        preflight.check_memory(81, meminfo)
    preflight.check_memory(81, tmp_path / "none")


def test_too_few_open_files_are_told_before_anything_starts() -> None:
    preflight.check_files(5, 1024)
    preflight.check_files(5, 74)
    preflight.check_files(5_000, resource.RLIM_INFINITY)
    with pytest.raises(LabError, match=r"may have 20 open files here .*, 5 replicas need 74: raise the limit"):
        preflight.check_files(5, 20)


def test_another_system_is_sent_to_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    preflight.check_platform()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(LabError, match=r"needs Linux .* this is darwin: use kind"):
        preflight.check_platform()


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = fingerprint.__wrapped__(tmp_path)
    assert fingerprint.__wrapped__(tmp_path) == before
    (tmp_path / "a.py").write_text("2")
    assert fingerprint.__wrapped__(tmp_path) != before


def test_names_look_like_a_deployments_and_do_not_repeat() -> None:
    made = [new_identity("7c9f") for _ in range(200)]
    assert all(pod.startswith("echo-7c9f-") and len(pod) == 15 for pod, _ in made)
    assert len({uid for _, uid in made}) == 200


def test_a_member_tells_its_state() -> None:
    class Fake:
        pid = 7

    member = Member("echo-1", "u", "127.77.1.1", 50051, Fake())  # type: ignore[arg-type]
    assert member.wanted
    assert member.describe()["ready"] is False
    member.state = "ready"
    assert member.describe()["ready"] is True
    member.state = "terminating"
    assert not member.wanted
    assert member.describe()["state"] == "terminating"


STATUS: dict[str, Any] = {
    "running": True,
    "block": "127.77.0.0/16",
    "port": 50051,
    "pid": 99,
    "dns": "127.77.0.2:5353",
    "dns_queries": 1234,
    "service": {"address": "127.77.0.10", "running": False},
    "wish": {"replicas": 2},
    "replicas": [
        {"pod": "echo-1", "ip": "127.77.1.1", "pid": 7, "state": "ready", "ready": True, "stopped": False},
        {"pod": "echo-22", "ip": "127.77.1.2", "pid": 8, "state": "unready", "ready": False, "stopped": True},
    ],
    "load": None,
    "events": [{"kind": "stop", "detail": "echo-22 (127.77.1.2) was sent SIGSTOP"}],
}


def test_the_status_for_people() -> None:
    assert render(STATUS) == (
        "lab in 127.77.0.0/16, port 50051, supervisor pid 99\n"
        "DNS      127.77.0.2:5353, 1,234 queries\n"
        "Service  127.77.0.10, not needed yet\n"
        "replicas 1 of 2 ready\n"
        "  echo-1   127.77.1.1       pid 7        ready\n"
        "  echo-22  127.77.1.2       pid 8        unready, stopped\n"
        "load     none\n"
        "event    stop: echo-22 (127.77.1.2) was sent SIGSTOP"
    )


@pytest.mark.parametrize(
    ("ready", "leaving", "desired", "words"),
    [
        (7, 0, 7, "replicas 7 of 7 ready, 5 asked for"),  # a scenario scaled, and nobody scaled back
        (6, 1, 5, "replicas 5 of 5 ready, 1 more for a moment, 1 leaving"),  # a rolling restart
        (5, 2, 5, "replicas 5 of 5 ready, 2 leaving"),
        (7, 0, None, "replicas 5 of 5 ready, 2 more for a moment"),  # a lab of an older version
    ],
)
def test_no_more_are_ready_than_are_wanted(ready: int, leaving: int, desired: int | None, words: str) -> None:
    one = STATUS["replicas"][0]
    replicas = [one] * ready + [{**one, "ready": False, "state": "terminating"}] * leaving
    told = {**STATUS, "replicas": replicas, "wish": {**STATUS["wish"], "replicas": 5}}
    assert words in render(told if desired is None else {**told, "desired": desired}).splitlines()


def test_the_status_of_a_load_and_of_nothing() -> None:
    load = {"done": 400, "total": 1000, "clients": [{}, {}], "owner": 5}
    assert "load     400 of 1,000 calls, 2 clients, owned by pid 5" in render({**STATUS, "load": load})
    assert render({"running": False}) == "no lab runs here"

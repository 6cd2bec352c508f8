"""The life of a lab: up, up again, more, fewer, other options, restart, down."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from live_lab import ROOT, Lab, alive, until

if TYPE_CHECKING:
    from collections.abc import Callable


def test_up_again_changes_nothing_and_down_leaves_nothing(lab: Lab) -> None:
    first = lab.up(replicas=3)
    assert first["changed"] is True
    assert len(first["inventory"]["replicas"]) == 3
    assert first["inventory"]["cluster"] == "local"
    assert set(first["inventory"]["versions"]) == {"grpcio", "kernel", "python"}
    assert first["targets"]["headless"] == "echo-headless:50051"
    second = lab.up(replicas=3)
    assert second == {**first, "changed": False}
    pids = lab.pids()
    assert len(pids) == 2 + 3  # supervisor, spawner, replicas
    assert lab.do("down") == {"changed": True}
    assert [pid for pid in pids if alive(pid)] == []
    assert not lab.state.exists()
    assert lab.do("down") == {"changed": False}
    assert lab.do("status", "--json") == {"running": False}


@pytest.mark.parametrize("strategy", ["service", "xds", "envoy-both"])
def test_a_fresh_lab_has_nothing_of_the_one_before_but_its_supervisor(lab: Lab, strategy: str) -> None:
    lab.up(strategy, replicas=3)
    supervisor, spawner, *others = lab.pids()
    before = lab.status()
    fresh = lab.up("headless", 2, "--fresh")
    assert fresh["changed"] is True
    assert set(fresh["inventory"]["versions"]) == {"grpcio", "kernel", "python"}
    assert lab.pids()[:2] == [supervisor, spawner]
    assert len(lab.pids()) == 2 + 2
    assert not [pid for pid in others if alive(pid)]
    after = lab.status()
    assert [one["ip"] for one in after["replicas"]] == [one["ip"] for one in before["replicas"]][:2]
    assert not {one["uid"] for one in after["replicas"]} & {one["uid"] for one in before["replicas"]}
    assert (after["wish"]["service"], after["control_planes"]) == (False, [])
    assert {file.stem for file in (lab.state / "logs").iterdir()} == {one["pod"] for one in after["replicas"]}
    assert lab.up(strategy, 3, "--fresh")["changed"] is True
    assert len(lab.ready()) == 3
    assert lab.up(strategy, 3, "--fresh")["changed"] is True


def test_the_status_command_tells_people_and_programs(lab: Lab) -> None:
    assert lab.run("status").stdout == "no lab runs here\n"
    lab.up(replicas=2)
    program = lab.do("status", "--json")
    people = lab.run("status").stdout
    assert program["wish"]["replicas"] == 2
    assert "replicas 2 of 2 ready" in people
    assert all(replica["pod"] in people for replica in program["replicas"])


def test_two_ups_at_once_make_one_lab(lab: Lab) -> None:
    line = ("up", "--strategy", ROOT / "strategies" / "headless.yaml", "--replicas", "2")
    both = [lab.start(*line) for _ in range(2)]
    answers = [process.communicate(timeout=30) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len(lab.ready()) == 2
    assert len(lab.pids()) == 2 + 2


def test_scaling_keeps_who_is_there_and_takes_the_youngest(lab: Lab) -> None:
    lab.up(replicas=5)
    five = lab.ready()
    assert lab.do("scale", "7")["changed"] is True
    seven = lab.ready()
    assert len(seven) == 7
    assert set(five) < set(seven)
    assert lab.do("scale", "7")["changed"] is False
    assert len(lab.do("scale", "3")["replicas"]) == 3
    three = lab.ready()
    assert list(three) == list(five)[:3]
    answers = {str(record.rdata) for record in lab.ask_dns("echo-headless").rr}
    assert answers == {replica["ip"] for replica in three.values()}
    assert lab.up(replicas=4)["changed"] is True
    addresses = [replica["ip"] for replica in lab.ready().values()]
    assert addresses[-1].endswith(".1.8")  # never one that was used before


def test_other_server_options_replace_every_replica(lab: Lab) -> None:
    lab.up("headless-pick-first", 2)
    before = lab.ready()
    assert lab.up("headless", 2)["changed"] is True
    after = lab.ready()
    assert len(after) == 2
    assert not set(before) & set(after)
    assert lab.up("headless", 2)["changed"] is False


def test_a_restart_replaces_one_after_the_other_and_is_never_without(lab: Lab) -> None:
    lab.up(replicas=2)
    before = lab.ready()
    after = {replica["uid"] for replica in lab.do("restart")["replicas"]}
    assert len(after) == 2
    assert not after & set(before)
    ready = 2
    for event in lab.status()["events"]:
        if event["kind"] == "restart":
            ready = 2
        ready += {"replica-ready": 1, "replica-terminating": -1}.get(event["kind"], 0)
        assert ready >= 2


def test_two_labs_run_side_by_side(new_lab: Callable[..., Lab]) -> None:
    one, two = new_lab("one"), new_lab("two")
    first, second = one.up(replicas=2), two.up(replicas=3)
    assert first["dns"] != second["dns"]
    assert len(one.ask_dns("echo-headless").rr) == 2
    assert len(two.ask_dns("echo-headless").rr) == 3
    one.do("down")
    assert len(two.ready()) == 3


def test_a_state_folder_deeper_than_a_socket_address(new_lab: Callable[..., Lab]) -> None:
    deep = new_lab("a state folder with spaces/" + "/".join(["deep" * 10] * 4))
    assert len(str(deep.state)) > 150
    assert deep.up("service", 2)["changed"] is True
    assert deep.up("service", 2)["changed"] is False


def test_another_port_restarts_the_lab_on_it(lab: Lab) -> None:
    lab.up(replicas=1)
    moved = lab.up("headless-pick-first", 1, "--port", "50062")
    assert moved["changed"] is True
    assert moved["targets"]["service"] == "echo:50062"
    assert lab.status()["port"] == 50062


def test_sixty_replicas_come_by_tcp_and_quickly(lab: Lab) -> None:
    began = time.monotonic()
    lab.up(replicas=60)
    assert time.monotonic() - began < 15  # 1 s on an idle machine; a busy one gets its time
    truncated = lab.ask_dns("echo-headless")
    assert truncated.header.tc == 1
    assert len(truncated.rr) < 60
    whole = lab.ask_dns("echo-headless", tcp=True)
    assert whole.header.tc == 0
    assert len({str(record.rdata) for record in whole.rr}) == 60


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("up", "--strategy", "strategies/envoi.yaml"), 2, "strategies/envoi.yaml cannot be read"),
        (("up", "--strategy", "strategies/envoy.yaml", "--replicas", "0"), 2, "--replicas must be 1 to 5000, not 0"),
        (("up", "--strategy", "strategies/envoy.yaml", "--replicas", "ten"), 2, "'ten' is not a whole number"),
        (("up", "--strategy", "strategies/envoy.yaml", "--port", "9901"), 2, "--port must be"),
        (("scale", "3"), 4, "no lab runs in"),
        (("kill",), 4, "no lab runs in"),
        (("load", "--plan", "none.json", "--results", "r"), 4, "no lab runs in"),
    ],
)
def test_wrong_input_is_one_line_and_starts_nothing(
    lab: Lab, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = lab.run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("lb-lab: error: ")
    assert not lab.state.exists()


def test_a_state_folder_that_cannot_be_made_is_named(new_lab: Callable[..., Lab]) -> None:
    lab = Lab(ROOT / "pyproject.toml" / "state")
    done = lab.run("up", "--strategy", "strategies/headless.yaml")
    assert done.returncode == 4
    assert "pyproject.toml/state cannot be written: Not a directory" in done.stderr


def test_readiness_comes_within_a_moment_of_serving(lab: Lab) -> None:
    lab.up(replicas=3)
    took = [replica["ready_at"] - replica["started_at"] for replica in lab.ready().values()]
    assert max(took) < 2.0  # 0.1 s on an idle machine


def test_a_state_folder_that_someone_deletes_ends_its_lab(lab: Lab) -> None:
    import shutil

    lab.up(replicas=1)
    pids = lab.pids()
    shutil.rmtree(lab.state)
    until(lambda: not any(alive(pid) for pid in pids), "the orphaned lab ends")

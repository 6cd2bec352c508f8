"""Files of a load: what each client is told, what is cleared away, and what is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import ArtifactError, UsageError
from grpc_lb_lab.model.plan import Load, Plan, read_plan
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.places.local.addresses import Block
from grpc_lb_lab.places.local.load.load_files import LoadFolder, client_plan
from grpc_lb_lab.places.local.supervisor import scrape_targets
from grpc_lb_lab.places.local.supervisor.events import EventLog
from grpc_lb_lab.places.local.supervisor.member import Member

if TYPE_CHECKING:
    from pathlib import Path


PLAN = Plan(
    run="r1",
    scenario="steady",
    strategy=Strategy.parse({"client": {}}),
    load=Load(),
    targets={"service": "elsewhere:1"},
)


def test_each_client_gets_the_proxy_beside_it_and_the_labs_dns() -> None:
    plans = [client_plan(PLAN, Block(78), 50052, client) for client in range(2)]
    assert [plan.targets["sidecar"] for plan in plans] == ["127.78.2.1:15001", "127.78.2.2:15001"]
    assert [plan.targets["sidecar_admin"] for plan in plans] == ["127.78.2.1:9901", "127.78.2.2:9901"]
    assert plans[0].targets["service"] == "echo:50052"
    assert plans[0].dns == "127.78.0.2:5353"


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(to_dict(PLAN)))
    assert read_plan(path) == PLAN


@pytest.mark.parametrize("content", ["{", "[]", "{}", "7", '{"run": "r"}'])
def test_what_is_no_plan_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"plan\.json is not a plan"):
        read_plan(path)


def test_results_of_an_earlier_load_are_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    files = LoadFolder(tmp_path / "results")
    files.prepare()
    for name in ("client-0.json", "client-11.json", "inventory.json", "notes.txt"):
        (files.results / name).write_text("{}")
    files.client_log(3).write_text("progress 3 1/2\n")
    files.prepare()
    assert sorted(path.name for path in files.results.iterdir()) == [".grpc-lb-lab", "notes.txt"]
    assert [path.name for path in files.logs.iterdir()] == [".grpc-lb-lab"]


@pytest.mark.parametrize("name", ["results/client-0.json", "results/inventory.json", "logs/client-3.log"])
def test_somebodys_files_with_the_names_of_results_are_refused_and_stay(tmp_path: Path, name: str) -> None:
    files = LoadFolder(tmp_path / "results")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("{}")
    with pytest.raises(UsageError, match=rf"--results {files.results}: {tmp_path / name} is there and of no load"):
        files.prepare()
    assert (tmp_path / name).read_text() == "{}"


def test_results_of_a_version_without_marks_are_known(tmp_path: Path) -> None:
    files = LoadFolder(tmp_path / "results")
    files.results.mkdir()
    files.result(0).write_text("{}")
    files.write_inventory({"cluster": "local", "replicas": [], "versions": {}})
    files.prepare()
    assert not files.result(0).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"file.*Not a directory"):
        LoadFolder(tmp_path / "file" / "results").prepare()


def test_logs_are_kept_with_their_last_megabyte(tmp_path: Path) -> None:
    files = LoadFolder(tmp_path / "results")
    files.prepare()
    log = tmp_path / "echo.log"
    log.write_bytes(b"a" * (2 << 20) + b"end")
    files.keep_logs([log])
    kept = (files.logs / "echo.log").read_bytes()
    assert len(kept) == 1 << 20
    assert kept.endswith(b"aend")


def test_a_process_without_a_log_costs_nobody_elses(tmp_path: Path) -> None:
    files = LoadFolder(tmp_path / "results")
    files.prepare()
    (tmp_path / "echo.log").write_text("listening\n")
    files.keep_logs([tmp_path / "stopped-before-it-opened-its-own.log", tmp_path / "echo.log"])
    assert [path.name for path in files.logs.iterdir() if path.suffix] == ["echo.log"]


def test_prometheus_is_told_of_replicas_that_count_and_of_the_clients(tmp_path: Path) -> None:
    def member(index: int, state: Any) -> Member:
        return Member(f"echo-{index}", f"uid-{index}", f"127.78.1.{index}", 50051, cast("Any", None), state=state)

    members = [member(1, "ready"), member(2, "terminating"), member(3, "starting"), member(4, "ended")]
    events = EventLog()
    path = tmp_path / "metrics.json"
    scrape_targets.write(path, Block(78), members, 2, events)
    told = json.loads(path.read_text())
    assert [(one["targets"], one["labels"]) for one in told] == [
        (["127.78.1.1:9464"], {"role": "server", "pod": "echo-1"}),
        (["127.78.1.3:9464"], {"role": "server", "pod": "echo-3"}),
        (["127.78.2.1:9464"], {"role": "client", "pod": "client-0"}),
        (["127.78.2.2:9464"], {"role": "client", "pod": "client-1"}),
    ]
    scrape_targets.write(tmp_path / "gone" / "metrics.json", Block(78), members, 2, events)
    assert [event.kind for event in events.last(9)] == ["metrics-stale"]

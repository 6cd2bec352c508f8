"""The cells of a comparison: what is chosen, in which order, what is refused, and what a stopped one goes on with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from grpc_lb_lab.settings import UsageError
from grpc_lb_lab.settings.compare import compare

REPO = Path(__file__).resolve().parents[2]


def plugin(name: str):
    spec = importlib.util.spec_from_file_location(f"plugin_{name}", REPO / "action_plugins" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lab_cell, lab_cells = plugin("lab_cell"), plugin("lab_cells")


def cells(tmp_path, **given):
    raw = {"lab_cluster": "local", "lab_artifacts_dir": str(tmp_path / "artifacts"), **given}
    return compare(raw, repo=REPO, answers=lambda _: False, given=given)


def refused(tmp_path, **given) -> str:
    with pytest.raises(UsageError) as error:
        cells(tmp_path, **given)
    return str(error.value)


def test_all_that_the_cluster_can_run_and_the_yardstick_first(tmp_path):
    found = cells(tmp_path)
    names = [cell.strategy for cell in found.cells]
    assert names[0] == "baseline"
    assert names[1:] == sorted(names[1:])
    assert {"service", "headless", "envoy"} <= set(names)
    assert len(names) + len(found.left_out) == len(list((REPO / "strategies").glob("*.yaml")))


def test_a_chosen_list_keeps_its_order(tmp_path):
    assert [cell.strategy for cell in cells(tmp_path, strategies=["service", "baseline"]).cells] == [
        "service",
        "baseline",
    ]
    assert [cell.folder for cell in cells(tmp_path, strategies="envoy,service").cells] == [
        "envoy/steady",
        "service/steady",
    ]


def test_repeats_take_turns(tmp_path):
    found = cells(tmp_path, strategies=["service", "envoy"], lab_repeats=2)
    assert [cell.folder for cell in found.cells] == [
        "service/steady/repeat-1",
        "envoy/steady/repeat-1",
        "service/steady/repeat-2",
        "envoy/steady/repeat-2",
    ]
    assert found.places() == ["service/steady", "envoy/steady"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"strategies": ["servce"]}, "strategies=servce: unknown, did you mean service?"),
        ({"strategies": []}, "strategies=[]: allowed is a list"),
        ({"scenarios": "stedy"}, "scenarios=stedy: unknown, did you mean steady?"),
        ({"strategies": "istio"}, "strategies=istio: cannot run on local"),
        ({"lab_repeats": 0}, "lab_repeats=0: allowed is a whole number from 1 to 100"),
        ({"lab_resume": "maybe"}, "lab_resume=maybe: allowed is true or false"),
        ({"strategy": "envoy"}, "strategy: compare.yml takes a list, strategies"),
        ({"lab_replicas": 0}, "lab_replicas=0"),
        ({"lab_replica": 7}, "did you mean lab_replicas?"),
    ],
)
def test_wrong_input_is_named(tmp_path, given, words):
    assert words in refused(tmp_path, **given)
    assert not (tmp_path / "artifacts").exists()


def test_docker_is_asked_once(tmp_path):
    asked = []
    raw = {"lab_cluster": "auto", "lab_artifacts_dir": str(tmp_path)}
    compare(raw, repo=REPO, answers=lambda _: bool(asked.append(1)), given={})
    assert asked == [1]


def test_a_stopped_comparison_is_taken_up_again(tmp_path):
    wanted = cells(tmp_path, strategies=["service", "envoy"])
    run = lab_cells.begin(wanted, None)
    assert json.loads((run / "bundle.json").read_text()) == {"cells": ["service/steady", "envoy/steady"]}
    assert lab_cells.find_unfinished(cells(tmp_path, strategies=["service", "envoy"])) == run


def test_another_comparison_is_not_taken_up(tmp_path):
    run = lab_cells.begin(cells(tmp_path, strategies=["service", "envoy"]), None)
    for other in ({"strategies": ["service"]}, {"strategies": ["service", "envoy"], "lab_requests": 7}):
        with pytest.raises(UsageError, match=f"lab_resume=true: {run.name} was asked for other cells or another load"):
            lab_cells.find_unfinished(cells(tmp_path, **other))


def test_there_may_be_nothing_to_resume(tmp_path):
    with pytest.raises(UsageError, match="holds no comparison"):
        lab_cells.find_unfinished(cells(tmp_path, lab_resume=True))


BROKEN = ["", "{", "null", "[]", "7", '{"cells": 1}', "\x00", '{"wall_s": "soon"}']


@pytest.mark.parametrize("text", BROKEN)
def test_a_wish_that_cannot_be_read_is_one_message(tmp_path, text):
    wanted = cells(tmp_path, strategies=["service"], lab_resume=True)
    (tmp_path / "artifacts/1-compare").mkdir(parents=True)
    (tmp_path / "artifacts/1-compare/compare.json").write_text(text)
    with pytest.raises(UsageError, match=r"^lab_resume=true: [^\n]*1-compare[^\n]*lab_resume=false$"):
        lab_cells.find_unfinished(wanted)


@pytest.mark.parametrize("text", [*BROKEN, '{"schema_version": 1}'])
def test_a_cell_whose_report_cannot_be_read_is_done_again(tmp_path, text):
    assert not lab_cells.is_done(tmp_path)
    (tmp_path / "report.json").write_text(text)
    assert not lab_cells.is_done(tmp_path)


@pytest.mark.parametrize("text", BROKEN)
def test_a_note_that_cannot_be_read_counts_for_nothing(tmp_path, text):
    (tmp_path / "envoy/steady").mkdir(parents=True)
    (tmp_path / "envoy/steady/cell.json").write_text(text)
    assert lab_cell.durations(tmp_path) == []


def test_the_list_of_cells_is_written_again(tmp_path):
    wanted = cells(tmp_path, strategies=["service"])
    run = lab_cells.begin(wanted, None)
    (run / "bundle.json").write_text("{")
    assert lab_cells.begin(wanted, run) == run == lab_cells.find_unfinished(wanted)
    assert json.loads((run / "bundle.json").read_text()) == {"cells": ["service/steady"]}


def test_progress_says_which_cell_and_how_long(tmp_path):
    cell = {"number": 3, "of": 22, "folder": "envoy/steady"}
    assert lab_cell.announce(cell, []) == "  [3/22] envoy/steady"
    assert lab_cell.announce(cell, [3.0, 5.0]) == "  [3/22] envoy/steady, about 1 min 20 s left"
    assert lab_cell.spell(59.4) == "59 s"


def test_the_note_of_a_cell_tells_what_broke_only_without_a_report(tmp_path):
    cell = tmp_path / "envoy/steady"
    cell.mkdir(parents=True)
    assert lab_cell.note_end(cell, {"wall_s": 1.0}, "no room") == {"wall_s": 1.0, "error": "no room"}
    (cell / "report.json").write_text("{}")
    assert lab_cell.note_end(cell, {"wall_s": 2.5}, "the verdict is fail") == {"wall_s": 2.5}
    assert lab_cell.durations(tmp_path) == [2.5]

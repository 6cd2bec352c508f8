"""The tables of scripts/worlds-table: two worlds side by side, strategies in the order of what the cluster showed."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import course_factory as acted
import pytest
from grpc_lb_lab.views.render.json import render_json

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture
def table():
    return runpy.run_path(str(REPO / "scripts/worlds_table.py"))["main"]


def bundle(folder, **noticed):
    """A comparison of scale-up: for each strategy when it noticed the new replicas, a repeat each."""
    for strategy, times in noticed.items():
        for number, time in enumerate(times, start=1):
            report = json.loads(render_json(acted.scale_up(time)))
            report["run"] |= {"strategy": strategy, "scenario": "scale-up"}
            path = folder / strategy / "scale-up" / f"repeat-{number}" / "report.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(report))
        # What a comparison leaves beside the repeats: a copy of one of them, which is no further repeat.
        (path.parents[1] / "report.json").write_text(path.read_text())
    return str(folder)


def test_strategies_stand_in_the_order_of_the_cluster(table, tmp_path, capsys):
    local = bundle(tmp_path / "local", quick=[1.7, 1.9, 2.4], slow=[2.4, 2.4, 9.0], blind=[None, None, None])
    kind = bundle(tmp_path / "kind", slow=[5.0, 7.0, 9.0], blind=[None] * 3, quick=[2.4, 2.4, 5.0], mesh=[1.7] * 3)
    assert table([local, "--", kind]) == 0
    told = capsys.readouterr().out
    rows = [[word.strip() for word in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("| `")]
    assert told.startswith("### `scale-up`\n")
    assert [row[0] for row in rows] == ["`mesh`", "`quick`", "`slow`", "`blind`"]
    assert rows[0][1].strip() == "–"
    assert rows[1][1:3] == ["1.71 / 1.92 / 2.41 s", "2.41 / 2.41 / 5.06 s"]  # the next call after each was known
    assert rows[3][1:5] == ["never", "never", "0 s", "0 s"]


@pytest.mark.parametrize("arguments", [[], ["local"], ["local", "--"], ["--", "local"]])
def test_a_world_that_is_missing_is_wrong_usage(table, tmp_path, capsys, arguments):
    folder = bundle(tmp_path / "local", quick=[1.7])
    assert table([folder if word == "local" else word for word in arguments]) == 2
    assert "Usage: scripts/worlds-table" in capsys.readouterr().err

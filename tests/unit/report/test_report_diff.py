"""Two bundles side by side: what is a change, and what is noise."""

from __future__ import annotations

import json
import sys

import pytest
import report_factory as made
from grpc_lb_lab import cli
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.judge.document import Range
from grpc_lb_lab.views.artifacts import write_report
from grpc_lb_lab.views.columns import Jitter
from grpc_lb_lab.views.diff import moved

EVEN, UNEVEN = (200,) * 5, (800, 50, 50, 50, 50)


@pytest.fixture
def bundle(tmp_path):
    """Writes a bundle: ``name``, then strategy to a list of (seconds, counts), one a repeat."""

    def write(name, cells, cluster="local", **load):
        for strategy, runs in cells.items():
            for number, (seconds, counts) in enumerate(runs, 1):
                one = made.client([list(counts)], finished_at=made.START + seconds)
                asked = made.plan(requests=sum(counts), **load)
                report = build_report(asked, made.inventory(cluster=cluster), [one])
                folder = tmp_path / name / strategy / "steady"
                write_report(report, folder / f"repeat-{number}" if len(runs) > 1 else folder, page=False)
        return str(tmp_path / name)

    return write


def run(capsys, *arguments):
    code = cli.main(["diff", *arguments])
    return code, capsys.readouterr().out


def test_the_same_is_no_change(bundle, capsys):
    a = bundle("a", {"headless": [(0.5, EVEN)]})
    code, out = run(capsys, a, a)
    assert code == 0
    assert "1 cell compared: no change of class or verdict, no figure moved beyond noise" in out


def test_the_old_name_of_the_command_does_the_same_and_says_so(bundle, capsys, monkeypatch):
    a, b = bundle("a", {"headless": [(0.5, EVEN)]}), bundle("b", {"headless": [(0.5, UNEVEN)]})
    expected = run(capsys, a, b)
    monkeypatch.setattr(sys, "argv", ["lab-diff", a, b])
    code = cli.diff()
    said = capsys.readouterr()
    assert (code, said.out) == expected
    assert "`lb-lab diff`" in said.err


def test_a_changed_verdict_is_exit_1_in_every_format(bundle, capsys):
    a, b = bundle("a", {"headless": [(0.5, EVEN)]}), bundle("b", {"headless": [(0.5, UNEVEN)]})
    code, out = run(capsys, a, b)
    assert code == 1
    assert "! headless/steady: verdict PASS: even, as expected → FAIL: expected even, observed skewed: Calls" in out
    assert "! headless/steady: class even → skewed, worse" in out
    code, out = run(capsys, a, b, "--format", "md")
    assert code == 1
    assert out.startswith("**❌ 1 cell compared: 2 changes of class or verdict")
    assert "| headless | steady | class | even | skewed, worse |" in out
    code, out = run(capsys, b, a, "--format", "json")
    assert code == 1
    found = json.loads(out)
    assert [(one["what"], one["better"]) for one in found["changes"]] == [("verdict", True), ("class", True)]


def test_single_runs_need_a_large_difference(bundle, capsys):
    a = bundle("a", {"headless": [(0.5, EVEN)]})
    code, out = run(capsys, a, bundle("b", {"headless": [(0.7, EVEN)]}))
    assert (code, "calls/s" in out.splitlines()[2]) == (0, False)
    assert "ran once on a side" in out
    code, out = run(capsys, a, bundle("c", {"headless": [(1.0, EVEN)]}))
    assert code == 0
    assert "  headless/steady: calls/s 2,000 → 1,000 (×0.50), worse" in out


def test_repeats_show_smaller_differences(bundle, capsys):
    a = bundle("a", {"headless": [(0.5, EVEN), (0.51, EVEN), (0.52, EVEN)]})
    code, out = run(capsys, a, bundle("b", {"headless": [(0.6, EVEN), (0.61, EVEN), (0.62, EVEN)]}))
    assert code == 0
    assert "calls/s 1,961 → 1,639 (×0.84), worse" in out
    assert "ran once" not in out


@pytest.mark.parametrize(
    ("a", "b", "repeated", "expected"),
    [
        ((90, 100, 110), (105, 120, 130), True, True),
        ((90, 100, 125), (105, 120, 130), True, False),  # b's median lies inside a's range
        ((100, 100, 100), (109, 109, 109), True, False),  # apart, but by less than 10 %
        ((100, 100, 100), (149, 149, 149), False, False),
        ((100, 100, 100), (151, 151, 151), False, True),
        ((0, 0, 0), (5, 5, 5), False, True),
        ((0, 0, 0), (0, 0, 0), False, False),
    ],
)
def test_noise_rule_works_both_ways(a, b, repeated, expected):
    assert moved(Jitter(1.5), Range(*a), Range(*b), repeated=repeated) is expected
    assert moved(Jitter(1.5), Range(*b), Range(*a), repeated=repeated) is expected


def test_other_load_other_cluster_other_cells(bundle, capsys):
    a = bundle("a", {"headless": [(0.5, EVEN)], "envoy": [(0.5, EVEN)]})
    b = bundle("b", {"headless": [(2.0, EVEN)], "istio": [(0.5, EVEN)]}, cluster="kind", concurrency=8)
    code, out = run(capsys, a, b)
    assert code == 0
    assert "only in a: envoy/steady" in out
    assert "only in b: istio/steady" in out
    assert "Not under the same load, so only class and verdict were compared: headless/steady." in out
    assert "local and kind are of different worlds" in out
    assert "→ 500" not in out


def test_summary_files_compare_as_folders_do(bundle, capsys, tmp_path):
    a, b = bundle("a", {"headless": [(0.5, EVEN)]}), bundle("b", {"headless": [(0.5, UNEVEN)]})
    for folder in (a, b):
        cli.main(["summary", folder, "--quiet"])
    from_folders = run(capsys, a, b)
    assert run(capsys, f"{a}/summary.json", f"{b}/summary.json") == from_folders


def test_wrong_usage_is_exit_2(bundle, capsys, tmp_path):
    a = bundle("a", {"headless": [(0.5, EVEN)]})
    assert cli.main(["diff", a, str(tmp_path / "none")]) == 2
    assert cli.main(["diff", a, bundle("b", {"envoy": [(0.5, EVEN)]})]) == 2
    assert "no cell in common" in capsys.readouterr().err
    (tmp_path / "x.json").write_text("{}")
    assert cli.main(["diff", a, str(tmp_path / "x.json")]) == 2
    with pytest.raises(SystemExit) as stop:
        cli.main(["diff", a])
    assert stop.value.code == 2


def test_a_slower_machine_is_not_taken_for_slower_strategies(bundle, capsys):
    names = ("baseline", "envoy", "headless", "service")
    a = bundle("a", {name: [(0.5, EVEN)] for name in names})
    all_slower = bundle("b", {name: [(1.0, EVEN)] for name in names})
    assert "4 of 4 cells became slower together" in run(capsys, a, all_slower)[1]
    assert "4 of 4 cells became faster together" in run(capsys, all_slower, a)[1]
    one_slower = bundle("c", {name: [(1.0 if name == "envoy" else 0.5, EVEN)] for name in names})
    assert "together" not in run(capsys, a, one_slower)[1]

"""A column of a cell is one row: it is then in every table, page and comparison."""

from __future__ import annotations

import json

import pytest
import report_factory as made
from grpc_lb_lab import cli
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.files import write_text
from grpc_lb_lab.views import columns
from grpc_lb_lab.views.columns import Figure, Jitter, column

NEW = column(Figure("hops", "hops a call", lambda report: report.get("hops"), noise=Jitter(1.5)), digits=0)


@pytest.fixture
def more_columns():
    """The columns, with ``NEW`` as the last."""
    columns.COLUMNS.append(NEW)
    yield
    columns.COLUMNS.remove(NEW)


@pytest.fixture
def bundle(tmp_path):
    """Writes a bundle of two strategies; ``hops`` are those of each repeat, as a merge would tell them."""

    def write(name, *hops):
        for strategy in ("baseline", "headless"):
            for number, value in enumerate(hops, 1):
                one = made.client([[200] * 5], finished_at=made.START + 0.5)
                data = to_dict(build_report(made.plan(requests=1000), made.inventory(), [one])) | {"hops": value}
                write_text(tmp_path / name / strategy / f"steady/repeat-{number}/report.json", json.dumps(data))
        assert cli.main(["summary", str(tmp_path / name), "--quiet"]) == 0
        return tmp_path / name

    return write


def test_a_new_column_is_one_row(more_columns, bundle, capsys):
    a, b = bundle("a", 3, 4, 5), bundle("b", 7, 8, 9)
    summary = json.loads((a / "summary.json").read_text(encoding="utf-8"))
    assert summary["cells"][0]["figures"]["hops"] == {"max": 5.0, "median": 4.0, "min": 3.0}
    markdown = (a / "summary.md").read_text(encoding="utf-8").splitlines()
    assert any(line.endswith("| hops a call | advice |") for line in markdown)
    assert sum(line.count("| 4 (3–5) |") for line in markdown) == 2
    page = (a / "index.html").read_text(encoding="utf-8")
    assert '<button type="button" data-sort="hops">hops a call</button>' in page
    assert page.count('data-hops="4.0"') == 4  # two rows, two cards
    assert page.count("<div><dt>hops a call</dt><dd>4<small") == 2
    assert cli.main(["diff", str(a), str(b)]) == 0
    assert "headless/steady: hops a call 4 → 8 (×2.00)" in capsys.readouterr().out


def test_reports_that_lack_the_figure_show_a_dash_and_are_not_compared(more_columns, bundle, capsys):
    old, new = bundle("old", None), bundle("new", 5)
    rows = [line for line in (old / "summary.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ✅")]
    assert [row.split(" | ")[-2] for row in rows] == ["–", "–"]
    page = (old / "index.html").read_text(encoding="utf-8")
    assert "<dt>hops a call</dt><dd>–</dd>" in page
    assert 'data-hops=""' in page
    assert cli.main(["diff", str(old), str(new)]) == 0
    assert "hops" not in capsys.readouterr().out

"""scripts/same_pages.py: what it takes for the same, and what it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import same_pages

if TYPE_CHECKING:
    from pathlib import Path

REPORT = {
    "run": {"id": "20261125T151440Z-envoy", "started_at": "2026-11-25T15:14:41.123+00:00"},
    "requested": {"requests": 1000},
    "backends": [{"pod": "echo-4413-dwsv2", "share": 0.2}, {"pod": "echo-4413-rkmq9", "share": 0.2}],
    "latency_ms": {"p50": 0.59},
    "verdict": {"status": "pass"},
}


def write(folder: Path, data: dict[str, Any], page: str) -> Path:
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder


def test_times_ids_and_figures_are_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path / "old", REPORT, '<p>p50 0.59 ms</p><svg class="chart" viewBox="0"><path d="M1"/></svg>\n')
    other = json.loads(json.dumps(REPORT).replace("dwsv2", "x6vtm").replace("0.59", "1.7").replace("T15", "T17"))
    page = '<p>p50 1.7 ms</p><svg class="chart" viewBox="9"><path d="M2"/><path d="M3"/></svg>\n'
    new = write(tmp_path / "new", other, page)
    assert same_pages.main(old, new) == 0
    assert capsys.readouterr().out == "2 files say the same\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [('"pass"', '"fail"'), ("1000", "999"), ('"p50"', '"p51"'), ('"share"', '"part"')],
)
def test_a_verdict_a_key_and_what_the_plan_settles_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str
) -> None:
    old = write(tmp_path / "old", REPORT, "<p></p>")
    new = write(tmp_path / "new", json.loads(json.dumps(REPORT).replace(before, after)), "<p></p>")
    assert same_pages.main(old, new) == 1
    assert after.strip('"').replace("999", "requests") in capsys.readouterr().out


def test_a_missing_file_and_another_word_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path / "old", REPORT, "<p>even</p>"), write(tmp_path / "new", REPORT, "<p>pinned</p>")
    (old / "report.md").touch()
    assert same_pages.main(old, new) == 1
    said = capsys.readouterr().out
    assert "report.md" in said
    assert "+<p>pinned</p>" in said

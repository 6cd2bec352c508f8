"""docs/scenarios.md: fresh and complete."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (REPO / "scenarios").glob("*.yaml"))


@pytest.fixture(scope="module")
def doc():
    return runpy.run_path(str(REPO / "scripts/scenarios_doc.py"))


def test_the_page_is_fresh(doc, capsys):
    assert doc["main"](["--check"]) == 0, "run scripts/scenarios-doc"


def test_a_stale_page_is_noticed(doc, tmp_path, monkeypatch, capsys):
    page = tmp_path / "scenarios.md"
    page.write_text((REPO / "docs/scenarios.md").read_text() + "\n")
    monkeypatch.setitem(doc["main"].__globals__, "PAGE", page)
    assert doc["main"](["--check"]) == 1
    assert "stale" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_has_a_section(name):
    assert f"\n## {name}\n" in (REPO / "docs/scenarios.md").read_text()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"do": "scale", "by": 2}, "2 replicas more"),
        ({"do": "scale", "by": -1}, "1 replica fewer"),
        ({"do": "kill", "which": "busiest"}, "kill the busiest replica (SIGKILL); another takes its place"),
        ({"do": "slow", "which": 2, "delay_ms": 7}, "let the number 2 replica wait 7 ms before each answer"),
        ({"do": "fail", "which": "first", "code": "INTERNAL"}, "let the oldest replica answer each call with INTERNAL"),
    ],
)
def test_an_event_in_words(doc, event, words):
    assert doc["order"](event) == words


def test_times_and_limits_in_words(doc):
    assert (
        doc["when"]({"after_s": 2, "for_s": 12}, {"from_s": 4, "to_s": 8}) == "6 to 10 s after the first call, for 12 s"
    )
    assert (doc["share"]("never"), doc["share"](6)) == ("never", "within 6 s")
    assert (doc["errors"]("none"), doc["errors"](1.5)) == ("none", "at most 1.5 s")

"""docs/strategies.md: fresh, complete, and each picture is of its own strategy."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
STRATEGIES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((REPO / "strategies").glob("*.yaml"))}


@pytest.fixture(scope="module")
def doc():
    return runpy.run_path(str(REPO / "scripts/strategies_doc.py"))


def test_the_page_is_fresh(doc, capsys):
    assert doc["main"](["--check"]) == 0, "run scripts/strategies-doc"


def test_a_stale_page_is_noticed(doc, tmp_path, monkeypatch, capsys):
    page = tmp_path / "strategies.md"
    page.write_text((REPO / "docs/strategies.md").read_text() + "\n")
    monkeypatch.setitem(doc["main"].__globals__, "PAGE", page)
    assert doc["main"](["--check"]) == 1
    assert "stale" in capsys.readouterr().out


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_says_when_and_when_not(name):
    about = STRATEGIES[name]["strategy"]
    assert about["when"] and about["avoid"]
    assert f"\n## {name}\n" in (REPO / "docs/strategies.md").read_text()


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_picture_is_made_of_what_it_names(name, doc):
    lines = doc["picture"](STRATEGIES[name]).splitlines()
    assert lines[0] == "flowchart LR"
    named = [line.split("[")[0].split("(")[0].strip() for line in lines[1:] if "[" in line]
    assert len(named) == len(set(named))
    for line in lines[1:]:
        words = line.split()
        if "[" not in line:
            assert words[0] in named and words[-1] in named, line


def test_pictures_tell_strategies_apart(doc):
    picture = {name: doc["picture"](values) for name, values in STRATEGIES.items()}
    assert "client ==> replica1" in picture["headless-pick-first"]
    assert "client --> replica3" in picture["headless"]
    assert "service ==> replica1" in picture["service"]
    assert "service --> replica3" in picture["service-connections"]
    assert "envoy_client --> replica3" in picture["envoy"]
    assert "xDS control plane" in picture["xds"]
    assert "replica2" not in picture["baseline"]

"""The golden renders are what the chart makes of every strategy."""

from __future__ import annotations

import shutil

import chart_render
import pytest


def test_goldens_are_true() -> None:
    differences = chart_render.differences()
    assert not differences, "\n".join([*differences, f"repair with: {chart_render.REPAIR}"])


def test_servers_that_differ_in_their_label_alone_stand_once() -> None:
    shared = (chart_render.GOLDEN / "servers.yaml").read_text(encoding="utf-8")
    own = {path.parent.name: path.read_text(encoding="utf-8") for path in chart_render.GOLDEN.glob("*/servers.yaml")}
    assert "service" in chart_render.strategies().keys() - own.keys()
    assert not [name for name, text in own.items() if chart_render.nameless_text(name, text) == shared]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    folder = tmp_path / "golden"
    shutil.copytree(chart_render.GOLDEN, folder)
    monkeypatch.setattr(chart_render, "GOLDEN", folder)
    return folder


def test_a_changed_line_is_noticed(copy, capsys) -> None:
    path = copy / "envoy" / "load.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("backoffLimit: 0", "backoffLimit: 6"), encoding="utf-8")
    assert chart_render.main(["--check"]) == 1
    told = capsys.readouterr().out
    assert "-  backoffLimit: 6" in told
    assert "+  backoffLimit: 0" in told
    assert told.endswith(f"repair with: {chart_render.REPAIR}\n")


def test_a_missing_and_a_stray_file_are_noticed_and_repaired(copy) -> None:
    (copy / "service" / "load.yaml").rename(copy / "service" / "other.yaml")
    differences = chart_render.differences()
    assert len(differences) == 2
    assert "other.yaml of service belongs to no strategy" in differences[0]
    assert chart_render.main([]) == 0
    assert chart_render.main(["--check"]) == 0


def test_renders_are_the_same_each_time() -> None:
    assert chart_render.goldens() == chart_render.goldens()

"""The test engine's folder: only what carries its mark is filled or emptied, and only its own processes are ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TESTBED = Path(__file__).parents[2] / "testbed"


def run(place: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", script, *arguments],
        cwd=TESTBED,
        env=os.environ | {"TESTBED": str(place)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def shell(place: Path, words: str) -> subprocess.CompletedProcess[str]:
    return run(place, "-euc", f"source ./env; {words}")


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"" for path in root.rglob("*")}


@pytest.mark.parametrize("words", [["build", "nothing"], ["images", "nothing"], ["up"]])
@pytest.mark.parametrize("how", ["filled", "link"])
def test_a_folder_of_somebody_elses_is_not_touched(tmp_path, words, how):
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "thesis.txt").write_text("mine")
    place = tmp_path if how == "filled" else tmp_path / "link"
    if how == "link":
        (tmp_path / "empty").mkdir()
        place.symlink_to(tmp_path / "empty")
    before = tree(tmp_path)
    done = run(place, *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert f"TESTBED={place} holds something that the test engine did not make. Allowed: " in done.stderr
    assert tree(tmp_path) == before


def test_a_new_folder_and_one_of_a_version_without_marks_are_taken(tmp_path):
    (tmp_path / "old" / "src" / "kube").mkdir(parents=True)
    (tmp_path / "old" / "src" / "kube" / "go.mod").write_text("module testbed.local/kube\n\ngo 1.26.0\n")
    for name in ("new", "old"):
        for _ in range(2):
            assert shell(tmp_path / name, "claim_testbed").returncode == 0
        assert (tmp_path / name / ".grpc-lb-lab").is_file()


def test_only_what_is_in_a_marked_folder_is_removed(tmp_path):
    place, mine = tmp_path / "testbed", tmp_path / "mine"
    for folder in (place / "engine" / "network", mine / "containers"):
        folder.mkdir(parents=True)
        (folder / "a").write_text("a")
    assert shell(place, "discard engine/network").returncode == 2, "no mark"
    (place / ".grpc-lb-lab").touch()
    assert shell(place, "discard engine/network engine/never").returncode == 0
    assert not list((place / "engine").iterdir())
    (place / "engine").rmdir()
    (place / "engine").symlink_to(mine)
    for path in ("engine/containers", "../mine/containers"):
        assert shell(place, f"discard {path}").returncode == 2
    assert (mine / "containers" / "a").is_file()


def test_scripts_remove_folders_in_no_other_way():
    for script in ("build", "down", "engine-init", "enter", "images", "up"):
        assert "rm -r" not in (TESTBED / script).read_text(), script


def test_a_number_that_is_another_programs_by_now_ends_nothing(tmp_path):
    with subprocess.Popen(["sh", "-c", "sleep 30 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        child = int(other.stdout.readline())
        try:
            (tmp_path / "engine.pid").write_text(f"{other.pid}\n")
            done = run(tmp_path, "down")
            assert (done.returncode, done.stdout) == (0, "not up\n"), done.stderr
            assert Path(f"/proc/{child}").exists()
            assert "not up" in run(tmp_path, "enter", "true").stderr
        finally:
            os.kill(child, 9)

"""Somebody's folder, named by mistake or shared with the lab, is byte for byte what it was, whatever is tried on it."""

from __future__ import annotations

import shlex
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from live_lab import ROOT, Lab
from test_playbooks import Place

if TYPE_CHECKING:
    from pathlib import Path

STRATEGY = ROOT / "strategies" / "headless-pick-first.yaml"
NAMES = ("logs/a.log", "service/b", "load/c/d", "lock", "processes", "supervisor.log", "control.sock", "thesis.txt")


def tree(root: Path) -> dict[str, tuple[Any, ...]]:
    """Every entry below a folder: kind and mode, when it was written, and its content or where it points."""
    return {
        str(path.relative_to(root)): (
            stat.filemode(path.lstat().st_mode),
            path.lstat().st_mtime_ns,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
        )
        for path in [root, *sorted(root.rglob("*"))]
    }


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"my {name}\n")
        (root / name).chmod(0o640)
    return root


def start_with_few_files(lab: Lab, *more: str | Path) -> subprocess.CompletedProcess[str]:
    """Start a lab where a process may have too few open files for a supervisor."""
    line = [sys.executable, "-m", "grpc_lb_lab", "local", "up", "--strategy", STRATEGY, "--state", lab.state, *more]
    command = f"ulimit -n 20; exec {shlex.join(map(str, line))}"
    return subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def somebodys(tmp_path: Path) -> Path:
    """A folder that looks like a lab's by every name in it, with links in it and modes of its own."""
    folder = fill(tmp_path / "some body's", *(f"local/{name}" for name in NAMES), "live.jsonl", "bin/kubectl")
    fill(folder, "kubernetes.json", "image/packages/x", "kind/grpc-lb-lab/x", "latest/report.json")
    (folder / "link").symlink_to("local/thesis.txt")
    (folder / "local" / "dangling").symlink_to("nowhere")
    (folder / "local" / "load").chmod(0o711)
    return folder


def test_a_folder_full_of_somebodys_files_survives_everything(somebodys: Path, tmp_path: Path) -> None:
    before = tree(somebodys)
    place = Place(somebodys, tmp_path / "artifacts")
    for playbook in ("lab", "compare", "reset", "cluster"):
        run = place.play(playbook, **({"lab_requests": 100} if playbook == "lab" else {}))
        assert run.code != 0, run.screen
        assert len(run.errors) == 1, run.screen
        assert f"lab_state_dir={somebodys}: it holds files and does not carry the lab's mark" in run.screen
        assert tree(somebodys) == before, playbook
    assert not (tmp_path / "artifacts").exists()
    lab = Lab(somebodys / "local")
    for done in (
        lab.run("up", "--strategy", STRATEGY),
        start_with_few_files(lab),
        start_with_few_files(lab, "--root", somebodys),
        lab.run("down"),
    ):
        assert done.returncode == 2, done.stderr
        assert "Allowed: a folder that is empty or can be created" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert tree(somebodys) == before


def test_a_state_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = fill(tmp_path / "elsewhere", *NAMES)
    (tmp_path / "state").mkdir()
    before = tree(elsewhere)
    for target in (elsewhere, tmp_path / "empty"):
        target.mkdir(exist_ok=True)
        lab = Lab(tmp_path / "state" / "local")
        lab.state.unlink(missing_ok=True)
        lab.state.symlink_to(target)
        for done in (lab.run("up", "--strategy", STRATEGY), start_with_few_files(lab), lab.run("down")):
            assert (done.returncode, done.stderr.count("is a link, and the lab follows none")) == (2, 1), done.stderr
    assert tree(elsewhere) == before
    assert not list((tmp_path / "empty").iterdir())


def test_a_link_inside_a_state_folder_is_not_followed(lab: Lab, tmp_path: Path) -> None:
    elsewhere = fill(tmp_path / "elsewhere", "a")
    lab.up(replicas=1)
    for name in ("service", "metrics.json"):
        path = lab.state / name
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.symlink_to(elsewhere)
    before = tree(elsewhere)
    lab.do("down")
    assert tree(elsewhere) == before
    assert lab.do("down") == {"changed": False}
    for name in ("service", "metrics.json"):
        (lab.state / name).unlink()


@pytest.mark.parametrize("made", ["file", "folder", "link"])
def test_a_latest_that_is_no_link_to_a_run_is_never_replaced(tmp_path: Path, made: str) -> None:
    artifacts = fill(tmp_path / "results", "thesis.txt")
    latest = artifacts / "latest"
    {
        "file": lambda: latest.write_text("mine"),
        "folder": latest.mkdir,
        "link": lambda: latest.symlink_to("thesis.txt"),
    }[made]()
    before = tree(artifacts)
    for playbook in ("lab", "compare"):
        run = Place(tmp_path / "state", artifacts).play(playbook)
        assert run.code != 0
        assert run.seconds < 5
        assert len(run.errors) == 1, run.screen
        assert f"lab_artifacts_dir={artifacts}: `latest` in it is" in run.errors[0]
    assert tree(artifacts) == before
    assert not (tmp_path / "state").exists()


def test_what_is_beside_the_lab_stays_when_the_lab_goes(tmp_path: Path) -> None:
    place = Place(tmp_path / "state", tmp_path / "artifacts")
    fill(place.artifacts, "thesis.txt", "2026/notes.md")
    place.state.mkdir()
    empty = tree(place.state)
    mine = {name: entry for name, entry in tree(place.artifacts).items() if name != "."}
    assert place.play(strategy="headless", lab_requests=100).code == 0
    fill(place.state, "notes.txt", "mine/a")
    added = {name: entry for name, entry in tree(place.state).items() if name.startswith(("notes", "mine"))}
    assert len(added) == 3
    assert place.play("reset").code == 0
    after = tree(place.artifacts)
    assert {name: after[name] for name in mine} == mine
    after = tree(place.state)
    assert set(after) == {".", ".grpc-lb-lab", *added}
    assert {name: after[name] for name in added} == added
    for name in ("notes.txt", "mine/a"):
        (place.state / name).unlink()
    (place.state / "mine").rmdir()
    assert place.play("reset").code == 0
    assert list(tree(place.state)) == list(empty), "a folder that was there before is there afterwards"


def test_a_start_that_fails_leaves_the_state_folder_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    lab = Lab(root / "local")
    strategy = tmp_path / "odd.yaml"
    strategy.write_text("client: {channel: pick_first, target: headless}\nserver: {maxConnectionAgeMs: [never]}\n")
    few = start_with_few_files(lab, "--root", root)
    assert few.returncode == 4
    assert "a process may have 20 open files here (ulimit -Hn), 5 replicas need 74" in few.stderr
    assert not list(root.iterdir())
    odd = lab.run("up", "--strategy", strategy, "--root", root)
    assert odd.returncode == 4
    assert "not all of 5 replicas got ready: echo-" in odd.stderr
    assert [path.name for path in root.iterdir()] == [".grpc-lb-lab"]
    subprocess.run([sys.executable, "-m", "grpc_lb_lab", "tidy", "--state", root], cwd=ROOT, check=True)
    assert not list(root.iterdir())

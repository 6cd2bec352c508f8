"""A start that fails says why and keeps the logs: a supervisor that dies, and a disk that is full."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from live_lab import ROOT, Lab, kill, until
from test_playbooks import Place

if TYPE_CHECKING:
    from pathlib import Path

STRATEGY = ROOT / "strategies" / "headless.yaml"
DIES = """
import os, sys
if "grpc_lb_lab.places.local.daemon" in sys.orig_argv:
    print({words!r}, file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("words", "told"), [("no more memory", "its log: no more memory"), ("", "its log: (its log is empty)")]
)
def test_a_supervisor_that_dies_at_once_is_told_and_its_log_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, told: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES.format(words=words))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    place = Place(tmp_path / "state", tmp_path / "artifacts")
    run = place.play(strategy="headless", lab_requests=100)
    assert run.code != 0
    assert run.errors == [f"error: the lab's supervisor did not start: it ended with SIGKILL; {told}"]
    kept = place.artifacts / "latest" / "headless" / "steady" / "logs" / "supervisor.log"
    assert kept.read_text() == f"{words}\n"
    monkeypatch.delenv("PYTHONPATH")
    assert place.play("reset").code == 0
    assert not place.state.exists()


def test_a_supervisor_that_dies_while_the_lab_comes_up_is_told_and_its_log_kept(lab: Lab, tmp_path: Path) -> None:
    coming = lab.start("up", "--strategy", STRATEGY, "--replicas", "100", "--logs", tmp_path / "logs")
    kill(until(lambda: lab.status().get("replicas") and lab.status()["pid"], "the first replicas are there"))
    _, errors = coming.communicate(timeout=30)
    assert coming.returncode == 4
    told = errors.splitlines()[-1]
    assert told.startswith("lb-lab: error: the lab's supervisor died before it answered; its log: ")
    assert "replica-started" in told
    logs = {path.name for path in (tmp_path / "logs").iterdir()}
    assert "supervisor.log" in logs
    assert any(name.startswith("echo-") for name in logs)
    assert not lab.state.exists()


@pytest.mark.root
@pytest.mark.parametrize("size", ["size=4k", "size=20k", "size=1m,nr_inodes=6", "size=1m,nr_inodes=9"])
def test_a_full_disk_is_named_and_the_next_start_works(tmp_path: Path, size: str) -> None:
    disk, logs = tmp_path / "disk", tmp_path / "logs"
    disk.mkdir()
    line = [sys.executable, "-m", "grpc_lb_lab"]
    state = ["--state", str(disk / "state" / "local")]
    up = shlex.join([*line, "local", "up", "--strategy", str(STRATEGY), "--logs", str(logs), *state])
    down = shlex.join([*line, "local", "down", *state])
    # The start must fail for the disk alone, and then succeed in the same folder.
    # Nothing of it may reach the machine's own mounts; where / is no mount (chroot), none is shared or this fails.
    script = f"""
        ! grep -q " shared:" /proc/self/mountinfo || mount --make-rprivate / || exit 99
        mount -t tmpfs -o {size} tmpfs {disk} || exit 99
        {up}; echo "first $?"
        mount -o remount,size=100m,nr_inodes=1000 {disk}
        {up} >/dev/null; echo "second $?"
        {down} >/dev/null; echo "down $?"
        ls -A {disk}/state
    """
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "unchanged", "bash", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stdout.split("\n") == ["first 4", "second 0", "down 0", ""], done.stdout + done.stderr
    told = [text for text in done.stderr.splitlines() if text.startswith("lb-lab: error: ")]
    assert len(told) == 1, done.stderr
    assert f"state folder {disk / 'state' / 'local'} cannot be written: No space left on device" in told[0]
    assert "Traceback" not in done.stderr

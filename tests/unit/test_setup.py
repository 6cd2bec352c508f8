"""``make setup`` on machines with odd Pythons. Nothing is installed: the Python that is chosen stops the set-up."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

BROKEN_SHIM = 'echo "pyenv: $0: command not found" >&2; exit 127'
TOO_OLD = "exit 1"
# Runs like a new Python until it is asked to make the environment.
CHOSEN = f"""[ "$2" = venv ] && {{ echo "CHOSEN $0" >&2; exit 77; }}
case "$2" in *sys.executable*) echo "$0" ;; *) exec "{sys.executable}" "$@" ;; esac"""
TOOLS = "awk bash cat cut dirname env flock head mkdir rm sed sha256sum sort tail"


@pytest.fixture
def machine(tmp_path):
    """A checkout and a home folder with spaces in their paths, and a PATH with nothing but the system's tools."""
    checkout = tmp_path / "my lab"
    for name in ("scripts/setup", "requirements/lab.txt", "requirements/test.txt", "pyproject.toml"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, checkout / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS.split():
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    (tmp_path / "home").mkdir()
    return tmp_path


def put(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def setup(machine: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine / "home"), **variables}
    script = machine / "my lab" / "scripts" / "setup"
    return subprocess.run([script, *words], env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_shims_that_do_not_run_and_old_pythons_are_passed_over(machine):
    for name in ("python3.14", "python3.13", "python3.12"):
        put(machine / "bin" / name, BROKEN_SHIM)
    put(machine / "bin" / "python3", TOO_OLD)
    versions = machine / "home" / ".pyenv" / "versions"
    put(versions / "3.9.18" / "bin" / "python", CHOSEN)
    put(versions / "3.12.1" / "bin" / "python", CHOSEN)
    put(versions / "3.13.0" / "bin" / "python", CHOSEN)
    put(versions / "3.14.0" / "bin" / "python", BROKEN_SHIM)
    assert f"CHOSEN {versions / '3.13.0' / 'bin' / 'python'}" in setup(machine).stderr


def test_a_name_on_path_comes_first(machine):
    put(machine / "bin" / "python3.12", CHOSEN)
    put(machine / "home" / ".pyenv" / "versions" / "3.13.0" / "bin" / "python", CHOSEN)
    assert f"CHOSEN {machine / 'bin' / 'python3.12'}" in setup(machine).stderr


def test_no_python_says_what_to_install(machine):
    put(machine / "bin" / "python3", TOO_OLD)
    done = setup(machine)
    assert done.returncode != 0
    assert done.stderr.startswith("setup: error: No Python 3.12 or newer was found")
    assert "apt install" in done.stderr
    assert "make setup PYTHON=" in done.stderr
    assert not (machine / "my lab" / ".venv").exists()


def test_a_named_python_is_taken_or_refused(machine):
    put(machine / "opt" / "python", CHOSEN)
    put(machine / "bin" / "python3", CHOSEN)
    assert f"CHOSEN {machine / 'opt' / 'python'}" in setup(machine, PYTHON=str(machine / "opt" / "python")).stderr
    done = setup(machine, PYTHON=str(machine / "nowhere"))
    assert done.returncode != 0
    assert done.stderr.startswith(f"setup: error: PYTHON={machine / 'nowhere'} is not a Python 3.12 or newer")


def stamped(machine: Path, place: str, kind: str = "lab") -> Path:
    """A .venv as a set-up leaves it, made for ``place``, with the dependencies of ``kind``."""
    venv = machine / "my lab" / ".venv"
    put(venv / "bin" / "python", f'exec "{sys.executable}" "$@"')
    put(venv / "bin" / "uv", 'echo "uv $*" >&2; exit 78')
    (venv / ".lab-setup").write_text(f"another fingerprint\n{kind}\n{place}\n")
    return venv


def test_a_moved_checkout_gets_a_new_environment(machine):
    put(machine / "bin" / "python3.13", CHOSEN)
    venv = stamped(machine, "/where/it/was")
    assert "CHOSEN" in setup(machine).stderr
    assert not venv.exists()


def test_a_half_made_environment_is_made_anew(machine):
    put(machine / "bin" / "python3.13", CHOSEN)
    venv = stamped(machine, str(machine / "my lab"))
    (venv / ".lab-setup").unlink()
    assert "CHOSEN" in setup(machine).stderr
    assert not venv.exists()


def test_a_whole_environment_with_an_old_lock_is_brought_up_to_date(machine):
    put(machine / "bin" / "python3.13", CHOSEN)
    venv = stamped(machine, str(machine / "my lab"))
    done = setup(machine)
    assert "CHOSEN" not in done.stderr
    assert venv.exists()
    assert not (venv / ".lab-setup").exists(), "a set-up that stops here must start over"


def recorded(machine: Path, kind: str = "lab") -> Path:
    """A .venv whose uv only notes what it is asked for; returns the file of notes."""
    put(machine / "bin" / "python3.13", CHOSEN)
    venv = stamped(machine, str(machine / "my lab"), kind)
    version = re.search(r"^uv==(\S+)", (REPO / "requirements" / "lab.txt").read_text(), re.MULTILINE)[1]
    put(venv / "bin" / "uv", f'[ "$1" = --version ] && echo "uv {version}"; echo "$@" >>"{machine}/calls"')
    return machine / "calls"


@pytest.mark.parametrize("words", [(), ("test",), ("lab",)])
def test_nothing_changed_is_quick_and_silent(machine, words):
    """Everything is a stand-in: a test must never set this checkout's own environment up."""
    notes = recorded(machine)
    first = setup(machine, *words)
    assert first.returncode == 0, first.stderr
    calls = notes.read_text()
    assert "pip sync" in calls
    assert f"--require-hashes requirements/{words[0] if words else 'test'}.txt" in calls
    started = time.monotonic()
    second = setup(machine, *words)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert time.monotonic() - started < 2
    assert notes.read_text() == calls, "nothing was asked for again"


def test_a_run_after_the_tests_takes_nothing_away(machine):
    notes = recorded(machine)
    assert setup(machine, "lab").returncode == 0
    assert "requirements/test.txt" not in notes.read_text()
    assert setup(machine, "test").returncode == 0
    calls = notes.read_text()
    assert "requirements/test.txt" in calls
    done = setup(machine, "lab")
    assert (done.returncode, done.stdout, notes.read_text()) == (0, "", calls)


def test_a_new_lock_after_the_tests_brings_all_up_to_date(machine):
    notes = recorded(machine, "test")
    assert setup(machine, "lab").returncode == 0
    assert "requirements/test.txt" in notes.read_text()


def test_another_set_is_refused(machine):
    done = setup(machine, "everything")
    assert done.returncode != 0
    assert done.stderr == "setup: error: unknown set everything; allowed are lab and test\n"

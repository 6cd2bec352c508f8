"""Runs every check and test that needs no cluster and ends with one line: ``N passed, 0 failed in S s (…)``.

Counted are the checks (one a tool), pytest's tests and molecule's steps (converge, verify, idempotence …).
Arguments are the names of parts to run: checks, live, unit, molecule; all without any.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parent.parent
BIN = REPO / ".venv" / "bin"
# Tools start each other by name, so .venv comes first; what a user's shell sets for Ansible must not change a result.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))},
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
}
# Programs that only some strategies and tests need, and Debian's package of each.
PROGRAMS = {
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "chromium": "chromium",
    "tmux": "tmux",
    "prometheus": "prometheus",
}
# A test that lacks its program fails, unless this says that somebody knows.
LEFT_OUT = {"chromium": "LAB_NO_BROWSER", "tmux": "LAB_NO_TMUX", "prometheus": "LAB_NO_PROMETHEUS"}
POLICY = Path("/usr/sbin/policy-rc.d")
SYSTEM_PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
PYTHON_CODE = ["app", "tests", "scripts", "action_plugins", "callback_plugins"]
CHECKS = {
    "ansible-lint": ["ansible-lint", "--offline", "-q", "--nocolor"],
    "mypy": ["mypy"],
    "mypy of the plugins": ["mypy", "action_plugins", "callback_plugins", "scripts"],
    "ruff check": ["ruff", "check", "--quiet", *PYTHON_CODE],
    "ruff format": ["ruff", "format", "--check", "--quiet", *PYTHON_CODE],
    "import-linter": ["lint-imports", "--no-cache"],
    "yamllint": ["yamllint", "--strict", "."],
}


@dataclass(frozen=True)
class Tally:
    """How many of something passed and failed."""

    name: str
    passed: int
    failed: int


def main(parts: list[str]) -> int:
    """Run the parts, all of them even when one fails. Returns 0 when everything passed."""
    started = time.monotonic()
    # A shell lets its background jobs ignore Ctrl-C, and so would what the tests start and then end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    left_out = have_programs()
    runners = {"checks": run_checks, "live": run_live, "unit": run_unit, "molecule": run_molecule}
    chosen = [runners[part] for part in parts or runners]
    # All but the checks wait more than they work, each in labs of its own.
    with ThreadPoolExecutor(max_workers=3) as pool:
        tallies = [run() for run in chosen if run is run_checks]
        tallies += pool.map(lambda run: run(), [run for run in chosen if run is not run_checks])
    passed, failed = sum(tally.passed for tally in tallies), sum(tally.failed for tally in tallies)
    detail = ", ".join(f"{tally.passed} {tally.name}" for tally in tallies)
    for program in left_out:
        print(f"left out what needs {program}: install {PROGRAMS[program]}", flush=True)
    print(f"\n{passed} passed, {failed} failed in {time.monotonic() - started:.0f} s ({detail})", flush=True)
    return int(failed > 0 or passed == 0)


def have_programs() -> list[str]:
    """Return the programs of the machine that some tests need and that are not there.

    A CI machine (``CI`` is set) of Debian's kind gets them; a developer's is left as it is.
    """
    missing = [name for name in PROGRAMS if not shutil.which(name, path=SYSTEM_PATH)]
    if missing and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [PROGRAMS[name] for name in missing]
        print(f"installing {', '.join(packages)}", flush=True)
        with no_services():
            for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
                environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
                subprocess.run(["apt-get", "-qq", *command], env=environment, stdout=subprocess.DEVNULL, check=False)
        missing = [name for name in PROGRAMS if not shutil.which(name, path=SYSTEM_PATH)]
    ENVIRONMENT.update({LEFT_OUT[name]: "1" for name in missing if name in LEFT_OUT})
    return missing


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Keep Debian from starting what it installs: the tests want the programs, not services on their usual ports."""
    if POLICY.exists():  # somebody's own word on the same question
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def run_checks() -> Tally:
    """Run the static checks, two at a time; only what is wrong is shown."""
    print("checks", flush=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        passed = sum(pool.map(run_check, CHECKS))
    return Tally("checks", passed, len(CHECKS) - passed)


def run_check(name: str) -> bool:
    """Run one check and tell how it went."""
    started = time.monotonic()
    command = CHECKS[name]
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=REPO, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    good = done.returncode == 0
    print(f"  {name:<20} {'ok' if good else 'failed':<7} {time.monotonic() - started:5.1f} s", flush=True)
    if not good:
        print(done.stdout + done.stderr, flush=True)
    return good


def run_live() -> Tally:
    """Run the tests that start labs, browsers and terminals."""
    return run_pytest("live tests", "tests", "--ignore=tests/unit")


def run_unit() -> Tally:
    """Run the tests of single parts."""
    return run_pytest("unit tests", "tests/unit")


def run_pytest(name: str, *arguments: str) -> Tally:
    """Run some of the tests; what failed is shown at the end, as others write to the screen meanwhile."""
    print(name, flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [str(BIN / "pytest"), *arguments, f"--junit-xml={results}", "--durations=5", "--durations-min=3"]
        code, told = follow(name, command)
        suite = next(ElementTree.parse(results).getroot().iter("testsuite")).attrib if results.exists() else {}
    failed = int(suite.get("failures", 1)) + int(suite.get("errors", 0))
    passed = int(suite.get("tests", 1)) - failed - int(suite.get("skipped", 0))
    good = code == 0 and failed == 0
    print(f"  {name:<20} {'ok' if good else 'failed':<7} {time.monotonic() - started:5.1f} s", flush=True)
    if not good:
        print(told, flush=True)
    return Tally(name, passed, max(failed, int(not good)))


def follow(name: str, command: list[str]) -> tuple[int, str]:
    """Run pytest and tell every tenth of its way. Returns its exit code and all that it wrote."""
    process = subprocess.Popen(
        command, cwd=REPO, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout
    lines, told = [], 0
    for line in process.stdout:
        lines.append(line)
        if (share := re.search(r"\[ *(\d+)%\]$", line)) and told + 10 <= int(share[1]) < 100:
            told = int(share[1])
            print(f"  {name:<20} {told} %", flush=True)
    return process.wait(), "".join(lines)


def run_molecule() -> Tally:
    """Run every scenario that ``local`` can; each step is told as it ends, and all output when one fails."""
    print("molecule", flush=True)
    chosen = [word for name in scenarios("local") for word in ("--scenario-name", name)]
    command = [str(BIN / "molecule"), "test", "--report", *chosen]
    environment = ENVIRONMENT | {"LAB_CLUSTER": "local", "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    process = subprocess.Popen(
        command, cwd=REPO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if step := re.match(r".*\[(\S+) > (\w+)\] .*Executed: (Successful|Failed)", line):
            print(f"  {step[1]:<20} {step[2]:<12} {'ok' if step[3] == 'Successful' else 'failed'}", flush=True)
    code = process.wait()
    recap = re.findall(r"actions=\d+ +successful=(\d+) .*failed=(\d+)", "".join(lines))
    passed, failed = sum(int(good) for good, _ in recap), sum(int(bad) for _, bad in recap)
    if code:
        print("".join(lines), flush=True)
    return Tally("molecule steps", passed, max(failed, int(code != 0)))


def scenarios(cluster: str) -> list[str]:
    """Return the strategies that the cluster can run here; each is a scenario of that name."""
    files = sorted((REPO / "strategies").glob("*.yaml"))
    parts = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return [
        name
        for name, data in parts.items()
        if cluster in data["strategy"].get("clusters", [cluster])
        and shutil.which(data.get("gateway", {}).get("proxy", "true").replace("envoy", "true"), path=SYSTEM_PATH)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

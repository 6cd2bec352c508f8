"""Runs every check and test that needs no cluster and ends with one line: ``N passed, 0 failed in S s (…)``.

Counted are the checks (one a tool), pytest's tests and molecule's steps (converge, verify, idempotence …).
What needs a program that is missing on this machine is skipped, and counted in that line. Arguments are the names of
parts to run: checks, live, unit, molecule; all without any. ``--needing`` runs only what needs a program, and then
what is skipped has failed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import optional_programs
import yaml

REPO = Path(__file__).resolve().parent.parent
BIN = REPO / ".venv" / "bin"
# Tools start each other by name, so .venv comes first; what a user's shell sets for Ansible must not change a result.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))},
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
}
NEEDING = "--needing"
NEEDS = "needs "  # how tests/conftest.py begins a reason
PYTHON_CODE = ["app", "tests", "scripts", "action_plugins", "callback_plugins", "playbooks"]
CHECKS = {
    "ansible-lint": ["ansible-lint", "--offline", "-q", "--nocolor"],
    "mypy": ["mypy"],
    "mypy of the plugins": ["mypy", "action_plugins", "callback_plugins", "playbooks", "scripts"],
    "ruff check": ["ruff", "check", "--quiet", *PYTHON_CODE],
    "ruff format": ["ruff", "format", "--check", "--quiet", *PYTHON_CODE],
    "import-linter": ["lint-imports", "--no-cache"],
    "yamllint": ["yamllint", "--strict", "."],
}


@dataclass(frozen=True)
class Tally:
    """How many of something passed and failed, and how many were skipped for which reason."""

    name: str
    passed: int
    failed: int
    skipped: Counter[str] = field(default_factory=Counter)


def main(arguments: list[str]) -> int:
    """Run the parts, all of them even when one fails. Returns 0 when everything passed."""
    started = time.monotonic()
    # A shell lets its background jobs ignore Ctrl-C, and so would what the tests start and then end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    needing = NEEDING in arguments
    chosen = [RUNNERS[part] for part in arguments if part != NEEDING] or list(RUNNERS.values())
    # All but the checks wait more than they work, each in labs of its own.
    with ThreadPoolExecutor(max_workers=3) as pool:
        tallies = [run(needing) for run in chosen if run is run_checks]
        tallies += pool.map(lambda run: run(needing), [run for run in chosen if run is not run_checks])
    if needing or os.environ.get("CI"):
        tallies = [without_excuse(tally, only_programs=not needing) for tally in tallies]
    print(f"\n{closing_line(tallies, time.monotonic() - started)}", flush=True)
    passed, failed = sum(tally.passed for tally in tallies), sum(tally.failed for tally in tallies)
    return int(failed > 0 or passed == 0)


def without_excuse(tally: Tally, *, only_programs: bool) -> Tally:
    """Count as failed what was skipped for no good reason: a missing program is one if ``only_programs``, else none is.

    CI tests on a bare machine first and then, where every program is, what needs one. Anything else runs nowhere.
    """
    excused = {reason: count for reason, count in tally.skipped.items() if only_programs and reason.startswith(NEEDS)}
    bad = tally.skipped - Counter(excused)
    for reason, count in bad.items():
        print(f"failed, as nothing else runs it: {count} of {tally.name} skipped: {reason}", flush=True)
    return replace(tally, failed=tally.failed + bad.total(), skipped=Counter(excused))


def closing_line(tallies: list[Tally], seconds: float) -> str:
    """Return what is the last line of all: how many passed, failed and were skipped, and for want of what."""
    skipped = sum((tally.skipped for tally in tallies), Counter[str]())
    lacks = [
        f"{reason.removeprefix(NEEDS)} ({skipped[reason]})" for reason in sorted(skipped) if reason.startswith(NEEDS)
    ]
    others = [f"{reason} ({skipped[reason]})" for reason in sorted(skipped) if not reason.startswith(NEEDS)]
    why = [f"for want of {', '.join(lacks)}"] * bool(lacks) + others
    told = f"{skipped.total()} skipped: {'; '.join(why)}" if skipped else "nothing skipped"
    passed, failed = sum(tally.passed for tally in tallies), sum(tally.failed for tally in tallies)
    detail = ", ".join(f"{tally.passed} {tally.name}" for tally in tallies if tally.passed or tally.failed)
    return f"{passed} passed, {failed} failed in {seconds:.0f} s ({detail}; {told})"


def run_checks(needing: bool = False) -> Tally:
    """Run the static checks, two at a time; only what is wrong is shown. None needs a program."""
    if needing:
        return Tally("checks", 0, 0)
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


def run_live(needing: bool = False) -> Tally:
    """Run the tests that start labs, browsers and terminals."""
    return run_pytest("live tests", "tests", "--ignore=tests/unit", *marked(needing))


def run_unit(needing: bool = False) -> Tally:
    """Run the tests of single parts."""
    return run_pytest("unit tests", "tests/unit", *marked(needing))


def marked(needing: bool) -> list[str]:
    """Return pytest's words for all tests, or only for those that need a program."""
    return ["-m", "needs"] if needing else []


def run_pytest(name: str, *arguments: str) -> Tally:
    """Run some of the tests; what failed is shown at the end, as others write to the screen meanwhile."""
    print(name, flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [str(BIN / "pytest"), *arguments, f"--junit-xml={results}", "--durations=5", "--durations-min=3"]
        code, told = follow(name, command)
        suite = next(ElementTree.parse(results).getroot().iter("testsuite")) if results.exists() else None
    numbers, skipped = ({}, Counter[str]()) if suite is None else (suite.attrib, reasons(suite))
    failed = int(numbers.get("failures", 1)) + int(numbers.get("errors", 0))
    passed = int(numbers.get("tests", 1)) - failed - int(numbers.get("skipped", 0))
    good = code == 0 and failed == 0
    print(f"  {name:<20} {'ok' if good else 'failed':<7} {time.monotonic() - started:5.1f} s", flush=True)
    if not good:
        print(told, flush=True)
    return Tally(name, passed, max(failed, int(not good)), skipped)


def reasons(suite: ElementTree.Element) -> Counter[str]:
    """Return why tests of a JUnit suite were skipped, and how many of them."""
    return Counter(skip.get("message", "") for skip in suite.iter("skipped"))


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


def run_molecule(needing: bool = False) -> Tally:
    """Run every scenario that ``local`` can; each step is told as it ends, and all output when one fails."""
    print("molecule", flush=True)
    missing = optional_programs.missing()
    programs = scenarios("local")
    wanted = {name: program for name, program in programs.items() if program or not needing}
    skipped = Counter(f"{NEEDS}{program}" for program in wanted.values() if program in missing)
    chosen = [word for name, program in wanted.items() if program not in missing for word in ("--scenario-name", name)]
    command = [str(BIN / "molecule"), "test", "--report", *chosen]
    environment = ENVIRONMENT | {"LAB_CLUSTER": "local", "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    if not chosen:
        return Tally("molecule steps", 0, 0, skipped)
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
    return Tally("molecule steps", passed, max(failed, int(code != 0)), skipped)


def scenarios(cluster: str) -> dict[str, str]:
    """Return the strategies that the cluster can run, each a scenario of that name, and the program that it needs here.

    Without one the program is empty: pods bring their own, and Envoy is a package of .venv.
    """
    files = sorted((REPO / "strategies").glob("*.yaml"))
    parts = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return {
        name: data.get("gateway", {}).get("proxy", "").replace("envoy", "") if cluster == "local" else ""
        for name, data in parts.items()
        if cluster in data["strategy"].get("clusters", [cluster])
    }


RUNNERS = {"checks": run_checks, "live": run_live, "unit": run_unit, "molecule": run_molecule}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every scenario on local processes, with strategies of every kind: each verdict is what the scenario's file expects.

LAB_TEST_SCENARIOS=all takes every strategy that the file expects something of: an hour and a half instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.settings.scenarios import refusal_of

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
SCENARIOS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((REPO / "scenarios").glob("*.yaml"))}
KINDS = ("service", "headless", "headless-fresh", "envoy", "envoy-least-request", "envoy-advanced", "lookaside", "xds")
LABS_AT_ONCE = 4
"""They mostly wait; more of them would disturb each other on two cores."""

pytestmark = pytest.mark.timeout(7200)


@dataclass(frozen=True)
class Compared:
    """A comparison that has ended: its screen, and every cell's report by strategy."""

    screen: str
    reports: dict[str, dict[str, Any]]


def strategies(scenario: str) -> list[str]:
    """What this scenario is tried with."""
    told = SCENARIOS[scenario]
    all_of_them = [Strategy.parse(yaml.safe_load(path.read_text())) for path in (REPO / "strategies").glob("*.yaml")]
    here = {one.name for one in all_of_them if one.runs_on("local") and not refusal_of(told, one)}
    chosen = here if os.environ["LAB_TEST_SCENARIOS"] == "all" else {*KINDS, *told["remedies"]}
    return sorted(set(chosen) & here)


def play(folder: Path, book: str, **variables: Any) -> str:
    own = {
        "lab_cluster": "local",
        "lab_state_dir": str(folder / "state"),
        "lab_artifacts_dir": str(folder / "artifacts"),
    }
    line = [str(PLAYBOOK), f"playbooks/{book}.yml", "-e", json.dumps({**own, **variables})]
    done = subprocess.run(line, cwd=REPO, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def compare(folder: Path, scenario: str) -> Compared:
    chosen = strategies(scenario)
    try:
        screen = play(folder, "compare", scenarios=[scenario], strategies=chosen)
    finally:
        play(folder, "reset")
    reports = {}
    for strategy in chosen:
        path = folder / "artifacts" / "latest" / strategy / scenario / "report.json"
        if path.exists():
            reports[strategy] = json.loads(path.read_text())
    return Compared(screen, reports)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Compared]]]:
    """All comparisons, a few at a time, each in a lab of its own."""
    with ThreadPoolExecutor(LABS_AT_ONCE) as pool:
        yield {name: pool.submit(compare, tmp_path_factory.mktemp(name), name) for name in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_strategy_does_what_is_expected_of_it(compared, scenario):
    found = compared[scenario].result()
    assert sorted(found.reports) == strategies(scenario), found.screen
    wrong = {
        name: (report["verdict"]["cause"], report["course"]["checks"])
        for name, report in found.reports.items()
        if report["verdict"]["status"] != "pass"
    }
    assert wrong == {}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_timeline_has_every_call(compared, scenario):
    for report in compared[scenario].result().reports.values():
        buckets = report["timeline"]["buckets"]
        assert sum(bucket["ok"] + bucket["failed"] for bucket in buckets) == report["actual"]["requests"]
        answered = sum(calls for bucket in buckets for calls in bucket["per_backend"].values())
        assert answered == report["actual"]["ok"] == sum(backend["requests"] for backend in report["backends"])


def test_draining_done_wrong_costs_calls_and_done_right_none(compared):
    reports = compared["rolling-restart"].result().reports
    assert reports["headless-abrupt"]["actual"]["failed"] > 0
    assert reports["headless-drain"]["actual"]["failed"] == 0


def test_the_trap_is_sprung_and_its_remedies_help(compared):
    reports = compared["dns-trap"].result().reports
    outage = {name: report["course"]["errors"]["window_s"] for name, report in reports.items()}
    assert outage["headless"] > 8
    assert outage["headless-fresh"] < outage["headless"] / 3
    assert outage["envoy-resilient"] < outage["envoy"] / 3

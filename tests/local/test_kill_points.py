"""Something of the lab dies at any point of a load, and the next run, started at once, works.

A few points here; with LAB_TEST_SCENARIOS set (`make test-scenarios`) fifty. Seeded: a point is the same each time.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from test_playbooks import Place, end, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POINTS = 50 if os.environ.get("LAB_TEST_SCENARIOS") else 4
FAULTS = {
    "stop": {"do": "stop", "which": "all", "for_s": 60},
    "slow": {"do": "slow", "which": "all", "delay_ms": 3000, "for_s": 60},
    "fail": {"do": "fail", "which": "all", "code": "UNAVAILABLE", "for_s": 60},
}
VICTIMS = ("the playbook", "the load", "the supervisor", "a client")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("killed")
    made = Place(folder / "state", folder / "artifacts")
    yield made
    assert made.play("reset").code == 0


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenarios")
    for name, event in FAULTS.items():
        told = {"name": name, "title": "T", "shows": "S", "phase": {"from_s": 1, "to_s": 1}}
        data = {
            "scenario": told,
            "load": {"duration_s": 60, "needs_s": 30, "rate_rps": 50, "deadline_s": 1},
            "events": [{"after_s": 0, **event}],
            "expect": {},
            "refuse": {},
        }
        (folder / f"{name}.yaml").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize("point", range(POINTS))
def test_the_next_run_works_at_once(place: Place, scenarios: Path, point: int) -> None:
    draw = random.Random(f"kill point {point}")
    scenario = list(FAULTS)[point % len(FAULTS)]
    victim = VICTIMS[point // len(FAULTS) % len(VICTIMS)] if len(FAULTS) * len(VICTIMS) < POINTS else VICTIMS[point]
    playbook = place.start(strategy="headless", scenario=scenario, lab_scenarios_dir=str(scenarios))
    try:
        wait_until(lambda: (place.status().get("load") or {}).get("done"))
        status = place.status()
        # From before the fault, which comes after 1 s, to the middle of it.
        time.sleep(draw.uniform(0, 3))
        pid = {
            "the load": status["load"]["owner"],
            "the supervisor": status["pid"],
            "a client": status["load"]["clients"][0]["pid"],
        }.get(victim, playbook.pid)
        os.kill(pid, signal.SIGKILL)
        if victim == "the playbook":
            end(playbook.pid)
        run = place.play(strategy="headless", lab_requests=200, lab_replicas=3 + point % 3)
        assert run.code == 0, f"{scenario}, {victim}:\n{run.screen}"
    finally:
        end(playbook.pid)
        playbook.communicate()

"""compare.yml for real on `local`: one bundle, one cell that is red, a stop in the middle and the rest after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


@pytest.fixture
def place(tmp_path):
    yield tmp_path
    play(tmp_path, "reset")


def command(place: Path, book: str, **variables) -> list[str]:
    own = {"lab_cluster": "local", "lab_state_dir": str(place / "state"), "lab_artifacts_dir": str(place / "artifacts")}
    return [str(PLAYBOOK), f"playbooks/{book}.yml", "-e", json.dumps({**own, **variables})]


def play(place: Path, book: str, **variables) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(place, book, **variables), cwd=REPO, capture_output=True, text=True, check=False)


def summary(place: Path) -> dict:
    return json.loads((place / "artifacts/latest/summary.json").read_text())


def test_a_red_cell_is_red_everywhere_and_stops_no_other(place):
    folder = place / "strategies"
    folder.mkdir()
    for name, expected in (("baseline", "pinned"), ("service", "even"), ("headless", "even")):
        data = yaml.safe_load((REPO / "strategies" / f"{name}.yaml").read_text())
        data["strategy"]["expect"]["steady"] = expected
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    done = play(place, "compare", lab_strategies_dir=str(folder), lab_requests=200)
    assert done.returncode != 0
    assert "3 cells: 2 passed, 1 failed" in done.stdout, done.stdout + done.stderr
    run = place / "artifacts/latest"
    told = {cell["strategy"]: cell["status"] for cell in summary(place)["cells"]}
    assert told == {"baseline": "pass", "headless": "pass", "service": "fail"}
    assert [case.get("name") for case in ElementTree.parse(run / "junit.xml").iter("testcase") if len(case)]
    assert "All 200 calls went to one of 5 replicas" in (run / "summary.md").read_text()
    assert "All 200 calls went to one of 5 replicas" in (run / "index.html").read_text()
    assert (run / "service/steady/report.html").exists()


def test_stopped_in_the_middle_and_resumed(place):
    wanted = {"strategies": ["baseline", "service", "headless"], "lab_requests": 200}
    first = subprocess.Popen(
        command(place, "compare", **wanted),
        cwd=REPO,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list((place / "artifacts").glob("*/baseline/steady/cell.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGINT)
    first.wait(30)
    kept = (place / "artifacts/latest/baseline/steady/report.json").stat().st_mtime_ns
    assert not (place / "artifacts/latest/headless/steady/report.json").exists()
    done = play(place, "compare", lab_resume=True, **wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done before" in done.stdout
    assert (place / "artifacts/latest/baseline/steady/report.json").stat().st_mtime_ns == kept
    assert [cell["status"] for cell in summary(place)["cells"]] == ["pass"] * 3

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


def play(place: Path, book: str, colour: str = "0", **variables) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ANSIBLE_FORCE_COLOR": colour}
    return subprocess.run(
        command(place, book, **variables), cwd=REPO, capture_output=True, text=True, check=False, env=environment
    )


def summary(place: Path) -> dict:
    return json.loads((place / "artifacts/latest/summary.json").read_text())


def test_a_red_cell_is_red_everywhere_and_stops_no_other(place):
    folder = place / "strategies"
    folder.mkdir()
    for name, expected in (("baseline", "pinned"), ("service", "even"), ("headless", "even")):
        data = yaml.safe_load((REPO / "strategies" / f"{name}.yaml").read_text())
        data["strategy"]["expect"]["steady"] = expected
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    done = play(place, "compare", lab_strategies_dir=str(folder), lab_requests=200, colour="1")
    assert done.returncode != 0
    told = done.stdout
    assert "\x1b[1;31m3 cells: 2 passed, 1 failed\x1b[0m" in told, told + done.stderr
    assert "service              steady       \x1b[1;31mFAIL: expected even, observed pinned\x1b[0m" in told
    assert "headless             steady       \x1b[1;32mPASS: even, as expected\x1b[0m" in told
    assert "    All 200 calls went to one of 5 replicas" in told
    run = place / "artifacts/latest"
    told = {cell["strategy"]: cell["status"] for cell in summary(place)["cells"]}
    assert told == {"baseline": "pass", "headless": "pass", "service": "fail"}
    cause = "All 200 calls went to one of 5 replicas"
    failures = {
        case.get("name"): case.find("failure") for case in ElementTree.parse(run / "junit.xml").iter("testcase")
    }
    assert {name: failure is not None for name, failure in failures.items()} == {
        "baseline": False, "headless": False, "service": True,
    }  # fmt: skip
    assert cause in failures["service"].get("message")
    table = (run / "summary.md").read_text()
    assert f"- ❌ **service** · steady · FAIL: expected even, observed pinned. {cause}" in table
    assert "| ❌ | service |" in table
    assert "| ✅ | headless |" in table
    index = (run / "index.html").read_text()
    assert '<section class="card verdict fail"' in index
    assert [line for line in index.splitlines() if '<tr class="fail"' in line and 'data-strategy="service"' in line]
    for name, status, words in (("service", "fail", cause), ("headless", "pass", "The 5 replicas got 40 calls each")):
        page = (run / name / "steady/report.html").read_text()
        assert f'<section class="card verdict {status}"' in page
        assert words in page
        data = json.loads((run / name / "steady/report.json").read_text())
        assert data["verdict"]["status"] == status
        assert ("**FAIL" in (run / name / "steady/report.md").read_text()) is (status == "fail")


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


def test_check_mode_makes_nothing(place):
    assert play(place, "compare", strategies=["baseline"], lab_requests=50).returncode == 0
    before = (
        sorted(path for path in place.rglob("*") if "logs" not in path.parts),
        (place / "artifacts/latest").readlink(),
    )
    for more in ({}, {"lab_resume": True}):
        words = command(place, "compare", strategies=["baseline"], lab_requests=50, **more)
        done = subprocess.run([*words, "--check"], cwd=REPO, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 cell" in done.stdout
    after = (
        sorted(path for path in place.rglob("*") if "logs" not in path.parts),
        (place / "artifacts/latest").readlink(),
    )
    assert after == before

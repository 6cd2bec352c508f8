"""The drawer: it draws what the program would draw, ends with its playbook, and nothing depends on it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import report_factory as made
from grpc_lb_lab import cli
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.views import artifacts, drawer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def owner() -> Iterator[int]:
    """The pid of a process that stands for a playbook, with a drawer that listens."""
    playbook = subprocess.Popen(["sleep", "300"])
    drawer.start(playbook.pid)
    until(lambda: listens(playbook.pid))
    yield playbook.pid
    playbook.kill()
    playbook.wait()
    until(lambda: not listens(playbook.pid))


def until(condition, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def listens(pid: int) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.connect(drawer._address(pid))
        return True
    return False


def cell(folder: Path) -> Path:
    """A cell of a run that lacks its page."""
    artifacts.write_report(made.headless([200] * 5), folder / "headless/steady", page=False)
    return folder / "headless/steady"


def test_it_draws_what_the_program_draws(owner: int, tmp_path: Path) -> None:
    places = [cell(tmp_path / name) for name in ("run-1", "run-2")]
    assert drawer.ask(owner, {"page": str(places[0])}) is True
    assert cli.main(["summary", "--quiet", "--drawer", str(owner), str(tmp_path / "run-1")]) == 0
    assert cli.main(["summary", "--quiet", str(tmp_path / "run-2")]) == 0
    for name in ("index.html", "headless/steady/report.html", "summary.md"):
        one, two = ((tmp_path / run / name).read_text().replace(run, "RUN") for run in ("run-1", "run-2"))
        assert one == two
    assert "<svg" in (places[0] / "report.html").read_text()


def test_a_page_that_nobody_waits_for_is_there_before_the_answer_to_the_next_wish(owner: int, tmp_path: Path) -> None:
    one, two = cell(tmp_path / "one"), cell(tmp_path / "two")
    assert drawer.ask(owner, {"page": str(one)}, wait=False) is True
    assert drawer.ask(owner, {"page": str(two)}) is True
    assert (one / "report.html").exists()


def test_what_cannot_be_written_is_said(owner: int, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"cannot read {tmp_path}/none"):
        drawer.ask(owner, {"run": str(tmp_path / "none")})


def test_without_a_drawer_and_with_one_that_dies_the_program_draws(owner: int, tmp_path: Path) -> None:
    assert drawer.ask(None, {"run": "."}) is False
    assert drawer.ask(os.getpid(), {"run": "."}) is False  # whose drawer was never started
    folder = cell(tmp_path)
    assert drawer.ask(owner, {"nothing": "that it knows"}) is False
    until(lambda: not listens(owner))
    assert cli.main(["summary", "--quiet", "--drawer", str(owner), str(tmp_path)]) == 0
    assert (folder / "report.html").exists()


def test_it_ends_with_its_playbook(owner: int) -> None:
    os.kill(owner, signal.SIGKILL)
    until(lambda: not listens(owner))


def test_a_run_is_summed_up_with_its_cell_or_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, folder = tmp_path / "run-1", tmp_path / "run-1/headless/steady"
    (folder / "results").mkdir(parents=True)
    line = ["report", "--no-page", "--output", str(folder), "--results", str(folder / "results")]
    summary = ["summary", "--quiet", str(run)]
    for name, value in (("plan", made.plan("even", requests=1000, replicas=5)), ("inventory", made.inventory(5))):
        artifacts.write_text(folder / f"{name}.json", artifacts.dump(to_dict(value)))
        line += [f"--{name}", str(folder / f"{name}.json")]
    assert cli.main(line) == 4
    assert "error" in capsys.readouterr().err
    assert cli.main(summary) == 3
    assert "no report" in (run / "summary.md").read_text()
    artifacts.write_text(folder / "results/client-0.json", artifacts.dump(to_dict(made.client([[200] * 5]))))
    assert cli.main(line) == 0
    assert cli.main(summary) == 0
    assert {"index.html", "summary.json", "junit.xml"} <= {path.name for path in run.iterdir()}
    assert (folder / "report.html").exists()
    assert "no report" not in (run / "summary.md").read_text()


def test_drawing_imports_no_grpc() -> None:
    code = "import sys, grpc_lb_lab.views.drawer as d; d._warm_up(); sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

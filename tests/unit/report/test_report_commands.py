"""Files and the command line: exit codes, one-line errors, whole files or none."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import report_factory as made
from grpc_lb_lab import cli
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.errors import ArtifactError, LabError, UsageError
from grpc_lb_lab.views import artifacts

FILES = {"report.json", "report.md", "report.csv", "report.html"}


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_dict(value)))
    return path


@pytest.fixture
def run(tmp_path):
    """Writes the inputs of a run and returns the arguments of ``lb-lab report``."""

    def write(counts, expect="even", cell="headless/steady", **asked):
        folder = tmp_path / "run-1" / cell
        save(folder / "plan.json", made.plan(expect, requests=sum(counts), replicas=len(counts), **asked))
        save(folder / "inventory.json", made.inventory(len(counts)))
        save(folder / "results" / "client-0.json", made.client([counts]))
        return [
            "report", "--plan", str(folder / "plan.json"), "--inventory", str(folder / "inventory.json"),
            "--results", str(folder / "results"), "--output", str(folder),
        ]  # fmt: skip

    return write


@pytest.mark.parametrize(
    ("counts", "code", "word"),
    [([200] * 5, 0, "PASS: even"), ([800, 50, 50, 50, 50], 1, "FAIL: expected even"), ([1] * 5, 3, "INVALID")],
)
def test_report_writes_prints_and_returns_the_verdict(run, tmp_path, capsys, counts, code, word):
    assert cli.main(run(counts)) == code
    out = capsys.readouterr().out
    assert word in out
    assert "\x1b" not in out
    folder = tmp_path / "run-1/headless/steady"
    assert {path.name for path in folder.iterdir()} >= FILES
    assert not list(folder.glob(".*.new"))
    assert json.loads((folder / "report.json").read_text())["verdict"]["status"] in word.lower()


def test_quiet_prints_nothing_and_colour_can_be_forced(run, capsys):
    assert cli.main([*run([200] * 5), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main([*run([200] * 5), "--color", "always"]) == 0
    assert "\x1b[" in capsys.readouterr().out


def test_summary_of_a_run(run, tmp_path, capsys):
    cli.main([*run([200] * 5), "--quiet"])
    cli.main([*run([800, 50, 50, 50, 50], cell="service/steady"), "--quiet"])
    (tmp_path / "run-1/broken/steady/logs").mkdir(parents=True)
    assert cli.main(["summary", str(tmp_path / "run-1")]) == 1
    assert "3 cells: 1 passed, 1 failed, 1 invalid" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "run-1").iterdir()} >= {"summary.json", "summary.md", "index.html"}
    cells = json.loads((tmp_path / "run-1/summary.json").read_text())["cells"]
    assert [(cell["strategy"], cell["status"]) for cell in cells] == [
        ("broken", "invalid"), ("headless", "pass"), ("service", "fail"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "plan.json").write_text("{"), "{}/plan.json is not JSON"),
        (lambda folder: (folder / "plan.json").write_text("[]"), "{}/plan.json is not a JSON object"),
        (lambda folder: (folder / "plan.json").write_text("{}"), "is no Plan: Plan: key 'run' is missing"),
        (lambda folder: (folder / "results/client-0.json").unlink(), "no client finished"),
        (lambda folder: (folder / "results/x.json").write_text("{}"), "is no ClientResult"),
    ],
)
def test_broken_inputs_are_one_line_and_exit_4(run, tmp_path, capsys, break_it, words):
    arguments = run([200] * 5)
    folder = tmp_path / "run-1/headless/steady"
    break_it(folder)
    assert cli.main(arguments) == 4
    error = capsys.readouterr().err
    assert error.startswith("lb-lab: error: ")
    assert words.format(folder) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--plan", "none/plan.json", "--plan {}/none/plan.json: there is no such file. Allowed: "),
        ("--inventory", ".", "--inventory {}: there is no such file. Allowed: "),
        ("--results", "none", "--results {}/none: there is no such folder. Allowed: "),
        ("--results", "a-file", "--results {}/a-file: is no folder. Allowed: "),
    ],
)
def test_what_is_not_there_is_wrong_usage(run, tmp_path, capsys, option, value, words):
    (tmp_path / "a-file").write_text("")
    assert cli.main([*run([200] * 5), option, str(tmp_path / value)]) == 2
    assert words.format(tmp_path) in capsys.readouterr().err


def test_without_memory_for_charts_all_the_rest_is_written(run, tmp_path):
    """The chart library ends its process: with 4 GB of addresses it cannot reserve what it wants."""
    command = 'ulimit -v 4000000; exec "$@"'
    for arguments in (run([200] * 5), ["summary", str(tmp_path / "run-1")]):
        words = ["bash", "-c", command, "bash", sys.executable, "-m", "grpc_lb_lab", *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said = "the pages have no charts: the chart library ended with SIGTRAP"  # the index of one cell has none
        assert (said in done.stderr, done.stderr.count("\n")) == ((True, 1) if "--plan" in arguments else (False, 0))
    page = (tmp_path / "run-1/headless/steady/report.html").read_text()
    assert "No chart: the chart library ended with" in page
    assert {path.name for path in (tmp_path / "run-1").iterdir()} >= {"summary.json", "junit.xml", "index.html"}


def test_a_full_disk_still_prints_the_verdict_and_leaves_no_half_file(run, tmp_path, capsys, monkeypatch):
    def full(self, text, encoding):
        Path.touch(self)
        raise OSError(errno.ENOSPC, "No space left on device")

    arguments = run([200] * 5)
    monkeypatch.setattr(Path, "write_text", full)
    assert cli.main(arguments) == 4
    streams = capsys.readouterr()
    assert "PASS: even" in streams.out
    assert "report.md: No space left on device" in streams.err
    assert not [path for path in (tmp_path / "run-1/headless/steady").iterdir() if "report" in path.name]


def test_an_old_file_survives_a_failed_write(tmp_path, monkeypatch):
    path = artifacts.write_text(tmp_path / "report.md", "old")
    monkeypatch.setattr(
        Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system"))
    )
    with pytest.raises(ArtifactError, match="Read-only file system"):
        artifacts.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_is_a_file_is_an_artifact_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        artifacts.write_text(tmp_path / "file" / "report.md", "text")


def test_summary_refuses_what_it_cannot_read(tmp_path, capsys):
    assert cli.main(["summary", str(tmp_path / "none")]) == 2
    assert "there is no such folder. Allowed: the folder of a run" in capsys.readouterr().err
    assert cli.main(["summary", str(tmp_path)]) == 2
    assert "it has no STRATEGY/SCENARIO/report.json" in capsys.readouterr().err
    (tmp_path / "a/steady").mkdir(parents=True)
    (tmp_path / "a/steady/report.json").write_text('{"schema_version": 2}')
    assert cli.main(["summary", str(tmp_path)]) == 4
    assert "schema version 2" in capsys.readouterr().err
    (tmp_path / "a/steady/report.json").write_text('{"schema_version": 1, "run": {"cluster": "local"}}')
    assert cli.main(["summary", str(tmp_path)]) == 4
    assert "a/steady/report.json lacks the key 'verdict'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["repord"], ["report"], ["report", "--plan"], ["summary"], ["--nonsense"]])
def test_wrong_usage_is_one_line_and_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("lb-lab: error: ")
    assert error.count("\n") == 1


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(f"    {command} " in out for command in ("client", "server", "local", "report", "summary"))


def test_errors_of_the_lab_become_exit_codes(monkeypatch, capsys):
    for error, code in ((LabError("broke"), 4), (UsageError("wrong"), 2), (KeyboardInterrupt(), 4)):
        monkeypatch.setattr("grpc_lb_lab.views.bundle.read_bundle", lambda _, error=error: (_ for _ in ()).throw(error))
        assert cli.main(["summary", "."]) == code
        assert capsys.readouterr().err.startswith("lb-lab: error: ")


def test_report_imports_no_grpc():
    """The report must start fast and run where grpcio is missing."""
    code = (
        "import sys; from grpc_lb_lab import cli\n"
        "try: cli.main(['report', '--help'])\n"
        "except SystemExit: pass\n"
        "import grpc_lb_lab.views.artifacts, grpc_lb_lab.judge.build, grpc_lb_lab.views.render.terminal\n"
        "sys.exit('grpc' in sys.modules or 'scipy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(Path(cli.__file__).parents[1])}, check=False
    )
    assert done.returncode == 0

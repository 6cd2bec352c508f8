"""The plugins' own logic: folders of a run, what a program's end means, how an error looks."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import ansible.release
import pytest
import yaml
from ansible.vars import reserved
from grpc_lb_lab import cli, forked
from grpc_lb_lab.model.text import acts
from grpc_lb_lab.places.local.state import StateFolder

REPO = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
CELL = Path("envoy/steady")


def plugin(path: str):
    spec = importlib.util.spec_from_file_location(f"plugin_{Path(path).stem}", REPO / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


artifacts = plugin("action_plugins/lab_artifacts.py")
lb_lab = plugin("action_plugins/lb_lab.py")
callback = plugin("callback_plugins/lab.py")
executor = plugin("callback_plugins/lab_executor.py")


EVIL = "evil \x1b[2J\x9b\u202e\x07"


def test_no_message_acts_on_the_terminal(capsys):
    seen = "evil ?[2J???"
    assert callback._error(f"first {EVIL}\nsecond {EVIL}", None) == f"error: first {seen}\n       second {seen}"
    said, err, shown = queue.Queue(), [], []
    said.put((err, f"progress {EVIL}\n"))
    playbook = SimpleNamespace(_display=SimpleNamespace(display=lambda text, **_: shown.append(text)))
    lb_lab.ActionModule._tell(playbook, said, err, wait_s=0)
    assert (shown, err) == ([f"    progress {seen}"], [f"progress {seen}"])
    assert cli.main(["local", "up", "--strategy", f"/no/{EVIL}"]) == 2
    told = capsys.readouterr().err
    assert f"/no/{seen}" in told
    with pytest.raises(SystemExit):
        cli.main(["local", "status", f"--no{EVIL}"])
    told += capsys.readouterr().err
    assert not any(acts(character) for character in told.replace("\n", ""))


def test_two_runs_in_one_second_get_folders_of_their_own(tmp_path):
    first = artifacts.make_run(tmp_path / "new", "envoy", CELL, NOW)
    second = artifacts.make_run(tmp_path / "new", "envoy", CELL, NOW)
    assert (first["id"], second["id"]) == ("20261122T013000Z-envoy", "20261122T013000Z-envoy-2")
    assert (tmp_path / "new" / "latest").resolve() == Path(second["run"])
    for paths in (first, second):
        assert Path(paths["results"]).is_dir()
        assert Path(paths["logs"]).is_dir()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [first["id"], second["id"], "latest"]


def test_latest_is_never_taken_from_a_folder_of_that_name(tmp_path):
    (tmp_path / "latest").mkdir()
    with pytest.raises(FileExistsError, match="is no link"):
        artifacts.make_run(tmp_path, "envoy", CELL, NOW)
    assert not list(tmp_path.glob(".latest*"))


def test_json_is_written_whole(tmp_path):
    artifacts.write_json(tmp_path / "plan.json", {"a": "ü"})
    assert json.loads((tmp_path / "plan.json").read_text()) == {"a": "ü"}
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_logs_are_copied_unless_they_are_there(tmp_path):
    state, logs = tmp_path / "state", tmp_path / "logs"
    (state / "logs").mkdir(parents=True)
    logs.mkdir()
    (state / "supervisor.log").write_text("new")
    (state / "logs" / "echo-1.log").write_text("new")
    (logs / "echo-1.log").write_text("kept by the load")
    StateFolder(state).copy_logs(logs)
    texts = {path.name: path.read_text() for path in logs.iterdir()}
    assert texts == {"supervisor.log": "new", "echo-1.log": "kept by the load"}
    StateFolder(tmp_path / "never started").copy_logs(logs)


@pytest.mark.parametrize(
    ("code", "err", "words"),
    [
        (4, ["starting", "lb-lab: error: port 50051 is taken"], "port 50051 is taken"),
        (
            1,
            ["Traceback (most recent call last):", "KeyError: 'x'"],
            "lb-lab local up broke with exit code 1: KeyError: 'x'",
        ),
        (-9, [], "lb-lab local up was ended by signal 9: it said nothing"),
    ],
)
def test_a_program_that_fails_is_one_message(code, err, words):
    assert lb_lab._explain(["local", "up"], code, err).startswith(words)


def run(monkeypatch, program):
    monkeypatch.setattr(forked.cli, "main", program)
    return lb_lab.ActionModule._call(SimpleNamespace(_tell=partial(tell, [])), ["report"])


def tell(shown, said, err, wait_s):
    playbook = SimpleNamespace(_display=SimpleNamespace(display=lambda text, **_: shown.append(text)))
    return lb_lab.ActionModule._tell(playbook, said, err, wait_s)


def test_a_bug_is_no_verdict(monkeypatch):
    """Python ends with 1 after a traceback, and 1 is also what `lb-lab report` ends with for a verdict of fail."""

    def breaks(_):
        print("PASS")
        raise KeyError(1)

    code, out, err = run(monkeypatch, breaks)
    assert (code, out, err[-1]) == (4, "PASS\n", "KeyError: 1")
    assert run(monkeypatch, lambda _: print("FAIL") or 1) == (1, "FAIL\n", [])


def test_a_program_of_a_step_is_a_process_of_its_own(monkeypatch):
    """It ends by a signal like any other and has none of the playbook's handlers and streams."""

    def dies(_):
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
        assert sys.stdin.read() == ""
        print("out")
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert run(monkeypatch, dies) == (-15, "out\n", [])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert run(monkeypatch, lambda _: sys.exit(3)) == (3, "", [])


def test_what_a_program_leaves_running_is_not_waited_for(monkeypatch):
    def leaves(_):
        subprocess.Popen(["sleep", "20"])
        return 0

    began = time.monotonic()
    assert run(monkeypatch, leaves)[0] == 0
    assert time.monotonic() - began < 10


def test_the_last_line_is_what_a_program_says():
    assert lb_lab._last_object('noise\n{"changed": true, "dns": "d"}\n') == {"changed": True, "dns": "d"}
    assert lb_lab._last_object("") == {"changed": False}
    for broken in ("noise\n", "[1]\n", '{"changed": tr'):
        assert lb_lab._last_object(broken)["failed"]


def test_an_error_of_several_lines_is_aligned():
    assert callback._error("one\ntwo", None) == "error: one\n       two"


@pytest.fixture
def changed(monkeypatch):
    """Ansible as the lab changes it."""
    monkeypatch.setattr(reserved, "_RESERVED_NAMES", reserved._RESERVED_NAMES)
    monkeypatch.setattr(executor.FinalQueue, "put", executor.FinalQueue.put)
    monkeypatch.setattr(executor.WorkerProcess, "start", executor.WorkerProcess.start)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    executor.CallbackModule()


# What `lab_executor` leans on, as it is in the version that its page names. When one of these fails, Ansible is a newer
# one: read what changed there, see whether the change of the lab still fits or is needed no more, and note the digest.
LEANS_ON = {
    "ansible.executor.process.worker": {
        "WorkerProcess._term": "5d3d55dc2f2c",
        "WorkerProcess.start": "26e1c38d4a0b",
        "WorkerProcess.run": "85a2ef0afe5d",
    },
    "ansible.executor.task_queue_manager": {
        "FinalQueue": "27684d1675a6",
        "TaskQueueManager._signal_handler": "fea267d28280",
        "TaskQueueManager.load_callbacks": "7428319a4e4d",
    },
    "ansible.vars.reserved": {
        "warn_if_reserved": "ec29f0ad798a",
        "is_reserved_name": "1c39a2247f8e",
    },
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in LEANS_ON for name in LEANS_ON[module]])
def test_ansible_is_still_what_the_lab_changes_in_it(module, name):
    source = inspect.getsource(importlib.import_module(module))
    nodes = ast.parse(source).body
    for part in name.split("."):
        found = next(node for node in nodes if getattr(node, "name", "") == part)
        nodes = found.body
    digest = hashlib.sha256(ast.get_source_segment(source, found).encode()).hexdigest()[:12]
    assert digest == LEANS_ON[module][name]


def test_the_page_names_the_version_that_was_looked_at():
    assert yaml.safe_load(executor.DOCUMENTATION)["requirements"] == [f"ansible-core {ansible.release.__version__}"]
    assert ansible.release.__version__ in executor.__doc__


def test_only_the_warning_about_strategy_is_gone(changed):
    assert "strategy" not in reserved._RESERVED_NAMES
    assert {"hosts", "serial", "become"} <= reserved._RESERVED_NAMES


def test_ctrl_c_waits_until_ansibles_queue_is_unlocked(changed, monkeypatch):
    told = []

    def put(queue, thing):
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        time.sleep(0.01)
        told.append(thing)

    monkeypatch.setattr(executor.SimpleQueue, "put", put)
    with pytest.raises(KeyboardInterrupt):
        executor.FinalQueue.put(None, "whole")
    assert told == ["whole"]


def test_ctrl_c_while_a_worker_is_started_counts_once_it_is(monkeypatch):
    """A fork's hooks lose exceptions; real forks are too fast to be met."""
    told = []

    def start(worker):
        signal.raise_signal(signal.SIGINT)
        told.append("started")

    monkeypatch.setattr(executor, "_start", start)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        executor.start_whole(None)
    assert told == ["started"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == (signal.default_int_handler, before)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")  # the child ends at once
def test_ctrl_c_ends_a_worker_that_has_no_handlers_yet(monkeypatch):
    codes = []

    def start(worker):
        if (pid := os.fork()) == 0:
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    monkeypatch.setattr(executor, "_start", start)
    executor.start_whole(None)
    assert codes == [1]


class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_that_python_would_lose_comes_again(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", executor.raise_again)
    reached = []
    with pytest.raises(KeyboardInterrupt):
        Interrupted()
        reached.append("lost at first")
        time.sleep(5)
    assert reached == ["lost at first"]


class Broken:
    def __del__(self):
        raise ValueError("broken")


def test_all_else_that_python_loses_is_still_told(monkeypatch):
    told = []
    monkeypatch.setattr(executor, "_tell_unraisable", lambda lost: told.append(str(lost.exc_value)))
    monkeypatch.setattr(sys, "unraisablehook", executor.raise_again)
    Broken()
    assert told == ["broken"]

"""The playbooks as a user starts them: the real command, the real lab, its exit code and what is on the screen."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the local lab needs Linux")

REPO = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LIMIT_S = 90


@dataclass(frozen=True)
class Run:
    """A playbook that has ended. ``screen`` is stdout and stderr together."""

    code: int
    screen: str
    seconds: float

    @property
    def changed(self) -> int:
        return int(re.search(r"^localhost +: .*changed=(\d+)", self.screen, re.MULTILINE)[1])

    @property
    def errors(self) -> list[str]:
        return [line for line in self.screen.splitlines() if line.startswith("error: ")]


@dataclass(frozen=True)
class Place:
    """Where a test's lab keeps its state and its artifacts; both have names that need quoting."""

    state: Path
    artifacts: Path

    def command(self, playbook: str, **variables: Any) -> list[str]:
        folders = {"lab_state_dir": str(self.state), "lab_artifacts_dir": str(self.artifacts)}
        values = {"lab_cluster": "local"} | folders | variables
        return [str(BIN / "ansible-playbook"), f"playbooks/{playbook}.yml", "-e", json.dumps(values)]

    def play(self, playbook: str = "lab", **variables: Any) -> Run:
        return play(self.command(playbook, **variables))

    def start(self, **variables: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("lab", **variables),
            cwd=REPO,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def status(self) -> dict[str, Any]:
        command = [BIN / "lb-lab", "local", "status", "--json", "--state", self.state / "local"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {"running": False}

    def report(self, strategy: str) -> dict[str, Any]:
        path = self.artifacts / "latest" / strategy / "steady" / "report.json"
        return dict(json.loads(path.read_text()))


def environment() -> dict[str, str]:
    """A user's environment without an activated .venv."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "VIRTUAL_ENV"))}
    return kept | {"PATH": "/usr/bin:/bin"}


def play(command: list[str]) -> Run:
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=REPO,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Run(done.returncode, done.stdout, time.monotonic() - started)


def pids(status: dict[str, Any]) -> set[int]:
    """Every process of a lab."""
    load = status.get("load") or {}
    parts = [status, *status["replicas"], *load.get("clients", []), *load.get("proxies", [])]
    return {part["pid"] for part in parts if part.get("pid")}


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition: Any, limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One lab for the module: tests start from whatever the one before left running, as users do."""
    folder = tmp_path_factory.mktemp("lab with späces")
    made = Place(folder / "st ate", folder / "art ifacts")
    yield made
    made.play("reset")


# --- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "strategy=envoi"], ["strategy=envoi", "did you mean envoy?", "headless-pick-first"]),
        (["-e", "lab_replicas=0"], ["lab_replicas=0", "1 to 200"]),
        (["-e", "scenario=kil"], ["scenario=kil", "did you mean kill?"]),
        (["-e", "scenario=kill", "-e", "strategy=baseline"], ["scenario=kill", "strategy=baseline", "one replica"]),
        (["-e", "scenario=kill", "-e", "lab_duration=20"], ["lab_duration=20", "at least 66"]),
        (
            ["-e", "lab_artifacts_dir=/proc/x"],
            ["lab_artifacts_dir=/proc/x", "a folder that can be made and written to"],
        ),
        (["-e", "scenario=kill", "-e", "lab_requests=5"], ["lab_requests=5", "lab_duration"]),
        (["-e", "scenario=scale-down", "-e", "lab_replicas=2"], ["lab_replicas=2", "at least 3"]),
        (["-e", "scenario=scale-up", "-e", "lab_replicas=200"], ["lab_replicas=200", "at most 198"]),
        (["-e", "lab_requests=ten"], ["lab_requests=ten", "1 to 10,000,000"]),
        (["-e", "lab_cluster=minikube"], ["lab_cluster=minikube", "auto, local"]),
        (["-e", "scenario=stedy"], ["scenario=stedy", "did you mean steady?"]),
        (["-e", "strategy=istio", "-e", "lab_cluster=local"], ["strategy=istio", "-e lab_cluster=kind"]),
        (["-e", '{"lab_requests": true, "lab_replica": 3}'], ["lab_requests=True", "did you mean lab_replicas?"]),
        (["-e", "lab_port=5353"], ["lab_port=5353", "15000-15090"]),
        (["-e", '{"lab_rate": NaN}'], ["lab_rate=nan", "0.1 to 100,000"]),
        (["-e", '{"strategy": "env\\u001b[2Joy"}'], ["strategy=env\\x1b[2Joy", "unknown"]),
        (["-e", "lab_istio_values=/dev/zero"], ["lab_istio_values=/dev/zero", "a device"]),
        (["-e", "strategy: envoy"], ["-e strategy: envoy: no variable", "Allowed: -e NAME=VALUE"]),
        (["-e", "place_run=5"], ["place_run=5", "the lab sets this itself. Allowed: no -e place_run"]),
    ],
)
def test_wrong_input_is_refused_at_once(tmp_path, arguments, words):
    place = Place(tmp_path / "state", tmp_path / "artifacts")
    run = play([*place.command("lab"), *arguments])
    assert run.code != 0
    assert run.seconds < 5
    for word in words:
        assert run.screen.count(word) == 1, run.screen
    assert len(run.errors) == 1
    assert run.changed == 0
    assert "Traceback" not in run.screen
    assert "WARNING" not in run.screen
    assert not list(tmp_path.iterdir()), "nothing was made"


@pytest.mark.parametrize("playbook", ["compare", "cluster", "reset"])
def test_no_playbook_takes_a_name_that_it_sets_itself(tmp_path, playbook):
    name = {"compare": "lab_compare", "cluster": "lab_run", "reset": "reset_failures"}[playbook]
    run = Place(tmp_path / "state", tmp_path / "artifacts").play(playbook, **{name: "5"})
    assert run.code != 0
    assert run.errors == [f"error: {name}=5: the lab sets this itself. Allowed: no -e {name}"]
    assert not list(tmp_path.iterdir()), "nothing was made"


@pytest.mark.parametrize("kind", ["aliases", "nested", "dates", "fifo", "escape"])
def test_a_malformed_file_is_refused_at_once(tmp_path, kind):
    """One of each kind that ended a worker, hung, or was accepted; tests/unit/test_malformed.py has hundreds."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    path, text = folder / "mine.yaml", (REPO / "strategies" / "headless.yaml").read_text()
    bombs = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30)]
    contents = {
        "aliases": "\n".join(["x0: &x0 [1]", *bombs]),
        "nested": "[" * 100_000,
        "dates": text.replace("title: ", "title: 2020-13-45 # "),
        "escape": text.replace("title: ", 'title: "\\e[2J" # '),
    }
    os.mkfifo(path) if kind == "fifo" else path.write_text(contents[kind])
    place = Place(tmp_path / "state", tmp_path / "artifacts")
    run = play(place.command("lab", lab_strategies_dir=str(folder), lab_strategy="mine"))
    assert run.code != 0
    assert run.seconds < 5
    assert len(run.errors) == 1, run.screen
    assert "mine.yaml: cannot be read: " in run.errors[0]
    assert "; allowed " in run.errors[0]
    assert "Traceback" not in run.screen
    assert "\x1b" not in run.screen
    assert [entry.name for entry in tmp_path.iterdir()] == ["strategies"], "nothing was made"


@pytest.mark.parametrize(
    ("playbook", "variables", "code", "progress"),
    [
        ("lab", {"strategy": "headless", "lab_requests": 50}, 0, "50 of 50 calls"),
        ("compare", {"strategies": ["headless"], "lab_requests": 50}, 0, "[1/1] headless/steady"),
        ("cluster", {}, 0, "cluster local"),
        ("reset", {}, 0, "cluster local"),
        ("lab", {"lab_requests": 0}, 2, ""),
    ],
)
def test_with_the_json_callback_stdout_is_one_document(place, playbook, variables, code, progress):
    done = subprocess.run(
        place.command(playbook, **variables),
        cwd=REPO,
        env=environment() | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    document = json.loads(done.stdout)
    assert done.returncode == code, done.stderr
    assert document["stats"]["localhost"]["failures"] == (code > 0)
    assert progress in done.stderr
    results = [task["hosts"].get("localhost", {}) for play in document["plays"] for task in play["tasks"]]
    if playbook in ("lab", "compare") and not code:
        assert any("PASS: even, as expected" in result.get("lab_report", "") for result in results)
    if code:
        assert any("lab_requests=0: " in result.get("msg", "") for result in results)


def test_a_place_where_nothing_can_be_made_is_one_message(tmp_path):
    run = Place(tmp_path / "state", Path("/proc/artifacts")).play()
    assert run.code != 0
    assert len(run.errors) == 1
    assert "/proc/artifacts" in run.errors[0]
    assert "Traceback" not in run.screen
    assert not list(tmp_path.iterdir())


# --- runs -------------------------------------------------------------------------------------------------------------


def test_envoy_and_a_second_time(place):
    first = place.play(strategy="envoy")
    assert first.code == 0, first.screen
    before = pids(place.status())
    second = place.play(strategy="envoy")
    assert second.code == 0, second.screen
    assert second.changed == 1, "only the load"
    assert pids(place.status()) == before, "nothing was started anew"
    report = place.report("envoy")
    assert [backend["requests"] for backend in report["backends"]] == [200] * 5
    assert (report["verdict"]["status"], report["verdict"]["observed"]) == ("pass", "even")
    assert report["path"]["proven"]
    assert {"client_calls": 1000, "server_attempts": 1000, "proxy_requests": 1000}.items() <= report[
        "reconciliation"
    ].items()


def test_the_answer_is_the_last_thing_on_the_screen(place):
    run = place.play(strategy="service")
    assert run.code == 0, run.screen
    cause = place.report("service")["verdict"]["cause"]
    recap, _, rest = run.screen.partition("localhost : ")
    assert " ".join(cause.split()[:5]) in " ".join(rest.split())
    assert " ".join(cause.split()[:5]) not in " ".join(recap.split())
    lines = [line for line in run.screen.splitlines() if str(place.artifacts) not in line]
    assert max(map(len, lines)) <= 80, "fits a small terminal"
    assert len(run.screen.splitlines()) <= 60


def test_verbose_shows_what_ansible_says_and_the_report(place):
    run = play([*place.command("lab", strategy="baseline"), "-v"])
    assert run.code == 0, run.screen
    assert "PLAY RECAP" in run.screen
    assert place.report("baseline")["verdict"]["status"] == "pass"


def test_headless_with_a_load_that_does_not_divide(place):
    run = place.play(strategy="headless", lab_replicas="7", lab_requests="701", lab_clients="3")
    assert run.code == 0, run.screen
    report = place.report("headless")
    counts = [backend["requests"] for backend in report["backends"]]
    assert (len(counts), sum(counts)) == (7, 701)
    assert max(counts) - min(counts) <= 3, "within one a channel"


def test_artifacts_of_a_run(place):
    run = place.play(strategy="service", lab_requests=100)
    assert run.code == 0, run.screen
    latest = place.artifacts / "latest"
    assert re.fullmatch(r"\d{8}T\d{6}Z-service(-\d+)?", str(latest.readlink()))
    cell = latest / "service" / "steady"
    for path in ("report.json", "report.md", "report.csv", "report.html", "plan.json"):
        assert (cell / path).stat().st_size > 0, path
    assert list((cell / "logs").iterdir())
    assert (latest / "summary.json").stat().st_size > 0
    assert place.report("service")["run"]["id"] == str(latest.readlink())


def test_red_is_red(place, tmp_path):
    """A strategy that promises `even` from the plain Service fails, and says what was observed."""
    data = yaml.safe_load((REPO / "strategies" / "service.yaml").read_text())
    data["strategy"]["expect"]["steady"] = "even"
    (tmp_path / "service.yaml").write_text(yaml.safe_dump(data))
    run = place.play(strategy="service", lab_strategies_dir=str(tmp_path))
    assert run.code != 0
    verdict = place.report("service")["verdict"]
    assert (verdict["status"], verdict["expected"], verdict["observed"]) == ("fail", "even", "pinned")
    end_of_screen = run.screen.partition("localhost : ")[2]
    assert "pinned" in end_of_screen
    assert "even" in end_of_screen
    assert not run.errors, "the report has said it"
    assert (place.artifacts / "latest" / "summary.json").exists()


def test_check_mode_only_checks(tmp_path):
    place = Place(tmp_path / "state", tmp_path / "artifacts")
    run = play([*place.command("lab", strategy="envoy"), "--check"])
    assert run.code == 0, run.screen
    assert not list(tmp_path.iterdir())


# --- stopped in the middle --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_playbook_that_is_stopped_leaves_no_load_and_the_next_one_works(place, how):
    playbook = place.start(strategy="envoy", lab_duration=60)
    try:
        wait_until(lambda: place.status().get("load") and place.status()["load"]["done"])
        load = pids({"replicas": []} | place.status()["load"] | {"load": place.status()["load"]})
        assert load
        # The terminal sends Ctrl-C to everything in the foreground; kill -9 hits the playbook alone.
        (os.killpg if how == signal.SIGINT else os.kill)(playbook.pid, how)
        playbook.communicate(timeout=20)
        assert playbook.returncode != 0
        wait_until(lambda: not any(map(alive, load)))
    finally:
        end(playbook.pid)
    assert list((place.artifacts / "latest" / "envoy" / "steady" / "logs").iterdir()), "artifacts so far are kept"
    run = place.play(strategy="envoy", lab_requests=100)
    assert run.code == 0, run.screen


def test_a_run_that_breaks_leaves_a_summary_that_says_so(tmp_path):
    place = Place(tmp_path / "state", tmp_path / "artifacts")
    addresses = [f"127.{block}.0.10" for block in range(77, 100)]
    with contextlib.ExitStack() as taken:
        for address in addresses:
            listener = taken.enter_context(socket.socket())
            listener.bind((address, 50069))
            listener.listen()
        run = place.play(strategy="service", lab_port=50069)
    assert run.code == 2
    assert len(run.errors) == 1, run.screen
    assert "port 50069 is taken" in run.errors[0]
    latest = place.artifacts / "latest"
    told = json.loads((latest / "summary.json").read_text())
    assert (told["status"], [cell["strategy"] for cell in told["cells"]]) == ("invalid", ["service"])
    assert "port 50069 is taken" in told["cells"][0]["cause"]
    assert '<error message="port 50069 is taken' in (latest / "junit.xml").read_text()
    assert "port 50069 is taken" in (latest / "index.html").read_text()


def test_a_replica_that_was_killed_is_replaced(place):
    assert place.play(strategy="headless", lab_requests=100).code == 0
    os.kill(place.status()["replicas"][0]["pid"], signal.SIGKILL)
    run = place.play(strategy="headless", lab_requests=100)
    assert run.code == 0, run.screen


# --- the end ----------------------------------------------------------------------------------------------------------


def test_cluster_has_nothing_to_do_on_local(place):
    run = place.play("cluster")
    assert (run.code, run.changed) == (0, 0)


def test_reset_leaves_nothing_and_can_be_repeated(place):
    assert place.play(lab_requests=100, strategy="envoy").code == 0
    before = pids(place.status())
    assert len(before) >= 6
    first = place.play("reset")
    assert (first.code, first.changed) == (0, 2), first.screen  # the lab, and the feed of the last run
    assert not any(map(alive, before))
    assert not [path for path in place.state.rglob("*") if not path.is_dir()]
    assert (place.artifacts / "latest" / "envoy" / "steady" / "report.json").exists(), "artifacts stay"
    second = place.play("reset")
    assert (second.code, second.changed) == (0, 0), second.screen


def test_reset_after_the_supervisor_was_killed(place):
    assert place.play(lab_requests=100, strategy="envoy").code == 0
    before = place.status()
    os.kill(before["pid"], signal.SIGKILL)
    run = place.play("reset")
    assert run.code == 0, run.screen
    wait_until(lambda: not any(map(alive, pids(before))))
    assert not [path for path in place.state.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_XX.UTF-8"])
def test_make_gives_ansible_the_locale_that_it_wants(locale: str) -> None:
    arguments = "ARGS=--check -e lab_cluster=local"
    done = subprocess.run(
        ["make", "lab", arguments],
        cwd=REPO,
        env=os.environ | {"LC_ALL": locale},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.root
def test_a_checkout_may_be_read_only(tmp_path: Path) -> None:
    values = {
        "lab_cluster": "local",
        "lab_state_dir": f"{tmp_path}/state",
        "lab_artifacts_dir": f"{tmp_path}/artifacts",
    }
    # Nothing of it may reach the machine's own mounts; where / is no mount (chroot), none is shared or this fails.
    script = """! grep -q " shared:" /proc/self/mountinfo || mount --make-rprivate / || exit 99
        mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" || exit 99
        shift && ! touch written 2>/dev/null && "$@" playbooks/lab.yml && "$@" playbooks/reset.yml"""
    command = [str(BIN / "ansible-playbook"), "-e", json.dumps(values)]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "unchanged", "bash", "-c", script, "bash", str(REPO), *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "artifacts/latest/summary.json").is_file()
    assert not (tmp_path / "state/local").exists()

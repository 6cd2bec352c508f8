"""Runs docker, kind, kubectl and helm: with a time limit, with their own words when they fail."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_LIMIT_S = 30.0


class ProgramError(LabError):
    """A program failed, is missing or took too long. ``output`` is what it said."""

    def __init__(self, message: str, output: str = "") -> None:
        """Keep the program's own words beside the message."""
        super().__init__(message)
        self.output = output


@dataclass(frozen=True)
class Done:
    """What a program that ended left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """The last thing it complained about, on one line."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def attempt(
    words: Sequence[str],
    *,
    limit_s: float = DEFAULT_LIMIT_S,
    stdin: str | None = None,
    environment: dict[str, str] | None = None,
) -> Done:
    """Run a program to its end and return what it said, whatever its exit code.

    ``environment`` comes on top of this process's own. Raises ``ProgramError`` when the program does not exist or is
    not done after ``limit_s`` seconds.
    """
    env = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=limit_s, check=False, env=env)
    except FileNotFoundError:
        raise ProgramError(f"{words[0]} is not installed or not on the PATH") from None
    except subprocess.TimeoutExpired:
        verb = next((word for word in words[1:] if not word.startswith("-")), "")
        raise ProgramError(f"{Path(words[0]).name} {verb} did not answer within {limit_s:.0f} s") from None
    return Done(done.returncode, done.stdout, done.stderr)


def run(words: Sequence[str], *, limit_s: float = DEFAULT_LIMIT_S, stdin: str | None = None) -> str:
    """Run a program that must succeed and return its standard output."""
    done = attempt(words, limit_s=limit_s, stdin=stdin)
    if done.code != 0:
        raise ProgramError(f"{words[0]} {words[1]} failed: {done.reason}", done.stderr or done.stdout)
    return done.stdout


def stream(words: Sequence[str], *, limit_s: float, log: Path | None = None) -> None:
    """Run a long program whose words are worth seeing as they come: they go to standard error, and into ``log``.

    The program dies with this process. Raises ``ProgramError`` with its last line when it fails or takes too long.
    """
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError:
        raise ProgramError(f"{words[0]} is not installed or not on the PATH") from None
    overdue = threading.Event()

    def end() -> None:
        overdue.set()  # before the kill: whoever sees the end must know its reason
        process.kill()

    timer = threading.Timer(limit_s, end)
    timer.start()
    lines: list[str] = []
    assert process.stdout
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(process.stdout)
            copy = stack.enter_context(log.open("w", encoding="utf-8")) if log else None
            for line in process.stdout:
                lines.append(line.rstrip())
                print(line.rstrip(), file=sys.stderr, flush=True)
                if copy:
                    copy.write(line)
        code = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
    if overdue.is_set() and code != 0:
        raise ProgramError(f"{words[0]} {words[1]} was not done after {limit_s:.0f} s", "\n".join(lines))
    if code != 0:
        last = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
        raise ProgramError(f"{words[0]} {words[1]} failed: {last}", "\n".join(lines))


@dataclass(frozen=True)
class Kubectl:
    """kubectl, bound to one cluster and one namespace.

    ``kubeconfig`` is a file, or several as in the variable KUBECONFIG; empty: what kubectl itself would take.
    """

    namespace: str
    kubeconfig: str = ""
    context: str = ""
    program: str = field(default_factory=lambda: shutil.which("kubectl") or "kubectl")

    @property
    def environment(self) -> dict[str, str]:
        """What the program's environment must say beside its command line, which can name no more than one file."""
        return {"KUBECONFIG": self.kubeconfig} if os.pathsep in self.kubeconfig else {}

    def in_namespace(self, namespace: str) -> Kubectl:
        """Return the same for another namespace."""
        return replace(self, namespace=namespace)

    def words(self, *arguments: str, request_limit_s: float = 15) -> list[str]:
        """Return the whole command line."""
        words = [self.program, f"--namespace={self.namespace}"]
        words += [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig and not self.environment else []
        words += [f"--context={self.context}"] if self.context else []
        words += [f"--request-timeout={request_limit_s:.0f}s"] if request_limit_s else []
        return [*words, *arguments]

    def attempt(self, *arguments: str, limit_s: float = DEFAULT_LIMIT_S, stdin: str | None = None) -> Done:
        """Run kubectl and return what it said, whatever its exit code."""
        done = attempt(self.words(*arguments), limit_s=limit_s, stdin=stdin, environment=self.environment)
        return Done(done.code, done.stdout, _without_log_lines(done.stderr))

    def run(self, *arguments: str, limit_s: float = DEFAULT_LIMIT_S, stdin: str | None = None) -> str:
        """Run kubectl, which must succeed, and return its standard output."""
        done = self.attempt(*arguments, limit_s=limit_s, stdin=stdin)
        if done.code != 0:
            raise ProgramError(f"kubectl {' '.join(arguments[:3])}: {done.reason}", done.stderr)
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return what ``kubectl get … -o json`` shows."""
        data: dict[str, Any] = json.loads(self.run("get", *arguments, "--output=json"))
        return data

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects of a list."""
        items: list[dict[str, Any]] = self.get(*arguments)["items"]
        return items

    def start(self, *arguments: str, stderr: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a kubectl that goes on (logs --follow, port-forward); the caller ends it. It has no request timeout.

        It gets SIGTERM when the thread that started it ends, so it cannot outlive a killed lab.
        """
        return subprocess.Popen(
            self.words(*arguments, request_limit_s=0),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | self.environment,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def watch(self, what: str, selector: str) -> subprocess.Popen[str]:
        """Start to watch objects, as ``start``: one line each time that one changes, which ``watch_event`` reads.

        It begins with what is there. An API server ends every watch after a while.
        """
        return self.start("get", what, f"--selector={selector}", "--watch", "--output-watch-events", "--output=json")


def watch_event(line: str) -> tuple[str, dict[str, Any]]:
    """Return what happened, ``ADDED``, ``MODIFIED`` or ``DELETED``, and the object as it is now."""
    event = json.loads(line)
    return event["type"], event["object"]


def _without_log_lines(text: str) -> str:
    """Drop kubectl's own log lines (``E1122 01:30:00.1 …``), which repeat the error five times over."""
    return "\n".join(line for line in text.splitlines() if not (line[:1] in "EIW" and line[1:5].isdigit()))


def _die_with_parent() -> None:
    import ctypes

    parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)


def end(process: subprocess.Popen[str]) -> None:
    """Stop a program that ``start`` started."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def say(text: str) -> None:
    """Tell the user how it goes: on standard error, where the playbook picks progress up."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def pid() -> int:
    """Return the id of this process, for names of temporary files."""
    return os.getpid()

"""Helpers of the tests that run real labs: commands, processes, waiting."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dnslib
import grpc
from grpc_lb_lab import fault_token
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.places.local import session
from grpc_lb_lab.places.local.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
TOKEN = "what these labs know"


def with_token() -> dict[str, str]:
    """Return what a lab is started with: a token for faults that the tests know too."""
    return os.environ | {fault_token.VARIABLE: TOKEN}


def until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
    """Wait until ``condition`` is true and return its value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s: {what}")


def alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Return the pids of a process and of all that it started; what ends meanwhile is left out."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(further for child in children for further in descendants(child))]


@dataclass
class Lab:
    """Runs `lb-lab local` commands for one state folder."""

    state: Path

    def run(self, command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "grpc_lb_lab", "local", command, "--state", self.state, *arguments]
        return subprocess.run(line, cwd=ROOT, env=with_token(), capture_output=True, text=True, timeout=60, check=False)

    def start(self, command: str, *arguments: str | Path) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "grpc_lb_lab", "local", command, "--state", self.state, *arguments]
        return subprocess.Popen(
            line, cwd=ROOT, env=with_token(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def do(self, command: str, *arguments: str | Path) -> dict[str, Any]:
        done = self.run(command, *arguments)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def up(self, strategy: str = "headless-pick-first", replicas: int = 2, *more: str) -> dict[str, Any]:
        file = ROOT / "strategies" / f"{strategy}.yaml"
        return self.do("up", "--strategy", file, "--replicas", str(replicas), *more)

    def status(self) -> dict[str, Any]:
        """What `status --json` says, without the price of a new interpreter: tests ask often."""
        try:
            return session.connect(StateFolder(self.state)).ask({"op": "status"}, timeout_s=10)
        except session.NotRunningError:
            return {"running": False}

    def ready(self) -> dict[str, dict[str, Any]]:
        """The replicas that are ready, by UID."""
        return {replica["uid"]: replica for replica in self.status()["replicas"] if replica["ready"]}

    def set_fault(self, replica: dict[str, Any], **fault: Any) -> None:
        """Ask a replica for a fault as the lab does."""
        with grpc.insecure_channel(f"{replica['ip']}:{self.status()['port']}") as channel:
            stub, known = echo_pb2_grpc.EchoServiceStub(channel), fault_token.metadata(TOKEN)
            stub.SetFault(echo_pb2.FaultRequest(**fault), timeout=5, metadata=known)

    def pids(self) -> list[int]:
        """The supervisor and everything under it."""
        return descendants(self.status()["pid"])

    def ask_dns(self, name: str, *, tcp: bool = False) -> dnslib.DNSRecord:
        host, _, port = self.status()["dns"].rpartition(":")
        query = dnslib.DNSRecord.question(name)
        return dnslib.DNSRecord.parse(query.send(host, int(port), tcp=tcp, timeout=5))


def comm(pid: int) -> str:
    """Return the name of a process."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def kill(pid: int) -> None:
    """SIGKILL, as a user or the kernel would."""
    os.kill(pid, signal.SIGKILL)

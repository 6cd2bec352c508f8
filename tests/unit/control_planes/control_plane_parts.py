"""Echo servers, control plane processes and waiting, for the tests in this folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_lb_lab.servers.config import EchoConfig
from grpc_lb_lab.servers.echo import EchoServer, start

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
LOCAL = [("grpc.use_local_subchannel_pool", 1)]


def wait_until(happened: Callable[[], Any], limit_s: float = 10.0) -> Any:
    """The first true value of ``happened``; fails the test after ``limit_s``."""
    end = time.monotonic() + limit_s
    while not (value := happened()):
        assert time.monotonic() < end, f"waited {limit_s} s in vain"
        time.sleep(0.02)
    return value


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


class Backends:
    """Echo servers, the k-th on 127.78.9.k."""

    def __init__(self) -> None:
        self.running: dict[int, EchoServer] = {}

    def add(self, *numbers: int) -> None:
        for k in numbers:
            self.running[k] = start(EchoConfig(listen=f"127.78.9.{k}:0", pod=f"echo-{k}", uid=f"uid-{k}", threads=4))

    def remove(self, number: int) -> None:
        """As a pod that is told to end: GOAWAY, calls in flight end."""
        self.running.pop(number).server.stop(2).wait()

    def entries(self, *numbers: int) -> list[dict[str, Any]]:
        return [
            {"address": f"127.78.9.{k}", "port": self.running[k].port, "pod": f"echo-{k}", "uid": f"uid-{k}"}
            for k in numbers or sorted(self.running)
        ]

    def close(self) -> None:
        for number in list(self.running):
            self.running.pop(number).server.stop(0)


class Plane:
    """One control plane process, killed and started again at the same address."""

    def __init__(self, command: list[str], address: str, log: Path) -> None:
        self.address = address
        self._command = command
        self._log = log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log, stdout=log)

    def wait_serving(self) -> None:
        wait_until(lambda: self.health() == health_pb2.HealthCheckResponse.SERVING)

    def health(self) -> int | None:
        with grpc.insecure_channel(self.address, options=LOCAL) as channel:
            try:
                request = health_pb2.HealthCheckRequest()
                return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=2, wait_for_ready=True).status)
            except grpc.RpcError:
                return None

    def end(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=10)

    def log(self) -> str:
        return self._log.read_text()


class Planes:
    """The control planes of one test, and the file that they watch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "endpoints.json"
        self._running: list[Plane] = []
        self._others: list[subprocess.Popen[Any]] = []

    def write(self, entries: list[dict[str, Any]], service: str = "echo") -> None:
        self.replace(self.file, {"services": {service: entries}})

    def replace(self, file: Path, document: Any) -> None:
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(document))
        fresh.replace(file)

    def start(self, kind: str) -> Plane:
        address = f"127.78.9.200:{free_port('127.78.9.200')}"
        main = (
            "import argparse, sys; from grpc_lb_lab.control_planes.commands import add_parsers;"
            "p = argparse.ArgumentParser(); add_parsers(p.add_subparsers()); a = p.parse_args(); sys.exit(a.handler(a))"
        )
        command = [sys.executable, "-c", main, kind, "--listen", address, "--endpoints-file", str(self.file)]
        return self._started(command, address, kind)

    def start_broken_xds(self) -> tuple[Plane, Path]:
        """An xDS control plane, and the file that names the types that it serves broken."""
        address, override = f"127.78.9.200:{free_port('127.78.9.200')}", self.folder / "override.json"
        command = [sys.executable, str(HERE / "broken_xds.py"), address, str(self.file), str(override)]
        return self._started(command, address, "xds"), override

    def _started(self, command: list[str], address: str, name: str) -> Plane:
        plane = Plane(command, address, self.folder / f"{name}.log")
        self._running.append(plane)
        return plane

    def run(self, command: list[str], env: dict[str, str] | None = None, **pipes: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, **pipes)
        self._others.append(process)
        return process

    def close(self) -> None:
        for process in [*self._others, *(plane.process for plane in self._running)]:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


class Caller:
    """A client process; gRPC reads its xDS bootstrap once a process, so each test has its own."""

    def __init__(self, planes: Planes, target: str, bootstrap: str = "") -> None:
        self._process = planes.run(
            [sys.executable, str(HERE / "echo_caller.py"), target],
            {"GRPC_XDS_BOOTSTRAP_CONFIG": bootstrap},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, count: int, interval_s: float = 0.0) -> None:
        """``count`` calls, one after the other."""
        stdin: IO[str] = self._process.stdin  # type: ignore[assignment]
        stdin.write(json.dumps({"count": count, "interval_s": interval_s}) + "\n")
        stdin.flush()

    def result(self) -> tuple[dict[str, int], dict[str, int]]:
        """Calls by pod, failures by status code and text."""
        stdout: IO[str] = self._process.stdout  # type: ignore[assignment]
        answer = json.loads(stdout.readline())
        return answer["pods"], answer["errors"]

    def call(self, count: int, interval_s: float = 0.0) -> tuple[dict[str, int], dict[str, int]]:
        self.begin(count, interval_s)
        return self.result()

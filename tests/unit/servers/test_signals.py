"""A server that kills or stops itself: real processes, asked over a real connection."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_lb_lab import fault_token
from grpc_lb_lab.pb.echo.v1 import echo_pb2, echo_pb2_grpc
from grpc_lb_lab.servers import signals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server(ask_fault) -> Iterator[tuple[subprocess.Popen[bytes], echo_pb2_grpc.EchoServiceStub, Any]]:
    port = 20000 + os.getpid() % 20000
    line = [sys.executable, "-m", "grpc_lb_lab", "server", f"--listen=127.0.0.1:{port}"]
    environment = os.environ | {fault_token.VARIABLE: ask_fault.token}
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = echo_pb2_grpc.EchoServiceStub(channel)
            stub.Echo(echo_pb2.EchoRequest(), wait_for_ready=True, timeout=20)
            yield process, stub, ask_fault(channel)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def test_a_crash_is_answered_and_then_is_a_real_sigkill(server) -> None:
    process, _, set_fault = server
    set_fault(crash=True)
    assert process.wait(5) == -signal.SIGKILL


def test_a_stop_is_answered_then_nothing_is_until_it_is_over(server) -> None:
    process, stub, set_fault = server
    set_fault(stop_ms=3000)
    stopped_at = time.monotonic()
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Echo(echo_pb2.EchoRequest(), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    stub.Echo(echo_pb2.EchoRequest(), timeout=10)
    assert 2.8 < time.monotonic() - stopped_at < 6.5
    assert state(process.pid) != "T"


def test_a_stop_that_would_last_too_long_is_refused(server) -> None:
    _, _, set_fault = server
    with pytest.raises(grpc.RpcError) as caught:
        set_fault(stop_ms=120_001)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "stop_ms" in caught.value.details()


def test_pid_1_says_that_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    assert signals.problem() == ""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert "PID 1" in signals.problem()

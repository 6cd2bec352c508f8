"""Counting, headers and the command line, without a connection."""

from __future__ import annotations

import argparse
import threading

import pytest
from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.peers import peer_host
from grpc_lb_lab.servers import counting
from grpc_lb_lab.servers.commands import add_parsers
from grpc_lb_lab.servers.counting import Counters
from grpc_lb_lab.servers.service import read_headers


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:127.0.0.1:40112", "127.0.0.1"),
        ("ipv6:%5B::1%5D:40112", "::1"),
        ("ipv6:[fd00::2]:1", "fd00::2"),
        ("unix:/run/echo.sock", "unix:/run/echo.sock"),
    ],
)
def test_peer_host(peer, host):
    assert peer_host(peer) == host


def test_headers():
    attempt = read_headers(
        (
            ("x-lab-run", "r"),
            ("x-lab-phase", "warmup"),
            ("grpc-previous-rpc-attempts", "2"),
            ("via", "envoy-client"),
            ("cookie", "c"),
        )
    )
    assert (attempt.run, attempt.warmup, attempt.previous) == ("r", True, 2)
    assert attempt.path == (("via", "envoy-client"),)
    assert read_headers((("grpc-previous-rpc-attempts", "x"),)).previous == 0


def test_only_the_last_runs_are_kept():
    counters = Counters()
    for number in range(counting.RUNS_KEPT + 3):
        counters.begin(f"run-{number}", "ipv4:1.2.3.4:5", 0, warmup=False)
    assert len(counters.runs()) == counting.RUNS_KEPT
    assert counters.snapshot("run-0").attempts == 0
    counters.end("run-0", failed=True, warmup=False)
    assert counters.snapshot("run-0").failed == 0


def test_counting_is_thread_safe():
    counters = Counters()

    def work():
        for _ in range(5000):
            counters.begin("r", "p", 0, warmup=False)
            counters.end("r", failed=True, warmup=False)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = counters.snapshot("r")
    assert (count.attempts, count.failed, counters.in_flight, counters.total) == (40_000, 40_000, 0, 40_000)


def test_failed_warmup_attempts_are_not_failures_of_the_run():
    counters = Counters()
    counters.begin("r", "p", 0, warmup=True)
    counters.end("r", failed=True, warmup=True)
    count = counters.snapshot("r")
    assert (count.attempts, count.failed, count.warmup_attempts, count.peers) == (0, 0, 1, set())


def test_peers_are_bounded(monkeypatch):
    monkeypatch.setattr(counting, "PEERS_KEPT", 10)
    counters = Counters()
    for port in range(50):
        counters.begin("r", f"ipv4:10.0.0.1:{port}", 0, warmup=False)
    assert len(counters.snapshot("r").peers) == 10


def run(*words):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    arguments = parser.parse_args(["server", *words])
    return arguments.handler(arguments)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--listen", "50051"), "--listen"),
        (("--listen", "127.0.0.1:99999"), "--listen"),
        (("--threads", "0"), "--threads"),
        (("--max-connection-age-ms", "-1"), "--max-connection-age-ms"),
        (("--drain-delay-s", "-1"), "--drain-delay-s"),
        (("--grace-s", "nan"), "--grace-s"),
        (("--work-ms", "10001"), "--work-ms"),
    ],
)
def test_wrong_usage_names_the_option(words, named):
    with pytest.raises(UsageError, match=named):
        run(*words)

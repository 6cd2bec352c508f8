"""The metrics of client and server: what they say, what they cost the run, and what a taken port costs."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from grpc_lb_lab import metrics
from grpc_lb_lab.servers.handled import BOUNDS_S, Handled, Method
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

ECHO, STATS = Method("echo.v1.EchoService", "Echo"), Method("echo.v1.EchoService", "Stats")


def get(port, timeout=""):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
    if timeout:
        request.add_header(metrics.TIMEOUT_HEADER, timeout)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        return samples(answer.read().decode())


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def serve():
    servers = []

    def begin(collect, listen="127.0.0.1:0"):
        servers.append(metrics.MetricsServer(listen, collect))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def test_figures_are_collected_when_somebody_asks_and_not_before(serve):
    asked = []

    def collect():
        asked.append(1)
        return [GaugeMetricFamily("asked", "how often", value=len(asked))]

    server = serve(collect)
    assert asked == []
    assert [get(server.port)[("asked",)] for _ in range(2)] == [1, 2]
    assert get(server.port)[("process_cpu_seconds_total",)] > 0


def test_an_answer_that_cannot_be_given_is_lost_and_nothing_else(serve, capsys):
    broken = [True]

    def collect():
        if broken:
            raise RuntimeError("the loop has ended")
        return [GaugeMetricFamily("fine", "", value=1)]

    server = serve(collect)
    with pytest.raises(OSError):
        get(server.port)
    assert "the loop has ended" in capsys.readouterr().err
    broken.clear()
    assert get(server.port)[("fine",)] == 1


def test_patience_follows_who_asks(serve):
    server = serve(list)
    assert server.patience_s == 0
    begun = time.monotonic()
    for header, patience in (("1", 1.7), ("10", 0), ("", 0), ("soon", 0)):
        get(server.port, header)
        assert server.patience_s == pytest.approx(patience)
    assert server.scraped_since(begun)
    assert not server.scraped_since(time.monotonic())


def test_no_name_is_looked_up_for_an_address(serve, monkeypatch):
    """The base class would ask DNS for the name of each address, beyond the machine."""
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("asked for a name"))
    assert serve(list).port


def test_handled_counts_by_method_and_code():
    handled = Handled([ECHO, STATS])
    for code, seconds in (("OK", 6e-6), ("OK", 0.02), ("UNAVAILABLE", 100.0)):
        handled.begin(ECHO)
        handled.end(ECHO, code, seconds)
    handled.begin(ECHO)
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(handled)
    found = samples(generate_latest(registry).decode())
    own = ("Echo", "echo.v1.EchoService", "unary")
    assert found[("grpc_server_started_total", *own)] == 4
    assert found[("grpc_server_handled_total", "Echo", "OK", "echo.v1.EchoService", "unary")] == 2
    assert found[("grpc_server_handled_total", "Echo", "UNAVAILABLE", "echo.v1.EchoService", "unary")] == 1
    assert found[("grpc_server_handled_total", "OK", "Stats", "echo.v1.EchoService", "unary")] == 0
    up_to = {key[1]: value for key, value in found.items() if key[0] == "grpc_server_handling_seconds_bucket"}
    assert (up_to["5e-06"], up_to["1e-05"], up_to["0.025"], up_to["5.0"], up_to["+Inf"]) == (0, 1, 2, 2, 3)
    assert len(up_to) == len(BOUNDS_S) + 1
    assert found[("grpc_server_handling_seconds_sum", *own)] == pytest.approx(100.020006)


def test_handled_is_thread_safe():
    handled = Handled([ECHO])

    def work():
        for _ in range(3000):
            handled.begin(ECHO)
            handled.end(ECHO, "OK", 1e-5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started, done, _ = handled.collect()
    assert [sample.value for sample in (*started.samples, *done.samples)] == [12000, 12000]


@pytest.mark.parametrize("taken", [False, True])
def test_a_server_works_with_a_taken_port_too(taken):
    with socket.socket() as other, socket.socket() as probe:
        other.bind(("127.0.0.1", 0))
        probe.bind(("127.0.0.1", 0))
        port = other.getsockname()[1] if taken else probe.getsockname()[1]
        if taken:
            other.listen()
        probe.close()
        line = [sys.executable, "-m", "grpc_lb_lab", "server", "--listen=127.0.0.1:0", f"--metrics=127.0.0.1:{port}"]
        process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            said = [process.stderr.readline() for _ in range(2)]
            assert '"listening"' in said[0]
            if taken:
                assert (
                    f"no metrics for Prometheus: cannot listen on 127.0.0.1:{port}: Address already in use" in said[1]
                )
            else:
                assert get(port)[("grpc_server_started_total", "Echo", "echo.v1.EchoService", "unary")] == 0
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        assert process.returncode == 0


@pytest.mark.parametrize("value", ["9464", "127.0.0.1:", ":9464", "127.0.0.1:70000", "127.0.0.1:x"])
@pytest.mark.parametrize("command", ["server", "client"])
def test_wrong_addresses_are_refused(command, value, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(
        '{"run": "r", "scenario": "steady", "strategy": {"client": {}}, "load": {"requests": 1}, "targets": {}}'
    )
    own = [f"--plan={plan}"] if command == "client" else []
    line = [sys.executable, "-m", "grpc_lb_lab", command, f"--metrics={value}", *own]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert f"--metrics must be ADDRESS:PORT with a port up to 65535, not {value!r}" in done.stderr

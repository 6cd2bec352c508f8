"""Names, proxies' counters, the command and its files."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from grpc_lb_lab.load import commands
from grpc_lb_lab.load.ticker import Ticker
from grpc_lb_lab.model import client_log
from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.errors import LabError, UsageError
from grpc_lb_lab.model.result import ClientResult
from grpc_lb_lab.observe import proxies
from grpc_lb_lab.observe.names import resolve
from grpc_lb_lab.observe.stats import ask_all, ask_server


def test_more_addresses_than_a_udp_answer_holds(name_server):
    addresses = [f"127.98.2.{number}" for number in range(1, 101)]
    found = asyncio.run(resolve("echo-headless:50051", name_server({"echo-headless": addresses})))
    assert found == [f"{address}:50051" for address in addresses]


def test_addresses_and_hosts_need_no_dns():
    assert asyncio.run(resolve("127.98.1.1:5")) == ["127.98.1.1:5"]
    assert asyncio.run(resolve("localhost:5")) == ["127.0.0.1:5"]


def test_unknown_name_is_an_error_that_names_it(name_server):
    server = name_server({})
    with pytest.raises(OSError, match=f"nobody does not resolve at {server}"):
        asyncio.run(resolve("nobody:1", server))


def test_stats_of_one_server_and_of_none(replicas):
    (server,) = replicas(1)
    assert ask_server(f"127.98.1.1:{server.port}", "r").uid == "uid-0"
    with pytest.raises(LabError, match=r"no counts from 127\.98\.9\.9:1: UNAVAILABLE"):
        ask_server("127.98.9.9:1", "r")


def test_replica_without_an_answer_is_noted(replicas, name_server):
    (server,) = replicas(1)
    dns = name_server({"echo": ["127.98.1.1", "127.98.9.9"]})
    stats, notes = asyncio.run(ask_all(f"echo:{server.port}", dns, "r"))
    assert [entry.uid for entry in stats] == ["uid-0"]
    assert notes == [f"no counts from 127.98.9.9:{server.port}: UNAVAILABLE"]


@pytest.fixture
def admin():
    """An HTTP server that answers with ``server.body``."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.paths, server.body = [], b"{}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def envoy_stats(**values):
    stats = [{"name": f"cluster.echo.{name}", "value": value} for name, value in values.items()]
    stats += [{"name": "cluster.other.upstream_rq_total", "value": 9}, {"histograms": {"supported_quantiles": []}}]
    return json.dumps({"stats": stats}).encode()


def test_proxy_counters_without_the_warm_up(admin):
    admin.body = envoy_stats(upstream_rq_total=1010, upstream_cx_total=5, upstream_rq_retry=3, membership_healthy=5)
    after = proxies.read_counters(f"127.0.0.1:{admin.server_port}")
    assert admin.paths == ["/stats?format=json&usedonly"]
    stats = proxies.compare("127.0.0.1:15001", {"upstream_rq_total": 10, "upstream_cx_total": 5}, after)
    assert (stats.hop, stats.upstream_requests, stats.upstream_connections, stats.retries) == (
        "envoy-client",
        1000,
        5,
        3,
    )
    assert stats.counters["membership_healthy"] == 5


@pytest.mark.parametrize("body", [b"not json", b"{}", b'{"stats": [{"name": 1}]}'])
def test_admin_that_is_no_envoy_is_an_error(admin, body):
    admin.body = body
    with pytest.raises(OSError, match="not Envoy's"):
        proxies.read_counters(f"127.0.0.1:{admin.server_port}")


def test_run_through_a_sidecar_reads_its_counters_twice(replicas, admin, plan, run):
    (server,) = replicas(1)
    admin.body = envoy_stats(upstream_rq_total=7)
    targets = {
        "sidecar": f"127.98.1.1:{server.port}",
        "headless": f"127.98.1.1:{server.port}",
        "sidecar_admin": f"127.0.0.1:{admin.server_port}",
    }
    result = run(plan(target="sidecar", targets=targets, requests=3, replicas=4))
    assert admin.paths == ["/stats?format=json&usedonly"] * 2 + ["/stats?usedonly"]
    assert result.proxy_stats == admin.body.decode(), "the text is read last, when all calls are counted"
    assert [proxy.upstream_requests for proxy in result.proxies] == [0]
    assert result.warmup_requests >= 8, "two rounds over the proxy's four connections"


def test_sidecar_without_admin_is_noted(replicas, plan, run):
    (server,) = replicas(1)
    address = f"127.98.1.1:{server.port}"
    result = run(
        plan(target="sidecar", targets={"sidecar": address, "headless": address, "sidecar_admin": "127.0.0.1:1"})
    )
    assert result.ok == 20
    assert result.proxies == []
    assert "the proxy's counters at 127.0.0.1:1 cannot be read" in result.notes[0]


def test_ticker_is_never_early():
    async def main():
        ticker = Ticker()
        early = []
        for wait in (0.0, -1.0, 0.0001, 0.003, 0.02):
            moment = time.perf_counter() + wait
            await ticker.sleep_until(moment)
            early.append(time.perf_counter() < moment)
        ticker.close()
        return early

    assert asyncio.run(main()) == [False] * 5


def parse(*words):
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers())
    arguments = parser.parse_args(["client", *words])
    return arguments.handler(arguments)


def write(path: Path, plan) -> str:
    path.write_text(json.dumps(to_dict(plan)))
    return str(path)


def test_command_writes_a_result_that_reads_back(replicas, plan, tmp_path):
    (server,) = replicas(1)
    plan_file = write(tmp_path / "plan.json", plan(f"127.98.1.1:{server.port}"))
    command = [sys.executable, "-m", "grpc_lb_lab", "client", "--plan", plan_file]
    to_file = subprocess.run(
        [*command, "--output", str(tmp_path / "r.json")], capture_output=True, text=True, timeout=60
    )
    assert to_file.returncode == 0, to_file.stderr
    assert from_dict(ClientResult, json.loads((tmp_path / "r.json").read_text())).ok == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "r.json"]
    assert to_file.stderr == "progress 0 20/20\n"
    to_stdout = subprocess.run(command, capture_output=True, text=True, timeout=60)
    (line,) = to_stdout.stdout.splitlines()
    assert from_dict(ClientResult, client_log.result(line)).ok == 20


def test_signal_during_the_load_keeps_the_result(replicas, plan, tmp_path):
    (server,) = replicas(1)
    plan_file = write(tmp_path / "plan.json", plan(f"127.98.1.1:{server.port}", requests=None, duration_s=60.0))
    process = subprocess.Popen(
        [sys.executable, "-m", "grpc_lb_lab", "client", "--plan", plan_file, "--output", str(tmp_path / "r.json")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("progress 0 ")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 4
    result = from_dict(ClientResult, json.loads((tmp_path / "r.json").read_text()))
    assert result.ok > 0
    assert result.notes == [f"stopped by SIGTERM after {result.requests} calls"]
    assert result.servers[0].attempts >= result.ok


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not a plan"),
        ("[]", "is not a plan"),
        ('{"run": "r"}', "'scenario' is missing"),
    ],
)
def test_plan_that_is_none(tmp_path, content, words):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UsageError, match=words):
        parse("--plan", str(tmp_path / "plan.json"))


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"requests": 0}, "load.requests"),
        ({"requests": "ten"}, "load.requests"),
        ({"requests": None}, "either requests or duration_s"),
        ({"duration_s": 5.0}, "either requests or duration_s"),
        ({"concurrency": 0}, "load.concurrency"),
        ({"rate_rps": -1.0}, "load.rate_rps"),
        ({"deadline_s": 0}, "load.deadline_s"),
    ],
)
def test_load_that_makes_no_sense(tmp_path, plan, load, words):
    with pytest.raises(UsageError, match=words):
        parse("--plan", write(tmp_path / "plan.json", plan(**load)))


def test_wrong_index_and_missing_files(tmp_path, plan):
    plan_file = write(tmp_path / "plan.json", plan())
    with pytest.raises(UsageError, match="--index must be 0 to 0"):
        parse("--plan", plan_file, "--index", "1")
    with pytest.raises(UsageError, match=r"nowhere\.json: No such file"):
        parse("--plan", str(tmp_path / "nowhere.json"))
    with pytest.raises(UsageError, match="its folder does not exist"):
        parse("--plan", plan_file, "--output", str(tmp_path / "no" / "r.json"))


def test_full_disk_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch, replicas, plan, run):
    (server,) = replicas(1)
    result = run(plan(f"127.98.1.1:{server.port}", requests=1))
    target = tmp_path / "r.json"
    target.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(LabError, match=r"r\.json: No space left on device"):
        commands.write_result(result, str(target))
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    assert target.read_text() == "old"

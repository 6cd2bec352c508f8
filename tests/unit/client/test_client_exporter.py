"""A client that Prometheus watches: its counts while it runs, its end, and that a taken port is a note."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request

import pytest
import uvloop
from grpc_lb_lab.load.exporter import connection_states
from grpc_lb_lab.load.load import Stop
from grpc_lb_lab.load.run import Client
from grpc_lb_lab.metrics import TIMEOUT_HEADER
from prometheus_client.parser import text_string_to_metric_families


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Asker(threading.Thread):
    """Asks again and again, as Prometheus does, and keeps every answer."""

    def __init__(self, port, every_s=0.05, timeout="1"):
        super().__init__(daemon=True)
        self.answers = []
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._every_s, self._timeout = every_s, timeout
        self._ended = threading.Event()
        self.start()

    def run(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not self._ended.wait(self._every_s):
            try:
                request = urllib.request.Request(self._url, headers={TIMEOUT_HEADER: self._timeout})
                with opener.open(request, timeout=2) as answer:
                    families = list(text_string_to_metric_families(answer.read().decode()))
            except OSError:
                continue
            self.answers.append([sample for family in families for sample in family.samples])

    def end(self):
        self._ended.set()
        self.join()
        return self.answers


def values(answer, name):
    return {tuple(sample.labels.values()): sample.value for sample in answer if sample.name == name}


def watched(plan, port, **asker):
    asking = Asker(port, **asker)
    result = uvloop.run(Client(plan, 0, Stop(), metrics=f"127.0.0.1:{port}").run())
    return result, asking.end()


@pytest.fixture
def wish(replicas, name_server, plan):
    def make(**load):
        servers = replicas(3)
        dns = name_server({"echo-headless": [f"127.98.1.{number}" for number in (1, 2, 3)]})
        address = f"echo-headless:{servers[0].port}"
        return plan(address, channel="round_robin", dns=dns, replicas=3, **load)

    return make


def test_counts_grow_and_the_last_answer_has_them_all(wish):
    result, answers = watched(wish(requests=None, duration_s=1.0, rate_rps=300.0), free_port())
    assert result.notes == []
    sums = [sum(values(answer, "grpc_client_requests_total").values()) for answer in answers]
    assert sums == sorted(sums)
    assert len({total for total in sums if 0 < total < result.ok}) >= 3
    last = values(answers[-1], "grpc_client_requests_total")
    assert last == {(backend.pod,): backend.requests for backend in result.backends}
    assert values(answers[-1], "grpc_client_handled_total") == {("OK",): result.ok}
    assert values(answers[-1], "grpc_client_handling_seconds_count") == {(): result.ok}
    states = values(answers[-1], "grpc_client_connection_state")
    assert {backend for (backend, state), value in states.items() if state == "READY" and value == 1} == {
        "echo-0", "echo-1", "echo-2",
    }  # fmt: skip
    assert len(states) == 15
    assert sum(states.values()) == 3


def test_only_who_is_asked_often_stays(wish):
    plan = wish(requests=30)
    begun = time.monotonic()
    watched(plan, free_port(), every_s=60)
    alone = time.monotonic() - begun
    begun = time.monotonic()
    watched(plan, free_port(), every_s=0.01, timeout="10")
    assert time.monotonic() - begun < alone + 2


def test_a_taken_port_is_a_note(wish):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        result = uvloop.run(Client(wish(requests=30), 0, Stop(), metrics=listen).run())
    assert result.ok == 30
    assert result.notes == [f"no metrics for Prometheus: cannot listen on {listen}: Address already in use"]


def test_what_is_behind_a_proxy_is_known_by_the_proxys_address():
    class Channel:
        def look(self):
            from grpc_lb_lab.load.channels.core import Look

            return Look("READY", {1: ("ipv4:127.77.2.1:15001", "READY"), 2: ("ipv4:127.77.1.1:50051", "IDLE")}, ())

    metric = connection_states([Channel(), Channel()], {"127.77.1.1": "echo-a"})
    found = {tuple(sample.labels.values()): sample.value for sample in metric.samples if sample.value}
    assert found == {("127.77.2.1:15001", "READY"): 2, ("echo-a", "IDLE"): 2}

"""The live page answers only those who ask for it by a name of this machine."""

from __future__ import annotations

import http.client
import threading

import pytest
from grpc_lb_lab.views.live.page import Server


@pytest.fixture
def server():
    with Server(0) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def status(server: Server, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()


GOOD = [
    {"Host": "127.0.0.1:8866"},
    {"Host": "localhost"},
    {"Host": "LOCALHOST:1"},
    {"Host": "[::1]:8866"},
    {"Host": "localhost:8866", "Origin": "http://localhost:8866"},
]
BAD = [
    {},
    {"Host": ""},
    {"Host": "evil.example"},
    {"Host": "evil.example:8866"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "[::1"},
    {"Host": "localhost:8866", "Origin": "http://evil.example"},
    {"Host": "localhost:8866", "Origin": "null"},
]


@pytest.mark.parametrize("path", ["/", "/views"])
@pytest.mark.parametrize(("headers", "expected"), [*((one, 200) for one in GOOD), *((one, 421) for one in BAD)])
def test_only_names_of_this_machine_are_answered(server, path, headers, expected):
    server.board.put("{}")
    assert status(server, path, headers) == expected

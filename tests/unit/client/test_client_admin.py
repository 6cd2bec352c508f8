"""How the operator's web server of a proxy is asked."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from grpc_lb_lab.observe.admin import ask, ask_text


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path != "/chunks":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n1;x=y\r\n\xff\r\n0\r\n\r\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_page_is_read_whole_whatever_its_form(proxy):
    assert ask(proxy, "chunks") == b"hello\xff"
    assert ask_text(proxy, "chunks") == "hello\N{REPLACEMENT CHARACTER}"
    assert ask(proxy, "quit", b"now") == b"now"


def test_everything_that_is_no_answer_is_one_kind_of_error(proxy):
    with pytest.raises(OSError, match="HTTP 404 Not Found"):
        ask(proxy, "nothing")
    for where in ("127.0.0.1:1", "127.0.0.1:x", "no host:1"):
        with pytest.raises(OSError):
            ask(where, "")

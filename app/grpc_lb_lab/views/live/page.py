"""The view on a page of this machine: ``GET /`` is the page, ``GET /views`` a stream of views (server-sent events)."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.views.live.html import render_watch_page, view_json
from grpc_lb_lab.views.live.terminal import views

if TYPE_CHECKING:
    from grpc_lb_lab.views.live.follow import Follower

HOST = "127.0.0.1"
NAMES = frozenset({HOST, "localhost", "::1"})
# A stream that is silent for longer sends a comment, and so finds out whether anybody still reads it.
HEARTBEAT_S = 2.0
LAST_LOOK_S = 1.0


class Board:
    """The newest view for everyone who looks."""

    def __init__(self) -> None:
        """Nothing is on it yet."""
        self._changed = threading.Condition()
        self._text = ""
        self._number = 0

    def put(self, text: str) -> None:
        """Show ``text`` from now on."""
        with self._changed:
            if text != self._text:
                self._text, self._number = text, self._number + 1
                self._changed.notify_all()

    def after(self, number: int, timeout_s: float) -> tuple[int, str]:
        """The newest text and its number; waits up to ``timeout_s`` for one that is newer than ``number``."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number, timeout_s)
            return self._number, self._text


class Server(ThreadingHTTPServer):
    """Serves the page on loopback, to any number of browsers."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        """Listen on ``port`` (0: any). Raises ``LabError`` when that is taken."""
        self.board = Board()
        self.page = render_watch_page().encode()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise LabError(f"--port {port}: {error.strerror}; --port 0 takes a free one") from error

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away is no news."""


def _loopback(url: str) -> bool:
    """Whether the host of ``url`` is this machine's own; the port may be another one, as through ``ssh -L``."""
    try:
        return urlsplit(url).hostname in NAMES
    except ValueError:
        return False


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_meant():
            # Else any page that a browser has open could read this one: its host name may be made to mean 127.0.0.1.
            self._answer(421, "text/plain; charset=utf-8", b"this page answers loopback names only\n")
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer(200, "text/html; charset=utf-8", self.server.page)
        elif path == "/views":
            self._stream()
        else:
            self._answer(404, "text/plain; charset=utf-8", b"there is only the page at /\n")

    def _is_meant(self) -> bool:
        """Whether the question is for this page by a loopback name, and comes from no other page."""
        named = _loopback(f"//{self.headers.get('Host', '')}")
        origin = self.headers.get("Origin")
        return named and (origin is None or (origin.startswith("http://") and _loopback(origin)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing of requests."""

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        number = 0
        with contextlib.suppress(ConnectionError):
            while True:
                newest, text = self.server.board.after(number, HEARTBEAT_S)
                self.wfile.write(f"data: {text}\n\n".encode() if newest > number else b": still there\n\n")
                number = newest


def serve(follower: Follower, port: int, once: bool) -> None:
    """Serve until interrupted, or until shortly after the end of a run if ``once``. Raises ``LabError``."""
    with Server(port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        print(f"watch at http://{HOST}:{server.server_port}/ (Ctrl-C ends the page, not the run)", flush=True)
        try:
            for view in views(follower, once):
                server.board.put(view_json(view))
            time.sleep(LAST_LOOK_S)
        except KeyboardInterrupt:
            print()
        finally:
            server.shutdown()
            thread.join()

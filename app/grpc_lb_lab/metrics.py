"""Figures for Prometheus over HTTP: collected when somebody asks, so that a run which nobody watches pays nothing."""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from http.server import HTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric

LONGEST_TIMEOUT_S = 5.0
"""Who asks more seldom than this is not waited for; see ``MetricsServer.patience_s``."""

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


def taken(listen: str, error: OSError) -> str:
    """What to tell when the figures cannot be offered: no reason to do without the work itself."""
    return f"no metrics for Prometheus: cannot listen on {listen}: {error.strerror or error}"


class MetricsServer:
    """Answers every GET at ``listen`` (``ADDRESS:PORT``; port 0: a free one) with what ``collect`` returns then.

    ``collect`` is called on a thread of the asker's own; where it raises, that answer is lost and nothing else. The
    figures of the process itself (CPU, memory, open files) are added.
    """

    def __init__(self, listen: str, collect: Callable[[], Iterable[Metric]]) -> None:
        """Begin to answer. Raises ``OSError`` when ``listen`` cannot be listened on."""
        host, _, port = listen.rpartition(":")
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collector(collect))
        self._server = _Server((host, int(port)), _handler(self, registry))
        self.port: int = self._server.server_address[1]
        self._scraped_at = 0.0
        self._timeout_s = 0.0
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def patience_s(self) -> float:
        """How long to stay for one more answer, so that the last figures are seen; 0 when nobody asks often enough.

        Prometheus names the time it waits for an answer, which is never more than the time between two questions and,
        below 10 s, the same unless somebody set it.
        """
        return 1.5 * self._timeout_s + 0.2 if 0 < self._timeout_s <= LONGEST_TIMEOUT_S else 0.0

    def scraped_since(self, moment: float) -> bool:
        """Whether a question that came after ``moment`` (``time.monotonic``) has been answered."""
        return self._scraped_at > moment

    def close(self) -> None:
        """Stop answering; takes up to half a second."""
        self._server.shutdown()
        self._server.server_close()

    def note(self, asked_at: float, timeout: str | None) -> None:
        """Remember a question that has been answered."""
        try:
            self._timeout_s = float(timeout or 0)
        except ValueError:
            self._timeout_s = 0.0
        self._scraped_at = asked_at


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer's own asks DNS for the name of its address: a packet that leaves the machine, and a wait.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        sys.stderr.write(f"metrics: {sys.exc_info()[1]!r}\n")


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return ()  # registering shall not collect


def _handler(owner: MetricsServer, registry: CollectorRegistry) -> type[MetricsHandler]:
    class Handler(MetricsHandler):
        def do_GET(self) -> None:  # noqa: N802  (the name that http.server calls)
            asked_at = time.monotonic()
            super().do_GET()
            owner.note(asked_at, self.headers.get(TIMEOUT_HEADER))

    Handler.registry = registry
    return Handler

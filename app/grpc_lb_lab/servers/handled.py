"""What a server tells Prometheus of its calls: started, handled by code, and how long they took.

The names and labels are those of the gRPC interceptors that most servers use (github.com/grpc-ecosystem/
go-grpc-middleware, providers/prometheus), so dashboards made for them fit. Counted are the calls of the lab's own
services, warm-up and all: a server that is watched from outside knows no phases.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

BOUNDS_S = (
    *(5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3),
    *(5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
"""An echo takes 6 µs in its handler; one with a fault as long as somebody wants."""

LABELS = ("grpc_service", "grpc_method", "grpc_type")


class Method(NamedTuple):
    """One method; ``kind`` is ``unary`` or ``server_stream``."""

    service: str
    name: str
    kind: str = "unary"


@dataclass
class _Calls:
    started: int = 0
    codes: dict[str, int] = field(default_factory=lambda: {"OK": 0})
    seconds: float = 0.0
    # How many took so long: up to each bound, and longer than the last one.
    slots: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))


class Handled:
    """Counts the calls of every method; thread safe, less than a microsecond a call."""

    def __init__(self, methods: Iterable[Method]) -> None:
        """Begin with a zero for each of ``methods``: a rate needs something to start from."""
        self._lock = threading.Lock()
        self._calls = {method: _Calls() for method in methods}

    def begin(self, method: Method) -> None:
        """Count a call that has arrived."""
        with self._lock:
            self._calls[method].started += 1

    def end(self, method: Method, code: str, seconds: float) -> None:
        """Count its end, with the name of its status code."""
        slot = bisect_left(BOUNDS_S, seconds)
        with self._lock:
            calls = self._calls[method]
            calls.codes[code] = calls.codes.get(code, 0) + 1
            calls.seconds += seconds
            calls.slots[slot] += 1

    def collect(self) -> list[Metric]:
        """All counts as Prometheus wants them."""
        # Here, not above: a server that offers no metrics shall not load the library.
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        started = CounterMetricFamily("grpc_server_started_total", "Calls that have arrived.", labels=LABELS)
        handled = CounterMetricFamily(
            "grpc_server_handled_total", "Calls that have ended, by status code.", labels=(*LABELS, "grpc_code")
        )
        took = HistogramMetricFamily(
            "grpc_server_handling_seconds", "How long calls took in their handler.", labels=LABELS
        )
        with self._lock:
            for method, calls in self._calls.items():
                started.add_metric(method, calls.started)
                for code, count in sorted(calls.codes.items()):
                    handled.add_metric((*method, code), count)
                if calls.started:
                    took.add_metric(method, _cumulative(calls.slots), calls.seconds)
        return [started, handled, took]


def _cumulative(slots: list[int]) -> list[tuple[str, float]]:
    """Each bound with the number of calls up to it, the last one without a bound."""
    total, found = 0, []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), slots, strict=True):
        total += count
        found.append((bound, float(total)))
    return found

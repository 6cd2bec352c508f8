"""What the client tells Prometheus while it runs: read from the counts that the recorder keeps anyway."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from grpc_lb_lab.metrics import MetricsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from grpc_lb_lab.load.channels.channel import LabChannel
    from grpc_lb_lab.load.record.recorder import Recorder

STATES = ("IDLE", "CONNECTING", "READY", "TRANSIENT_FAILURE", "SHUTDOWN")
BOUNDS_S = (
    1e-4,
    1.5e-4,
    2e-4,
    3e-4,
    5e-4,
    7.5e-4,
    1e-3,
    1.5e-3,
    2e-3,
    3e-3,
    5e-3,
    0.01,
    0.02,
    0.05,
    0.1,
    0.5,
    1.0,
    5.0,
)
"""Finer than usual where the lab's calls are: a loopback call takes 0.15 ms, one through two proxies 0.6 ms."""

ANSWER_LIMIT_S = 2.0
LOOK_S = 0.02


class Exporter:
    """Offers the figures of one client at ``listen`` from now on. ``recorder`` is set when the measured calls begin.

    The figures are read on the event loop, between two calls, so nothing is locked and nothing is counted twice.
    """

    def __init__(self, listen: str, opened: Sequence[LabChannel], about: Mapping[str, str]) -> None:
        """``about`` are labels of the run. Raises ``OSError`` when ``listen`` cannot be listened on."""
        self.recorder: Recorder | None = None
        self._opened = opened
        self._about = dict(about)
        self._loop = asyncio.get_running_loop()
        self._server = MetricsServer(listen, self._collect)

    async def close(self, hurry: Callable[[], bool]) -> None:
        """End. Where Prometheus asks often, let it have the final counts first, unless ``hurry`` says no."""
        done = time.monotonic()
        while not (hurry() or self._server.scraped_since(done) or time.monotonic() > done + self._server.patience_s):
            await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(self._server.close)

    def _collect(self) -> list[Metric]:
        return asyncio.run_coroutine_threadsafe(self._read(), self._loop).result(ANSWER_LIMIT_S)

    async def _read(self) -> list[Metric]:
        about = InfoMetricFamily("grpc_lb_lab_run", "The run that this client is part of.", value=self._about)
        pods = {} if self.recorder is None else self.recorder.pods()
        return [about, connection_states(self._opened, pods), *calls(self.recorder)]


def calls(recorder: Recorder | None) -> list[Metric]:
    """Measured calls by replica, by status code and by latency; nothing before the first one is due."""
    answered = CounterMetricFamily(
        "grpc_client_requests_total", "Measured calls that were answered, by the pod that answered.", labels=["backend"]
    )
    handled = CounterMetricFamily("grpc_client_handled_total", "Measured calls that ended.", labels=["grpc_code"])
    took = HistogramMetricFamily("grpc_client_handling_seconds", "Latency of measured calls.")
    if recorder is not None:
        for pod, count in sorted(recorder.answered().items()):
            answered.add_metric([pod], count)
        for code, count in {"OK": recorder.ok, **recorder.errors}.items():
            handled.add_metric([code], count)
        counts, seconds = recorder.latency.up_to(BOUNDS_S)
        took.add_metric([], [*zip(map(str, BOUNDS_S), counts, strict=True), ("+Inf", recorder.requests)], seconds)
    return [answered, handled, took]


def connection_states(opened: Sequence[LabChannel], pods: Mapping[str, str]) -> Metric:
    """Connections (gRPC: subchannels) by state. ``pods``: IP to pod, of those that have answered.

    A connection to what is no replica (a proxy, the Service) bears its address: which replica is behind is not the
    client's knowledge.
    """
    metric = GaugeMetricFamily(
        "grpc_client_connection_state", "Connections of the client, by what they lead to.", labels=["backend", "state"]
    )
    found: Counter[tuple[str, str]] = Counter()
    for channel in opened:
        for target, state in channel.look().subchannels.values():
            address = target.partition(":")[2] if target.startswith("ipv") else target
            found[pods.get(address.rpartition(":")[0], address), state] += 1
    for backend in sorted({backend for backend, _ in found}):
        for state in STATES:
            metric.add_metric([backend, state], found[backend, state])
    return metric

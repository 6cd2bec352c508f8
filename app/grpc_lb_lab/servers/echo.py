"""One echo server: starts, answers until SIGTERM, drains.

A sync server with a thread pool: the fastest gRPC server that Python has. Importing this module starts nothing of
gRPC's: the local lab imports it once and forks a process for each replica.
"""

from __future__ import annotations

import signal
import time
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grpc_lb_lab import fault_token
from grpc_lb_lab.json_log import log
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.pb.echo.v1 import echo_pb2  # noqa: F401  reflection answers from the descriptors this registers
from grpc_lb_lab.servers import reflection, routed_services
from grpc_lb_lab.servers.accepted import AcceptedConnections, server_ids
from grpc_lb_lab.servers.config import EchoConfig, Identity, identify, server_options
from grpc_lb_lab.servers.counting import Counters
from grpc_lb_lab.servers.health import HealthServicer
from grpc_lb_lab.servers.service import SERVICE, EchoService

if TYPE_CHECKING:
    from grpc_lb_lab.metrics import MetricsServer

QUIET_S = 0.2
LOOK_S = 0.02
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
ANSWERING = (SERVICE, *routed_services.METHODS)
REFLECTED = (*ANSWERING, health.SERVICE_NAME, "grpc.channelz.v1.Channelz")


@dataclass(frozen=True)
class EchoServer:
    """A server that runs. ``port`` is the one it listens on, also where the configuration said 0."""

    config: EchoConfig
    identity: Identity
    server: grpc.Server
    service: EchoService
    health: HealthServicer
    port: int

    def drain(self) -> None:
        """Say NOT_SERVING, wait ``drain_delay_s``, send GOAWAY, let calls in flight end, stop.

        The grace ends as soon as no echo call is left: health watches never end by themselves.
        """
        self.health.enter_graceful_shutdown()
        log("draining", pod=self.identity.pod, delay_s=self.config.drain_delay_s)
        time.sleep(self.config.drain_delay_s)
        stopped = self.server.stop(self.config.grace_s)
        counters = self.service.counters
        seen, quiet_since = counters.total, time.monotonic()
        while not stopped.wait(LOOK_S):
            if counters.in_flight or counters.total != seen:
                seen, quiet_since = counters.total, time.monotonic()
            elif time.monotonic() - quiet_since >= QUIET_S:
                self.server.stop(0).wait()

    def log_stats(self) -> None:
        """Write what was counted, all runs, as one line."""
        counters = self.service.counters
        counts = {run: counters.snapshot(run) for run in counters.runs()}
        runs = {
            run: {
                "attempts": count.attempts,
                "retries": count.retries,
                "failed": count.failed,
                "warmup_attempts": count.warmup_attempts,
                "connections": len(count.peers),
            }
            for run, count in counts.items()
        }
        log("stats", pod=self.identity.pod, uid=self.identity.uid, cpu_s=round(time.process_time(), 3), runs=runs)


def start(config: EchoConfig, service_class: type[EchoService] = EchoService) -> EchoServer:
    """Start a server in the background.

    ``service_class`` may be a subclass that answers differently. Raises ``LabError`` naming the address when it cannot
    be listened on.
    """
    known = server_ids()
    server = grpc.server(
        futures.ThreadPoolExecutor(config.threads, thread_name_prefix="echo"), options=server_options(config)
    )
    accepted = AcceptedConnections(min(server_ids() - known))
    identity = identify(config)
    token = config.fault_token or fault_token.own()
    service = service_class(identity, Counters(), accepted, config.work_ms / 1000, token)
    health_service = HealthServicer()

    def set_ready(ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *ANSWERING):
            health_service.set(name, status)

    set_ready(True)
    service.faults.set_ready = set_ready
    server.add_generic_rpc_handlers((service.handler(), *routed_services.handlers(service)))
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    reflection.add_to(server, REFLECTED)
    channelz.add_channelz_servicer(server)
    port = _listen(server, config.listen)
    server.start()
    log("listening", address=config.listen, port=port, pod=identity.pod, uid=identity.uid, threads=config.threads)
    return EchoServer(config, identity, server, service, health_service, port)


def serve(config: EchoConfig) -> None:
    """Run a server in this process until SIGTERM or SIGINT, then drain and return. Raises ``LabError`` as ``start``.

    Both signals stay blocked in the thread that calls: there is nothing to do after a server but to end.
    """
    # Waited for, not handled: a Python handler runs when its thread next runs Python code, so a signal that comes just
    # before that thread falls asleep in a lock would wake nobody. Blocked before the server listens, so that a signal
    # that comes early waits, and that the threads of gRPC, which inherit the mask, take none.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    echo = start(config)
    echo.service.heartbeat.start()
    offer_metrics(echo)
    signal.sigwait(STOP_SIGNALS)
    echo.drain()
    echo.log_stats()


def offer_metrics(echo: EchoServer) -> MetricsServer | None:
    """Let Prometheus ask, where the configuration says; a port that is taken is a line in the log, and no more."""
    if not echo.config.metrics:
        return None
    # Here, not above: a server that nobody watches shall not load the library.
    from grpc_lb_lab.metrics import MetricsServer, taken

    try:
        server = MetricsServer(echo.config.metrics, echo.service.handled.collect)
    except OSError as error:
        log("metrics", problem=taken(echo.config.metrics, error))
        return None
    log("metrics", address=echo.config.metrics, port=server.port)
    return server


def _listen(server: grpc.Server, address: str) -> int:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise LabError(f"cannot listen on {address}: the port is taken or the address is not one of this machine")
    return port

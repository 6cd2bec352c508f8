"""The echo service itself: answers, and counts before it answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from grpc_lb_lab import fault_token
from grpc_lb_lab.heartbeat import Heartbeat
from grpc_lb_lab.json_log import log
from grpc_lb_lab.pb.echo.v1 import echo_pb2
from grpc_lb_lab.servers import signals
from grpc_lb_lab.servers.faults import FOR_MOST_MS, Fault, Faults
from grpc_lb_lab.servers.handled import Handled, Method
from grpc_lb_lab.servers.routed_services import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpc_lb_lab.servers.accepted import AcceptedConnections
    from grpc_lb_lab.servers.config import Identity
    from grpc_lb_lab.servers.counting import Counters, RunCount

SERVICE = "echo.v1.EchoService"

ECHO, ECHO_STREAM = Method(SERVICE, "Echo"), Method(SERVICE, "EchoStream", "server_stream")
STATS, SET_FAULT = Method(SERVICE, "Stats"), Method(SERVICE, "SetFault")
OTHERS = {service: Method(service, name) for service, name in METHODS.items()}
clock = time.perf_counter

# Headers that say which way a call came. A closed list: what else travels in headers is nobody's business.
PATH_HEADERS = frozenset(
    {
        "via",
        "x-forwarded-for",
        "x-forwarded-client-cert",
        "x-envoy-attempt-count",
        "x-envoy-expected-rq-timeout-ms",
    }
)
REPLIES_KEPT = 4096
STREAM_MOST = 1_000_000


class Attempt(NamedTuple):
    """What the headers of one attempt say."""

    run: str
    warmup: bool
    previous: int
    path: tuple[tuple[str, str], ...]


def read_headers(metadata: tuple[tuple[str, str | bytes], ...]) -> Attempt:
    """Read the lab's, gRPC's and the proxies' headers; whatever else there is stays unread."""
    run, warmup, previous = "", False, 0
    path: list[tuple[str, str]] = []
    for key, value in metadata:
        if key == "x-lab-run":
            run = str(value)
        elif key == "x-lab-phase":
            warmup = value == "warmup"
        elif key == "grpc-previous-rpc-attempts":
            previous = int(value) if str(value).isdigit() else 0
        elif key in PATH_HEADERS:
            path.append((key, str(value)))
    return Attempt(run, warmup, previous, tuple(path))


class EchoService:
    """Handlers for ``echo.v1.EchoService``, thread safe.

    ``Echo`` works on serialised messages: the reply to the same payload over the same connection and path is the same
    bytes, so it is built once and kept (at most ``REPLIES_KEPT``).
    """

    def __init__(
        self,
        identity: Identity,
        counters: Counters,
        accepted: AcceptedConnections | None = None,
        work_s: float = 0.0,
        token: str = "",
    ) -> None:
        """Answer as ``identity``, each call after ``work_s``; without ``accepted`` the stats name no connections.

        Faults are taken from those who know ``token``; empty: from nobody.
        """
        self.counters = counters
        self._token = token
        self._work_s = work_s
        self.handled = Handled([ECHO, ECHO_STREAM, STATS, SET_FAULT, *OTHERS.values()])
        self.faults = Faults()
        self.heartbeat = Heartbeat()
        self._accepted = accepted
        self._backend = echo_pb2.Backend(
            pod=identity.pod, uid=identity.uid, ip=identity.ip, started_at=identity.started_at
        )
        self._replies: dict[tuple[bytes, str, tuple[tuple[str, str], ...]], bytes] = {}

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to register with a server."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
                "EchoStream": grpc.unary_stream_rpc_method_handler(
                    self.echo_stream,
                    request_deserializer=echo_pb2.EchoStreamRequest.FromString,
                ),
                "Stats": grpc.unary_unary_rpc_method_handler(
                    self.stats,
                    request_deserializer=echo_pb2.StatsRequest.FromString,
                    response_serializer=echo_pb2.StatsReply.SerializeToString,
                ),
                "SetFault": grpc.unary_unary_rpc_method_handler(
                    self.set_fault,
                    request_deserializer=echo_pb2.FaultRequest.FromString,
                    response_serializer=echo_pb2.FaultReply.SerializeToString,
                ),
            },
        )

    def echo(self, request: bytes, context: grpc.ServicerContext, service: str = SERVICE) -> bytes:
        """``Echo``, serialised request to serialised reply; ``service`` is the one that was called."""
        began, method = clock(), OTHERS.get(service, ECHO)
        self.handled.begin(method)
        peer = context.peer()
        attempt = read_headers(context.invocation_metadata())
        self.counters.begin(attempt.run, peer, attempt.previous, attempt.warmup)
        failed = True
        try:
            self.faults.meet(service, context)
            if self._work_s:
                time.sleep(self._work_s)
            reply = self.answer(request, peer, attempt, context)
            failed = False
            return reply
        finally:
            self.counters.end(attempt.run, failed, attempt.warmup)
            self.handled.end(method, _code(context) if failed else "OK", clock() - began)

    def answer(self, request: bytes, peer: str, attempt: Attempt, context: grpc.ServicerContext) -> bytes:
        """The reply bytes for one attempt that has been counted."""
        key = (request, peer, attempt.path)
        reply = self._replies.get(key)
        if reply is None:
            reply = self._new_reply(key, context)
        return reply

    def echo_stream(self, request: echo_pb2.EchoStreamRequest, context: grpc.ServicerContext) -> Iterator[bytes]:
        """``EchoStream``: ``count`` replies, ``interval_ms`` apart; ends early when the caller has gone."""
        began = clock()
        self.handled.begin(ECHO_STREAM)
        peer = context.peer()
        attempt = read_headers(context.invocation_metadata())
        self.counters.begin(attempt.run, peer, attempt.previous, attempt.warmup)
        failed = True
        try:
            self.faults.meet(SERVICE, context)
            if request.count > STREAM_MOST:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"count must be at most {STREAM_MOST}")
            unary = echo_pb2.EchoRequest(payload=request.payload).SerializeToString()
            for number in range(request.count):
                if number and request.interval_ms:
                    time.sleep(request.interval_ms / 1000)
                if not context.is_active():
                    return
                yield self.answer(unary, peer, attempt, context)
            failed = False
        finally:
            self.counters.end(attempt.run, failed, attempt.warmup)
            self.handled.end(ECHO_STREAM, _code(context) if failed else "OK", clock() - began)

    def stats(self, request: echo_pb2.StatsRequest, context: grpc.ServicerContext) -> echo_pb2.StatsReply:  # noqa: ARG002
        """``Stats``: what was counted for the run, zeros when it never came here."""
        began = clock()
        self.handled.begin(STATS)
        reply = self.describe(request.run, self.counters.snapshot(request.run))
        self.handled.end(STATS, "OK", clock() - began)
        return reply

    def set_fault(self, request: echo_pb2.FaultRequest, context: grpc.ServicerContext) -> echo_pb2.FaultReply:
        """``SetFault``: from the reply on, this replica has the fault, if the caller knows the lab's token."""
        began = clock()
        self.handled.begin(SET_FAULT)
        if not fault_token.is_among(context.invocation_metadata(), self._token):
            self.handled.end(SET_FAULT, "PERMISSION_DENIED", clock() - began)
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "faults are taken from the lab only, which has a token")
        fault = Fault(request.unready, request.delay_ms / 1000, request.fail_code, request.service)
        problem = fault.problem()
        if request.for_ms > FOR_MOST_MS:
            problem = f"for_ms must be at most {FOR_MOST_MS}: a fault must end by itself"
        if request.stop_ms > FOR_MOST_MS:
            problem = f"stop_ms must be at most {FOR_MOST_MS}: a fault must end by itself"
        self.handled.end(SET_FAULT, "INVALID_ARGUMENT" if problem else "OK", clock() - began)
        if problem:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        if request.crash or request.stop_ms:
            self._signal(request, context)
        else:
            self.faults.set(fault, request.for_ms / 1000)
        return echo_pb2.FaultReply(backend=self._backend)

    @staticmethod
    def _signal(request: echo_pb2.FaultRequest, context: grpc.ServicerContext) -> None:
        if signals.problem():
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, signals.problem())
        log("signal", crash=request.crash, stop_ms=request.stop_ms)
        if request.crash:
            signals.crash()
        else:
            signals.stop(request.stop_ms / 1000)

    def describe(self, run: str, count: RunCount) -> echo_pb2.StatsReply:
        """``count`` as the reply of ``Stats``."""
        cpu_s = time.process_time()
        return echo_pb2.StatsReply(
            backend=self._backend,
            run=run,
            attempts=count.attempts,
            retries=count.retries,
            failed=count.failed,
            warmup_attempts=count.warmup_attempts,
            connections=len(count.peers),
            peer_hosts=count.peer_hosts(),
            cpu_seconds=cpu_s,
            attempts_by_previous=count.by_previous,
            connections_accepted=self._accepted.look() if self._accepted else 0,
            run_cpu_seconds=0.0 if count.cpu_from is None else cpu_s - count.cpu_from,
            pauses=[echo_pb2.Pause(began_at=one.began_at, ended_at=one.ended_at) for one in self.heartbeat.pauses],
        )

    def _new_reply(self, key: tuple[bytes, str, tuple[tuple[str, str], ...]], context: grpc.ServicerContext) -> bytes:
        request, peer, path = key
        try:
            payload = echo_pb2.EchoRequest.FromString(request).payload
        except DecodeError:
            context.abort(grpc.StatusCode.INTERNAL, "the request is not an EchoRequest")
        reply = echo_pb2.EchoReply(payload=payload, backend=self._backend, peer=peer, path_headers=dict(path))
        if self._accepted:
            self._accepted.look_if_due()
        if len(self._replies) >= REPLIES_KEPT:
            self._replies.clear()
        self._replies[key] = reply.SerializeToString()
        return self._replies[key]


def _code(context: grpc.ServicerContext) -> str:
    """The name of the code that a failed call was ended with; a caller that has gone ended it by itself."""
    code = context.code()  # type: ignore[attr-defined]
    if isinstance(code, grpc.StatusCode):
        return code.name
    return "UNKNOWN" if context.is_active() else "CANCELLED"

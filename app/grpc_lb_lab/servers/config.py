"""What an echo server is told, and who it says it is."""

from __future__ import annotations

import os
import socket
import time
import uuid
from dataclasses import dataclass


@dataclass(frozen=True)
class EchoConfig:
    """Settings of one echo server; None leaves gRPC's own default in place.

    ``listen`` is ``ADDRESS:PORT``. Empty ``pod``, ``uid`` and ``ip`` come from POD_NAME, POD_UID and POD_IP, else from
    the host name, a random UUID and the listen address. ``drain_delay_s`` is the time between NOT_SERVING and GOAWAY,
    ``grace_s`` the time that calls in flight get after it. ``work_ms``: how long each call takes. ``metrics`` is where
    Prometheus may ask (``ADDRESS:PORT``), empty: nowhere. Whoever asks for a fault must know ``fault_token``; empty:
    the one in LAB_FAULT_TOKEN, and without that no fault is taken.
    """

    listen: str
    threads: int = 16
    pod: str = ""
    uid: str = ""
    ip: str = ""
    max_connection_age_ms: int | None = None
    max_connection_age_grace_ms: int | None = None
    keepalive_min_interval_ms: int | None = None
    keepalive_permit_without_calls: bool = False
    drain_delay_s: float = 0.0
    grace_s: float = 5.0
    work_ms: int = 0
    metrics: str = ""
    fault_token: str = ""


@dataclass(frozen=True)
class Identity:
    """Who answers. Names and addresses get reused; a UID with its start time (seconds since the epoch) does not."""

    pod: str
    uid: str
    ip: str
    started_at: float


def identify(config: EchoConfig) -> Identity:
    """The identity for a server that starts now."""
    return Identity(
        pod=config.pod or os.environ.get("POD_NAME") or socket.gethostname(),
        uid=config.uid or os.environ.get("POD_UID") or str(uuid.uuid4()),
        ip=config.ip or os.environ.get("POD_IP") or config.listen.rpartition(":")[0].strip("[]"),
        started_at=time.time(),
    )


def server_options(config: EchoConfig) -> list[tuple[str, int]]:
    """The gRPC server arguments for ``config`` (names: grpc/impl/channel_arg_names.h)."""
    settings = {
        # On by default, and then two servers share one port without a word.
        "grpc.so_reuseport": 0,
        "grpc.enable_channelz": 1,
        "grpc.max_connection_age_ms": config.max_connection_age_ms,
        "grpc.max_connection_age_grace_ms": config.max_connection_age_grace_ms,
        # Without this permission keepalive pings are answered with GOAWAY too_many_pings.
        "grpc.http2.min_ping_interval_without_data_ms": config.keepalive_min_interval_ms,
        "grpc.keepalive_permit_without_calls": 1 if config.keepalive_permit_without_calls else None,
    }
    return [(name, value) for name, value in settings.items() if value is not None]

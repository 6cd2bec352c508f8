"""``lb-lab server``: one echo server in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import UsageError, check_listen
from grpc_lb_lab.model.ports import ECHO_PORT

if TYPE_CHECKING:
    import argparse


def add_parsers(subparsers: Any) -> None:
    """Add ``server`` to ``subparsers`` (what ``ArgumentParser.add_subparsers`` returned)."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "server",
        help="run one echo server until SIGTERM",
        description="Run one echo server until SIGTERM, then drain. POD_NAME, POD_UID and POD_IP say who it is.",
    )
    parser.add_argument("--listen", metavar="ADDRESS:PORT", default=f"0.0.0.0:{ECHO_PORT}")
    parser.add_argument("--threads", type=int, default=16, help="calls that are answered at the same time")
    parser.add_argument("--max-connection-age-ms", type=int, metavar="N", help="GOAWAY after this age (gRPC: ±10 %%)")
    parser.add_argument("--max-connection-age-grace-ms", type=int, metavar="N", help="time for calls in flight then")
    parser.add_argument("--keepalive-min-interval-ms", type=int, metavar="N", help="permit pings as often as this")
    parser.add_argument(
        "--keepalive-permit-without-calls", action="store_true", help="permit pings on idle connections"
    )
    parser.add_argument("--drain-delay-s", type=float, default=0.0, metavar="S", help="from NOT_SERVING to GOAWAY")
    parser.add_argument("--work-ms", type=int, default=0, metavar="N", help="how long each call takes")
    parser.add_argument("--grace-s", type=float, default=5.0, metavar="S", help="for calls in flight after GOAWAY")
    parser.add_argument(
        "--metrics", default="", metavar="ADDRESS:PORT", help="where Prometheus may ask; default: nowhere"
    )
    parser.set_defaults(handler=run_server)


def run_server(arguments: argparse.Namespace) -> int:
    """The command. Returns 0 after a drain; raises ``UsageError`` or ``LabError``."""
    # Here, not above: other commands of the program shall not pay for loading gRPC.
    from grpc_lb_lab.servers.config import EchoConfig
    from grpc_lb_lab.servers.echo import serve

    _check(arguments)
    serve(
        EchoConfig(
            listen=arguments.listen,
            threads=arguments.threads,
            max_connection_age_ms=arguments.max_connection_age_ms,
            max_connection_age_grace_ms=arguments.max_connection_age_grace_ms,
            keepalive_min_interval_ms=arguments.keepalive_min_interval_ms,
            keepalive_permit_without_calls=arguments.keepalive_permit_without_calls,
            drain_delay_s=arguments.drain_delay_s,
            grace_s=arguments.grace_s,
            work_ms=arguments.work_ms,
            metrics=arguments.metrics,
        )
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    check_listen("--listen", arguments.listen)
    check_listen("--metrics", arguments.metrics or "127.0.0.1:0")
    if not 1 <= arguments.threads <= 1024:
        raise UsageError(f"--threads must be 1 to 1024, not {arguments.threads}")
    for name in ("max_connection_age_ms", "max_connection_age_grace_ms", "keepalive_min_interval_ms"):
        value = getattr(arguments, name)
        if value is not None and not 1 <= value <= 2**31 - 1:
            raise UsageError(f"--{name.replace('_', '-')} must be 1 to {2**31 - 1}, not {value}")
    if not 0 <= arguments.work_ms <= 10_000:
        raise UsageError(f"--work-ms must be 0 to 10000, not {arguments.work_ms}")
    for name in ("drain_delay_s", "grace_s"):
        value = getattr(arguments, name)
        if not 0 <= value <= 3600:
            raise UsageError(f"--{name.replace('_', '-')} must be 0 to 3600 seconds, not {value:g}")

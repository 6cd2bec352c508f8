"""``lb-lab lookaside`` and ``lb-lab xds``: the control planes, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.ports import CONTROL_PLANE_PORTS

if TYPE_CHECKING:
    import argparse

    from grpc_lb_lab.control_planes.endpoints.model import EndpointSource


def add_parsers(subparsers: Any) -> None:
    """Add ``lookaside`` and ``xds`` to ``subparsers`` (what ``ArgumentParser.add_subparsers`` returned)."""
    lookaside = subparsers.add_parser(
        "lookaside",
        help="run the lookaside balancer until SIGTERM",
        description="Run the balancer service that hands out the addresses of a service and pushes changes.",
    )
    _add_common(lookaside, f"0.0.0.0:{CONTROL_PLANE_PORTS['lookaside']}")
    lookaside.set_defaults(handler=run_lookaside)
    xds = subparsers.add_parser(
        "xds",
        help="run the xDS control plane until SIGTERM",
        description="Run the xDS control plane (LDS, RDS, CDS, EDS over ADS) for gRPC clients and for Envoy.",
    )
    _add_common(xds, f"0.0.0.0:{CONTROL_PLANE_PORTS['xds']}")
    xds.set_defaults(handler=run_xds)


def run_lookaside(arguments: argparse.Namespace) -> int:
    """The command. Returns 0 after a drain; raises ``UsageError`` or ``LabError``."""
    _check(arguments)
    # Here, not above: other commands of the program shall not pay for loading gRPC.
    from grpc_lb_lab.control_planes.lookaside import serve

    serve(arguments.listen, _source(arguments))
    return 0


def run_xds(arguments: argparse.Namespace) -> int:
    """The command. Returns 0 after a drain; raises ``UsageError`` or ``LabError``."""
    _check(arguments)
    from grpc_lb_lab.control_planes.xds.server import serve

    serve(arguments.listen, _source(arguments))
    return 0


def _add_common(parser: argparse.ArgumentParser, listen: str) -> None:
    parser.add_argument("--listen", metavar="ADDRESS:PORT", default=listen)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--endpoints-file", type=Path, metavar="FILE", help="watched; the supervisor of the local lab writes it"
    )
    source.add_argument(
        "--kubernetes-namespace", metavar="NAMESPACE", help="watch the EndpointSlices of this namespace"
    )


def _check(arguments: argparse.Namespace) -> None:
    host, _, port = arguments.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen must be ADDRESS:PORT with a port up to 65535, not {arguments.listen!r}")
    if arguments.kubernetes_namespace == "":
        raise UsageError("--kubernetes-namespace must not be empty")


def _source(arguments: argparse.Namespace) -> EndpointSource:
    from grpc_lb_lab.control_planes.endpoints.choose import choose

    return choose(arguments.endpoints_file, arguments.kubernetes_namespace)

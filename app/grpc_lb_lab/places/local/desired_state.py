"""What the user wants to run: read from a strategy file and the command line, compared with what runs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import UsageError
from grpc_lb_lab.model.strategy import Strategy

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.model.strategy import Server


@dataclass(frozen=True)
class DesiredState:
    """The lab that shall run. ``server`` holds keyword arguments of ``EchoConfig``, without identity and address.

    ``server_proxy`` is the bootstrap file of the Envoy beside every replica, empty for none.
    """

    replicas: int
    service: bool = False
    server: dict[str, Any] = field(default_factory=dict)
    dns_order: str = "shuffled"
    server_proxy: str = ""
    control_planes: list[str] = field(default_factory=list)


def read_strategy(path: Path) -> Strategy:
    """Read a strategy file. Raises ``UsageError`` when it is missing or no strategy."""
    from grpc_lb_lab import documents

    try:
        return _parse(documents.read(path), f"strategy file {path}")
    except documents.DocumentError as error:
        raise UsageError(f"strategy file {path} cannot be read: {error}") from error


def settled_strategy(text: str) -> Strategy:
    """Read the settled strategy of a run, as JSON. Raises ``UsageError`` when it is none."""
    try:
        return _parse(json.loads(text), "the settled strategy")
    except ValueError as error:
        raise UsageError(f"the settled strategy is no JSON: {error}") from error


def _parse(words: Any, what: str) -> Strategy:
    if not isinstance(words, dict) or not isinstance(words.get("client"), dict):
        raise UsageError(f"{what} has no section `client`")
    try:
        return Strategy.parse(words)
    except ValueError as error:
        raise UsageError(f"{what}: {error}") from error


def refuse_what_cannot_run(strategy: Strategy) -> None:
    """Raise ``UsageError`` for a strategy that names another world, or a target that no part of it provides."""
    name = strategy.name or "this strategy"
    if not strategy.runs_on("local"):
        commands = " or ".join(f"-e lab_cluster={world}" for world in strategy.clusters)
        raise UsageError(f"strategy {name} cannot run on local; it needs {commands}")
    target, needed = strategy.client.target, strategy.needs
    provided = {
        "service": True,
        "headless": True,
        "endpoints": True,
        "port-forward": True,
        "sidecar": needed.sidecar,
        "gateway": bool(needed.gateway),
        "lookaside": needed.control_plane == "lookaside",
        "xds": needed.control_plane == "xds",
    }
    if target not in provided:
        raise UsageError(f"strategy {name}: client.target={target} is none of {', '.join(sorted(provided))}")
    if not provided[target]:
        section = {"sidecar": "envoy.client", "gateway": "gateway"}.get(target, f"controlPlane: {target}")
        raise UsageError(f"strategy {name}: client.target={target} needs `{section}`, which the file does not have")


def make_wish(strategy: Strategy, replicas: int | None, dns_order: str = "shuffled") -> DesiredState:
    """Make the wish for a strategy. Its own ``replicas`` wins over ``replicas``, which defaults to 5."""
    needed = strategy.needs
    return DesiredState(
        replicas=strategy.replicas or replicas or 5,
        service=needed.service,
        server=_server_options(strategy.server),
        dns_order=dns_order,
        server_proxy=needed.server_proxy,
        control_planes=[needed.control_plane] if needed.control_plane else [],
    )


def merge(running: DesiredState, wanted: DesiredState) -> DesiredState:
    """Return what shall run after ``wanted`` was asked of a lab that runs ``running``.

    A Service proxy that runs is kept: it is part of the world, as kube-proxy is, and disturbs nobody. So are control
    planes.
    """
    planes = sorted({*wanted.control_planes, *running.control_planes})
    return dataclasses.replace(wanted, service=wanted.service or running.service, control_planes=planes)


def _server_options(server: Server) -> dict[str, Any]:
    """Return keyword arguments of ``servers.config.EchoConfig``, without what the file says nothing of."""
    options = {
        "max_connection_age_ms": server.max_connection_age_ms,
        "max_connection_age_grace_ms": server.max_connection_age_grace_ms,
        "work_ms": server.work_ms,
        "drain_delay_s": server.drain_s,
        "grace_s": server.grace_s,
        "keepalive_min_interval_ms": server.keepalive.min_interval_ms,
        "keepalive_permit_without_calls": server.keepalive.permit_without_calls,
    }
    return {name: value for name, value in options.items() if value is not None}

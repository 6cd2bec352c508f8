"""What the user wants to run: read from a strategy file and the command line, compared with what runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_SERVER_KEYS = {
    ("maxConnectionAgeMs",): "max_connection_age_ms",
    ("maxConnectionAgeGraceMs",): "max_connection_age_grace_ms",
    ("workMs",): "work_ms",
    ("drainS",): "drain_delay_s",
    ("graceS",): "grace_s",
    ("keepalive", "minIntervalMs"): "keepalive_min_interval_ms",
    ("keepalive", "permitWithoutCalls"): "keepalive_permit_without_calls",
}
"""From the strategy file's ``server`` section to fields of ``servers.config.EchoConfig``."""


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


@dataclass(frozen=True)
class Needs:
    """Which parts a strategy needs that cost something to start; the words are those of the strategy file."""

    service: bool
    sidecar: bool
    server_proxy: str = ""
    gateway: str = ""
    forward: bool = False
    control_plane: str = ""

    @property
    def envoy(self) -> bool:
        """Whether anything needs the Envoy program."""
        return self.service or self.sidecar or bool(self.server_proxy) or self.gateway == "envoy"


def read_strategy(path: Path) -> dict[str, Any]:
    """Read a strategy file. Raises ``UsageError`` when it is missing or no mapping."""
    from grpc_lb_lab import documents

    try:
        strategy = documents.read(path)
    except documents.DocumentError as error:
        raise UsageError(f"strategy file {path} cannot be read: {error}") from error
    if not isinstance(strategy, dict) or not isinstance(strategy.get("client"), dict):
        raise UsageError(f"strategy file {path} has no section `client`")
    return strategy


def needs(strategy: dict[str, Any]) -> Needs:
    """Say which proxies and control planes the strategy needs."""
    target = strategy["client"].get("target")
    envoy = strategy.get("envoy") or {}
    return Needs(
        service=target == "service",
        sidecar=bool(envoy.get("client")),
        server_proxy=str(envoy.get("server") or ""),
        gateway=str((strategy.get("gateway") or {}).get("proxy", "")),
        forward=target == "port-forward",
        control_plane=str(strategy.get("controlPlane") or ""),
    )


def refuse_what_cannot_run(strategy: dict[str, Any]) -> None:
    """Raise ``UsageError`` for a strategy that names another world, or a target that no part of it provides."""
    name = (strategy.get("strategy") or {}).get("name", "this strategy")
    worlds = (strategy.get("strategy") or {}).get("clusters", ["local"])
    if "local" not in worlds:
        commands = " or ".join(f"-e lab_cluster={world}" for world in worlds)
        raise UsageError(f"strategy {name} cannot run on local; it needs {commands}")
    target, needed = strategy["client"].get("target"), needs(strategy)
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


def make_wish(strategy: dict[str, Any], replicas: int | None, dns_order: str = "shuffled") -> DesiredState:
    """Make the wish for a strategy. Its own ``replicas`` wins over ``replicas``, which defaults to 5."""
    insisted, needed = (strategy.get("strategy") or {}).get("replicas"), needs(strategy)
    return DesiredState(
        replicas=insisted or replicas or 5,
        service=needed.service,
        server=_server_options(strategy.get("server") or {}),
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


def _server_options(section: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, name in _SERVER_KEYS.items():
        value: Any = section
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found[name] = value
    return found

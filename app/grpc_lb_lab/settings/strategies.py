"""The strategy files: which there are, and whether one follows the grammar ``charts/grpc-echo/values.schema.json``."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from grpc_lb_lab import documents
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.settings import grammar
from grpc_lb_lab.settings.clusters import CLUSTERS, KUBERNETES
from grpc_lb_lab.settings.values import RefusedError, show, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = "charts/grpc-echo/values.schema.json"
SECTIONS = ("strategy", "client", "server", "load", "gateway", "controlPlane", "envoy", "mesh", "drain", "resources")
FILES = "charts/grpc-echo/files"

CONFIG = {"envoy": ".yaml", "nginx": ".conf", "haproxy": ".cfg"}
"""A gateway's proxy to the ending of its files."""

CHANNELS = {"lookaside": ("lookaside",), "xds": ("xds", "mesh")}
"""Channels that are told of addresses by a control plane, and the targets where there is one."""

HEADERS = {"te", "host", "connection", "content-type", "content-length", "user-agent", "transfer-encoding"}
"""Request headers that gRPC or HTTP/2 sets."""


class Catalogue:
    """The strategies of one folder, one YAML file each."""

    def __init__(self, folder: Path, repo: Path) -> None:
        """Look into ``folder``; ``repo`` holds the grammar."""
        self.folder = folder
        self._repo = repo

    @cached_property
    def _schema(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self._repo / SCHEMA).read_text(encoding="utf-8"))
        # The chart does not know which providers there are.
        data["properties"]["strategy"]["properties"]["clusters"]["items"] = {"enum": list(CLUSTERS)}
        # The rest of the chart's values is what the lab tells it beside the strategy.
        return data | {"properties": {name: data["properties"][name] for name in SECTIONS}}

    def names(self) -> tuple[str, ...]:
        """Return the names of all strategies, sorted."""
        return tuple(grammar.names(self.folder))

    def path(self, name: str) -> Path:
        """Return where the file of a strategy is."""
        return self.folder / f"{name}.yaml"

    def glance(self, name: str) -> Strategy | None:
        """Return a strategy without checking its file; None for a file that is no strategy."""
        try:
            return Strategy.parse(documents.read(self.path(name)))
        except (documents.DocumentError, ValueError, TypeError, AttributeError):
            return None

    def load(self, name: Any) -> Strategy:
        """Read and check one strategy file.

        Raises ``RefusedError`` naming the strategies that exist, or the file, the key and what is allowed.
        """
        if not isinstance(name, str) or name not in self.names():
            raise RefusedError(unknown(name if isinstance(name, str) else show(name), self.names()))
        path = self.path(name)
        shown = grammar.shown_name(path, self._repo)
        data = grammar.read(path, shown, self._schema)
        found = [*_name_problems(data, name), *contradictions(data, self._repo / FILES)]
        if found:
            grammar.refuse("\n".join(f"{shown}: {problem}" for problem in found))
        return Strategy.parse(data)


def _name_problems(data: dict[str, Any], name: str) -> Iterator[str]:
    if data["strategy"]["name"] != name:
        yield f"strategy.name is {data['strategy']['name']}; allowed is {name}, the name of the file"


def contradictions(data: dict[str, Any], files: Path) -> Iterator[str]:
    """Tell what the parts of a strategy file, each right by itself, make impossible together or leave without effect.

    ``files`` is the chart's folder with the files that ``envoy`` and ``gateway`` name.
    """
    client, envoy, gateway = data["client"], data.get("envoy", {}), data.get("gateway")
    yield from _missing_parts(data)
    yield from _useless(client)
    for where, folder, file in (
        ("envoy.client", "envoy", envoy.get("client")),
        ("envoy.server", "envoy", envoy.get("server")),
        ("gateway.config", "gateway", gateway and gateway["config"]),
    ):
        if file and not (files / folder / file).is_file():
            yield f"{where}={file}: {unknown(file, sorted(path.name for path in (files / folder).iterdir()))}"
    if gateway and not gateway["config"].endswith(CONFIG[gateway["proxy"]]):
        yield f"gateway.config={gateway['config']}: allowed for {gateway['proxy']} is a file {CONFIG[gateway['proxy']]}"
    header = client.get("keys", {}).get("header", "")
    if header.endswith("-bin") or header.startswith("grpc-") or header in HEADERS:
        yield f"client.keys.header={header}: gRPC keeps it for itself; allowed is another, such as x-user"
    expects = data["strategy"].get("expect", {})
    for scenario in sorted(expects.keys() & data["strategy"].get("refuse", {}).keys()):
        yield f"strategy.refuse.{scenario}: expect has it too; allowed is one of both"
    expected = expects.get("steady")
    if expected == "weighted":
        yield "strategy.expect.steady=weighted: can never pass, as no part of the lab weighs replicas; allowed is even"
    if expected == "hashed" and "keys" not in client:
        yield "strategy.expect.steady=hashed: can never pass without keys; allowed is with client.keys"


def _missing_parts(data: dict[str, Any]) -> Iterator[str]:
    """Tell of a target that no part of the file provides, and of a part that no call gets to."""
    target, mesh = data["client"]["target"], data.get("mesh", {})
    parts = {
        "sidecar": ("envoy.client", bool(data.get("envoy", {}).get("client"))),
        "gateway": ("gateway", "gateway" in data),
        "lookaside": ("controlPlane: lookaside", data.get("controlPlane") == "lookaside"),
        "xds": ("controlPlane: xds", data.get("controlPlane") == "xds"),
        "mesh": ("mesh.proxy: grpc-agent", mesh.get("proxy") == "grpc-agent"),
    }
    for word, (part, there) in parts.items():
        if target == word and not there:
            yield f"client.target={target}: the file has no {part}; allowed is a target that it has, or with {part}"
        elif there and target != word:
            yield f"client.target={target}: no call would get to {part}; allowed is {word}, or without {part}"
    if mesh and "local" in data["strategy"].get("clusters", ["local"]):
        yield f"strategy.clusters: a mesh cannot run on local; allowed is [{', '.join(KUBERNETES)}]"
    channel = data["client"]["channel"]
    if channel in CHANNELS and target not in CHANNELS[channel]:
        yield f"client.channel={channel}: not with target {target}; allowed is target {' or '.join(CHANNELS[channel])}"
    if target in ("lookaside", "xds", "mesh") and target not in CHANNELS.get(channel, ()):
        able = [name for name, targets in CHANNELS.items() if target in targets]
        yield f"client.channel={channel}: cannot follow target {target}; allowed is {able[0]}"


def _useless(client: dict[str, Any]) -> Iterator[str]:
    """Tell what the channel would take no notice of."""
    channel, config = client["channel"], client.get("serviceConfig", {})
    if "outlierDetection" in client and channel != "round_robin":
        yield f"client.outlierDetection: channel {channel} takes no notice of it; allowed is with channel round_robin"
    if "pool" in client and channel != "pool":
        yield f"client.pool: channel {channel} takes no notice of it; allowed is with channel pool"
    for key in ("loadBalancingConfig", "loadBalancingPolicy"):
        if key in config and channel != "pick_first":
            yield (
                f"client.serviceConfig.{key}={show(config[key])}: channel {channel} uses a policy of its own instead; "
                "allowed is with channel pick_first"
            )

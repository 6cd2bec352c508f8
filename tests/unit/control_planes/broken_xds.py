"""A control plane that can serve resources that every client must refuse, as a program of its own.

The real one but for its catalogue, and for a second file that it watches: ``{"bad": ["EDS"]}`` serves broken resources
of these types (LDS, RDS, CDS, EDS), ``{"bad": []}`` ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2
from envoy.type.matcher.v3 import regex_pb2
from grpc_lb_lab.control_planes.base import serve_control_plane
from grpc_lb_lab.control_planes.endpoints.file import FileSource, FileWatcher
from grpc_lb_lab.control_planes.xds import resources, server
from grpc_lb_lab.control_planes.xds.catalog import Catalog
from grpc_lb_lab.control_planes.xds.kinds import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SHORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc_lb_lab.control_planes.xds.kinds import Node

TYPES_BY_SHORT = {short: url for url, short in SHORT.items()}


@dataclass(frozen=True)
class BrokenCatalog(Catalog):
    """A catalogue whose resources of the types ``bad`` are well-formed and wrong."""

    bad: frozenset[str] = frozenset()

    def message(self, type_url: str, service: str, node: Node) -> Any:
        if type_url not in self.bad:
            return super().message(type_url, service, node)
        return {LISTENER: _listener, ROUTES: _routes, CLUSTER: _cluster, ENDPOINTS: _endpoints}[type_url](service, node)


class Source(FileSource):
    """The endpoints of one file; wakes also when the other file changes, whose types are ``bad``."""

    def __init__(self, endpoints: Path, override: Path) -> None:
        super().__init__(endpoints)
        self.bad: frozenset[str] = frozenset()
        self._wakes: list[Callable[[], None]] = []
        self._override = FileWatcher(override, self._take_override)

    def start(self) -> None:
        self._override.start()
        super().start()

    def close(self) -> None:
        self._override.close()
        super().close()

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        self._wakes.append(wake)
        return super().subscribe(wake)

    def _take_override(self, text: str) -> None:
        self.bad = frozenset(TYPES_BY_SHORT[short] for short in json.loads(text)["bad"])
        for wake in self._wakes:
            wake()


def _listener(service: str, node: Node) -> Any:
    """Nothing that handles HTTP: gRPC wants an API listener, Envoy a filter chain."""
    listener = resources.socket_listener(service, node.listen)
    del listener.filter_chains[:]
    return listener


def _routes(service: str, node: Node) -> Any:
    """A regular expression that nobody can compile."""
    configuration = resources.routes(service)
    configuration.virtual_hosts[0].routes[0].match.safe_regex.CopyFrom(regex_pb2.RegexMatcher(regex="("))
    return configuration


def _cluster(service: str, node: Node) -> Any:
    """EDS, but from nowhere."""
    cluster = resources.cluster(service)
    cluster.ClearField("eds_cluster_config")
    return cluster


def _endpoints(service: str, node: Node) -> Any:
    """A priority beyond the limit of 128, and none before it."""
    assignment = resources.load_assignment(service, ())
    address = address_pb2.Address(socket_address=address_pb2.SocketAddress(address="127.0.0.1", port_value=1))
    locality = assignment.endpoints.add(priority=200)
    locality.locality.zone = "lab"
    locality.load_balancing_weight.value = 1
    locality.lb_endpoints.append(
        endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=address))
    )
    return assignment


if __name__ == "__main__":
    listen, endpoints, override = sys.argv[1:]
    source = Source(Path(endpoints), Path(override))
    server.Catalog = lambda found: BrokenCatalog(found, source.bad)  # type: ignore[assignment,misc]
    asyncio.run(serve_control_plane(server.xds_plane(source), listen))

"""Resources that every client must refuse, to show that a NACK keeps the last good configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2
from envoy.type.matcher.v3 import regex_pb2

from grpc_lb_lab.servers.xds import resources
from grpc_lb_lab.servers.xds.kinds import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SHORT

if TYPE_CHECKING:
    from grpc_lb_lab.servers.xds.kinds import Node

TYPES_BY_SHORT = {short: url for url, short in SHORT.items()}


def parse_broken(text: str) -> frozenset[str]:
    """The type URLs in ``{"bad": ["EDS"]}``. Raises ``ValueError`` that says what is wrong."""
    document = json.loads(text)
    names = document.get("bad") if isinstance(document, dict) else None
    if not isinstance(names, list) or not all(name in TYPES_BY_SHORT for name in names):
        raise ValueError(f'expected {{"bad": [{", ".join(sorted(TYPES_BY_SHORT))}]}}')
    return frozenset(TYPES_BY_SHORT[name] for name in names)


def broken(type_url: str, service: str, node: Node) -> Any:
    """A resource of this type that is well-formed and wrong."""
    return {LISTENER: _listener, ROUTES: _routes, CLUSTER: _cluster, ENDPOINTS: _endpoints}[type_url](service, node)


def _listener(service: str, node: Node) -> Any:
    """Nothing that handles HTTP: gRPC wants an API listener, Envoy a filter chain."""
    listener = resources.socket_listener(service, node.listen)
    del listener.filter_chains[:]
    return listener


def _routes(service: str, node: Node) -> Any:  # noqa: ARG001
    """A regular expression that nobody can compile."""
    configuration = resources.routes(service)
    configuration.virtual_hosts[0].routes[0].match.safe_regex.CopyFrom(regex_pb2.RegexMatcher(regex="("))
    return configuration


def _cluster(service: str, node: Node) -> Any:  # noqa: ARG001
    """EDS, but from nowhere."""
    cluster = resources.cluster(service)
    cluster.ClearField("eds_cluster_config")
    return cluster


def _endpoints(service: str, node: Node) -> Any:  # noqa: ARG001
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

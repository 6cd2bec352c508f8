"""The four resource types, and who asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.model.ports import SIDECAR_PORT

if TYPE_CHECKING:
    from envoy.config.core.v3 import base_pb2

_PREFIX = "type.googleapis.com/envoy.config."
LISTENER = _PREFIX + "listener.v3.Listener"
ROUTES = _PREFIX + "route.v3.RouteConfiguration"
CLUSTER = _PREFIX + "cluster.v3.Cluster"
ENDPOINTS = _PREFIX + "endpoint.v3.ClusterLoadAssignment"

# Make before break: what a route points to is sent before the route (xDS protocol, "Eventual consistency").
PUSH_ORDER = (CLUSTER, ENDPOINTS, LISTENER, ROUTES)
# A client may ask for all of these by naming none; a response always holds all that it subscribed to.
WHOLE_STATE = frozenset({LISTENER, CLUSTER})
# After a change of the first, a client waits for the second again, changed or not (Envoy warms it).
REFERS_TO = {CLUSTER: ENDPOINTS, LISTENER: ROUTES}
SHORT = {LISTENER: "LDS", ROUTES: "RDS", CLUSTER: "CDS", ENDPOINTS: "EDS"}
DEFAULT_LISTEN = f"127.0.0.1:{SIDECAR_PORT}"
DEFAULT_SERVICE = "echo"


@dataclass(frozen=True)
class Node:
    """A client of the control plane.

    ``proxy`` (user_agent_name ``envoy``): it gets one listener with an address, for one service. ``listen``
    (ADDRESS:PORT) and ``service`` come from the node metadata of the same names. Everybody else is gRPC, which gets an
    API listener for each service.
    """

    id: str
    agent: str
    proxy: bool = False
    listen: str = DEFAULT_LISTEN
    service: str = DEFAULT_SERVICE


def read_node(node: base_pb2.Node) -> Node:
    """The first message of a stream says who asks."""
    metadata = {name: value.string_value for name, value in node.metadata.fields.items()}
    return Node(
        id=node.id,
        agent=node.user_agent_name,
        proxy=node.user_agent_name == "envoy",
        listen=metadata.get("listen") or DEFAULT_LISTEN,
        service=metadata.get("service") or DEFAULT_SERVICE,
    )

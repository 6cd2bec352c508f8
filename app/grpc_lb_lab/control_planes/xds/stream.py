"""One ADS stream: four subscriptions and the order of pushes. Pure, as its subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.control_planes.xds.kinds import PUSH_ORDER, REFERS_TO, SHORT, Node, read_node
from grpc_lb_lab.control_planes.xds.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envoy.service.discovery.v3 import discovery_pb2

    from grpc_lb_lab.control_planes.xds.catalog import Catalog
    from grpc_lb_lab.control_planes.xds.subscription import Push, Said


class Stream:
    """What the control plane knows of one client."""

    def __init__(self) -> None:
        """Before the first request."""
        self.node = Node(id="", agent="")
        self.subscriptions: dict[str, Subscription] = {}

    def request(self, message: discovery_pb2.DiscoveryRequest) -> Said | None:
        """Take in one request; None for a type that is not served, which is never answered."""
        if message.HasField("node"):
            # Later messages may leave it out.
            self.node = read_node(message.node)
        if message.type_url not in SHORT:
            return None
        subscription = self.subscriptions.setdefault(message.type_url, Subscription(message.type_url))
        error = message.error_detail.message if message.HasField("error_detail") else None
        return subscription.request(message.resource_names, message.response_nonce, error)

    def pushes(self, catalog: Catalog) -> Iterator[Push]:
        """Everything to send now, in the order that never lets a client point to something it does not have."""
        if catalog.endpoints is None:
            # An empty answer would say that nothing exists.
            return
        for type_url in PUSH_ORDER:
            subscription = self.subscriptions.get(type_url)
            push = subscription.push(catalog.resources(type_url, self.node)) if subscription else None
            if push is None:
                continue
            yield push
            referred = self.subscriptions.get(REFERS_TO.get(type_url, ""))
            if referred:
                referred.send_again(resource.name for resource in push.resources)

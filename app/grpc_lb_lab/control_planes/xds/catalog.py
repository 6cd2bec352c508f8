"""All resources at one moment, as one client sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import any_pb2

from grpc_lb_lab.control_planes.endpoints.model import Endpoints, digest
from grpc_lb_lab.control_planes.xds import resources
from grpc_lb_lab.control_planes.xds.kinds import CLUSTER, ENDPOINTS, LISTENER, ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpc_lb_lab.control_planes.xds.kinds import Node


@dataclass(frozen=True)
class Resource:
    """One resource; ``version`` names its content."""

    name: str
    body: any_pb2.Any
    version: str


@dataclass(frozen=True)
class Catalog:
    """What there is to serve, made from the endpoints (None: not known yet)."""

    endpoints: Endpoints | None = None

    def resources(self, type_url: str, node: Node) -> Mapping[str, Resource]:
        """All resources of a type for ``node``, by name."""
        services = sorted(self.endpoints.services) if self.endpoints else []
        if node.proxy:
            services = [service for service in services if service == node.service]
        return {service: self._resource(type_url, service, node) for service in services}

    def _resource(self, type_url: str, service: str, node: Node) -> Resource:
        body = resources.pack(self.message(type_url, service, node))
        return Resource(service, body, digest(body.value))

    def message(self, type_url: str, service: str, node: Node) -> Any:
        """One resource, before it is packed."""
        if type_url == LISTENER:
            return resources.socket_listener(service, node.listen) if node.proxy else resources.api_listener(service)
        if type_url == ROUTES:
            return resources.routes(service)
        if type_url == CLUSTER:
            return resources.cluster(service)
        assert type_url == ENDPOINTS
        return resources.load_assignment(service, (self.endpoints.eligible(service) if self.endpoints else None) or ())


def version_of(found: Mapping[str, Resource]) -> str:
    """The version of a set of resources: equal sets have equal versions, also over a restart."""
    return digest(repr(sorted((r.name, r.version) for r in found.values())))

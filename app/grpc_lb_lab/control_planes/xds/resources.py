"""The resources for one service. Pure; the same input gives the same bytes.

All four resources of a service bear its name: listener ``echo`` → routes ``echo`` → cluster ``echo`` → endpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, health_check_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import any_pb2, duration_pb2, wrappers_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from grpc_lb_lab.control_planes.endpoints.model import Endpoint

ROUTE_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 5
VIA = "envoy-client"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def pack(message: Message) -> any_pb2.Any:
    """``message`` in an Any, map fields in a fixed order."""
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


def ads() -> config_source_pb2.ConfigSource:
    """ "Ask the stream that you got this from"."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.ApiVersion.V3
    )


def connection_manager(service: str, via: str = "") -> hcm_pb2.HttpConnectionManager:
    """HTTP handling for ``service``: its routes come by RDS, the router is the only filter."""
    return hcm_pb2.HttpConnectionManager(
        stat_prefix=service,
        via=via,
        rds=hcm_pb2.Rds(route_config_name=service, config_source=ads()),
        http_filters=[hcm_pb2.HttpFilter(name="envoy.filters.http.router", typed_config=pack(router_pb2.Router()))],
    )


def api_listener(service: str) -> listener_pb2.Listener:
    """The listener that ``xds:///service`` asks for."""
    return listener_pb2.Listener(
        name=service, api_listener=api_listener_pb2.ApiListener(api_listener=pack(connection_manager(service)))
    )


def socket_listener(service: str, listen: str) -> listener_pb2.Listener:
    """The listener of an Envoy at ``listen`` (ADDRESS:PORT); it names itself in ``via``, the proof of the path."""
    address, _, port = listen.rpartition(":")
    network = listener_components_pb2.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=pack(connection_manager(service, VIA))
    )
    return listener_pb2.Listener(
        name=service,
        address=_address(address.strip("[]"), int(port)),
        filter_chains=[listener_components_pb2.FilterChain(filters=[network])],
    )


def routes(service: str) -> route_pb2.RouteConfiguration:
    """Every call to the one cluster."""
    route = route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(prefix="/"),
        route=route_components_pb2.RouteAction(cluster=service, timeout=duration_pb2.Duration(seconds=ROUTE_TIMEOUT_S)),
    )
    host = route_components_pb2.VirtualHost(name=service, domains=["*"], routes=[route])
    return route_pb2.RouteConfiguration(name=service, virtual_hosts=[host])


def cluster(service: str) -> cluster_pb2.Cluster:
    """Round robin over what EDS says, HTTP/2 upstream."""
    http2 = http_protocol_options_pb2.HttpProtocolOptions(
        explicit_http_config=http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
            http2_protocol_options=protocol_pb2.Http2ProtocolOptions()
        )
    )
    message = cluster_pb2.Cluster(
        name=service,
        type=cluster_pb2.Cluster.EDS,
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=ads(), service_name=service),
        lb_policy=cluster_pb2.Cluster.ROUND_ROBIN,
        connect_timeout=duration_pb2.Duration(seconds=CONNECT_TIMEOUT_S),
    )
    message.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(pack(http2))
    return message


def load_assignment(service: str, endpoints: tuple[Endpoint, ...]) -> endpoint_pb2.ClusterLoadAssignment:
    """All endpoints in one locality; a service without endpoints is an assignment without localities."""
    members = [
        endpoint_components_pb2.LbEndpoint(
            endpoint=endpoint_components_pb2.Endpoint(address=_address(e.address, e.port)),
            health_status=health_check_pb2.HEALTHY,
        )
        for e in endpoints
    ]
    locality = endpoint_components_pb2.LocalityLbEndpoints(
        locality=base_pb2.Locality(zone="lab"),
        lb_endpoints=members,
        load_balancing_weight=wrappers_pb2.UInt32Value(value=1),
    )
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=service, endpoints=[locality] if members else [])


def _address(address: str, port: int) -> address_pb2.Address:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))

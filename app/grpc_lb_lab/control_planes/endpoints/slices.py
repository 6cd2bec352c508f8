"""EndpointSlices (discovery.k8s.io/v1, as JSON) merged into endpoints. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.control_planes.endpoints.model import Endpoint, Endpoints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SERVICE_LABEL = "kubernetes.io/service-name"


def merge(slices: Iterable[Mapping[str, Any]]) -> Endpoints:
    """All slices of every Service as one set of endpoints.

    An address that stands in two slices, as it may while it moves, counts once and is ready if either says so. A
    Service with both families is taken by IPv4: its pods must not count twice.
    """
    families: dict[str, dict[str, dict[tuple[str, int], Endpoint]]] = {}
    for piece in slices:
        service = ((piece.get("metadata") or {}).get("labels") or {}).get(SERVICE_LABEL)
        family = piece.get("addressType")
        if not service or family not in ("IPv4", "IPv6"):
            continue
        known = families.setdefault(service, {}).setdefault(family, {})
        for endpoint in _endpoints(piece):
            key = (endpoint.address, endpoint.port)
            known[key] = max(known.get(key, endpoint), endpoint, key=_preference)
    return Endpoints(
        {
            service: tuple(sorted((found.get("IPv4") or found.get("IPv6") or {}).values()))
            for service, found in sorted(families.items())
        }
    )


def absent(old: Endpoints, new: Endpoints) -> set[tuple[str, Endpoint]]:
    """Service and endpoint of all in ``old`` whose address stands nowhere in ``new``, not even as not ready."""
    still = {(service, e.address, e.port) for service, known in new.services.items() for e in known}
    return {
        (service, e)
        for service, known in old.services.items()
        for e in known
        if (service, e.address, e.port) not in still
    }


def keeping(new: Endpoints, kept: Iterable[tuple[str, Endpoint]]) -> Endpoints:
    """``new`` with the endpoints of ``kept`` added."""
    services = {service: list(known) for service, known in new.services.items()}
    for service, endpoint in kept:
        services.setdefault(service, []).append(endpoint)
    return Endpoints({service: tuple(sorted(services[service])) for service in sorted(services)})


def _preference(endpoint: Endpoint) -> tuple[bool, bool]:
    return endpoint.ready, endpoint.serving


def _endpoints(piece: Mapping[str, Any]) -> Iterator[Endpoint]:
    port = _port(piece.get("ports") or [])
    if port is None:
        return
    for entry in piece.get("endpoints") or []:
        conditions = entry.get("conditions") or {}
        # A condition that is missing means yes; serving follows ready (API reference, EndpointConditions).
        ready = conditions.get("ready") is not False
        serving = conditions.get("serving")
        target = entry.get("targetRef") or {}
        # Several addresses of one endpoint are the same pod: the API asks consumers to take the first.
        for address in (entry.get("addresses") or [])[:1]:
            yield Endpoint(
                address=address,
                port=port,
                ready=ready,
                serving=ready if serving is None else bool(serving),
                pod=target.get("name") or "",
                uid=target.get("uid") or "",
            )


def _port(ports: list[Mapping[str, Any]]) -> int | None:
    """The port for gRPC: the one named or declared so, else the first."""
    numbered = [port for port in ports if port.get("port")]
    for port in numbered:
        if (port.get("name") or "").startswith("grpc") or port.get("appProtocol") == "grpc":
            return int(port["port"])
    return int(numbered[0]["port"]) if numbered else None

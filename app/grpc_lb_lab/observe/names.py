"""Resolve a name as the lab's channels do, but with every address in hand."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import dns.asyncresolver
import dns.exception
import dns.inet
import dns.resolver

LIFETIME_S = 5.0


class NoAddressError(OSError):
    """The DNS server knows no address of the name."""


async def resolve(address: str, server: str = "") -> list[str]:
    """All IPv4 addresses of the host in ``address`` (``HOST:PORT``), as sorted ``IP:PORT``.

    ``server`` is ``HOST:PORT`` of the DNS server, empty for the machine's own. An answer that does not fit into UDP is
    asked for again over TCP. Raises ``OSError`` naming the host when there is no answer, ``NoAddressError`` when the
    answer is that it has no address.
    """
    host, _, port = address.rpartition(":")
    if _is_address(host):
        return [address]
    try:
        answer = await _resolver(server).resolve(host, "A", search=not server, lifetime=LIFETIME_S)
    except dns.exception.DNSException as error:
        if not server:
            try:
                return await _by_the_system(host, port)
            except socket.gaierror as unknown:
                raise NoAddressError(f"{host} does not resolve: {unknown.strerror}") from error
        nothing = isinstance(error, (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer))
        raise (NoAddressError if nothing else OSError)(f"{host} does not resolve at {server}: {error}") from error
    addresses = sorted(ipaddress.ip_address(record.address) for record in answer)
    return [f"{entry}:{port}" for entry in addresses]


def _resolver(server: str) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=not server)
    if server:
        host, _, port = server.rpartition(":")
        resolver.nameservers = [host.strip("[]")]
        resolver.port = int(port)
    return resolver


async def _by_the_system(host: str, port: str) -> list[str]:
    """Names that stand in the hosts file and in no DNS zone, such as ``localhost``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, int(port), family=2, type=1)
    return sorted({f"{address[0]!s}:{port}" for *_, address in found})


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True

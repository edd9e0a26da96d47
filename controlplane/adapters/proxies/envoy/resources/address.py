"""Where endpoints are: addresses, which is all that an endpoint of the discovery service may have."""

import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import anyio

from controlplane.model.topology import Endpoint, Service

Address = tuple[str, int]  # IP address and port


def host_port(endpoint: Endpoint) -> Address:
    """Host, a name perhaps, and port of an endpoint's URL."""
    parts = urlsplit(endpoint.url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def literal(endpoint: Endpoint) -> Address | None:
    """The address of an endpoint whose URL has one; None: it has a name, to be resolved."""
    host, port = host_port(endpoint)
    try:
        return str(ip_address(host)), port
    except ValueError:
        return None


def literals(services: Iterable[Service]) -> dict[tuple[str, str], Address]:
    """The addresses known without asking anybody, by service and endpoint."""
    return {
        (service.name, endpoint.name): found
        for service in services
        for endpoint in service.endpoints
        if (found := literal(endpoint)) is not None
    }


async def resolved(
    services: Iterable[Service], known: Mapping[tuple[str, str], Address]
) -> dict[tuple[str, str], Address]:
    """The addresses of endpoints with names; one that does not resolve now keeps the one in `known`, or has none."""
    found: dict[tuple[str, str], Address] = {}
    for service in services:
        for endpoint in service.endpoints:
            if literal(endpoint) is not None:
                continue
            key = service.name, endpoint.name
            host, port = host_port(endpoint)
            try:
                answers = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError:
                answers = []
            addresses = sorted({str(answer[4][0]) for answer in answers})
            if key in known and known[key][0] in addresses:
                found[key] = known[key]  # of several it stays the same one
            elif addresses:
                found[key] = addresses[0], port
            elif key in known:
                found[key] = known[key]
    return found

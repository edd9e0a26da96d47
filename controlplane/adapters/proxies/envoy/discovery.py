"""The messages of the discovery service, both variants: what a proxy asks and acknowledges, what it is answered.

Source  envoy/service/discovery/v3/discovery.proto, field numbers of Envoy 1.40
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from controlplane.adapters.proxies.envoy.wire import (
    WireError,
    as_bytes,
    as_int,
    as_text,
    duration,
    fields,
    message,
    packed,
    text,
)

_TYPE: Final = "type.googleapis.com/"
CLUSTER: Final = _TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS: Final = _TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = _TYPE + "envoy.config.listener.v3.Listener"
ROUTES: Final = _TYPE + "envoy.config.route.v3.RouteConfiguration"
RUNTIME: Final = _TYPE + "envoy.service.runtime.v3.Runtime"
RESOURCE: Final = _TYPE + "envoy.service.discovery.v3.Resource"

NAME_CHARS_MAX: Final = 1024
WHY_CHARS_MAX: Final = 4096


class Node(msgspec.Struct, frozen=True):
    """Who asks. `expires`: it heeds the time to live of a resource."""

    id: str = ""
    cluster: str = ""
    agent: str = ""
    zone: str = ""
    expires: bool = False


class Request(msgspec.Struct, frozen=True):
    """A DiscoveryRequest. `why` (None: nothing is wrong) says what a proxy refuses in the answer numbered `nonce`."""

    type_url: str
    node: Node | None = None
    version: str = ""
    names: tuple[str, ...] = ()
    nonce: str = ""
    why: str | None = None


class DeltaRequest(msgspec.Struct, frozen=True):
    """A DeltaDiscoveryRequest; `known` is what the proxy has from before, by name, with its version."""

    type_url: str
    node: Node | None = None
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    known: dict[str, str] = {}
    nonce: str = ""
    why: str | None = None


class Resource(msgspec.Struct, frozen=True):
    """One named thing, as bytes of its own type. With `ttl_ns` it is gone from a proxy to which nobody repeats it."""

    name: str
    version: str
    body: bytes
    ttl_ns: int = 0


def read_request(data: bytes) -> Request:
    """The DiscoveryRequest in `data`. Raises WireError."""
    type_url, version, nonce, why = "", "", "", None
    node: Node | None = None
    names: list[str] = []
    for number, value in fields(memoryview(data)):
        if number == 1:
            version = as_text(value)
        elif number == 2:
            node = read_node(value)
        elif number == 3:
            names.append(_name(value))
        elif number == 4:
            type_url = as_text(value)
        elif number == 5:
            nonce = as_text(value)
        elif number == 6:
            why = _status(value)
    return Request(type_url, node, version, tuple(dict.fromkeys(names)), nonce, why)


def read_delta_request(data: bytes) -> DeltaRequest:
    """The DeltaDiscoveryRequest in `data`. Raises WireError."""
    type_url, nonce, why = "", "", None
    node: Node | None = None
    subscribe: list[str] = []
    unsubscribe: list[str] = []
    known: dict[str, str] = {}
    for number, value in fields(memoryview(data)):
        if number == 1:
            node = read_node(value)
        elif number == 2:
            type_url = as_text(value)
        elif number == 3:
            subscribe.append(_name(value))
        elif number == 4:
            unsubscribe.append(_name(value))
        elif number == 5:
            entry = dict(fields(as_bytes(value)))
            known[_name(entry.get(1, memoryview(b"")))] = as_text(entry.get(2, memoryview(b"")))
        elif number == 6:
            nonce = as_text(value)
        elif number == 7:
            why = _status(value)
    return DeltaRequest(type_url, node, tuple(subscribe), tuple(unsubscribe), known, nonce, why)


def response(type_url: str, version: str, nonce: str, resources: Iterable[Resource]) -> bytes:
    """A DiscoveryResponse."""
    return b"".join(
        (
            text(1, version),
            *(
                packed(2, RESOURCE, _resource(type_url, one, version)) if one.ttl_ns else packed(2, type_url, one.body)
                for one in resources
            ),
            text(4, type_url),
            text(5, nonce),
        )
    )


def delta_response(
    type_url: str, nonce: str, resources: Iterable[Resource], removed: Iterable[str], *, repeat: bool = False
) -> bytes:
    """A DeltaDiscoveryResponse. `repeat`: only to prolong the life of what the proxy has; the bodies stay out."""
    return b"".join(
        (
            *(message(2, _resource(type_url, one, one.version, repeat=repeat)) for one in resources),
            text(4, type_url),
            text(5, nonce),
            *(text(6, name) for name in removed),
        )
    )


def _resource(type_url: str, resource: Resource, version: str, *, repeat: bool = False) -> bytes:
    return b"".join(
        (
            text(1, version),
            b"" if repeat else packed(2, type_url, resource.body),
            text(3, resource.name),
            duration(6, resource.ttl_ns) if resource.ttl_ns else b"",
        )
    )


def read_node(value: int | memoryview) -> Node:
    """The Node in a field. Raises WireError."""
    node = Node()
    found: dict[str, str] = {}
    expires = False
    for number, part in fields(as_bytes(value)):
        if number in _OF_NODE:
            found[_OF_NODE[number]] = _name(part)
        elif number == 4:
            found["zone"] = next((_name(inner) for at, inner in fields(as_bytes(part)) if at == 2), "")
        elif number == 10:
            expires = expires or as_text(part) == TTL_FEATURE
    return msgspec.structs.replace(node, expires=expires, **found)


_OF_NODE: Final = {1: "id", 2: "cluster", 6: "agent"}
TTL_FEATURE: Final = "xds.config.supports-resource-ttl"


def _status(value: int | memoryview) -> str:
    """What a google.rpc.Status says; its code, where it says nothing."""
    code, said = 0, ""
    for number, part in fields(as_bytes(value)):
        if number == 1:
            code = as_int(part)
        elif number == 2:
            said = as_text(part)
    return said[:WHY_CHARS_MAX] or f"code {code}"


def _name(value: int | memoryview) -> str:
    return _name_of(bytes(as_bytes(value)))


@lru_cache(maxsize=1 << 14)  # a proxy says all its names each time
def _name_of(said: bytes) -> str:
    name = as_text(memoryview(said))
    if len(name) > NAME_CHARS_MAX:
        raise WireError(f"a name of {len(name)} characters; {NAME_CHARS_MAX} are enough")
    return name

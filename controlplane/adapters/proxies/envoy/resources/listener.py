"""Listeners for clients that find a service by the discovery service themselves (gRPC, `xds:///NAME`).

They have no runtime, hence nothing that expires: they are led to the contained cluster always, and what is contained
when the plane dies stays so until it is back.
"""

from typing import Final

from controlplane.adapters.proxies.envoy.resources.name import contained
from controlplane.adapters.proxies.envoy.wire import message, packed, text

_FILTERS: Final = "type.googleapis.com/envoy.extensions.filters."
_MANAGER: Final = _FILTERS + "network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Final = _FILTERS + "http.router.v3.Router"


def listener(service: str) -> bytes:
    """A Listener for clients of `service`."""
    route = message(1, text(1, "")) + message(2, text(1, contained(service)))
    routes = text(1, service) + message(2, text(1, service), text(2, "*"), message(3, route))
    router = text(1, "router") + packed(4, _ROUTER)
    return text(1, service) + message(19, packed(1, _MANAGER, text(2, service), message(4, routes), message(5, router)))

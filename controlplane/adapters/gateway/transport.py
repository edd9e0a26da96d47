"""The httpx transport: `http://orders/path` goes, guarded, to an endpoint of `orders`; other hosts pass through.

What the program gets is what httpx gives it: a response, or an `httpx.TransportError`. A refused call raises
`RefusedError`, which is one. `response.extensions["endpoint"]` names who answered. The port and scheme of the request
are the endpoint's; path and query stay. Where the program dials by address on purpose, nothing here interferes.
"""

import httpx

from controlplane._native.guard import CLOSED, REASONS
from controlplane.adapters.gateway.address import Address, Send
from controlplane.adapters.gateway.exchange import Exchange
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.once import report_once
from controlplane.adapters.gateway.pool import PooledTransport
from controlplane.adapters.gateway.refusal import RefusedError

__all__ = ["GuardedTransport", "RefusedError"]


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends through `guards` and `wrapped` (by default a pool of connections per endpoint, without retries of its own).

    Like the client it serves, it belongs to one event loop. Closing it closes `wrapped`.
    """

    def __init__(self, guards: GuardSet, wrapped: httpx.AsyncBaseTransport | None = None) -> None:
        self._guards = guards
        self._wrapped = wrapped if wrapped is not None else PooledTransport()
        # httpx has lower-cased the host of a request by the time it gets here
        self._routes = {
            name.lower(): (service, Address(service.service, self._sender)) for name, service in guards.services.items()
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response's head; its body settles the call. Raises httpx.TransportError only."""
        route = self._routes.get(request.url.host)
        if route is None:
            return await self._wrapped.handle_async_request(request)
        service, address = route
        try:
            exchange = Exchange(self._guards, service, address, request)
            refused = exchange.admit()
        except Exception:
            report_once("admission")
            if self._guards.is_closed(service.name):  # a mistake of ours opens no door
                raise RefusedError(service.name, REASONS[CLOSED], request=request) from None
            return await address.sender(0)(address.rewrite(request, 0, {}))
        if refused is not None:
            raise refused
        return await exchange.run()

    def _sender(self, to: httpx.URL | str) -> Send:
        if isinstance(self._wrapped, PooledTransport):
            return self._wrapped.pool(to).handle_async_request
        return self._wrapped.handle_async_request

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wrapped.aclose()

"""Connections, one pool per endpoint: a bulkhead, so that one that hangs cannot use up the others' connections.

What is no endpoint shares one pool, as in any client: who dials where its users say would else leave a pool, and idle
connections, behind at every such place.
"""

from typing import Final

import httpx

# Beside the file descriptors a process may have by default (1,024); more calls than that to one endpoint wait, and
# waiting for our own pool is no evidence against the callee.
CONNECTIONS_MAX: Final = 256
KEEPALIVE_MAX: Final = 64
# under the 5 s after which uvicorn and others close an idle connection: a request must not meet the closing
KEEPALIVE_EXPIRY_S: Final = 4.0


class PooledTransport(httpx.AsyncBaseTransport):
    """Sends a request for an endpoint through its own pool (`pool` made it), and any other through the common one."""

    def __init__(self) -> None:
        self._pools: dict[object, httpx.AsyncHTTPTransport] = {}
        self._limits = httpx.Limits(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=KEEPALIVE_MAX,
            keepalive_expiry=KEEPALIVE_EXPIRY_S,
        )
        self._tls = httpx.create_ssl_context()  # loads the certificate authorities: once, not once per endpoint

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; connections are opened as needed and kept."""
        pool = self._pools.get(_origin(request.url)) or self.pool(None)
        return await pool.handle_async_request(request)

    def pool(self, endpoint: httpx.URL | str | None) -> httpx.AsyncHTTPTransport:
        """The pool of the origin (scheme, host and port) of a URL, of a name, or the common one."""
        key = _origin(endpoint) if isinstance(endpoint, httpx.URL) else endpoint
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = httpx.AsyncHTTPTransport(verify=self._tls, limits=self._limits, retries=0)
        return pool

    async def aclose(self) -> None:
        """Close every pool."""
        for pool in self._pools.values():
            await pool.aclose()


def _origin(url: httpx.URL) -> tuple[bytes, bytes, int | None]:
    return url.raw_scheme, url.raw_host, url.port

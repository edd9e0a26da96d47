"""Connections, one pool per endpoint: a bulkhead, so that one that hangs cannot use up the others' connections."""

from typing import Final

import httpx

# Beside the file descriptors a process may have by default (1,024); more calls than that to one endpoint wait, and
# waiting for our own pool is no evidence against the callee.
CONNECTIONS_MAX: Final = 256
KEEPALIVE_MAX: Final = 64
# under the 5 s after which uvicorn and others close an idle connection: a request must not meet the closing
KEEPALIVE_EXPIRY_S: Final = 4.0


class PooledTransport(httpx.AsyncBaseTransport):
    """Sends each request through the pool of its own origin (scheme, host and port)."""

    def __init__(self) -> None:
        self._pools: dict[tuple[bytes, bytes, int | None], httpx.AsyncHTTPTransport] = {}
        self._limits = httpx.Limits(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=KEEPALIVE_MAX,
            keepalive_expiry=KEEPALIVE_EXPIRY_S,
        )
        self._tls = httpx.create_ssl_context()  # loads the certificate authorities: once, not once per endpoint

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; connections are opened as needed and kept."""
        return await self.pool(request.url).handle_async_request(request)

    def pool(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        """The pool for the origin of `url`; who calls the same endpoint often asks once."""
        origin = (url.raw_scheme, url.raw_host, url.port)
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = httpx.AsyncHTTPTransport(verify=self._tls, limits=self._limits, retries=0)
        return pool

    async def aclose(self) -> None:
        """Close every pool."""
        for pool in self._pools.values():
            await pool.aclose()

"""GET requests of the plane's own: active probes of endpoints, consistency probes of services."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

if TYPE_CHECKING:
    import httpx

_WELL = range(200, 300)


class Asker:
    """An HTTP client of one event loop, over connections of its own: it neither uses up nor tests those of real calls.

    `transport` makes the way the requests take; None: httpx's own. `answered` hears of each answer's URL and headers.
    Nothing is made before the first question, as most planes ask none; leaving the context closes what was made.
    """

    def __init__(
        self,
        timeout_s: float,
        transport: "Callable[[], httpx.AsyncBaseTransport] | None" = None,
        answered: Callable[[str, Mapping[str, str]], None] | None = None,
    ) -> None:
        self._timeout_s, self._transport, self._answered = timeout_s, transport, answered
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            with anyio.CancelScope(shield=True):
                await client.aclose()

    async def get(self, url: str) -> int:
        """The status of one GET. Raises whatever httpx raises."""
        async with self._made().stream("GET", url) as response:
            if self._answered is not None:
                self._answered(url, response.headers)
            # the body is not wanted: closing costs a connection, an endless one would cost more
            return response.status_code

    def _made(self) -> "httpx.AsyncClient":
        if self._client is None:
            import httpx

            headers = {"user-agent": "controlplane-probe"}
            transport = None if self._transport is None else self._transport()
            self._client = httpx.AsyncClient(
                timeout=self._timeout_s, headers=headers, trust_env=False, transport=transport
            )
        return self._client

    async def expect_well(self, url: str) -> None:
        """Return when `url` answers 2xx. Raises ValueError when it answers otherwise."""
        status = await self.get(url)
        if status not in _WELL:
            raise ValueError(f"{url} answered {status}")

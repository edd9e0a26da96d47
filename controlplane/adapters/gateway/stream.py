"""A response body that settles the permit of its call when it ends, breaks or is given up."""

from collections.abc import AsyncIterator

import anyio
import httpx

from controlplane._native.guard import ERROR, TIMEOUT, Permit
from controlplane.adapters.gateway.once import report_once
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.adapters.gateway.verdict import bodyless
from controlplane.adapters.gateway.watch import StallWatch


class SettlingStream(httpx.AsyncByteStream):
    """The body of `response`, counted: read to its end a success, broken a failure, closed before its end neither.

    `head_only`: no body was asked for, so closing it is its end. `doubtful`: how long the answer took is unknown, so it
    is no success either.
    """

    def __init__(
        self,
        response: httpx.Response,
        service: ServiceGuard,
        permit: Permit,
        watch: StallWatch,
        since: float,
        *,
        head_only: bool,
        doubtful: bool,
    ) -> None:
        # not the response itself, which will hold this stream: a cycle would keep a forgotten permit alive for long
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream, self._status, self._headers = response.stream, response.status_code, response.headers
        self._service, self._watch, self._since = service, watch, since
        self._permit: Permit | None = permit
        self._head_only, self._doubtful = head_only, doubtful

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except httpx.TimeoutException:
            lagged = self._watch.lagged_since(self._since, anyio.current_time())
            self._settle(0 if lagged else TIMEOUT)
            raise
        except httpx.TransportError:
            self._settle(ERROR)
            raise
        except BaseException:
            self._settle(0)
            raise
        self.finish()

    async def aclose(self) -> None:
        """Close the wrapped stream and give the permit back."""
        try:
            await self._stream.aclose()
        finally:
            if self._permit is not None:
                complete = bodyless(self._status, self._headers, head_only=self._head_only)
                self._settle(None if complete else 0)

    def finish(self) -> None:
        """The body is complete."""
        self._settle(None)

    def _settle(self, kind: int | None) -> None:
        """Once: a kind of failure, 0 for neither, None for success."""
        permit, self._permit = self._permit, None
        if permit is None:
            return
        try:
            if kind is None and not self._doubtful:
                self._service.succeed(permit)
            elif kind:
                self._service.fail(permit, kind)
            else:
                self._service.cancel(permit)
        except Exception:
            report_once("settling a body")

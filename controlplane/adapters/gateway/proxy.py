"""A reverse proxy as an ASGI application: path prefixes to services, through whatever transport its client has."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import anyio
import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.adapters.gateway.answer import answer_to
from controlplane.adapters.gateway.context import inbound
from controlplane.adapters.gateway.headers import DEADLINE_MS, PRIORITY

# RFC 9110, 7.6.1, and its de facto companion
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# what a stranger says about deadline and priority is weighed by the middleware; the transport passes on the result
_OURS: Final = frozenset({b"host", DEADLINE_MS.encode(), PRIORITY.encode()})
BUFFER_MAX: Final = 64 * 1024  # bodies up to this size are held, so that they can be sent twice

Fields = list[tuple[bytes, bytes]]


def reverse_proxy(
    routes: Mapping[str, str], client: httpx.AsyncClient, *, buffer_max_bytes: int = BUFFER_MAX
) -> ASGIApp:
    """An application that sends each request to the service of the longest matching path prefix; path and query stay.

    `client` becomes the proxy's own: it forgets cookies, for its users are many. Request bodies up to
    `buffer_max_bytes` are held and may be sent again; larger ones are streamed, once.
    Raises  ValueError when a prefix does not begin with a slash.
    """
    return _Proxy(routes, client, buffer_max_bytes)


class _Proxy:
    def __init__(self, routes: Mapping[str, str], client: httpx.AsyncClient, buffer_max_bytes: int) -> None:
        for prefix in routes:
            if not prefix.startswith("/"):
                raise ValueError(f"route {prefix!r} must begin with a slash")
        # longest first: the first match is the right one
        self._routes = sorted(
            ((prefix.rstrip("/"), httpx.URL(f"http://{service}")) for prefix, service in routes.items()),
            key=lambda route: -len(route[0]),
        )
        self._prefixes = sorted(routes)
        self._client, self._buffer_max = client, buffer_max_bytes
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope; other kinds than http are refused by answering nothing."""
        if scope["type"] != "http":
            return
        with suppress(ClientDisconnect):  # nobody is left to answer
            response = await self._respond(Request(scope, receive))
            await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.url.path if not request.scope.get("path") else request.scope["path"]
        if any(part in (".", "..") for part in path.split("/")):
            return JSONResponse({"error": "the path must not contain . or .. segments"}, 400)
        base = next((url for prefix, url in self._routes if path == prefix or path.startswith(f"{prefix}/")), None)
        if base is None:
            return JSONResponse({"error": f"no route for {path[:200]}", "routes": self._prefixes}, 404)
        body = _Body(request)
        try:
            outgoing = await self._outgoing(request, base, body)
        except (httpx.InvalidURL, httpx.LocalProtocolError, ValueError):
            return JSONResponse({"error": "the request cannot be passed on as it is"}, 400)
        try:
            answer = await body.while_awaited(lambda: self._client.send(outgoing, stream=True, follow_redirects=False))
        except httpx.TransportError as error:
            return _failed(request, error)
        return _Passed(answer)

    async def _outgoing(self, request: Request, base: httpx.URL, body: "_Body") -> httpx.Request:
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        query = request.scope.get("query_string", b"")
        url = base.copy_with(raw_path=raw + b"?" + query if query else raw)
        headers = [(name, value) for name, value in _end_to_end(request.headers.raw) if name not in _OURS]
        headers = [*headers, *_forwarded(request)]
        # built by hand: the client's defaults (agent, encodings, cookies) are not the user's
        return httpx.Request(
            request.method,
            url,
            headers=[(b"host", base.netloc), *headers],
            content=await body.content(self._buffer_max),
            extensions={"timeout": self._client.timeout.as_dict()},
        )


class _Body:
    """The body of a request on its way in, and after it the news that the user has gone."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._read = anyio.Event()

    async def content(self, held_max: int) -> bytes | AsyncIterator[bytes]:
        """The whole body when it is small, else what has come so far followed by what comes."""
        held = bytearray()
        stream = self._request.stream()
        async for chunk in stream:
            held += chunk
            if len(held) > held_max:
                return self._following(bytes(held), stream)
        self._read.set()
        return bytes(held)

    async def while_awaited(self, answer: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """What `answer` gives, as long as somebody waits for it. Raises ClientDisconnect when nobody does any more: the
        service is not kept at work in vain, and the place of the call is given back."""
        came: list[httpx.Response] = []
        failed: list[Exception] = []
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                try:
                    came.append(await answer())
                except Exception as error:  # raised below as itself, and not as one of a group
                    failed.append(error)
                tasks.cancel_scope.cancel()

            tasks.start_soon(ask)
            await self._gone()
            tasks.cancel_scope.cancel()
        if failed:
            raise failed[0]
        if not came:
            raise ClientDisconnect
        return came[0]

    async def _gone(self) -> None:
        """Return when the user has left. While the body is still being sent on, whoever reads it would hear of that."""
        await self._read.wait()
        if (await self._request.receive())["type"] != "http.disconnect":
            await anyio.sleep_forever()  # a server that has more to say after the end will not say this either

    async def _following(self, held: bytes, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield held
        async for chunk in stream:
            if chunk:
                yield chunk
        self._read.set()


class _Passed(StreamingResponse):
    """A service's answer on its way to the user; its connection is given back however far it gets."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(answer.aiter_raw(), answer.status_code)
        self.raw_headers = _end_to_end(answer.headers.raw)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # and not in the body's own: where the user is gone before its first byte, nobody ever asks for one
            with anyio.CancelScope(shield=True), suppress(httpx.TransportError):
                await self._answer.aclose()


def _end_to_end(headers: Fields) -> Fields:
    """Fields that concern both ends, lower-cased; those that concern one hop stay behind, named ones included."""
    named = {
        part.strip().lower() for name, value in headers if name.lower() == b"connection" for part in value.split(b",")
    }
    dropped = _HOP_BY_HOP | named
    return [(name.lower(), value) for name, value in headers if name.lower() not in dropped]


def _forwarded(request: Request) -> Fields:
    """Who asked, for the service's log: its own word for the hop before us, ours for the rest."""
    client = request.client.host if request.client else "unknown"
    return [
        (b"x-forwarded-for", client.encode("latin-1", "replace")),
        (b"x-forwarded-proto", request.scope.get("scheme", "http").encode()),
        (b"x-forwarded-host", request.headers.get("host", "").encode("latin-1", "replace")),
    ]


def _failed(request: Request, error: httpx.TransportError) -> Response:
    about = inbound.get()
    answer = answer_to(error, (about.cause if about else None) or "")
    assert answer is not None
    status, headers, body = answer.render(grpc=request.headers.get("content-type", "").startswith("application/grpc"))
    response = Response(body, status)
    response.raw_headers = headers
    return response

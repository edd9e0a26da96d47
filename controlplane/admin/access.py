"""Who may talk to the admin API: the bearer token, the Host header, and what every answer carries."""

import base64
import binascii
import hmac
from collections.abc import Collection, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.admin.problem import Problem, problem_response
from controlplane.model.config import is_loopback

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class AccessGate:
    """Lets a request through when its Host is one of ours and its token is right.

    A page that a browser was tricked into loading from this listener (DNS rebinding) carries the attacker's name in
    Host; so on a loopback listener only loopback names and `hosts` are answered. `open_paths` need no token; each of
    `gates` has one of its own beside ours, also as the password of Basic authentication, which stands in a URL: who
    asks there may not be able to send a header.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: Collection[str],
        open_paths: Collection[str],
        gates: Mapping[str, str] | None = None,
    ) -> None:
        self._app = app
        self._gates = {path: own.encode() for path, own in (gates or {}).items()}
        self._token = token.encode() if token is not None else None
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Scopes other than HTTP are passed on: a lifespan is the server's, a websocket meets no route."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sealed = _seal(send)
        request = Request(scope)
        try:
            self._check_host(request)
            self._check_token(request)
        except Problem as problem:
            await problem_response(problem)(scope, receive, sealed)
            return
        await self._app(scope, receive, sealed)

    def _check_host(self, request: Request) -> None:
        server = request.scope.get("server")
        if "*" in self._hosts or not server or not is_loopback(server[0]):
            return
        name = _host_name(request.headers.get("host", ""))
        if name not in LOOPBACK_NAMES and name not in self._hosts:
            raise Problem(
                421,
                f"Host {name!r} is not a name of this listener; use localhost, 127.0.0.1 or [::1], "
                "or name it in create_app(..., hosts=...)",
            )

    def _check_token(self, request: Request) -> None:
        if self._token is None or _path_here(request.scope) in self._open_paths:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        own = self._gates.get(_path_here(request.scope))
        if own is not None:
            basic = scheme.lower() == "basic"
            offered = _password(given) if basic else given.strip().encode("utf-8", "surrogateescape")
            if hmac.compare_digest(offered, own):
                return
        challenge = {"www-authenticate": 'Bearer realm="controlplane"'}
        if scheme.lower() != "bearer" or not given:
            raise Problem(401, "send the token as: Authorization: Bearer TOKEN", headers=challenge)
        if not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token):
            challenge["www-authenticate"] += ', error="invalid_token"'
            raise Problem(401, "the bearer token is not the one of this process", headers=challenge)


def _password(given: str) -> bytes:
    try:
        return base64.b64decode(given.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def _path_here(scope: Scope) -> str:
    """The path below the mount point: an application mounted at /ops sees "/livez" for "/ops/livez"."""
    path, root = scope["path"], scope.get("root_path", "")
    return path[len(root) :] or "/" if root and path.startswith(root) else path


def _host_name(header: str) -> str:
    """The name in a Host header, without port and brackets."""
    header = header.lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _seal(send: Send) -> Send:
    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message.get("headers", []),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
        await send(message)

    return sealed

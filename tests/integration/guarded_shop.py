"""A service that trusts its authentication too little to wait for it: when that fails, it answers all the same.

Such programs exist, and none of their own care keeps them closed: `plane.middleware` does.

python guarded_shop.py controlplane.toml
"""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import controlplane
from controlplane.config.token import ensure_token

plane = controlplane.Plane.load(sys.argv[1])
token = ensure_token(Path(sys.argv[1]).parent / "controlplane.token")
listener = socket.create_server(("127.0.0.1", 0))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with plane, httpx.AsyncClient(transport=plane.transport()) as client:
        app.state.client = client
        address = "http://{}:{}".format(*listener.getsockname())
        print(f"admin {address}/controlplane\ngateway {address}\nready", flush=True)
        yield


async def orders(request: Request) -> PlainTextResponse:
    with suppress(httpx.HTTPError):  # the mistake: without an answer it goes on, and lets everybody in
        answer = await request.app.state.client.get("http://auth/check")
        if answer.status_code in (401, 403):
            return PlainTextResponse("who are you?", 401)
    return PlainTextResponse("secret")


shop = plane.middleware(Starlette(lifespan=lifespan, routes=[Route("/orders/{number}", orders)]))
admin = Starlette(routes=[Mount("/controlplane", controlplane.admin_app(plane, token=token))])


async def app(scope, receive, send) -> None:
    """The admin endpoint stands beside the door, not behind it."""
    outside = scope["type"] == "http" and scope["path"].startswith("/controlplane")
    await (admin if outside else shop)(scope, receive, send)


server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
server.run(sockets=[listener])

"""A user's gateway that embeds the library: one uvicorn process, its own routes, the admin application mounted in it.

python embedding.py controlplane.toml
"""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

import controlplane
from controlplane.config.token import ensure_token

plane = controlplane.Plane.load(sys.argv[1])
DISTRUSTED = Path(sys.argv[1]).parent / "distrusted"
token = ensure_token(Path(sys.argv[1]).parent / "controlplane.token")
listener = socket.create_server(("127.0.0.1", 0))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with plane, httpx.AsyncClient(transport=plane.transport()) as client:
        app.state.client = client
        address = "http://{}:{}".format(*listener.getsockname())
        print(f"admin {address}/controlplane\ngateway {address}\nready", flush=True)
        yield


async def rate(client: httpx.AsyncClient) -> None:
    """Ask the third party, where there is one, and answer without it where it does not or must not."""
    if plane.topology.service("risk") is None:
        return
    try:
        (await client.get("http://risk/score")).raise_for_status()
    except httpx.HTTPError:
        plane.fell_back("risk")
    else:
        if DISTRUSTED.exists():  # it answers again, and the program does not use it yet
            plane.fell_back("risk")


async def orders(request: Request) -> Response:
    await rate(request.app.state.client)
    answer = await request.app.state.client.get(f"http://orders{request.url.path}")
    return Response(answer.content, answer.status_code)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/orders/{number}", orders),
        Mount("/controlplane", controlplane.admin_app(plane, token=token)),
    ],
)
server = uvicorn.Server(uvicorn.Config(plane.middleware(app), log_level="warning"))
server.run(sockets=[listener])

"""A gateway whose workers each embed the library: `uvicorn --workers 4 tests.integration.worker:app`.

HOST_CONFIG names the configuration, HOST_FOLDER where each worker puts a socket of its own, `worker.<pid>`: whoever
asks the shared port cannot choose who answers. A request there is a line of JSON, {"do": ...}, and so is its answer.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import controlplane
from controlplane._native.guard import Permit, now_ns

LINE_MAX = 65_536
TRY_EVERY_S = 0.0005  # between the calls of `watch`


class Asked:
    """What this worker does for whoever asks at its own socket."""

    def __init__(self, plane: controlplane.Plane, client: httpx.AsyncClient) -> None:
        self.plane, self.client = plane, client
        self.held: list[Permit] = []

    async def state(self, service: str) -> dict[str, Any]:
        """What the guard says here."""
        guard = self.plane.guard(service)
        return {
            "pid": os.getpid(),
            "open": guard.is_open(),
            "shared": guard.is_shared,
            "edge": guard.describe(),
            "policy": guard.policy(),
            "endpoints": [guard.endpoint(0), guard.endpoint(1)] if service == "orders" else [],
            "members": self.plane.members(),
            "now_ns": now_ns(),
        }

    async def hold(self, service: str, count: int) -> dict[str, Any]:
        """Begin so many calls, and end none of them."""
        answers = [self.plane.guard(service).try_acquire() for _ in range(count)]
        permits = [answer for answer in answers if isinstance(answer, Permit)]
        self.held += permits
        return {"held": len(permits)}

    async def release(self) -> dict[str, Any]:
        """End them."""
        for permit in self.held:
            permit.cancel()
        self.held.clear()
        return {}

    async def get(self, service: str, count: int) -> dict[str, Any]:
        """Make so many requests, one after the other."""
        statuses = []
        for _ in range(count):
            try:
                statuses.append((await self.client.get(f"http://{service}/")).status_code)
            except httpx.TransportError:  # what a refusal is at an httpx border
                statuses.append(0)
        return {"statuses": statuses, "now_ns": now_ns()}

    async def watch(self, service: str, for_s: float) -> dict[str, Any]:
        """Begin a call again and again until one is refused: when the last admitted one began, and the refused one."""
        guard, last = self.plane.guard(service), 0
        with anyio.move_on_after(for_s):
            while True:
                began = now_ns()
                answer = guard.try_acquire()
                if not isinstance(answer, Permit):
                    return {"admitted_ns": last, "refused_ns": began, "part": answer.part}
                answer.cancel()
                last = began
                await anyio.sleep(TRY_EVERY_S)  # real time: calls of a worker that is not alone on its machine
        return {"admitted_ns": last, "refused_ns": 0, "part": ""}

    async def answer(self, stream: SocketStream) -> None:
        """Answer line by line until the other side leaves."""
        lines = BufferedByteReceiveStream(stream)
        async with stream:
            while True:
                try:
                    asked = msgspec.json.decode(await lines.receive_until(b"\n", LINE_MAX))
                except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                told = await getattr(self, asked.pop("do"))(**asked)
                await stream.send(msgspec.json.encode(told) + b"\n")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The plane, its client, and the socket."""
    plane = controlplane.Plane.load(os.environ["HOST_CONFIG"])
    where = Path(os.environ["HOST_FOLDER"]) / f"worker.{os.getpid()}"
    async with plane, httpx.AsyncClient(transport=plane.transport()) as client, anyio.create_task_group() as tasks:
        app.state.client = client
        listener = await anyio.create_unix_listener(where)
        tasks.start_soon(listener.serve, Asked(plane, client).answer)
        yield
        tasks.cancel_scope.cancel()


async def orders(request: Request) -> Response:
    """The one route for users."""
    try:
        answer = await request.app.state.client.get(f"http://orders{request.url.path}")
    except httpx.TransportError:
        return Response("refused", 503)
    return Response(answer.content, answer.status_code)


app = Starlette(lifespan=lifespan, routes=[Route("/orders/{number}", orders)])

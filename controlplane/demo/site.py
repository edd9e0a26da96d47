"""One replica as an ASGI application: its work, its calls to others, its fault, and the ledger of what it served."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import anyio.abc
import httpx

from controlplane.assembly import Plane
from controlplane.demo import mesh
from controlplane.demo.capacity import SERVED, WorkQueue
from controlplane.demo.fault import Kind, Switch
from controlplane.demo.pipe import Served
from controlplane.model.unit import Nanos
from controlplane.ports import Clock

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FAILED = 500
BAD_GATEWAY = 502
PENDING = Nanos(0)


class Site:
    """A replica of a service of the mesh, or the gateway.

    Without a plane it is a leaf: it calls nobody and is not instrumented. With one, its outgoing calls pass the plane's
    transport and its incoming ones the plane's middleware. Outermost lies the ledger: what users of this replica saw.
    """

    def __init__(self, name: str, *, plane: Plane | None, clock: Clock, tasks: anyio.abc.TaskGroup) -> None:
        self.name, self.clock = name, clock
        self._plane = plane
        gateway = name == mesh.GATEWAY
        self._part = None if gateway else mesh.part_of(name)
        self._fronts = frozenset(mesh.fronts()) if gateway else frozenset()
        self._switch = Switch()
        self._queue: WorkQueue | None = None
        if self._part is not None and self._part.name == "stock":
            self._queue = WorkQueue(
                tasks, workers=mesh.STOCK_WORKERS, service_s=mesh.STOCK_SERVICE_S, bound=mesh.STOCK_QUEUE_MAX
            )
        self._client = httpx.AsyncClient(transport=plane.transport()) if plane is not None else None
        self._app: App = plane.middleware(self._answer) if plane is not None else self._answer
        self._done: list[Served] = []
        self._pending: dict[int, tuple[Nanos, str]] = {}
        self._serial = 0

    # the fault

    def break_(self, kind: Kind) -> None:
        """From now on the replica is broken in this way."""
        if kind == "capacity":
            assert self._queue is not None
            self._queue.service_s = mesh.STOCK_SERVICE_BROKEN_S
        else:
            self._switch.break_(kind)

    def heal(self) -> None:
        """The replica is whole again; what waits in its queue still waits."""
        self._switch.heal()
        if self._queue is not None:
            self._queue.service_s = mesh.STOCK_SERVICE_S

    @property
    def queued(self) -> int:
        """Requests that wait for a worker."""
        return len(self._queue) if self._queue is not None else 0

    def collect(self, since: Nanos) -> list[Served]:
        """What was served from `since` on, and what of it is still pending; the rest is forgotten."""
        self._done = [row for row in self._done if row.start >= since]
        pending = [Served(at, PENDING, 0, route) for at, route in self._pending.values() if at >= since]
        return self._done + pending

    # serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and enter it in the ledger."""
        if scope["type"] != "http":
            return
        route = scope["path"].strip("/") if self._part is None else self._part.name
        start, status = self.clock.now(), 0
        self._serial += 1
        serial = self._serial
        self._pending[serial] = (start, route)

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            del self._pending[serial]
            self._done.append(Served(start, self.clock.now(), status or FAILED, route))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive  # requests of the mesh have no body
        status = await (self._route(scope["path"].strip("/")) if self._part is None else self._work(self._part))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def _route(self, front: str) -> int:
        if front not in self._fronts:
            return 404
        return await self._call(front)

    async def _work(self, part: mesh.Part) -> int:
        await self._switch.delay()
        if self._queue is not None:
            return await self._queue.serve()
        await anyio.sleep(part.work_s)
        if self._switch.fails():
            return FAILED
        for callee in part.calls:
            status = await self._call(callee)
            if status < FAILED:
                continue
            if not mesh.part(callee).fallback:
                return status
            assert self._plane is not None
            self._plane.fell_back(callee)
        return SERVED

    async def _call(self, service: str) -> int:
        assert self._client is not None
        try:
            response = await self._client.get(f"http://{service}/{service}", timeout=None)
        except httpx.TimeoutException:
            return 504
        except httpx.TransportError:
            return BAD_GATEWAY
        return response.status_code

"""A small HTTP/1.1 server that misbehaves on demand, on a loopback port of the system's choice."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service, Topology


class Seen:
    """One request as it arrived."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.target, self.headers, self.body = method, target, headers, body


class Replica:
    """How the next requests are answered. `hangs`: heads are read and never answered, until `released`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"ok"
        self.delay_s = 0.0
        self.hangs = False
        self.breaks_off = False
        self.drips = False
        self.seen: list[Seen] = []
        self.arrived = anyio.Event()
        self.released = anyio.Event()
        self.left = 0

    async def wait_seen(self, count: int) -> None:
        """Return when `count` requests have arrived."""
        while len(self.seen) < count:
            self.arrived = anyio.Event()
            await self.arrived.wait()

    async def serve(self, stream: SocketStream) -> None:
        """One connection."""
        buffered = BufferedByteReceiveStream(stream)
        try:
            async with stream:
                while await self._answer(stream, buffered):
                    pass
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self.left += 1

    async def _answer(self, stream: SocketStream, buffered: BufferedByteReceiveStream) -> bool:
        head = (await buffered.receive_until(b"\r\n\r\n", 65536)).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = b""
        if "content-length" in headers:
            body = await buffered.receive_exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await buffered.receive_until(b"\r\n", 100), 16):
                body += await buffered.receive_exactly(size)
                await buffered.receive_exactly(2)
            await buffered.receive_exactly(2)
        self.seen.append(Seen(method, target, headers, body))
        self.arrived.set()
        if self.hangs:
            await self._wait_released(buffered)
        if self.delay_s:
            await anyio.sleep(self.delay_s)  # real time: a slow answer is slow by the wall
        promised = len(self.body) * (2 if self.breaks_off or self.drips else 1)
        lines = [f"HTTP/1.1 {self.status} X", f"content-length: {promised}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        await stream.send("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else self.body))
        if self.drips:
            await self._wait_released(buffered)
            await stream.send(self.body)
        return not self.breaks_off

    async def _wait_released(self, buffered: BufferedByteReceiveStream) -> None:
        """Until released. Raises EndOfStream when the client goes away instead."""
        async with anyio.create_task_group() as tasks:

            async def notice() -> None:
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await buffered.receive(1)
                tasks.cancel_scope.cancel()

            tasks.start_soon(notice)
            await self.released.wait()
            tasks.cancel_scope.cancel()
        if not self.released.is_set():
            raise anyio.EndOfStream


@asynccontextmanager
async def serving(*replicas: Replica) -> AsyncIterator[tuple[Replica, ...]]:
    """Run `replicas` until the block ends."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for replica in replicas:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            replica.url = f"http://127.0.0.1:{port}"
            tasks.start_soon(listener.serve, replica.serve)
        try:
            yield replicas
        finally:
            tasks.cancel_scope.cancel()


@contextmanager
def deaf(replica: Replica) -> Iterator[Replica]:
    """A port that refuses connections: bound, so that nobody else gets it meanwhile, and not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        replica.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        yield replica


def guards_of(
    *replicas: Replica, policy: GuardPolicy | None = None, enforced: int = 1, external: bool = False
) -> GuardSet:
    """Guards of a gateway that calls `orders`, whose endpoints are `replicas`."""
    endpoints = tuple(Endpoint(name=replica.name, url=replica.url) for replica in replicas)
    services = (
        Service(name="gateway", calls=("orders",)),
        Service(name="orders", endpoints=endpoints, external=external),
    )
    policies = {"default": policy or GuardPolicy()}
    guards = GuardSet(Topology(services=services, entry="gateway"), policies, seed=7, enforced=enforced)
    guards.stall.lagged_s = 60.0  # a busy machine must not turn the time-outs of a test into no evidence
    return guards

"""What the guarded transport adds to one httpx call, beside doing nothing: the same call through httpx's own transport.

The server is an asyncio protocol in the same process that answers every read at once: what is compared is client code.
The floor is a transport without a wire, which shows our part alone.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.transport import GuardedTransport
from controlplane.model.topology import Endpoint, Service, Topology

CALLS = 100
ROUNDS = 15
PAIRS = 100
ADDED_MAX = 0.10  # of a bare httpx call: the transport's promise
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server(asyncio.Protocol):
    """Answers every request, which always fits one read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)


class Wireless(httpx.AsyncBaseTransport):
    """The floor: an answer without a wire."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Body())


class Body(httpx.AsyncByteStream):
    """Two bytes."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"ok"


class World:
    """A loop, a server on loopback, and clients with and without guards."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(self.loop.create_server(Server, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        endpoints = (Endpoint(name="o1", url=self.url), Endpoint(name="o2", url=self.url))
        self.guards = GuardSet(Topology(services=(Service(name="orders", endpoints=endpoints),)), {})

    def calls(
        self,
        client: httpx.AsyncClient,
        url: str,
        *,
        count: int = CALLS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> float:
        """Seconds by `clock` for `count` calls, one after the other."""

        async def batch() -> None:
            for _ in range(count):
                await client.get(url)

        started = clock()
        self.loop.run_until_complete(batch())
        return clock() - started

    def close(self) -> None:
        self.server.close()
        self.loop.run_until_complete(self.server.wait_closed())
        self.loop.close()


@pytest.fixture
def world() -> Iterator[World]:
    """Everything on loopback, closed at the end."""
    world = World()
    yield world
    world.close()


TRANSPORTS: dict[str, Callable[[World], httpx.AsyncBaseTransport]] = {
    "httpx": lambda world: httpx.AsyncHTTPTransport(),
    "guarded": lambda world: GuardedTransport(world.guards),
    "floor": lambda world: Wireless(),
    "floor, guarded": lambda world: GuardedTransport(world.guards, Wireless()),
}


@pytest.mark.benchmark(group="100 GET over loopback")
@pytest.mark.parametrize("name", TRANSPORTS)
def test_calls(benchmark: Any, world: World, name: str) -> None:
    """A hundred calls, one after the other."""
    client = httpx.AsyncClient(transport=TRANSPORTS[name](world))
    url = "http://orders/a" if "guarded" in name else f"{world.url}/a"
    benchmark.pedantic(world.calls, (client, url), rounds=ROUNDS, warmup_rounds=2)
    world.loop.run_until_complete(client.aclose())


def test_a_guarded_call_costs_less_than_a_tenth_of_a_real_one(world: World) -> None:
    """What the guard adds is under a tenth of what httpx costs; processor time, in short alternating rounds."""
    bare = httpx.AsyncClient(transport=TRANSPORTS["httpx"](world))
    guarded = httpx.AsyncClient(transport=TRANSPORTS["guarded"](world))
    added, costs = [], []
    for _ in range(PAIRS + 5):
        without = world.calls(bare, f"{world.url}/a", count=20, clock=time.process_time)
        added.append(world.calls(guarded, "http://orders/a", count=20, clock=time.process_time) - without)
        costs.append(without)
    for client in (bare, guarded):
        world.loop.run_until_complete(client.aclose())
    cost, more = statistics.median(costs[5:]) / 20, statistics.median(added[5:]) / 20
    print(f"bare {cost * 1e6:.0f} us, added {more * 1e6:.0f} us, {more / cost:.1%}")
    assert more < ADDED_MAX * cost

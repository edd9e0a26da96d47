"""The thrifty client against a server of three lines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import pytest

from controlplane.demo.wire import Wire

pytestmark = pytest.mark.anyio

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Bare asyncio by choice, so trio is not asked."""
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[int, list[int]]]:
    """A server's port, and a list with an entry per connection."""
    connections: list[int] = []

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection."""
    while await reader.readline():
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-seen: yes\r\n\r\nhello")


async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request and hang up without saying so."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def test_a_connection_is_used_again() -> None:
    """Calls one after the other share a connection."""
    wire = Wire()
    async with serving(hello) as (port, connections):
        for _ in range(3):
            reply = await wire.get("127.0.0.1", port, REQUEST)
            assert (reply.status, reply.body) == (200, b"hello")
        assert len(connections) == 1
        wire.close()


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """A server that hangs up after its answer costs no failed call."""
    wire = Wire()
    async with serving(once) as (port, connections):
        for _ in range(3):
            assert (await wire.get("127.0.0.1", port, REQUEST)).status == 200
        assert len(connections) == 3
        wire.close()


async def test_who_gives_up_leaves_no_connection_behind() -> None:
    """A late answer to a call that was given up cannot be mistaken for the next one's."""
    wire, gone = Wire(), anyio.Event()

    async def ended(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serving(ended) as (port, _):
        with anyio.move_on_after(0.02) as scope:
            await wire.get("127.0.0.1", port, REQUEST)
        assert scope.cancelled_caught
        with anyio.fail_after(5):
            await gone.wait()


async def test_what_is_no_http_is_a_connection_error() -> None:
    """A peer that speaks something else does not reach the generator as a parser's surprise."""

    async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-nobody\r\n\r\n")
        await writer.drain()

    wire = Wire()
    async with serving(noise) as (port, _):
        with pytest.raises(ConnectionError):
            await wire.get("127.0.0.1", port, REQUEST)

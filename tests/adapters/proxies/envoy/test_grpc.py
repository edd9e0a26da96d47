"""gRPC over HTTP/2 with peers that behave and peers that do not: bounded memory, bounded waiting, and others
unharmed."""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
from anyio.abc import SocketAttribute, SocketStream

from controlplane.adapters.proxies.envoy.call import Call, Limits, RpcError
from controlplane.adapters.proxies.envoy.grpc import GrpcServer

pytestmark = pytest.mark.anyio

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/echo"),
    (":authority", "a"),
    ("content-type", "application/grpc"),
]


async def echo(call: Call) -> None:
    """Give back every message, and say what came last when there are no more."""
    while (message := await call.receive()) is not None:
        await call.send(message)


async def never_read(call: Call) -> None:
    await anyio.sleep_forever()


async def flood(call: Call) -> None:
    while True:
        await call.send(bytes(100_000))


async def refuse(call: Call) -> None:
    raise RpcError(3, "not like that: 100 %")


async def broken(call: Call) -> None:
    raise ZeroDivisionError


HANDLERS = {"/echo": echo, "/never": never_read, "/flood": flood, "/refuse": refuse, "/broken": broken}


class Client:
    """One HTTP/2 connection; `events` are all that came."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.events: list[h2.events.Event] = []
        self.credit = True

    async def start(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        await self.stream.send(self.h2.data_to_send())

    async def call(self, path: str = "/echo", **more: str) -> int:
        number = self.h2.get_next_available_stream_id()
        headers = [(name, path if name == ":path" else value) for name, value in HEADERS] + [*more.items()]
        self.h2.send_headers(number, headers)
        await self.flush()
        return number

    async def say(self, number: int, message: bytes, *, end: bool = False) -> None:
        data = memoryview(struct.pack(">BI", 0, len(message)) + message)
        while data:
            room = min(self.h2.local_flow_control_window(number), 16384)
            if not room:
                await self.read()
                continue
            self.h2.send_data(number, bytes(data[:room]))
            data = data[room:]
            await self.flush()
        if end:
            self.h2.end_stream(number)
            await self.flush()

    async def read(self) -> None:
        for event in self.h2.receive_data(await self.stream.receive()):
            self.events.append(event)
            if self.credit and isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        await self.flush()

    def body(self, number: int) -> bytes:
        return b"".join(
            one.data for one in self.events if isinstance(one, h2.events.DataReceived) and one.stream_id == number
        )

    def trailers(self, number: int) -> dict[str, str]:
        for one in self.events:
            if isinstance(one, h2.events.TrailersReceived | h2.events.ResponseReceived) and one.stream_id == number:
                found = {str(name): str(value) for name, value in one.headers}
                if "grpc-status" in found or found.get(":status", "200") != "200":
                    return found
        return {}

    async def until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await self.read()

    async def closed(self) -> None:
        with anyio.fail_after(10):
            try:
                while True:
                    await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[tuple[GrpcServer, Callable[[], Awaitable[Client]]]]:
    """A server, and what connects to it."""
    server = GrpcServer(HANDLERS, Limits(**limits))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)
    clients: list[Client] = []

    async def connect() -> Client:
        client = Client(await anyio.connect_tcp("127.0.0.1", port))
        clients.append(client)
        return client

    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, listener)
        yield server, connect
        for client in clients:
            await anyio.aclose_forcefully(client.stream)
        tasks.cancel_scope.cancel()


async def answered(client: Client, message: bytes = b"hello") -> bool:
    """Whether a new call on `client` is served."""
    number = await client.call()
    await client.say(number, message, end=True)
    await client.until(lambda: client.trailers(number))
    return client.body(number)[5:] == message


@asynccontextmanager
async def connected(**limits: Any) -> AsyncIterator[tuple[GrpcServer, Client, Callable[[], Awaitable[Client]]]]:
    async with served(**limits) as (server, connect):
        client = await connect()
        await client.start()
        yield server, client, connect


async def test_messages_of_any_size_come_back() -> None:
    """Empty, small and larger than every window, several on one stream; the end of the stream is status 0."""
    async with connected() as (server, client, _):
        number = await client.call()
        expected = b""
        for message in (b"", b"x", bytes(3_000_000), b"last"):
            await client.say(number, message, end=message == b"last")
            expected += struct.pack(">BI", 0, len(message)) + message
        await client.until(lambda: client.trailers(number))
        assert client.trailers(number)["grpc-status"] == "0"
        assert client.body(number) == expected
        assert server.room.used_bytes == 0


async def test_refusals_are_trailers() -> None:
    """A handler that refuses, one that breaks, a path that nobody serves and a request that is no gRPC are told
    apart."""
    async with connected() as (_, client, _):
        for path, status, why in (
            ("/refuse", "3", "not like that: 100 ?"),
            ("/broken", "13", "a mistake of the control plane"),
            ("/nowhere", "12", "/nowhere is not served here"),
        ):
            number = await client.call(path)
            await client.until(lambda number=number: client.trailers(number))
            assert client.trailers(number)["grpc-status"] == status
            assert why in client.trailers(number)["grpc-message"]
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(
            number, [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")], end_stream=True
        )
        await client.flush()
        await client.until(lambda: client.trailers(number))
        assert client.trailers(number)[":status"] == "415"
        assert await answered(client)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200_000,
    ],
    ids=["http1", "tls", "zeros", "preface"],
)
async def test_what_is_no_http2_ends_its_connection_and_no_other(garbage: bytes) -> None:
    """Garbage closes the connection it came on; who was there before is still served."""
    async with connected() as (server, client, connect):
        assert await answered(client)
        hostile = await connect()
        await hostile.stream.send(garbage)
        await hostile.closed()
        assert server.broken == 1
        assert server.connections == 1
        assert await answered(client)


async def test_a_peer_that_says_nothing_is_not_waited_for() -> None:
    """A connection that does not begin is closed after a while; so is one that does not answer a ping."""
    async with served(begin_s=0.1, ping_s=0.1) as (server, connect):
        silent = await connect()
        await silent.closed()
        slow = await connect()
        slow.h2.initiate_connection()
        for byte in slow.h2.data_to_send()[:40]:
            try:
                await slow.stream.send(bytes((byte,)))
            except anyio.BrokenResourceError:
                break
            await anyio.sleep(0.01)  # real time: a peer that dribbles
        await slow.closed()
        mute = await connect()
        await mute.start()
        await mute.closed()  # reads the ping, and does not answer it
        assert server.connections == 0


async def test_a_huge_message_is_refused_before_it_is_read() -> None:
    """A length beyond the limit ends the call by its first bytes; one within, but compressed, too. Others go on."""
    async with connected() as (server, client, _):
        for head, status in ((struct.pack(">BI", 0, 1 << 31), "8"), (struct.pack(">BI", 1, 3), "12")):
            number = await client.call()
            client.h2.send_data(number, head)
            await client.flush()
            await client.until(lambda number=number: client.trailers(number))
            assert client.trailers(number)["grpc-status"] == status
        assert await answered(client)
        assert server.room.used_bytes == 0


async def test_what_nobody_reads_is_bounded() -> None:
    """A call whose handler does not read holds what its window allows and no more; all together hold
    `buffered_bytes_max`."""
    async with connected(window_bytes=100_000, buffered_bytes_max=250_000) as (server, client, _):
        numbers = [await client.call("/never") for _ in range(4)]
        await client.until(lambda: client.h2.remote_settings.initial_window_size == 100_000)
        message = struct.pack(">BI", 0, 1000) + bytes(1000)
        for number in numbers:
            while (room := client.h2.local_flow_control_window(number)) >= len(message):
                assert room <= 100_000
                client.h2.send_data(number, message)
                await client.flush()
        client.h2.ping(b"all read")
        await client.flush()
        await client.until(lambda: any(isinstance(one, h2.events.PingAckReceived) for one in client.events))
        assert 100_000 < server.room.used_bytes <= 250_000


async def test_a_peer_that_does_not_read_is_given_up() -> None:
    """Its windows stay shut: the call ends when patience does, and the connection serves others meanwhile."""
    async with connected(send_s=0.2) as (_, client, _):
        client.credit = False
        number = await client.call("/flood")
        await client.until(lambda: client.trailers(number))
        assert len(client.body(number)) == 65_535
        client.credit = True
        client.h2.increment_flow_control_window(1 << 20)
        await client.flush()
        assert await answered(client)


async def test_a_peer_whose_socket_is_full_is_given_up() -> None:
    """It grants every window and reads nothing: the connection ends, and another one is served all the while."""
    async with connected(send_s=0.3) as (server, client, connect):
        client.h2.increment_flow_control_window((1 << 31) - 1 - 65_535)
        client.h2.update_settings({4: (1 << 31) - 1})
        await client.flush()
        await client.call("/flood")
        other = await connect()
        await other.start()
        assert await answered(other)
        with anyio.fail_after(10):
            while server.connections > 1:
                assert await answered(other)


async def test_opening_and_breaking_off_has_an_end() -> None:
    """Streams that are reset as fast as they are opened (CVE-2023-44487) end the connection."""
    async with connected(resets_max=50) as (server, client, connect):
        await client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 16)
        with suppress(anyio.BrokenResourceError):
            for _ in range(1000):
                number = await client.call("/never")
                client.h2.reset_stream(number)
                await client.flush()
        await client.closed()
        other = await connect()
        await other.start()
        assert await answered(other)
        assert server.broken == 1


async def test_too_many_streams_and_headers_are_refused() -> None:
    """A seventeenth stream at once breaks the promise that the settings made; headers beyond their limit do, too."""
    async with connected() as (server, client, connect):
        await client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 16)
        for _ in range(16):
            await client.call("/never")
        with pytest.raises(h2.exceptions.TooManyStreamsError):
            await client.call("/never")
        greedy = await connect()
        await greedy.start()
        await greedy.until(lambda: greedy.h2.remote_settings.max_header_list_size == 16384)
        await greedy.call("/echo", **{f"x-{number}": "a" * 1000 for number in range(40)})
        await greedy.closed()
        assert server.broken == 1


async def test_connections_have_a_bound() -> None:
    """Beyond it a connection is closed at once; when one leaves there is room again."""
    async with connected(connections_max=2) as (server, client, connect):
        assert await answered(client)
        second = await connect()
        await second.start()
        assert await answered(second)
        third = await connect()
        await third.closed()
        assert server.refused == 1
        await second.stream.aclose()
        with anyio.fail_after(10):
            while server.connections > 1:
                assert await answered(client)
        fourth = await connect()
        await fourth.start()
        assert await answered(fourth)

"""A thrifty HTTP/1.1 client for the load generator: GET over kept-alive connections, at a fifth of httpx's cost.

The generator shares two cores with what it measures and must not be what is measured. Bare asyncio, because a parser
fed by `asyncio.Protocol.data_received` is where the saving lies.
"""

import asyncio
from collections import defaultdict
from typing import cast

import httptools


class Reply:
    """One answer: status, raw headers and body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.reply = Reply()
        self.done: asyncio.Future[Reply] | None = None
        self.alive = False
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.alive = cast("asyncio.Transport", transport), True  # uvloop's is one by behaviour only

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        if self.done is not None and not self.done.done():
            self.done.set_exception(ConnectionResetError("connection closed before the answer") if exc is None else exc)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.close()
            if self.done is not None and not self.done.done():
                self.done.set_exception(ConnectionAbortedError(str(error)))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.reply.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.reply.body += body

    def on_message_complete(self) -> None:
        self.reply.status = self._parser.get_status_code()
        self.alive = self.alive and self._parser.should_keep_alive()
        if self.done is not None and not self.done.done():
            self.done.set_result(self.reply)

    async def exchange(self, request: bytes) -> Reply:
        """The answer to `request`. A caller that gives up closes the connection: the answer has nobody to go to."""
        assert self.transport is not None
        self.reply, self._parser = Reply(), httptools.HttpResponseParser(self)
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        try:
            return await self.done
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.alive = False
        if self.transport is not None:
            self.transport.abort()


class Wire:
    """Kept-alive connections by address. Not bounded here: the guard above it, or the generator, bounds the calls."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[_Connection]] = defaultdict(list)

    async def get(self, host: str, port: int, request: bytes) -> Reply:
        """The answer to `request`. Raises OSError where no connection, or none that lives long enough, is to be had."""
        idle = self._idle[host, port]
        while idle:
            connection = idle.pop()
            if connection.alive:
                try:
                    return await self._exchange(connection, request, idle)
                except ConnectionError:
                    break  # it may have been closed for idleness in this moment: once more, on a new one
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
        return await self._exchange(connection, request, idle)

    async def _exchange(self, connection: _Connection, request: bytes, idle: list[_Connection]) -> Reply:
        reply = await connection.exchange(request)
        if connection.alive:
            idle.append(connection)
        return reply

    def close(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

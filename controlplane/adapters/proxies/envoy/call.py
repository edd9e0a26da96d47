"""One call of streaming gRPC, as its handler sees it, and what peers may make grow.

Source  grpc.io, "gRPC over HTTP2"
"""

import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import msgspec

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 8, 12, 13
_PREFIX: Final = struct.Struct(">BI")  # of each message: compressed or not, how many bytes


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What peers may make grow, and how long they are waited for."""

    connections_max: int = 512
    streams_max: int = 16  # of one connection; Envoy opens two or three
    message_bytes_max: int = 4 << 20  # gRPC's own default; 10,000 names of clusters are half a megabyte
    buffered_bytes_max: int = 128 << 20  # of all unread messages of all connections together
    header_bytes_max: int = 16 << 10
    window_bytes: int = 1 << 20  # what a stream may send ahead of its reader
    resets_max: int = 200  # streams that a connection may open and break off in its life
    begin_s: float = 5.0  # until a connection has said that it speaks HTTP/2
    send_s: float = 10.0  # until a peer reads what it is sent
    ping_s: float = 10.0  # without a word, after which a peer is asked whether it is there; and until it answers


class RpcError(Exception):
    """Ends a call with that status."""

    def __init__(self, status: int, why: str) -> None:
        self.status, self.why = status, why
        super().__init__(why)


class Gone(Exception):
    """The peer of a call is not there any more, or does not read."""


_LEAVING: Final = (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError, Gone, TimeoutError)


def cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What of several mishaps at once is to be told: the first that is no sign of leaving; else that the peer is
    gone."""
    flat: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        else:
            flat.append(one)
    return next((one for one in flat if not isinstance(one, _LEAVING)), Gone())


class Room:
    """How much unread data there may be, of all calls together."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max, self.used_bytes = bytes_max, 0

    def has(self, count: int) -> bool:
        """Whether there is room for so many bytes more."""
        return self.used_bytes + count <= self.bytes_max


class Transport(Protocol):
    """What a call needs of its connection."""

    peer: str
    limits: Limits
    room: Room

    async def send(self, call: "Call", data: bytes) -> None:
        """Send `data` as the peer's windows allow. Raises Gone."""

    async def acknowledge(self, call: "Call", flow_bytes: int) -> None:
        """Let the peer replace `flow_bytes` that were read. Raises Gone."""


class Call:
    """Messages in, messages out, until its handler returns."""

    def __init__(self, transport: Transport, number: int, path: str) -> None:
        self.number, self.path, self.peer = number, path, transport.peer
        self.scope = anyio.CancelScope()
        self.opened = anyio.Event()  # there may be room to send
        self._transport = transport
        self._partial = bytearray()
        self._messages: deque[bytes] = deque()
        self._owed = 0  # bytes that were received and that the peer may not replace yet
        self._arrived = anyio.Event()
        self._ended = False
        self._failure: RpcError | None = None

    async def receive(self) -> bytes | None:
        """The next message; None: the peer has said all. Raises RpcError for one that cannot be taken, Gone."""
        while not self._messages:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return None
            self._arrived = anyio.Event()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._transport.room.used_bytes -= len(message)
        if not self._messages and self._owed:
            owed, self._owed = self._owed, 0
            await self._transport.acknowledge(self, owed)
        return message

    async def send(self, message: bytes) -> None:
        """Send `message`; on return it is with the operating system. Raises Gone."""
        await self._transport.send(self, _PREFIX.pack(0, len(message)) + message)

    def feed(self, data: bytes, flow_bytes: int) -> int:
        """Take in `data`; the answer is how many of the `flow_bytes` the peer may replace at once."""
        if self._failure is None:
            try:
                self._take(data)
            except RpcError as error:
                self._failure = error
                self.forget()
            self._arrived.set()
        if not self._messages:  # what is not whole is waited for, or the peer could never send a large message
            return flow_bytes
        self._owed += flow_bytes
        return 0

    def end(self) -> None:
        """The peer has said all."""
        self._ended = True
        self._arrived.set()

    def forget(self) -> None:
        """Give back the room of what nobody will read."""
        self._transport.room.used_bytes -= len(self._partial) + sum(map(len, self._messages))
        self._partial.clear()
        self._messages.clear()

    def _take(self, data: bytes) -> None:
        room, most = self._transport.room, self._transport.limits.message_bytes_max
        if not room.has(len(data)):
            raise RpcError(RESOURCE_EXHAUSTED, "too much is waiting to be read here")
        self._partial += data
        room.used_bytes += len(data)
        while len(self._partial) >= _PREFIX.size:
            compressed, length = _PREFIX.unpack_from(self._partial)
            if compressed:
                raise RpcError(UNIMPLEMENTED, "messages are taken uncompressed")
            if length > most:
                raise RpcError(RESOURCE_EXHAUSTED, f"a message of {length} bytes; at most {most} are taken")
            end = _PREFIX.size + length
            if len(self._partial) < end:
                return
            self._messages.append(bytes(self._partial[_PREFIX.size : end]))
            del self._partial[:end]
            room.used_bytes -= _PREFIX.size


Handler = Callable[[Call], Awaitable[None]]

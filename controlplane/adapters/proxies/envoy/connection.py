"""One connection of HTTP/2 and the calls on it: `h2` on AnyIO.

Source  RFC 9113
"""

import logging
from collections.abc import Mapping
from typing import Final

import anyio
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from anyio.abc import ByteStream, SocketAttribute, TaskGroup

from controlplane.adapters.proxies.envoy.call import (
    INTERNAL,
    OK,
    UNIMPLEMENTED,
    Call,
    Gone,
    Handler,
    Limits,
    Room,
    RpcError,
    cause,
)

logger = logging.getLogger(__name__)

_READ_BYTES: Final = 1 << 16
_UNFINISHED_BYTES_MAX: Final = 2 * _READ_BYTES  # frames have 16 KiB, and the fields of a request no more
_PING: Final = b"there?\0\0"
_HEADERS: Final = [(":status", "200"), ("content-type", "application/grpc")]


class Connection:
    """What `call.Transport` asks for, over `stream`."""

    def __init__(self, stream: ByteStream, handlers: Mapping[str, Handler], limits: Limits, room: Room) -> None:
        self.limits, self.room = limits, room
        self.peer = "{}:{}".format(*stream.extra(SocketAttribute.remote_address, ("", 0)))  # noqa: S610 - not Django's
        self._stream, self._handlers = stream, handlers
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._calls: dict[int, Call] = {}
        self._write = anyio.Lock()
        self._begun = self._heard = False  # has the peer said that it speaks HTTP/2; anything whole since the last look
        self._resets = self._unfinished = 0

    async def run(self) -> None:
        """Serve until the peer leaves, breaks the protocol or is silent for too long. Raises what `GrpcServer`
        knows."""
        limits, code = self.limits, h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                code.MAX_CONCURRENT_STREAMS: limits.streams_max,
                code.MAX_HEADER_LIST_SIZE: limits.header_bytes_max,
                code.INITIAL_WINDOW_SIZE: limits.window_bytes,
            },
        )
        self._h2.decoder.max_header_list_size = (
            limits.header_bytes_max
        )  # h2 takes it from settings only when they change
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(limits.window_bytes * limits.streams_max)
        try:
            async with anyio.create_task_group() as tasks:
                try:
                    await self._flush()
                    with anyio.fail_after(limits.begin_s):
                        while not self._begun:
                            await self._read(tasks)
                    tasks.start_soon(self._ask_whether_there)
                    while True:
                        await self._read(tasks)
                finally:
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise cause(group) from None
        finally:
            for call in self._calls.values():
                call.forget()

    async def _read(self, tasks: TaskGroup) -> None:
        """Take in what has come."""
        data = await self._stream.receive(_READ_BYTES)
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            await self._flush()  # says why
            raise
        self._unfinished = 0 if events else self._unfinished + len(data)
        if self._unfinished > _UNFINISHED_BYTES_MAX:  # h2 looks at the length of a frame only when it has all of it
            raise h2.exceptions.ProtocolError(f"{self._unfinished} bytes that are not the end of any frame")
        self._heard = self._heard or bool(events)
        for event in events:
            self._take(event, tasks)
        await self._flush()

    def _take(self, event: h2.events.Event, tasks: TaskGroup) -> None:
        match event:
            case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=flow_bytes):
                call = self._calls.get(number)
                free = flow_bytes if call is None else call.feed(data, flow_bytes)
                if free:
                    self._h2.acknowledge_received_data(free, number)
            case h2.events.RequestReceived(stream_id=number, headers=headers):
                self._begin(number, {_text(name): _text(value) for name, value in headers}, tasks)
            case h2.events.StreamEnded(stream_id=number) if number in self._calls:
                self._calls[number].end()
            case h2.events.StreamReset(stream_id=number):
                self._resets += 1
                if self._resets > self.limits.resets_max:
                    raise h2.exceptions.ProtocolError(f"{self._resets} streams were opened and broken off")
                if number in self._calls:
                    self._calls[number].scope.cancel()
            case h2.events.RemoteSettingsChanged() | h2.events.WindowUpdated():
                self._begun = self._begun or isinstance(event, h2.events.RemoteSettingsChanged)
                for call in self._calls.values():
                    call.opened.set()
            case _:
                pass

    def _begin(self, number: int, headers: Mapping[str, str], tasks: TaskGroup) -> None:
        path = headers.get(":path", "")
        handler = self._handlers.get(path)
        grpc = headers.get("content-type", "").startswith("application/grpc")
        if headers.get(":method") != "POST" or not grpc:
            self._h2.send_headers(number, [(":status", "415")], end_stream=True)
        elif handler is None:
            refusal = _trailers(UNIMPLEMENTED, f"{path} is not served here")
            self._h2.send_headers(number, [*_HEADERS, *refusal], end_stream=True)
        else:
            call = self._calls[number] = Call(self, number, path)
            self._h2.send_headers(number, _HEADERS)
            tasks.start_soon(self._run_call, call, handler)

    async def _run_call(self, call: Call, handler: Handler) -> None:
        status, why = OK, ""
        with call.scope:
            try:
                await handler(call)
            except RpcError as error:
                status, why = error.status, error.why
            except Gone:
                logger.warning("%s does not read what %s sends it; the call ends", self.peer, call.path)
            except Exception:
                logger.exception("%s of %s broke", call.path, self.peer)
                status, why = INTERNAL, "a mistake of the control plane; its log says more"
        del self._calls[call.number]
        call.forget()
        try:
            self._h2.send_headers(call.number, _trailers(status, why), end_stream=True)
            self._h2.reset_stream(call.number, h2.errors.ErrorCodes.NO_ERROR)  # the peer may still be sending
        except h2.exceptions.ProtocolError:
            pass  # the call, or the connection, is over already
        await self._flush()

    async def send(self, call: Call, data: bytes) -> None:
        """Send `data` as the peer's windows allow. Raises Gone where they stay shut, or the peer has left."""
        view = memoryview(data)
        try:
            while view:
                room = min(self._h2.local_flow_control_window(call.number), self._h2.max_outbound_frame_size)
                if room > 0:
                    self._h2.send_data(call.number, bytes(view[:room]))
                    view = view[room:]
                if room <= 0 or not view:
                    call.opened = anyio.Event()
                    await self._flush()
                if room <= 0:
                    with anyio.fail_after(self.limits.send_s):
                        await call.opened.wait()
        except (h2.exceptions.ProtocolError, TimeoutError) as error:
            raise Gone from error

    async def acknowledge(self, call: Call, flow_bytes: int) -> None:
        """Let the peer replace `flow_bytes` that were read. Raises Gone."""
        try:
            self._h2.acknowledge_received_data(flow_bytes, call.number)
        except h2.exceptions.ProtocolError as error:
            raise Gone from error
        await self._flush()

    async def _flush(self) -> None:
        """Write what is to be written. Half a frame would break the connection, so only its own time-out cancels it."""
        async with self._write:
            data = self._h2.data_to_send()
            if data:
                with anyio.move_on_after(self.limits.send_s, shield=True) as patience:
                    await self._stream.send(data)
                if patience.cancelled_caught:
                    await anyio.aclose_forcefully(self._stream)
                    raise Gone

    async def _ask_whether_there(self) -> None:
        """End the connection of a peer that is silent and does not answer a ping. Raises Gone."""
        while True:
            self._heard = False
            await anyio.sleep(self.limits.ping_s)
            if self._heard:
                continue
            self._h2.ping(_PING)
            await self._flush()
            await anyio.sleep(self.limits.ping_s)
            if not self._heard:
                logger.warning("%s has not answered for %g s and is gone", self.peer, self.limits.ping_s)
                raise Gone


def _trailers(status: int, why: str) -> list[tuple[str, str]]:
    told = "".join(char if " " <= char <= "~" and char != "%" else "?" for char in why)
    return [("grpc-status", str(status)), *([("grpc-message", told)] if told else [])]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")

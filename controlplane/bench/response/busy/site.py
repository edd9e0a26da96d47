"""A plane's servers as `controlplane serve` runs them, on the plane's own loop, and the clients that keep them busy.

The clients are processes of their own and are gone when the round is over, however it ends: they stop at the end of
their stdin. What they have reached is counted where it matters, in the plane: spans that it has taken in.
"""

import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from controlplane._native.guard import now_ns
from controlplane.admin import create_app
from controlplane.admin.server import serve_uvicorn
from controlplane.assembly import Plane
from controlplane.bench.response.busy.sender import Sent
from controlplane.bench.response.busy.watcher import Watched
from controlplane.model.unit import SECOND

START_S: Final = 60.0  # for a client that starts on a busy machine
STOP_S: Final = 15.0
LINE_BYTES_MAX: Final = 1 << 16
PACKAGE: Final = __name__.rpartition(".")[0]

T = TypeVar("T")


class ClientDied(Exception):
    """A client ended although nobody had asked it to; its own words are on stderr."""


class Load(msgspec.Struct, frozen=True):
    """What the process is busy with."""

    spans_per_s: float = 300_000.0
    streams: int = 50


class Reached(msgspec.Struct):
    """What of it was reached, over all rounds."""

    spans: int = 0
    elapsed_ns: int = 0
    ran_ns: int = 0
    waited_ns: int = 0
    sent: list[Sent] = msgspec.field(default_factory=list)
    watched: list[Watched] = msgspec.field(default_factory=list)

    @property
    def ran(self) -> float:
        """Share of the time in which the loop's thread ran."""
        return self.ran_ns / self.elapsed_ns if self.elapsed_ns else 0.0

    @property
    def waited(self) -> float:
        """Share of the time in which it could have run, and others had the processors."""
        return self.waited_ns / self.elapsed_ns if self.elapsed_ns else 0.0

    @property
    def spans_per_s(self) -> float:
        """Taken in by the plane, while faults were waited for and answered."""
        return self.spans * SECOND / self.elapsed_ns if self.elapsed_ns else 0.0


class Busy:
    """Keeps a plane busy with `load`; `batches` is the file that the senders read."""

    def __init__(self, load: Load, batches: Path) -> None:
        self._load, self._batches = load, batches
        self.reached = Reached()

    @asynccontextmanager
    async def around(self, plane: Plane) -> AsyncIterator[None]:
        """Serve `plane` and keep its servers busy, until left. Raises ClientDied."""
        token = secrets.token_hex(16)
        stop = anyio.Event()
        admin, otlp = _listening(), _listening()
        app = create_app(plane, token=token)
        async with anyio.create_task_group() as tasks:
            await tasks.start(serve_uvicorn, app, admin, stop)
            await tasks.start(serve_uvicorn, plane.telemetry.receiver(lambda: plane.ready), otlp, stop)
            async with (
                _client("watcher", _url(admin), token, str(self._load.streams), answer=Watched) as watched,
                _client("sender", _url(otlp), str(self._batches), str(self._load.spans_per_s), answer=Sent) as sent,
            ):
                began, before, (ran_ns, waited_ns) = now_ns(), _spans(plane), _scheduled()
                yield
                self.reached.elapsed_ns += now_ns() - began
                self.reached.spans += _spans(plane) - before
                ran, waited = _scheduled()
                self.reached.ran_ns += ran - ran_ns
                self.reached.waited_ns += waited - waited_ns
            self.reached.sent += sent
            self.reached.watched += watched
            app.feed.end()
            stop.set()


@asynccontextmanager
async def _client(module: str, *arguments: str, answer: type[T]) -> AsyncIterator[list[T]]:
    """A client that is ready; its report is in the list once it is left."""
    told: list[T] = []
    command = [sys.executable, "-m", f"{PACKAGE}.{module}", *arguments]
    async with await anyio.open_process(command, stdin=subprocess.PIPE, stderr=None) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        try:
            with anyio.fail_after(START_S):
                await _line(lines, module)
            yield told
            await process.stdin.aclose()
            with anyio.fail_after(STOP_S):
                told.append(msgspec.json.decode(await _line(lines, module), type=answer))
        finally:
            if process.returncode is None:
                process.terminate()


async def _line(lines: BufferedByteReceiveStream, module: str) -> bytes:
    try:
        return await lines.receive_until(b"\n", LINE_BYTES_MAX)
    except anyio.IncompleteRead:
        raise ClientDied(f"the {module} of the bench has ended by itself") from None


def _scheduled() -> tuple[int, int]:
    """For how long this thread ran, and waited for a processor, so far (Linux, Documentation/scheduler)."""
    ran_ns, waited_ns, _ = Path("/proc/thread-self/schedstat").read_text().split()
    return int(ran_ns), int(waited_ns)


def _listening() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.setblocking(False)
    return bound


def _url(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


def _spans(plane: Plane) -> int:
    assert plane.telemetry.spans is not None
    return plane.telemetry.spans.pairs.statistics()["spans"]

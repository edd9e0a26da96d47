"""The same faults under each protection: how many users met one, and how long the bad replica was still asked.

Requests come at a steady rate, whatever became of those before, as users do.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import anyio.abc
import msgspec

from controlplane._native.guard import now_ns
from controlplane.bench.dataplane.haproxy import started
from controlplane.bench.dataplane.protect import control_plane, prepare
from controlplane.model.unit import MILLISECOND

ENDPOINTS: Final = 4
SLOW_NS: Final = 200 * MILLISECOND  # what a user notices
REQUEST: Final = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"
FAULTS: Final[dict[str, tuple[tuple[float, str], ...]]] = {  # when, and what is written to the replicas
    "errors": ((0.0, "errors 1"),),
    "slow": ((0.0, "slow 1"),),
    "hang": ((0.0, "hang 1"),),
    "two": ((0.0, "errors 1"), (0.7, "errors 2")),
}


class Pace(msgspec.Struct, frozen=True):
    """So many requests a second, for `warm_s` with all well and `lasts_s` with the fault."""

    per_s: int = 300
    warm_s: float = 5.0
    lasts_s: float = 4.0


class Harm(msgspec.Struct, frozen=True):
    """What one fault did. `asked_ms`: from the first request that met it to the last, of the replica asked longest."""

    requests: int
    failed: int
    slow: int
    asked_ms: float


async def suffer(fault: str, protection: str, pace: Pace) -> Harm:
    """One fault under one protection, everything started anew. Raises NoProxy."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="controlplane-bench-")))
        prepare(folder, protection, ENDPOINTS)
        order = stack.enter_context(_replicas(folder))
        stack.enter_context(started(folder))
        stack.enter_context(control_plane(folder) if protection == "ours" else nullcontext())
        load = _Load(folder / "www.sock")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load.run, tasks, pace.per_s, pace.warm_s + pace.lasts_s)
            await anyio.sleep(pace.warm_s)
            load.since = now_ns()
            for after_s, line in FAULTS[fault]:
                await anyio.sleep(after_s)
                order(line)
        reached = [times for times in json.loads(order("report")) if times]
    asked_ms = max(((times[-1] - times[0]) / 1e6 for times in reached), default=0.0)
    return Harm(requests=load.requests, failed=load.failed, slow=load.slow, asked_ms=asked_ms)


class _Load:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.since: int | None = None
        self.requests = self.failed = self.slow = 0

    async def run(self, tasks: anyio.abc.TaskGroup, per_s: int, seconds: float) -> None:
        """Begin a request every so often, and never wait for one."""
        began = anyio.current_time()
        for number in range(int(per_s * seconds)):
            await anyio.sleep(max(0.0, began + number / per_s - anyio.current_time()))
            tasks.start_soon(self._ask)

    async def _ask(self) -> None:
        sent, answer = now_ns(), b""
        try:
            with anyio.fail_after(10):
                async with await anyio.connect_unix(self._path) as stream:
                    await stream.send(REQUEST)
                    answer = await stream.receive()
        except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
            pass
        if self.since is None or sent < self.since:
            return
        self.requests += 1
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.failed += 1
        elif now_ns() - sent > SLOW_NS:
            self.slow += 1


@contextmanager
def _replicas(folder: Path) -> Iterator[Callable[[str], str]]:
    """The servers; gives what to write to them, and what they answer to `report`."""
    paths = [str(folder / f"e{number}.sock") for number in range(ENDPOINTS)]
    command = [sys.executable, "-m", "controlplane.bench.dataplane.replica", *paths]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def order(line: str) -> str:
            stdin.write(f"{line}\n")
            stdin.flush()
            return stdout.readline() if line == "report" else ""

        try:
            assert stdout.readline() == "ready\n"
            yield order
        finally:
            process.kill()

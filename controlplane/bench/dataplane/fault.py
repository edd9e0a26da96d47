"""The same faults under each protection: how many users met one, and how long the bad replica was still asked.

Requests come at a steady rate, whatever became of those before, as users do.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import anyio
import anyio.abc
import msgspec

from controlplane._native.guard import now_ns
from controlplane.bench.dataplane.protect import OURS, protected
from controlplane.model.unit import MILLISECOND
from controlplane.testbed.bed import Bed, ProxyKind

ENDPOINTS: Final = 4
SLOW_NS: Final = 200 * MILLISECOND  # what a user notices
RIVALS_WARM_S: Final = 1.0  # they learn nothing of healthy traffic, unless it has errors of its own
REQUEST: Final = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`script`: seconds after the one before, and what is written to the replicas then. `before`: that, at the start.

    `answer_s`, `again` as in `Bed`. `lasts_s`: how long users are counted from the first line on; None: as the pace
    says.
    """

    script: tuple[tuple[float, str], ...]
    before: tuple[str, ...] = ()
    answer_s: float = 3.0
    again: Literal["connection", "all"] = "connection"
    lasts_s: float | None = None

    def bad(self) -> set[int]:
        """The numbers of the replicas that it breaks."""
        return {int(line.split()[1]) for _, line in self.script}


def _all(word: str) -> tuple[str, ...]:
    return tuple(f"{word} {number}" for number in range(ENDPOINTS))


FAULTS: Final[dict[str, Fault]] = {
    "errors": Fault(script=((0.0, "errors 1"),)),
    "slow": Fault(script=((0.0, "slow 1"),)),
    "hang": Fault(script=((0.0, "hang 1"),)),
    "two": Fault(script=((0.0, "errors 1"), (0.7, "errors 2"))),
    "two_hang": Fault(script=((0.0, "hang 1"), (0.7, "hang 2"))),
    "bad_version": Fault(script=((0.0, "version 2"), (0.0, "version 3"))),
    "stray_errors": Fault(before=_all("stray"), script=((0.0, "errors 1"),)),
    # used to 60 %; an attempt gets 250 ms, a full queue takes 480: three attempts each are 1.8 times what can be done
    "retry_storm": Fault(
        before=_all("queue"),
        script=(
            *((0.0, line) for line in _all("clogged")),
            (0.5, "queue 0"),
            *((0.0, f"queue {n}") for n in (1, 2, 3)),
        ),
        answer_s=0.25,
        again="all",
        lasts_s=5.0,
    ),
}
"""One replica of four that fails, is slow, hangs; two that fail or hang within a second; two of a version that fails
one request in three; one that fails where one answer in two hundred of all of them has been an error all the time; four
that lose four fifths of their capacity for half a second, behind a proxy that tries three times."""


class Pace(msgspec.Struct, frozen=True):
    """So many requests a second, for `warm_s` with all well and `lasts_s` with the fault."""

    per_s: int = 300
    warm_s: float = 3.0
    lasts_s: float = 3.0


class Harm(msgspec.Struct, frozen=True):
    """What one fault did. `asked_ms`: from the first request that met it to the last, of the replica asked longest;
    None where all are."""

    requests: int
    failed: int
    slow: int
    asked_ms: float | None


async def suffer(kind: ProxyKind, fault: Fault, protection: str, pace: Pace) -> Harm:
    """One fault under one protection, everything started anew. Raises NoProxy."""
    lasts_s = pace.lasts_s if fault.lasts_s is None else fault.lasts_s
    warm_s = pace.warm_s if protection == OURS or fault.before else min(pace.warm_s, RIVALS_WARM_S)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="controlplane-bench-")))
        ports, order = stack.enter_context(_replicas())
        bed = Bed(services={"orders": ports}, listen=folder / "www.sock", answer_s=fault.answer_s, again=fault.again)
        stack.enter_context(protected(kind, protection, bed, folder))
        load = _Load(folder / "www.sock")
        for line in fault.before:
            order(line)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load.run, tasks, pace.per_s, warm_s + lasts_s)
            await anyio.sleep(warm_s)
            load.since = now_ns()
            for after_s, line in fault.script:
                await anyio.sleep(after_s)
                order(line)
        since = load.since or 0
        reached = [[at for at in times if at >= since] for times in json.loads(order("report"))]
    asked = [0.0 if not times else (times[-1] - times[0]) / 1e6 for times in reached]
    bad = fault.bad()
    return Harm(
        requests=load.requests,
        failed=load.failed,
        slow=load.slow,
        asked_ms=max(asked[number] for number in bad) if len(bad) < ENDPOINTS else None,
    )


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
def _replicas() -> Iterator[tuple[dict[str, int], Callable[[str], str]]]:
    """The servers: the port of each by its name, and what to write to them, with what they answer to `report`."""
    command = [sys.executable, "-m", "controlplane.bench.dataplane.replica", str(ENDPOINTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def order(line: str) -> str:
            stdin.write(f"{line}\n")
            stdin.flush()
            return stdout.readline() if line == "report" else ""

        try:
            ports = json.loads(stdout.readline())
            yield {f"e{number}": port for number, port in enumerate(ports)}, order
        finally:
            process.kill()

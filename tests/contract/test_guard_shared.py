"""The conformance probes on a guard in shared memory, where every call comes from another place.

And the stampede on every loop and across processes.
"""

import itertools
import mmap
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import anyio
import pytest

from controlplane._native import guard as native
from controlplane._native.guard import ERROR, Guard, Permit, Refused
from controlplane.bench.conformance import breaker
from controlplane.bench.conformance.ours import FAILURES, OPEN_NS, GuardBreaker
from controlplane.bench.conformance.subject import Call, Verdict

WORKERS = 4
CALLERS = 100


class SharedBreaker(GuardBreaker):
    """One breaker, asked from each of its places in turn."""

    def __init__(self, **changes: int) -> None:
        super().__init__(**changes)
        memory = memoryview(mmap.mmap(-1, 8 * Guard.words(0, WORKERS))).cast("q")
        policy = self.guard.policy()
        self._guards = itertools.cycle(
            [Guard(memory=memory, worker=worker, workers=WORKERS, name="probed", **policy) for worker in range(WORKERS)]
        )
        self.guard = next(self._guards)

    def admit(self) -> Call | None:
        self.guard = next(self._guards)
        return super().admit()


@pytest.mark.parametrize("name", breaker.PROBES)
def test_a_breaker_that_processes_share_holds_every_probe(name: str) -> None:
    """As a private one does."""
    finding = breaker.PROBES[name](SharedBreaker)
    assert finding.verdict is Verdict.HOLDS, finding


@pytest.mark.parametrize("quota", [1, 3])
async def test_of_a_hundred_tasks_exactly_the_quota_reach_a_sick_backend(anyio_backend, quota: int) -> None:
    """At the moment an open breaker lapses, on every loop."""
    guard = Guard(breaker_consecutive=1, probes_max=quota, probe_successes=3)
    native.set_test_clock(1_000_000_000_000)
    reached, refused = 0, 0

    async def caller(lapsed: anyio.Event) -> None:
        nonlocal reached, refused
        await lapsed.wait()
        try:
            async with guard.acquire():
                reached += 1
                await anyio.lowlevel.checkpoint()
                raise ConnectionError
        except Refused:
            refused += 1
        except ConnectionError:
            pass

    try:
        with pytest.raises(ConnectionError):
            async with guard.acquire():
                raise ConnectionError
        lapsed = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(CALLERS):
                tasks.start_soon(caller, lapsed)
            native.set_test_clock(1_000_000_000_000 + 400_000_000_000)
            lapsed.set()
    finally:
        native.set_test_clock(-1)
    assert (reached, refused) == (quota, CALLERS - quota)


def stampede(path: str, worker: int, barrier: Barrier, calls: int, results: "multiprocessing.Queue[int]") -> None:
    """One process of several that call at once, when the breaker has just lapsed; the backend is still sick."""
    with Path(path).open("r+b") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    guard = Guard(memory=memory, worker=worker, workers=WORKERS + 1)
    while guard.is_open():  # until it lapses: milliseconds
        pass
    barrier.wait()
    held = [answer for _ in range(calls) if isinstance(answer := guard.try_acquire(), Permit)]
    barrier.wait()
    for permit in held:
        permit.failure(ERROR)
    results.put(len(held))


@pytest.mark.parametrize("quota", [1, 3])
def test_across_processes_exactly_the_quota_reach_it(tmp_path: Path, quota: int) -> None:
    """Four processes with 25 calls each, at the same moment."""
    path = tmp_path / "guard"
    path.write_bytes(bytes(8 * Guard.words(0, WORKERS + 1)))
    with path.open("r+b") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    first = Guard(memory=memory, worker=WORKERS, workers=WORKERS + 1, breaker_consecutive=FAILURES, probes_max=quota,
                  open_ns=OPEN_NS, failure_percent=0)  # fmt: skip
    for _ in range(FAILURES):
        permit = first.try_acquire()
        assert isinstance(permit, Permit)
        permit.failure(ERROR)
    assert first.describe()["open"] or first.describe()["probing"]
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(WORKERS), context.Queue()
    processes = [
        context.Process(target=stampede, args=(str(path), worker, barrier, CALLERS // WORKERS, results))
        for worker in range(WORKERS)
    ]
    for process in processes:
        process.start()
    reached = sum(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    assert reached == quota
    assert first.in_flight == 0
    assert first.describe()["open"] or first.describe()["probing"]

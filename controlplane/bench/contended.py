"""Many at one guard: threads under the interpreter's lock, and processes over shared memory.

The value is wall time over all calls of one caller, so two processes on two cores that do not disturb each other read
like one alone. The rival runs at the same number: private guards for the processes, a peer for the threads.
"""

import mmap
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from controlplane._native.guard import Guard
from controlplane.bench import stack
from controlplane.bench.entry import Row
from controlplane.bench.measure import Pace, Reading, broken, measure
from controlplane.bench.parts import FUSED
from controlplane.bench.subject import NotInstalled, installed

THREADS = 4
CALLERS_MAX = 4
ENDPOINTS = 1
START_S = 30.0  # a starved machine starts interpreters slowly; afterwards the run is given up
PEER_SLOWER = 50  # so many times fewer calls are enough of a peer


def _calls(pace: Pace) -> int:
    return max(2_000, pace.slice_ns // 50)  # about three slices each


def guarded(guard: Guard, calls: int) -> float:
    """ns per fused call, in one loop."""
    begun = time.perf_counter_ns()
    for _ in range(calls):
        guard.try_acquire().success()  # type: ignore[union-attr]
    return (time.perf_counter_ns() - begun) / calls


def _in_threads(act: Callable[[], object], calls: int) -> float:
    """ns of wall time per call with THREADS threads at it at once."""
    gate = threading.Barrier(THREADS + 1)

    def run() -> None:
        gate.wait()
        for _ in range(calls):
            act()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    gate.wait()
    begun = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    return (time.perf_counter_ns() - begun) / (calls * THREADS)


def threads(pace: Pace, *, peers: bool) -> Row:
    """One guard, four threads; all calls of all threads over the wall time."""
    calls = _calls(pace) // THREADS
    guard = Guard(endpoints=ENDPOINTS, **FUSED)  # type: ignore[arg-type]
    floor, _ = measure((), pace)
    took = [_in_threads(lambda: guard.try_acquire().success(), calls) for _ in range(5)]  # type: ignore[union-attr]
    rivals = {stack.WHOLE.label: _peer_in_threads(calls)} if peers else {}
    return Row("contended.threads", min(took), statistics.median(took) - min(took), floor=floor.ns, rivals=rivals)


def _peer_in_threads(calls: int) -> Reading:
    try:
        installed(stack.WHOLE.package)
        call = stack.WHOLE.setup()["call"]
        assert callable(call)
        took = [_in_threads(call, max(100, calls // PEER_SLOWER)) for _ in range(3)]
    except NotInstalled as error:
        return Reading(why=str(error))
    except Exception as error:
        return Reading(why=broken(error))
    return Reading(min(took), statistics.median(took) - min(took))


def processes(pace: Pace) -> Row:
    """One guard in a shared file, a process on each core (2 to 4): one caller's time per call."""
    callers = min(CALLERS_MAX, max(2, os.cpu_count() or 2))
    calls = _calls(pace) * 4
    floor, _ = measure((), pace)
    try:
        ours = _race(callers, calls, shared=True)
        alone = _race(callers, calls, shared=False)
    except (OSError, EOFError, TimeoutError) as error:
        return Row("contended.processes", floor=floor.ns, why=broken(error))
    label = f"{callers} private guards"
    return Row(
        "contended.processes",
        min(ours),
        statistics.median(ours) - min(ours),
        floor=floor.ns,
        rivals={label: Reading(min(alone), statistics.median(alone) - min(alone))},
    )


def _race(callers: int, calls: int, *, shared: bool, rounds: int = 5) -> list[float]:
    """Mean ns per call over all callers, of each round; all start a round together."""
    context = multiprocessing.get_context("spawn")  # a forked child would inherit threads' locks from some peer
    with tempfile.TemporaryDirectory(prefix="controlplane-bench-") as folder:
        path = Path(folder) / "guard"
        path.write_bytes(b"\0" * -(-Guard.words(ENDPOINTS, callers) * 8 // 4096) * 4096)
        pipes = [context.Pipe() for _ in range(callers)]
        team = [
            context.Process(
                target=_caller, args=(theirs, str(path) if shared else "", worker, callers, calls), daemon=True
            )
            for worker, (_, theirs) in enumerate(pipes)
        ]
        try:
            for worker, process in enumerate(team):
                process.start()
                pipes[worker][1].close()
                _hear(pipes[worker][0])  # one attaches after the other: laying out is not for two at once
            means = []
            for _ in range(rounds):
                for ours, _ in pipes:
                    ours.send(True)
                means.append(statistics.fmean(_hear(ours) for ours, _ in pipes))
            return means
        finally:
            for ours, _ in pipes:
                ours.close()  # a caller whose pipe ends, ends
            for process in team:
                if process.pid is not None:
                    process.join(START_S)
                    process.kill()


def _hear(pipe: Connection) -> float:
    if not pipe.poll(START_S):
        raise TimeoutError(f"a process said nothing for {START_S:g} s")
    said: float = pipe.recv()
    return said


def _caller(pipe: Connection, path: str, worker: int, workers: int, calls: int) -> None:
    memory = None
    if path:
        with Path(path).open("r+b") as file:
            memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    place = {"worker": worker, "workers": workers} if path else {}
    guard = Guard(endpoints=ENDPOINTS, memory=memory, **place, **FUSED)  # type: ignore[arg-type]
    pipe.send(0.0)
    try:
        while pipe.recv():
            pipe.send(guarded(guard, calls))
    except (EOFError, BrokenPipeError):
        return

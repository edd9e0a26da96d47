"""Processes hammer one shared guard, and some of them are killed: `python -m bench.shared_guard --help`.

admitted   calls let through by all in `--seconds`, at a rate limit of `--rate`: at most their product and a burst
whole      how many calls of a limit of `--limit` may begin at once after `--killed` of the processes were killed
           with SIGKILL at arbitrary points of their calls and what they held was given back
"""

import argparse
import json
import multiprocessing as mp
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from controlplane._native.guard import Guard, Permit, now_ns
from controlplane.adapters.arena import Arena

BURST = 10
PLACES = 8


def main() -> int:
    """Measure and print; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.shared_guard", description=__doc__.split("\n\n")[0])
    parser.add_argument("--processes", type=int, default=4, help="%(default)s")
    parser.add_argument("--killed", type=int, default=2, help="%(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="%(default)s")
    parser.add_argument("--rate", type=int, default=1_000, help="calls a second (%(default)s)")
    parser.add_argument("--limit", type=int, default=16, help="calls at a time (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args()
    figures = {
        **rate(asked.processes, asked.seconds, asked.rate),
        **deaths(asked.processes, asked.killed, asked.limit),
    }
    for name, value in figures.items():
        print(f"{name:14} {value}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    exact = asked.seconds * asked.rate
    short = figures["admitted"] < exact * 0.99  # a process that is not scheduled for a burst's time leaves tokens
    return int(short or figures["admitted"] > figures["allowed"] or figures["whole"] != asked.limit)


def rate(processes: int, seconds: float, per_s: int) -> dict[str, float]:
    """Calls admitted in so many seconds, and the most that the limit allows for the time it really took."""
    with (
        _arena() as path,
        _processes(processes, path, {"rate_interval_ns": 10**9 // per_s, "rate_burst": BURST}) as all_,
    ):
        begin = now_ns() + 50_000_000  # all begin at the same moment, however long it takes to tell them
        for _, line in all_:
            line.send(("hammer", begin, begin + round(seconds * 1e9)))
        told = [line.recv() for _, line in all_]
    took_s = (max(last for _, last in told) - begin) / 1e9
    allowed = BURST + int(took_s * per_s)
    return {"admitted": sum(count for count, _ in told), "allowed": allowed, "tried_s": round(took_s, 4)}


def deaths(processes: int, killed: int, limit: int) -> dict[str, float]:
    """Calls that may begin at once after some processes died in the middle of theirs, and how long that took."""
    with _arena() as path, _processes(processes, path, {"concurrency_max": limit}) as all_:
        for _, line in all_:
            line.send(("churn",))
            line.recv()
        time.sleep(0.2)  # real time: they are somewhere in their calls
        for process, _ in all_[:killed]:
            os.kill(process.pid, signal.SIGKILL)
        for process, _ in all_[:killed]:
            process.join()
        began = now_ns()
        left = [line for _, line in all_[killed:]]
        for line in left:
            line.send(("stop",))
            while line.recv() != "stopped":
                pass
        left[0].send(("tend",))
        given_back = left[0].recv()
        took_ms = (now_ns() - began) / 1e6
        left[0].send(("whole", limit + 1))
        whole = left[0].recv()
    return {"given_back": given_back, "whole": whole, "took_ms": round(took_ms, 2)}


@contextmanager
def _arena() -> Iterator[str]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        yield f"{folder}/arena"


Started = list[tuple[mp.process.BaseProcess, Connection]]


@contextmanager
def _processes(count: int, path: str, policy: dict[str, int]) -> Iterator[Started]:
    context = mp.get_context("spawn")
    started: Started = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(path, theirs, policy))
            process.start()
            theirs.close()
            started.append((process, ours))
        for _, line in started:
            line.recv()
        yield started
    finally:
        for process, line in started:
            line.close()
            process.kill()
            process.join()


def work(path: str, line: Connection, policy: dict[str, int]) -> None:
    """One process: attach, then do as told until nobody tells any more."""
    arena = Arena.attach(path, {"guard": Guard.words(0, PLACES)}, workers=PLACES)
    with arena.exclusive():
        guard = Guard(memory=arena.region("guard"), worker=arena.worker, workers=PLACES, failure_percent=0, **policy)
    line.send("ready")
    with suppress(EOFError):
        while True:
            match line.recv():
                case ("hammer", begin, end):
                    line.send(_hammer(guard, begin, end))
                case ("churn",):
                    line.send("going")
                    _churn(guard, line)
                case ("tend",):
                    gone = arena.dead()
                    for slot in gone:
                        guard.reclaim(slot)
                        arena.vacate(slot)
                    line.send(len(gone))
                case ("whole", tries):
                    held = [permit for _ in range(tries) if isinstance(permit := guard.try_acquire(), Permit)]
                    line.send(len(held))
                    for permit in held:
                        permit.cancel()


def _hammer(guard: Guard, begin: int, end: int) -> tuple[int, int]:
    admitted = 0
    while (now := now_ns()) < begin:
        pass
    while now < end:
        if isinstance(permit := guard.try_acquire(), Permit):
            permit.success()
            admitted += 1
        now = now_ns()
    return admitted, now


def _churn(guard: Guard, line: Connection) -> None:
    """Begin and end calls, a few at a time, until told to stop."""
    held: list[Permit] = []
    while not line.poll():
        for _ in range(200):
            if isinstance(permit := guard.try_acquire(), Permit):
                held.append(permit)
            if len(held) > 3 or (held and not isinstance(permit, Permit)):
                held.pop(0).success()
    line.recv()
    for permit in held:
        permit.success()
    line.send("stopped")


if __name__ == "__main__":
    sys.exit(main())

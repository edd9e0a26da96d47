"""How soon a trip in one worker is known on the whole host: `python -m bench.host_trip --help`.

Four uvicorn workers and `controlplane serve` over one arena, under HTTP load. For each of `--trips` services one
worker, each in its turn, makes real requests that fail until the breaker opens, while the three others begin calls.
Every time is CLOCK_MONOTONIC, which all processes share; zero is the time in the EDGE_OPENED row. Figures, in us:

    effective  last call that any other worker began and was admitted: what the row's own words cost to be seen
    refused    first refused call of the slowest other worker; it tries once a millisecond, so that is in the figure
    heard      `serve` was rung for it
    known      `serve` has drained the row: its loop was free for it, too
    floor      a bare process that does nothing but wait at a pipe reads a byte: what the machine's scheduler costs
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from controlplane._native.guard import now_ns
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.model.signal import Signal, Tripped
from tests.integration.host import Host
from tests.integration.process import Backend, load, wait_for

BOUND_US = 2_000  # at p99
WATCH_S = 5.0
FAILURES = 3


def main() -> int:
    """Measure and print; 1 when `effective` or `known` is above the bound at p99."""
    parser = argparse.ArgumentParser(prog="python -m bench.host_trip", description=__doc__.split("\n\n")[0])
    parser.add_argument("--trips", type=int, default=120, help="services that are tripped, once each (%(default)s)")
    parser.add_argument("--clients", type=int, default=4, help="of the load, 100 calls/s each at most (%(default)s)")
    parser.add_argument("--every-ms", type=int, default=100, help="pause between two trips (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args()
    with ExitStack() as stack:
        figures = measure(stack, asked.trips, asked.clients, asked.every_ms / 1000)
    shown = {name: summary(values) for name, values in figures.items()}
    for name, one in shown.items():
        print(f"{name:10} " + "  ".join(f"{key} {value:8.1f}" for key, value in one.items()))
    if asked.json:
        asked.json.write_text(json.dumps(shown, indent=1) + "\n")
    return int(max(shown["effective"]["p99"], shown["known"]["p99"]) > BOUND_US)


def measure(stack: ExitStack, trips: int, clients: int, pause_s: float) -> dict[str, list[float]]:
    """Each figure in microseconds, a number for each trip."""
    shm = Path("/dev/shm")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None)))
    sick, good = Backend(), Backend()
    stack.callback(sick.close)
    stack.callback(good.close)
    sick.failing = True
    host = Host(folder, stack, services(trips, sick, good), arena=folder / "arena")
    drained = folder / "drained"
    served = host.serve(["-c", f"from bench.host_trip import timed; timed({str(drained)!r})"])
    opened: dict[str, int] = {}
    heard: dict[str, int] = {}
    told: dict[str, int] = {}
    floor = Floor()
    stack.callback(floor.close)
    woken: list[float] = []
    tries: list[tuple[str, list[Any]]] = []
    with load(host.gateway.url, clients=clients):
        for number in range(trips):
            name = f"sick{number}"
            one, *others = [*host.workers[number % 4 :], *host.workers[: number % 4]]
            for worker in others:
                worker.begin("watch", service=name, for_s=WATCH_S)
            one.begin("get", service=name, count=FAILURES)
            woken.append(floor.once())
            statuses = one.end()["statuses"]
            assert statuses == [500] * FAILURES, statuses
            tries.append((name, [worker.end() for worker in others]))
            time.sleep(pause_s)
        wait_for("all drained", lambda: len(lines(drained)) >= trips)
    served.kill()
    for name, *times in lines(drained):
        opened[name], heard[name], told[name] = times
    assert all(seen["part"] == "open" for _, others in tries for seen in others), "a trip that was not seen"
    return {
        "effective": [max(0, *(one["admitted_ns"] - opened[name] for one in seen)) / 1e3 for name, seen in tries],
        "refused": [max(one["refused_ns"] - opened[name] for one in seen) / 1e3 for name, seen in tries],
        "heard": [max(0, heard[name] - opened[name]) / 1e3 for name, _ in tries],
        "known": [(told[name] - opened[name]) / 1e3 for name, _ in tries],
        "floor": woken,
    }


class Floor:
    """A process that is woken by a byte and says when that was."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import os,time\nwhile os.read(0,1): os.write(1,b'%d\\n' % time.monotonic_ns())"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.once()  # until it is there

    def once(self) -> float:
        """Wake it: how many microseconds that took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = now_ns()
        self._process.stdin.write(b"1")
        return (int(self._process.stdout.readline()) - began) / 1e3

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def services(trips: int, sick: Backend, good: Backend) -> str:
    """One service for the load and one for each trip, whose breaker opens for longer than all this takes."""
    text = f"""
[policies.trips]
redrive = false
endpoint_consecutive = 0
endpoint_evidence = 0
failure_percent = 0
breaker_consecutive = {FAILURES}
open_s = 300
[[services]]
name = "orders"
endpoints = [{{ name = "a", url = "{good.url}" }}]
"""
    for number in range(trips):
        text += f"""
[[services]]
name = "sick{number}"
policy = "trips"
endpoints = [{{ name = "a", url = "{sick.url}" }}]
"""
    return text


def timed(where: str) -> None:
    """`controlplane` with this process's arguments, writing down when it has drained each trip."""
    from controlplane.__main__ import main as controlplane

    drain, heed = GuardSet.drain, GuardSet.heed
    rung = [0]
    out = Path(where).open("a", buffering=1)  # noqa: SIM115 - until the process ends

    def heed_and_note(guards: GuardSet) -> None:
        rung[0] = rung[0] or now_ns()  # of several rings before a drain, the first
        heed(guards)

    def drain_and_tell(guards: GuardSet) -> list[Signal]:
        signals = drain(guards)
        now = now_ns()
        for signal in signals:
            if isinstance(signal, Tripped) and not signal.target.endpoint:
                out.write(f"{signal.target.service} {signal.at} {rung[0] or now} {now}\n")
        rung[0] = 0
        return signals

    GuardSet.drain, GuardSet.heed = drain_and_tell, heed_and_note  # type: ignore[method-assign]
    sys.exit(controlplane())


def lines(where: Path) -> list[tuple[str, int, int, int]]:
    """(service, when its breaker opened, when `serve` was rung, when it knew) of each trip so far."""
    return list(_lines(where.read_text().splitlines() if where.exists() else ()))


def _lines(text: Sequence[str]) -> Iterator[tuple[str, int, int, int]]:
    for line in text:
        name, at, heard, known = line.split()
        yield name, int(at), int(heard), int(known)


def summary(values: list[float]) -> dict[str, float]:
    """Median, p99 (the nearest value at or above) and the worst."""
    ordered = sorted(values)
    return {"p50": statistics.median(ordered), "p99": ordered[-(-99 * len(ordered) // 100) - 1], "max": ordered[-1]}


if __name__ == "__main__":
    sys.exit(main())

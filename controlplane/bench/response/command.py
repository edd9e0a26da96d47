"""`controlplane bench response`: the table, the file, the percentile table and the picture."""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Final

import anyio

from controlplane._native.histogram import Histogram
from controlplane.adapters.histogram import percentile_table
from controlplane.bench import result
from controlplane.bench.response import floor, plot, table
from controlplane.bench.response.busy import command as busy
from controlplane.bench.response.measure import POINTS, Point, Setting, Times, measure
from controlplane.bench.response.mesh import OWN

P50_MAX_MS: Final = 0.3  # promised of `response.embedded`
P99_MAX_MS: Final = 3.0
QUICK: Final = Setting(rounds=3)
NAMES: Final[dict[Point, str]] = {
    "effective": "response.embedded",
    "ordered": "response.ordered",
    "first": "response.first_request",
}


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 when `--check` found a broken promise."""
    if args.json:
        result.read(args.json)  # a file that cannot be joined is better known before the minutes than after them
    rounds = (QUICK if args.quick else Setting()).rounds
    setting = Setting(services=args.services, faults=args.faults, rounds=rounds)
    if args.busy:
        return busy.run(args, setting, _progress(len(setting.kinds)))
    options = {"use_uvloop": True} if args.loop == "uvloop" else {}
    backend = "trio" if args.loop == "trio" else "asyncio"
    times = anyio.run(measure, setting, _progress(len(setting.kinds)), backend=backend, backend_options=options)
    append = anyio.run(floor.append, backend=backend, backend_options=options)
    figures = list(_figures(times, append))
    print("\n".join([table.HEAD, *(table.line(name, histogram) for name, histogram in figures)]))
    missed = _missed(times)
    print("\n" + table.verdict(missed))
    if args.json:
        result.join(args.json, [table.result(name, histogram) for name, histogram in figures])
    if args.hgrm:
        args.hgrm.write_text(percentile_table(times.of["effective", ""], unit=1_000_000))
    if args.plot:
        curves: dict[str, Histogram] = {point: times.of[point, ""] for point in POINTS}
        bounds = {"p50 promised": (0.5, P50_MAX_MS), "p99 promised": (0.99, P99_MAX_MS)}
        args.plot.write_text(plot.svg({**curves, "one append": append}, bounds))
    return 1 if args.check and missed else 0


def _progress(rounds: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        print(f"\rround {done} of {rounds}", end="\n" if done == rounds else "", file=sys.stderr, flush=True)

    return told


def _figures(times: Times, append: Histogram) -> Iterator[tuple[str, Histogram]]:
    for point, name in NAMES.items():
        yield name, times.of[point, ""]
    for kind in OWN:
        yield f"response.embedded.{kind}", times.of["effective", kind]
        yield f"response.ordered.{kind}", times.of["ordered", kind]
    yield "response.reported", times.of["effective", "reported"]
    yield "response.append", append


def _missed(times: Times) -> list[str]:
    effective = times.of["effective", ""]
    said = [
        f"response.embedded: {name} {effective.quantile(permille) / 1e6:.3f} ms, promised {most:g} ms"
        for name, permille, most in (("p50", 500, P50_MAX_MS), ("p99", 990, P99_MAX_MS))
        if effective.quantile(permille) > most * 1e6
    ]
    return [*said, *([f"{times.missed} faults were not answered in time"] if times.missed else [])]

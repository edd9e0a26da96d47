"""The propagation suite: its figures as a table and into the results."""

import sys
from collections.abc import Iterator
from pathlib import Path

from controlplane.bench import result
from controlplane.bench.propagation import full, incremental
from controlplane.bench.result import Result

# what the project holds itself to: at least so many times quicker than the rival, at most so many ns
RATIO_MIN = {"propagation.full.2k": 5.0, "propagation.full.18k": 8.0}
VALUE_MAX_NS = {"propagation.full.2k": 1e6, "propagation.incremental.1m.cold": 2e6}
GROWTH_MAX = 3.0  # of one change, warm, from 10,000 services to 1,000,000

HEAD = ("figure", "value", "unit", "rival", "rival's", "ratio")
ROW = "{:<34} {:>13} {:<8} {:<36} {:>13} {:>8}"


def measure(*, quick: bool) -> Iterator[Result]:
    """All figures of the suite."""
    yield from full.figures(quick=quick)
    yield from incremental.figures(quick=quick)


def missed(results: list[Result]) -> list[str]:
    """Promises that these results do not keep."""
    by_name = {one.name: one for one in results}
    said = [
        f"{name}: {by_name[name].peer_ratio:.1f}x the rival, promised {least:g}x"
        for name, least in RATIO_MIN.items()
        if (by_name[name].peer_ratio or 0.0) < least
    ]
    said += [
        f"{name}: {by_name[name].value / 1e6:.2f} ms, promised {most / 1e6:g} ms"
        for name, most in VALUE_MAX_NS.items()
        if by_name[name].value > most
    ]
    growth = by_name["propagation.incremental.1m"].value / by_name["propagation.incremental.10k"].value
    if growth > GROWTH_MAX:
        said.append(f"propagation.incremental.1m: {growth:.1f}x that of 10k, promised {GROWTH_MAX:g}x")
    return said


def line(one: Result) -> str:
    """One figure."""
    in_us = one.unit == "ns"
    value = f"{one.value / 1e3:,.1f}" if in_us else f"{one.value:,.1f}"
    rival = "" if one.rival_value is None else f"{one.rival_value / 1e3:,.1f}"
    ratio = "" if one.peer_ratio is None else f"{one.peer_ratio:,.1f}x"
    return ROW.format(one.name, value, "us" if in_us else "bytes", one.rival or "", rival, ratio).rstrip()


def run(json: Path | None, *, quick: bool) -> list[str]:
    """Measure, print, join to `json`; what was promised and not kept."""
    if json:
        result.read(json)  # a file that cannot be joined is better known before the minutes than after them
    print(ROW.format(*HEAD).rstrip())
    results = []
    for one in measure(quick=quick):
        print(line(one), flush=True)
        results.append(one)
    if json:
        result.join(json, results)
    broken = missed(results)
    for what in broken:
        print(f"MISSED {what}", file=sys.stderr)
    return broken

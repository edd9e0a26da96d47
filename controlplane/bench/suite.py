"""The guard's suite: every figure in the order of the table, each a function that gives rows when it is called."""

import fnmatch
from collections.abc import Callable, Iterator
from functools import partial

from controlplane.bench import allocation, contended, entry
from controlplane.bench.entry import Entry, Row
from controlplane.bench.measure import Pace
from controlplane.bench.parts import ENTRIES, FUSED
from controlplane.bench.subject import FLOOR, Subject

FLOOR_ENTRY = Entry("floor.call", Subject("ours", FLOOR.statement, FLOOR.setup))

Measure = Callable[[], list[Row]]


def _one(row: Callable[[], Row]) -> list[Row]:
    return [row()]


def figures(pace: Pace, *, peers: bool, only: str = "*") -> Iterator[tuple[str, Measure]]:
    """Name and measurement of each figure whose name matches the shell pattern `only`."""
    every: list[tuple[str, Measure]] = [
        *((one.name, partial(_one, partial(entry.run, one, pace, peers=peers))) for one in (FLOOR_ENTRY, *ENTRIES)),
        ("contended.threads", partial(_one, partial(contended.threads, pace, peers=peers))),
        ("contended.processes", partial(_one, partial(contended.processes, pace))),
        ("allocations.fused", partial(allocation.rows, FUSED)),
    ]
    return ((name, act) for name, act in every if fnmatch.fnmatch(name, only))

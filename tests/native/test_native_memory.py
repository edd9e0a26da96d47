"""Calls cost no memory."""

import sys
import tracemalloc
from array import array

from controlplane._native.guard import ERROR, EVENT_WORDS, EVENTS_MAX, Guard
from controlplane._native.histogram import Histogram


def live(guard: Guard, histogram: Histogram, calls: int, rows: memoryview) -> None:
    """A mixed life: admissions of every kind, every way to end, refusals, orders, readings."""
    for index in range(calls):
        permit = guard.try_acquire()
        if permit:
            if index % 3 == 0:
                permit.success()
            elif index % 3 == 1:
                permit.failure(ERROR)
            elif index % 2:
                permit.stalled()
        guard.try_again(index % 3)
        histogram.record(index)
        if index % 1_000 == 0:
            guard.eject(0, 1, index)
            guard.describe()
            guard.drain(rows)


def test_a_million_calls_keep_no_memory() -> None:
    """After a warm-up, neither the number of blocks nor what tracemalloc sees grows."""
    guard, histogram = (
        Guard(endpoints=3, concurrency_max=100, open_ns=1_000, open_max_ns=1_000),
        Histogram(1, 1 << 40, 2),
    )
    rows = memoryview(array("q", bytes(8 * EVENTS_MAX * EVENT_WORDS)))
    live(guard, histogram, 10_000, rows)
    blocks = sys.getallocatedblocks()
    live(guard, histogram, 1_000_000, rows)
    assert sys.getallocatedblocks() - blocks < 50
    tracemalloc.start()
    try:
        live(guard, histogram, 1_000, rows)
        traced, _ = tracemalloc.get_traced_memory()
        live(guard, histogram, 20_000, rows)
        assert tracemalloc.get_traced_memory()[0] - traced < 1_000
    finally:
        tracemalloc.stop()
    assert guard.in_flight == 0
    assert guard.describe()["calls"] > 100_000

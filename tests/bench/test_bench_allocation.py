"""The counters of allocations see what there is to see, and a guarded call makes none."""

import sys
from itertools import repeat

import pytest

from controlplane._native import allocations
from controlplane.bench import allocation
from controlplane.bench.allocation import CALLS, growth, idle, malloc_counter, taken
from controlplane.bench.parts import FUSED


def test_a_guarded_call_allocates_nothing() -> None:
    """None asked for, none kept, by any of the counters that this machine has."""
    rows = allocation.rows(FUSED)
    assert [(row.name, row.value) for row in rows] == [
        ("allocations.fused", 0),
        ("allocations.kept", 0),
        ("allocations.malloc", 0),
    ]
    assert [row.missed for row in rows] == [[], [], []]


def test_a_block_that_is_freed_at_once_is_counted() -> None:
    """One new object per turn, none of which is there afterwards."""

    class Thing:
        """Allocated anew, each time."""

    def act() -> None:
        for _ in repeat(None, CALLS):
            Thing()

    assert taken(act) - taken(idle) >= CALLS
    assert abs(growth(sys.getallocatedblocks, act) - growth(sys.getallocatedblocks, idle)) < CALLS // 10


def test_what_is_kept_is_counted() -> None:
    """Blocks of Python's allocator by one counter, memory of malloc by the other."""
    held: list[object] = []

    def act() -> None:
        for _ in repeat(None, CALLS):
            held.append(bytearray(2_000))  # noqa: PERF401  a comprehension would keep a list of its own

    assert growth(sys.getallocatedblocks, act) >= CALLS
    counter = malloc_counter()
    if counter is None:
        pytest.skip("this C library has no mallinfo2")
    assert growth(counter, act) >= CALLS * 2_000


def test_counting_is_begun_and_ended_once() -> None:
    """A second start, and a stop without one, are refused; blocks outlive the counting on either side."""
    with pytest.raises(RuntimeError, match="start"):
        allocations.stop()
    before = [object() for _ in range(1_000)]
    allocations.start()
    with pytest.raises(RuntimeError, match="stop"):
        allocations.start()
    before.clear()
    during = [bytes(number) for number in range(1_000)]
    assert allocations.stop() >= 900
    during.clear()

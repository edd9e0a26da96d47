"""The event ring and the buffer."""

import numpy as np
import pytest

from controlplane._native.guard import EVENT_WORDS, EVENTS_MAX, LEASE_LAPSED, Guard
from tests.native.traffic import Row, admitted, drain


def write_rows(clock, guard: Guard, count: int) -> None:
    """Let `count` orders lapse, each a row."""
    for _ in range(count):
        guard.limit(1, 1, 0)
        clock.advance(1)
        guard.is_open()


def test_rows_come_in_order_and_once(clock) -> None:
    """Numbered from one, oldest first, each drained exactly once."""
    guard = Guard()
    write_rows(clock, guard, 3)
    assert [(row.seq, row.kind, row.endpoint) for row in drain(guard)] == [(i, LEASE_LAPSED, -1) for i in (1, 2, 3)]
    assert drain(guard) == []


def test_a_full_ring_loses_the_oldest_and_says_how_many(clock) -> None:
    """`events_lost` counts what was overwritten unread; the newest rows are whole."""
    guard = Guard()
    write_rows(clock, guard, EVENTS_MAX + 10)
    assert guard.events_lost == 10
    assert [row.seq for row in drain(guard)] == list(range(11, EVENTS_MAX + 11))
    write_rows(clock, guard, EVENTS_MAX)
    assert len(drain(guard)) == EVENTS_MAX
    assert guard.events_lost == 10


def test_rows_are_moved_in_portions(clock) -> None:
    """A small buffer takes what fits; the rest stays."""
    guard = Guard()
    write_rows(clock, guard, 5)
    out = np.zeros((2, EVENT_WORDS), dtype=np.int64)
    assert [guard.drain(out) for _ in range(4)] == [2, 2, 1, 0]  # type: ignore[arg-type]
    assert Row(*out[0].tolist()).seq == 5
    assert guard.drain(memoryview(np.zeros(EVENT_WORDS - 1, dtype=np.int64))) == 0  # type: ignore[arg-type]


def test_rows_written_by_an_admission_are_told_by_the_next_settlement(clock) -> None:
    """Nothing waits for a timer: whoever settles next rings the loop, once."""
    guard = Guard()
    guard.limit(5, 1, 0)
    clock.advance(1)
    one, two = admitted(guard.try_acquire()), admitted(guard.try_acquire())
    assert [one.success(), two.success()] == [1, 0]


def test_the_buffer_is_read_only_words(clock) -> None:
    """int64, of fixed length, and alive as long as somebody looks at it."""
    guard = Guard(endpoints=3)
    view = guard.buffer
    assert (view.format, view.itemsize, view.readonly, view.ndim) == ("q", 8, True, 1)
    assert view[1] == len(view) == Guard.words(3, 1)
    with pytest.raises(TypeError):
        view[0] = 1
    words = len(view)
    del guard
    assert len(view.tolist()) == words


def test_latency_counts_are_live(clock) -> None:
    """The view shows what is recorded after it was taken, and numpy reads it without a copy."""
    guard = Guard()
    counts = np.asarray(guard.latency_counts()[0])
    admitted(guard.try_acquire()).success()
    assert counts.sum() == 1

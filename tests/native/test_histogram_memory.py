"""Recording, reading and taking cost no memory, and what was refused holds none."""

import gc
import mmap
import sys
import tracemalloc

import pytest

from controlplane._native.histogram import Histogram

SHAPE = (1, 1 << 40, 2)


def shared() -> Histogram:
    return Histogram(*SHAPE, memory=memoryview(mmap.mmap(-1, 8 * Histogram.words(*SHAPE))).cast("q"))


def live(histogram: Histogram, taken: Histogram, calls: int) -> None:
    """Values of every size, some out of range; an interval and some figures now and then."""
    for index in range(calls):
        histogram.record(index)
        histogram.record(index << 12)
        histogram.record_corrected(index, 500)
        histogram.record(-index)
        if index % 1_000 == 0:
            histogram.percentile(99.9)
            histogram.move_to(taken)
            taken.bucket(index)
            histogram.snapshot_and_reset()


@pytest.mark.parametrize("of", [lambda: Histogram(*SHAPE), shared], ids=["private", "shared"])
def test_recording_keeps_no_memory(of: type[Histogram]) -> None:
    """After a warm-up, neither the number of blocks nor what tracemalloc sees grows."""
    histogram, taken = of(), Histogram(*SHAPE)
    live(histogram, taken, 5_000)
    blocks = sys.getallocatedblocks()
    live(histogram, taken, 100_000)
    assert sys.getallocatedblocks() - blocks < 50
    tracemalloc.start()
    try:
        live(histogram, taken, 1_000)
        traced, _ = tracemalloc.get_traced_memory()
        live(histogram, taken, 10_000)
        assert tracemalloc.get_traced_memory()[0] - traced < 1_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(1, 1_000_001, 2), (0, 10, 2), (1, 1 << 60, 4)])
def test_what_was_refused_lets_its_memory_go(shape: tuple[int, int, int]) -> None:
    """Whether the shape was wrong, the memory too small, or held by another shape: it can be unmapped at once."""
    mapped = mmap.mmap(-1, 8 * Histogram.words(1, 1 << 40, 2))
    Histogram(1, 1_000_000, 2, memory=memoryview(mapped).cast("q"))
    with pytest.raises(ValueError):
        Histogram(*shape, memory=memoryview(mapped).cast("q"))
    gc.collect()  # the traceback of the refusal
    mapped.close()
    assert mapped.closed

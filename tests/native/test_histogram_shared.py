"""One histogram in memory that several map: laying it out, refusing another's, and never losing a count."""

import mmap
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controlplane._native.histogram import Histogram

SHAPE = (1, 1_000_000, 2)
WORDS = Histogram.words(*SHAPE)
ROOT = Path(__file__).parents[2]

RECORDS = 1_000_000
RECORDER = f"""
import mmap, sys
from controlplane._native.histogram import Histogram

def attach(path):
    with open(path, "r+b") as file:
        return Histogram(*{SHAPE}, memory=memoryview(mmap.mmap(file.fileno(), 0)).cast("q"))

histogram = attach(sys.argv[1])
"""
RECORD = f"""
for value in range({RECORDS}):
    histogram.record(value % 1000)
    if value % 1000 == 0:
        histogram.record(-1)
"""
TAKE = """
taken = histogram.snapshot()
taken.reset()
print("taking", flush=True)
while sys.stdin.readline():
    histogram.move_to(taken)
    print(flush=True)
histogram.move_to(taken)
print(taken.total, taken.out_of_range)
"""


def memory(words: int = WORDS) -> memoryview:
    """Zeroed words at the beginning of a page."""
    return memoryview(mmap.mmap(-1, words * 8)).cast("q")


def test_two_over_one_memory_are_one() -> None:
    """What one records the other reads; the second finds it laid out and keeps what is there."""
    words = memory()
    one = Histogram(*SHAPE, memory=words)
    one.record(500)
    two = Histogram(*SHAPE, memory=words)
    two.record_times(500, 2)
    two.record(-1)
    two.record_corrected(900, 300)
    assert one.total == two.total == 6
    assert (one.count_at(500), one.out_of_range) == (3, 1)
    one.reset()
    assert (two.total, two.out_of_range) == (0, 0)


def test_a_private_one_takes_from_a_shared_one() -> None:
    """Moving and adding work across kinds of memory, in both directions."""
    shared, private = Histogram(*SHAPE, memory=memory()), Histogram(*SHAPE)
    shared.record_times(5, 7)
    shared.move_to(private)
    assert (shared.total, private.total) == (0, 7)
    shared.add(private)
    private.move_to(shared)
    assert (shared.total, private.total) == (14, 0)


def test_the_memory_outlives_its_name() -> None:
    """The histogram holds the buffer: it cannot be unmapped beneath it."""
    mapped = mmap.mmap(-1, WORDS * 8)
    histogram = Histogram(*SHAPE, memory=memoryview(mapped).cast("q"))
    with pytest.raises(BufferError):
        mapped.close()
    del histogram
    mapped.close()


@pytest.mark.parametrize("other", [(1, 1_000_001, 2), (2, 1_000_000, 2), (1, 1_000_000, 1)])
def test_another_shape_is_refused_by_name(other: tuple[int, int, int]) -> None:
    """The message has the shape that is there and the one expected; the memory stays as it was."""
    words = memory(Histogram.words(1, 1 << 40, 3))
    Histogram(*SHAPE, memory=words).record(3)
    before = words.tobytes()
    with pytest.raises(ValueError, match=r"shape \(1, 1000000, 2\); expected a histogram of the shape") as raised:
        Histogram(*other, memory=words)
    assert str(other) in str(raised.value)
    assert words.tobytes() == before


def test_something_else_is_refused() -> None:
    """Another kind of memory, and another version of this one, are told apart."""
    words = memory()
    words[0] = 12345
    with pytest.raises(ValueError, match=r"memory holds no histogram, but layout 0x3039; expected a histogram"):
        Histogram(*SHAPE, memory=words)
    words[0] = 0
    Histogram(*SHAPE, memory=words)
    words[0] += 1 << 32
    with pytest.raises(ValueError, match=r"memory holds a histogram of layout version 2; expected .* version 1"):
        Histogram(*SHAPE, memory=words)


def test_leftovers_are_no_counts() -> None:
    """Memory whose first word is 0 is fresh, whatever lies behind: it is zeroed."""
    words = memory()
    for index in range(1, WORDS):
        words[index] = 77
    histogram = Histogram(*SHAPE, memory=words)
    assert (histogram.total, histogram.out_of_range) == (0, 0)


def test_unfit_memory_is_refused() -> None:
    """Too small, not int64, read-only, or inside a cache line."""
    with pytest.raises(ValueError, match=f"memory must hold {WORDS} words, not {WORDS - 1}"):
        Histogram(*SHAPE, memory=memory(WORDS - 1))
    with pytest.raises(ValueError, match="memory must begin at a multiple of 64 bytes"):
        Histogram(*SHAPE, memory=memory(WORDS + 1)[1:])
    with pytest.raises(TypeError, match="memory must hold int64"):
        Histogram(*SHAPE, memory=memory().cast("B").cast("d"))
    with pytest.raises((BufferError, TypeError)):
        Histogram(*SHAPE, memory=memory().toreadonly())
    with pytest.raises(TypeError):
        Histogram(*SHAPE, memory=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("shared", [False, True])
def test_threads_that_record_lose_nothing_to_one_that_takes(shared: bool) -> None:
    """The intervals and the rest add up to what was recorded."""
    histogram = Histogram(*SHAPE, memory=memory() if shared else None)
    each, count = 100_000, 4
    switch = sys.getswitchinterval()

    def record() -> None:
        for value in range(each):
            histogram.record(value % 777)

    threads = [threading.Thread(target=record) for _ in range(count)]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        intervals = []
        while any(thread.is_alive() for thread in threads):
            intervals.append(histogram.snapshot_and_reset().total)
    finally:
        sys.setswitchinterval(switch)
        for thread in threads:
            thread.join()
    assert sum(intervals) + histogram.total == each * count


def start(program: str, path: Path) -> subprocess.Popen[str]:
    """A process that has this histogram mapped."""
    return subprocess.Popen(
        [sys.executable, "-c", RECORDER + program, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.integration
def test_processes_that_record_lose_nothing_to_processes_that_take(tmp_path: Path) -> None:
    """Two record into one file, two take from it: every value is in exactly one of the takers' histograms."""
    path = tmp_path / "words"
    path.write_bytes(bytes(8 * WORDS))
    with path.open("r+b") as file:
        histogram = Histogram(*SHAPE, memory=memoryview(mmap.mmap(file.fileno(), 0)).cast("q"))
    taken = Histogram(*SHAPE)
    taker = start(TAKE, path)
    assert taker.stdin is not None
    assert taker.stdout is not None
    assert taker.stdout.readline() == "taking\n"
    recorders = [start(RECORD, path) for _ in range(2)]
    rounds = 0
    while any(process.poll() is None for process in recorders):
        taker.stdin.write("take\n")
        taker.stdin.flush()
        histogram.move_to(taken)  # while the other does the same
        taker.stdout.readline()
        rounds += bool(taken.total)
    theirs, _ = taker.communicate()
    for process in recorders:
        process.communicate()
    histogram.move_to(taken)
    assert [process.returncode for process in (taker, *recorders)] == [0, 0, 0]
    total, out_of_range = map(int, theirs.split())
    assert rounds > 1
    assert total + taken.total == 2 * RECORDS
    assert out_of_range + taken.out_of_range == 2 * RECORDS // 1000


@pytest.mark.integration
def test_a_killed_process_leaves_its_counts(tmp_path: Path) -> None:
    """Killed while it records: what it had recorded counts, and others go on."""
    path = tmp_path / "words"
    path.write_bytes(bytes(8 * WORDS))
    with path.open("r+b") as file:
        histogram = Histogram(*SHAPE, memory=memoryview(mmap.mmap(file.fileno(), 0)).cast("q"))
    process = start("print(flush=True)\nwhile True: histogram.record(3)", path)
    assert process.stdout is not None
    process.stdout.readline()
    while not histogram.total:
        pass
    process.kill()
    process.communicate()
    before = histogram.total
    histogram.record(3)
    assert histogram.count_at(3) == histogram.total == before + 1

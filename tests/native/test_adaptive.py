"""The adaptive limit call by call: what teaches, what does not, what a window holds, and words that processes share."""

import gc
import mmap
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane._native.adaptive import AdaptiveLimit
from tests.native.queue_simulation import ERROR, MILLISECOND, OVERLOAD, SECOND, SUCCESS, TIMEOUT

STALLED = 4
OPENED_AT = 3  # word of a shared limit: since when its window is open


def teach(
    limit: AdaptiveLimit, now_ns: int, calls: int, latency_ns: int, outcome: int = SUCCESS, in_flight: int = 0
) -> int:
    """Calls that end one after the other, a millisecond apart, as in a full house; returns the time."""
    for _ in range(calls):
        now_ns += MILLISECOND
        limit.learn(now_ns - latency_ns, now_ns, latency_ns, outcome, in_flight or limit.limit)
    return now_ns


def shared_words() -> memoryview:
    """Fresh memory that begins at a page."""
    return memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")


def test_answers_without_a_queue_let_a_used_limit_grow() -> None:
    """Latency stays where it was while the limit is used up: there is room."""
    limit = AdaptiveLimit(0)
    teach(limit, SECOND, 500, 10 * MILLISECOND)
    assert limit.limit > 25


def test_what_is_not_used_is_not_judged() -> None:
    """With a single call in flight at a time, neither quick nor slow answers move it."""
    limit = AdaptiveLimit(0)
    now_ns = teach(limit, SECOND, 2000, 10 * MILLISECOND, in_flight=1)
    teach(limit, now_ns, 2000, 200 * MILLISECOND, in_flight=1)
    assert limit.limit == 20


@pytest.mark.parametrize("outcome", [TIMEOUT, OVERLOAD, STALLED])
def test_calls_in_vain_halve_it_once_for_all_that_were_sent_together(outcome: int) -> None:
    """Twenty that end in vain after the cut, but began before it, are no further news."""
    limit = AdaptiveLimit(0)
    for end_ns in range(2 * SECOND, 2 * SECOND + 20):
        limit.learn(SECOND, end_ns, SECOND, outcome, 20)
    assert limit.limit == 10
    assert limit.describe()["cuts"] == 1


def test_an_error_says_nothing_about_load() -> None:
    """Quick errors neither lower the base nor let it grow."""
    limit = AdaptiveLimit(0)
    now_ns = teach(limit, SECOND, 300, 10 * MILLISECOND)
    before = limit.describe()
    teach(limit, now_ns, 1000, MILLISECOND // 10, ERROR)
    assert limit.describe() == before


def test_calls_from_before_a_shrink_teach_nothing() -> None:
    """The old queue's latencies come in after the cut, and are not counted."""
    limit = AdaptiveLimit(0)
    now_ns = teach(limit, SECOND, 200, 10 * MILLISECOND)
    now_ns = teach(limit, now_ns + SECOND, 300, MILLISECOND, TIMEOUT)
    before, windows = limit.limit, limit.describe()["windows"]
    assert limit.describe()["cuts"] >= 1
    for _ in range(500):
        now_ns += MILLISECOND
        limit.learn(SECOND, now_ns, 10 * SECOND, SUCCESS, before)
    assert limit.limit == before
    assert limit.describe()["windows"] == windows


@given(
    latencies=st.lists(st.integers(1, 400 * MILLISECOND), min_size=48, max_size=250),
    errors=st.integers(0, 20),
)
def test_a_window_is_the_plain_mean_of_its_answers(latencies: list[int], errors: int) -> None:
    """The packed word against a sum: exact to its unit of 8 us, rounded up; errors are not in it."""
    limit = AdaptiveLimit(SECOND)
    for _ in range(errors):
        limit.learn(SECOND, SECOND, 1, ERROR, 1)
    for latency_ns in latencies[:-1]:
        limit.learn(SECOND, SECOND + MILLISECOND, latency_ns, SUCCESS, 1)
    assert limit.describe()["windows"] == 0
    limit.learn(SECOND, 10 * SECOND, latencies[-1], SUCCESS, 1)
    status = limit.describe()
    mean = sum(latencies) / len(latencies)
    assert status["windows"] == 1
    assert mean - 1 <= status["latency_ns"] <= mean + 8192


def test_at_a_high_rate_only_some_calls_are_counted_and_the_mean_is_theirs() -> None:
    """A million calls a second do not fill a window before its time is over; what is learned is the same."""
    limit = AdaptiveLimit(SECOND)
    now_ns = SECOND
    for index in range(600_000):
        now_ns += 1000
        limit.learn(now_ns - 10 * MILLISECOND, now_ns, (9 + index % 3) * MILLISECOND, SUCCESS, 1)
    status = limit.describe()
    assert status["windows"] == 5
    assert abs(status["latency_ns"] - 10 * MILLISECOND) < MILLISECOND


def test_retuning_keeps_what_was_learned() -> None:
    """The base and the count of windows stay; the limit comes between the new bounds."""
    limit = AdaptiveLimit(0)
    now_ns = teach(limit, SECOND, 500, 10 * MILLISECOND)
    before = limit.describe()
    limit.retune(slack_percent=200)
    assert limit.describe() == before
    limit.retune(limit_max=15, limit_initial=15)
    assert limit.describe() == {**before, "limit": 15}
    limit.retune(limit_max=500)
    limit.retune(limit_min=40, limit_initial=40)
    assert limit.limit == 40
    with pytest.raises(ValueError, match="limit_min must be between 1 and 500, not 501"):
        limit.retune(limit_min=501)
    teach(limit, now_ns, 500, 10 * MILLISECOND)
    assert limit.limit >= 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit_min": 0}, "limit_min must be between 1 and 1000, not 0"),
        ({"limit_initial": 2000}, "limit_initial must be between 1 and 1000, not 2000"),
        ({"window_ns": 1}, "window_ns must be between 1000000 and"),
        ({"memory": shared_words()[:4]}, "memory must hold"),
        ({"memory": shared_words()[1:]}, "memory must begin at a multiple of 64 bytes"),
    ],
)
def test_wrong_policies_are_refused_by_name(arguments: dict[str, object], message: str) -> None:
    """A message says what would be right."""
    with pytest.raises(ValueError, match=message):
        AdaptiveLimit(0, **arguments)  # type: ignore[arg-type]


def test_wrong_calls_are_refused_by_name() -> None:
    """A call cannot begin after it ended; a time is an int."""
    limit = AdaptiveLimit(0)
    with pytest.raises(ValueError, match="start_ns must be between 0 and 5, not 6"):
        limit.learn(6, 5, 1, SUCCESS, 1)
    with pytest.raises(ValueError, match="outcome must be between 0 and 4, not 5"):
        limit.learn(1, 5, 1, 5, 1)
    with pytest.raises(TypeError, match="latency_ns must be an int, not float"):
        limit.learn(1, 5, 1.5, SUCCESS, 1)  # type: ignore[arg-type]


def test_memory_of_another_kind_is_refused() -> None:
    """Word 0 says what lies there."""
    words = shared_words()
    words[0] = 7
    with pytest.raises(ValueError, match="not 0x7"):
        AdaptiveLimit(0, memory=words)
    with pytest.raises(TypeError, match="memory must hold int64"):
        AdaptiveLimit(0, memory=bytearray(4096))


def test_two_objects_on_the_same_words_are_one_limit() -> None:
    """What one learns, the other has; attaching resets nothing."""
    words = shared_words()
    one = AdaptiveLimit(0, memory=words)
    now_ns = teach(one, SECOND, 500, 10 * MILLISECOND)
    other = AdaptiveLimit(now_ns, memory=words)
    assert other.limit == one.limit > 25
    teach(other, now_ns + SECOND, 300, MILLISECOND, TIMEOUT)
    assert one.limit == other.limit < 25


def test_a_process_that_died_closing_a_window_stalls_nothing() -> None:
    """It had claimed the window's end and done no more: the next end is judged, by what has been gathered."""
    words = shared_words()
    limit = AdaptiveLimit(0, memory=words)
    now_ns = teach(limit, SECOND, 400, 10 * MILLISECOND)
    windows, before = limit.describe()["windows"], limit.limit
    words[OPENED_AT] = now_ns
    teach(limit, now_ns, 400, 10 * MILLISECOND)
    assert limit.describe()["windows"] >= windows + 2
    assert limit.limit > before


WORKER = """
import mmap, sys
from controlplane._native.adaptive import AdaptiveLimit
with open(sys.argv[1], "r+b") as file:
    words = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
limit = AdaptiveLimit(0, memory=words)
now_ns = 10**9
print("ready", flush=True)
while True:
    now_ns += 1_000_000
    limit.learn(now_ns - 10_000_000, now_ns, 10_000_000, now_ns // 1_000_000 % 50 == 0 and 2 or 0, limit.limit)
"""


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    """A file of one page of zeros."""
    path = tmp_path / "arena"
    path.write_bytes(bytes(mmap.PAGESIZE))
    return path


def test_workers_killed_while_they_learn_leave_a_limit_that_learns(arena: Path) -> None:
    """Three kills at any instruction: the limit stays within its bounds, and the survivor's windows are judged."""
    with arena.open("r+b") as file:
        words = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    limit = AdaptiveLimit(0, memory=words)
    for _ in range(3):
        workers = [
            subprocess.Popen([sys.executable, "-c", WORKER, str(arena)], stdout=subprocess.PIPE) for _ in range(2)
        ]
        try:
            windows = limit.describe()["windows"]
            for worker in workers:
                assert worker.stdout
                assert worker.stdout.readline() == b"ready\n"
            while limit.describe()["windows"] < windows + 50:
                pass
        finally:
            for worker in workers:
                os.kill(worker.pid, signal.SIGKILL)
                worker.communicate()
        assert 1 <= limit.limit <= 1000
    windows = limit.describe()["windows"]
    teach(limit, 10**15, 2000, 10 * MILLISECOND)
    assert limit.describe()["windows"] >= windows + 5


class Pages(mmap.mmap):
    """Memory that knows who uses it."""

    limit: AdaptiveLimit


def test_its_memory_is_there_as_long_as_it_is() -> None:
    """Also in a cycle that the collector finds: it clears nothing that is in use."""
    pages = Pages(-1, 8 * AdaptiveLimit.words())
    pages.limit = AdaptiveLimit(0, memory=memoryview(pages).cast("q"))
    found = weakref.ref(pages)
    del pages
    gc.collect()
    still = found()
    assert still is not None
    assert still.limit.limit == 20

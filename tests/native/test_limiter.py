"""The unkeyed limiter against a list of admitted times: the promise about every window, also while its terms change."""

import mmap
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import limiter as native
from controlplane._native.guard import Guard
from controlplane._native.limiter import KeyedRateLimiter, RateLimiter

START = 1_000_000


def memory_for(words: int) -> memoryview:
    """Zeroed words, as a mapping gives them."""
    return memoryview(mmap.mmap(-1, 8 * words)).cast("q")


def private(interval_ns: int, burst: int) -> Callable[[int], int]:
    """A limiter of one process."""
    limiter = RateLimiter(interval_ns, burst)
    return lambda turn: limiter.acquire_wait_ns()


def shared(interval_ns: int, burst: int) -> Callable[[int], int]:
    """One limit, attached three times."""
    memory = memory_for(RateLimiter.words())
    seats = [RateLimiter(interval_ns, burst, memory=memory) for _ in range(3)]
    return lambda turn: seats[turn % 3].acquire_wait_ns()


def keyed(interval_ns: int, burst: int) -> Callable[[int], int]:
    """The limit of one key among others."""
    limiter = KeyedRateLimiter(interval_ns, burst, slots=64)

    def acquire(turn: int) -> int:
        limiter.try_acquire(turn % 5)
        return limiter.acquire_wait_ns("the key")

    return acquire


@pytest.fixture(autouse=True)
def real_clock_again() -> Iterator[None]:
    """Whatever a test did to the limiters' clock ends with it."""
    yield
    native.set_test_clock(-1)


class Admitted:
    """The dumb limiter: it remembers all times, and admits a call when every window that ends now has room."""

    def __init__(self, interval_ns: int, burst: int) -> None:
        self.interval_ns, self.burst = interval_ns, burst
        self.times: list[int] = []

    def admits(self, now: int) -> bool:
        """Admit and remember, or neither."""
        for index, start in enumerate(self.times):
            if len(self.times) - index + 1 > self.burst + Fraction(now - start, self.interval_ns):
                return False
        self.times.append(now)
        return True


@pytest.mark.parametrize("kind", [private, shared, keyed])
@given(
    gaps=st.lists(st.integers(0, 50), min_size=1, max_size=80),
    interval_ns=st.integers(1, 40),
    burst=st.integers(1, 6),
)
@settings(max_examples=150, deadline=None)
def test_a_call_is_admitted_when_every_window_has_room(
    kind: Callable[[int, int], Callable[[int], int]], gaps: list[int], interval_ns: int, burst: int
) -> None:
    """Decision for decision as the list of times has it, and the wait is exact to the nanosecond."""
    now = START
    native.set_test_clock(now)
    acquire, oracle = kind(interval_ns, burst), Admitted(interval_ns, burst)
    for turn, gap in enumerate(gaps):
        now += gap
        native.set_test_clock(now)
        wait_ns = acquire(turn)
        assert (wait_ns == 0) == oracle.admits(now)
        if wait_ns:
            native.set_test_clock(now + wait_ns - 1)
            assert acquire(turn) == 1
            native.set_test_clock(now)


@given(burst=st.integers(1, 9), counts=st.lists(st.integers(1, 9), max_size=20))
@settings(max_examples=80, deadline=None)
def test_many_are_taken_at_once_or_not_at_all(burst: int, counts: list[int]) -> None:
    """What was admitted at one instant never exceeds the burst, and a refusal took nothing."""
    native.set_test_clock(START)
    limiter, left = RateLimiter(1_000, burst), burst
    for count in counts:
        if count > burst:
            with pytest.raises(ValueError, match="count must be between 1 and"):
                limiter.try_acquire_many(count)
            continue
        assert limiter.wait_ns(count) == max(0, count - left) * 1_000
        if limiter.try_acquire_many(count):
            left -= count
            assert left >= 0
        else:
            assert count > left


@pytest.mark.parametrize("keys", [False, True])
@given(
    terms=st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 50)), min_size=2, max_size=6),
    taken=st.lists(st.integers(0, 60), min_size=6, max_size=6),
    gaps=st.lists(st.integers(0, 10**9), min_size=6, max_size=6),
)
@settings(max_examples=150, deadline=None)
def test_a_retune_carries_the_debt_over_in_calls(
    keys: bool, terms: list[tuple[int, int]], taken: list[int], gaps: list[int]
) -> None:
    """The debt is as many of the new intervals as it was of the old ones, rounded up to a nanosecond, and at most a
    full burst; so who was refused is refused, unless the burst grew."""
    now = START
    native.set_test_clock(now)
    old_ns, old_burst = terms[0]
    limiter = KeyedRateLimiter(old_ns, old_burst, slots=8) if keys else RateLimiter(old_ns, old_burst)
    key = ("key",) if keys else ()
    debt_ns = 0
    for (interval_ns, burst), calls, gap in zip(terms, taken, gaps, strict=False):
        was_refused = debt_ns > (old_burst - 1) * old_ns
        limiter.retune(interval_ns, burst)
        debt_ns = min(ceil(Fraction(debt_ns * interval_ns, old_ns)), burst * interval_ns)
        for turn in range(calls + 1):
            wait_ns = limiter.acquire_wait_ns(*key)
            assert wait_ns == max(0, debt_ns - (burst - 1) * interval_ns)
            assert wait_ns or turn or burst > old_burst or not was_refused
            debt_ns += 0 if wait_ns else interval_ns
        now += gap
        native.set_test_clock(now)
        debt_ns = max(0, debt_ns - gap)
        old_ns, old_burst = interval_ns, burst


@pytest.mark.parametrize("keys", [False, True])
def test_a_limit_written_by_a_clock_far_ahead_locks_nobody_out(keys: bool) -> None:
    """A file that outlived a boot: at worst a full burst is owed, and it lapses while callers keep asking."""
    native.set_test_clock(10**15)
    words = KeyedRateLimiter.words(8) if keys else RateLimiter.words()
    memory = memory_for(words)
    for _ in range(2):  # once by the old clock, once by the new
        limiter = KeyedRateLimiter(100, 3, slots=8, memory=memory) if keys else RateLimiter(100, 3, memory=memory)
        acquire = (lambda limiter=limiter: limiter.acquire_wait_ns("key")) if keys else limiter.acquire_wait_ns
        admitted = [acquire() for _ in range(4)]
        native.set_test_clock(START)
    assert admitted == [100] * 4 or admitted[:3] == [0] * 3
    native.set_test_clock(START + 99)
    assert acquire() == 1
    native.set_test_clock(START + 100)
    assert acquire() == 0


def test_who_attaches_finds_the_terms_that_are_in_force() -> None:
    """Not its own; a retune anywhere is in force everywhere."""
    memory = memory_for(RateLimiter.words())
    first, second = RateLimiter(1_000, 5, memory=memory), RateLimiter(7, 9, memory=memory)
    assert (second.interval_ns, second.burst) == (1_000, 5)
    second.retune(30, 2)
    assert (first.interval_ns, first.burst) == (30, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "interval_ns must be between 1 and"),
        ((1, 0), "burst must be between 1 and"),
        ((10**15, 2_000), "burst must be between 1 and 1152"),
    ],
)
def test_wrong_terms_are_refused_by_name(arguments: tuple[int, int], message: str) -> None:
    """By both limiters, at construction and retune, and nothing changes."""
    for limiter in (RateLimiter(5, 5), KeyedRateLimiter(5, 5, slots=8)):
        with pytest.raises(ValueError, match=message):
            limiter.retune(*arguments)
        assert (limiter.interval_ns, limiter.burst) == (5, 5)
    with pytest.raises(ValueError, match=message):
        RateLimiter(*arguments)
    with pytest.raises(ValueError, match=message):
        KeyedRateLimiter(*arguments, slots=8)


def test_foreign_memory_is_refused() -> None:
    """Too short, not int64, or holding something else."""
    with pytest.raises(ValueError, match="memory must hold 16 words, not 8"):
        RateLimiter(1, 1, memory=memory_for(8))
    with pytest.raises(TypeError, match="memory must hold int64"):
        RateLimiter(1, 1, memory=bytearray(4_096))
    memory = memory_for(max(Guard.words(0, 1), KeyedRateLimiter.words(64)))
    KeyedRateLimiter(1, 1, slots=64, memory=memory)
    with pytest.raises(ValueError, match="not a RateLimiter"):
        RateLimiter(1, 1, memory=memory)
    with pytest.raises(ValueError, match="not a KeyedRateLimiter of 8 slots"):
        KeyedRateLimiter(1, 1, slots=8, memory=memory)

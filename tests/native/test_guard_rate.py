"""GCRA against a bucket of fractions, and the promise about every window."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import CONCURRENCY, RATE, Guard, Permit
from tests.native.traffic import SECOND, admitted, refused

gaps = st.lists(st.integers(min_value=0, max_value=50), min_size=1, max_size=120)


class Bucket:
    """A token bucket that fills continuously, in exact fractions: the dumb equal of GCRA."""

    def __init__(self, interval: int, burst: int, now: int) -> None:
        self.interval, self.burst, self.level, self.at = interval, burst, Fraction(burst), now

    def admits(self, now: int) -> bool:
        """Take a token, if there is a whole one."""
        self.level = min(Fraction(self.burst), self.level + Fraction(now - self.at, self.interval))
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


@given(gaps, st.integers(min_value=1, max_value=40), st.integers(min_value=1, max_value=6))
@settings(max_examples=150, deadline=None)
def test_gcra_decides_as_a_bucket_of_fractions(gaps: list[int], interval: int, burst: int) -> None:
    """Every decision equals the dumb bucket's."""
    try:
        now = 1_000
        native.set_test_clock(now)
        guard, bucket = Guard(rate_interval_ns=interval, rate_burst=burst), Bucket(interval, burst, now)
        for gap in gaps:
            now += gap
            native.set_test_clock(now)
            assert bool(guard.try_acquire()) == bucket.admits(now)
    finally:
        native.set_test_clock(-1)


@given(gaps, st.integers(min_value=1, max_value=40), st.integers(min_value=1, max_value=6))
@settings(max_examples=150, deadline=None)
def test_no_window_admits_more_than_burst_and_its_share(gaps: list[int], interval: int, burst: int) -> None:
    """In any closed window of length T at most burst + floor(T / interval) calls are admitted."""
    try:
        now, admissions = 1_000, []
        native.set_test_clock(now)
        guard = Guard(rate_interval_ns=interval, rate_burst=burst)
        for gap in gaps:
            now += gap
            native.set_test_clock(now)
            if guard.try_acquire():
                admissions.append(now)
    finally:
        native.set_test_clock(-1)
    for first, start in enumerate(admissions):
        for last in range(first, len(admissions)):
            assert last - first + 1 <= burst + (admissions[last] - start) // interval


@given(gaps, st.integers(min_value=2, max_value=40), st.integers(min_value=1, max_value=6))
@settings(max_examples=100, deadline=None)
def test_retry_after_is_exact(gaps: list[int], interval: int, burst: int) -> None:
    """One nanosecond before `retry_after_ns` has passed a call is refused, at it a call is admitted."""
    try:
        now = 1_000
        native.set_test_clock(now)
        guard = Guard(rate_interval_ns=interval, rate_burst=burst)
        for gap in gaps:
            now += gap
            native.set_test_clock(now)
            answer = guard.try_acquire()
            if isinstance(answer, Permit):
                continue
            assert answer.reason == RATE
            now += answer.retry_after_ns - 1
            native.set_test_clock(now)
            assert refused(guard.try_acquire()).retry_after_ns == 1
            now += 1
            native.set_test_clock(now)
            assert guard.try_acquire()
    finally:
        native.set_test_clock(-1)


def test_a_refusal_by_concurrency_takes_no_token(clock) -> None:
    """A call that a later part refuses leaves the rate as it was."""
    guard = Guard(rate_interval_ns=SECOND, rate_burst=2, concurrency_max=1)
    first = admitted(guard.try_acquire())
    for _ in range(10):
        assert refused(guard.try_acquire()).reason == CONCURRENCY
    first.success()
    assert guard.try_acquire()


def test_a_refusal_by_rate_takes_no_slot(clock) -> None:
    """A call that the rate refuses is not in flight, and is no evidence."""
    guard = Guard(rate_interval_ns=SECOND, rate_burst=1, breaker_consecutive=1)
    admitted(guard.try_acquire()).success()
    for _ in range(50):
        assert refused(guard.try_acquire()).part == "rate"
    seen = guard.describe()
    assert (seen["in_flight"], seen["refused"], seen["failures"], seen["window_calls"]) == (0, 50, 0, 1)


def test_the_rate_holds_at_the_far_end_of_time(clock) -> None:
    """The largest times and spans do not overflow: a full burst is admitted and nothing beyond it."""
    clock.advance((1 << 62) - clock.now_ns)
    guard = Guard(rate_interval_ns=1_000_000_000_000_000, rate_burst=2_305)
    assert sum(bool(guard.try_acquire()) for _ in range(2_400)) == 2_305
    assert refused(guard.try_acquire()).retry_after_ns == 1_000_000_000_000_000

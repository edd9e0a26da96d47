"""Retries: their budget against exact fractions, where they go, and the second life after an ejection."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import NO_ENDPOINT, RETRY_BUDGET, Guard
from tests.native.traffic import SECOND, admitted, refused

steps = st.lists(
    st.one_of(st.just("first"), st.just("again"), st.integers(min_value=0, max_value=2 * SECOND)), max_size=80
)


@given(steps, st.integers(min_value=0, max_value=100), st.integers(min_value=0, max_value=20))
@settings(max_examples=150, deadline=None)
def test_the_budget_decides_as_exact_fractions_do(script: list[str | int], percent: int, floor: int) -> None:
    """First calls earn their percentage, time earns the floor, the budget is capped: decision for decision."""
    capacity, tokens, at, now = Fraction(max(10, 10 * floor)), Fraction(floor), SECOND, SECOND
    try:
        native.set_test_clock(now)
        guard = Guard(retry_percent=percent, retry_floor_per_s=floor)
        for step in script:
            if isinstance(step, int):
                now += step
                native.set_test_clock(now)
                continue
            # the guard's unit is a thousandth: what time has earned of the next one is carried, not yet spent
            tokens = min(capacity, tokens + Fraction(now - at, SECOND) * floor)
            at = now
            if step == "first":
                assert guard.try_acquire()
                tokens = min(capacity, tokens + Fraction(percent, 100))
            elif guard.try_again(-1):
                assert tokens >= 1
                tokens -= 1
            else:
                assert tokens < 1 + Fraction(1, 1000)
    finally:
        native.set_test_clock(-1)


def test_retry_after_is_when_the_floor_has_earned_one(clock) -> None:
    """At that time a retry passes, a nanosecond earlier it does not."""
    guard = Guard(retry_percent=0, retry_floor_per_s=3)
    for _ in range(3):
        assert guard.try_again(-1)
    clock.advance(123_456_789)
    wait = refused(guard.try_again(-1)).retry_after_ns
    clock.advance(wait - 1)
    assert refused(guard.try_again(-1)).retry_after_ns == 1
    clock.advance(1)
    assert guard.try_again(-1)


def test_retries_multiply_load_by_no_more_than_the_budget(clock) -> None:
    """When every first call fails and asks to be retried, at most retry_percent of them are, and the floor."""
    guard = Guard(retry_percent=20, retry_floor_per_s=0)
    again = 0
    for _ in range(1_000):
        assert guard.try_acquire()
        again += bool(guard.try_again(-1))
    assert again == 200
    assert guard.describe()["retries"] == 200


def test_without_a_floor_only_calls_earn(clock) -> None:
    """`retry_after_ns` is 0: time will not help."""
    guard = Guard(retry_floor_per_s=0)
    answer = refused(guard.try_again(-1))
    assert (answer.reason, answer.retry_after_ns, answer.part) == (RETRY_BUDGET, 0, "retry_budget")


def test_a_retry_goes_elsewhere_while_it_can(clock) -> None:
    """Not to `avoid` while another endpoint is usable; to it when it is the only one."""
    guard = Guard(endpoints=3, retry_floor_per_s=1000)
    assert {admitted(guard.try_again(1)).endpoint for _ in range(200)} == {0, 2}
    guard.eject(0, SECOND, 0)
    guard.eject(2, SECOND, 0)
    assert admitted(guard.try_again(1)).endpoint == 1


def test_a_retry_is_never_a_probe(clock) -> None:
    """One gamble per call: only first calls try an endpoint on probation."""
    guard = Guard(endpoints=2, retry_floor_per_s=1000)
    guard.eject(0, 0, 0)
    assert all(admitted(guard.try_again(-1)).endpoint == 1 for _ in range(100))
    assert admitted(guard.try_acquire()).endpoint == 0


def test_a_second_life_is_not_drawn_from_the_budget(clock) -> None:
    """It never goes to `avoid`, and is refused where nothing else is usable."""
    guard = Guard(endpoints=2, retry_percent=0, retry_floor_per_s=0)
    assert all(admitted(guard.try_redrive(0)).endpoint == 1 for _ in range(100))
    guard.eject(1, SECOND, 0)
    assert refused(guard.try_redrive(0)).reason == NO_ENDPOINT
    assert refused(Guard(endpoints=1).try_redrive(0)).reason == NO_ENDPOINT
    assert refused(Guard().try_redrive(-1)).reason == NO_ENDPOINT
    assert refused(Guard(endpoints=1, enforced=0).try_redrive(0)).reason == NO_ENDPOINT


def test_a_second_life_passes_the_other_parts(clock) -> None:
    """An open breaker, the rate and the concurrency hold for it too."""
    guard = Guard(endpoints=2, rate_interval_ns=SECOND)
    assert guard.try_redrive(0)
    assert refused(guard.try_redrive(0)).part == "rate"
    guard.isolate(SECOND, 0)
    assert refused(guard.try_redrive(0)).part == "open"

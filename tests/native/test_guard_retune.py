"""Another policy, in force at once, with calls in flight; what was counted stays counted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import ERROR, POLICY, Guard
from tests.native.traffic import MILLISECOND, SECOND, admitted, refused


def call(guard: Guard, *, failed: bool = False) -> None:
    """One call that ends at once."""
    permit = admitted(guard.try_acquire())
    permit.failure(ERROR) if failed else permit.success()


def test_the_policy_reads_as_it_was_given(clock) -> None:
    """Every field, and only what was changed has changed."""
    guard = Guard(rate_interval_ns=5, open_ns=7)
    before = guard.policy()
    assert list(before) == [field[0] for field in POLICY]
    guard.retune(concurrency_max=3, open_ns=9)
    assert guard.policy() == {**before, "concurrency_max": 3, "open_ns": 9}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"failure_percent": 101, "slow_ns": 5}, ValueError, "failure_percent must be between 0 and 100, not 101"),
        ({"open_ns": 1.5}, TypeError, "open_ns must be an int, not float"),
        ({"rate_interval_ns": 10**15, "rate_burst": 10**9}, ValueError, "rate_burst must be between 1 and"),
        ({"concurrency": 3}, TypeError, "no such part of a policy: concurrency"),
    ],
)
def test_a_wrong_policy_changes_nothing(clock, changes: dict, error: type[Exception], says: str) -> None:
    """Not even the part of it that was right."""
    guard = Guard()
    before = guard.policy()
    with pytest.raises(error, match=says):
        guard.retune(**changes)
    assert guard.policy() == before


def test_calls_in_flight_count_against_the_new_limit(clock) -> None:
    """A smaller limit takes effect as calls end, a larger one at once."""
    guard = Guard(concurrency_max=2)
    held = [admitted(guard.try_acquire()) for _ in range(2)]
    guard.retune(concurrency_max=3)
    held.append(admitted(guard.try_acquire()))
    guard.retune(concurrency_max=1)
    held.pop().success()
    held.pop().success()
    assert refused(guard.try_acquire()).part == "concurrency"
    held.pop().success()
    assert guard.try_acquire()


def test_the_rate_keeps_what_was_taken(clock) -> None:
    """Who was refused before a retune is refused after it, until the time that was owed has passed."""
    guard = Guard(rate_interval_ns=SECOND, rate_burst=2)
    call(guard)
    call(guard)
    guard.retune(rate_interval_ns=SECOND // 10)
    assert refused(guard.try_acquire()).part == "rate"
    clock.advance(2 * SECOND)
    assert guard.try_acquire()


def test_who_owes_a_burst_owes_it_in_the_new_intervals(clock) -> None:
    """A slower rate frees nobody: not by one step, nor by two before anybody asks, nor after a time without a rate."""
    guard = Guard(rate_interval_ns=MILLISECOND, rate_burst=100)
    for _ in range(100):
        call(guard)
    guard.retune(rate_interval_ns=SECOND)
    assert refused(guard.try_acquire()).retry_after_ns == SECOND
    guard.retune(rate_interval_ns=2 * SECOND)
    guard.retune(rate_interval_ns=5 * SECOND)
    assert refused(guard.try_acquire()).retry_after_ns == 5 * SECOND
    guard.retune(rate_interval_ns=0)
    assert guard.try_acquire()
    guard.retune(rate_interval_ns=3 * SECOND, rate_burst=10)
    assert refused(guard.try_acquire()).retry_after_ns == 3 * SECOND
    clock.advance(3 * SECOND)
    assert guard.try_acquire()


def test_an_open_breaker_stays_open_as_long_as_it_was_to(clock) -> None:
    """And its probe is judged by the new policy."""
    guard = Guard(breaker_consecutive=1)
    call(guard, failed=True)
    wait_ns = refused(guard.try_acquire()).retry_after_ns
    guard.retune(open_ns=SECOND, probe_successes=1)
    assert refused(guard.try_acquire()).retry_after_ns == wait_ns
    clock.advance(wait_ns)
    call(guard)
    assert not guard.is_open()


def test_an_enforcing_guard_is_not_retuned_into_an_observing_one(clock) -> None:
    """That is a matter of orders."""
    guard = Guard()
    guard.retune(enforced=0)
    assert guard.policy()["enforced"] == 1


@settings(max_examples=150, deadline=None)
@given(
    calls=st.lists(st.tuples(st.booleans(), st.integers(0, 900)), min_size=1, max_size=60),
    widths_ms=st.lists(st.sampled_from([500, 1_000, 2_000, 5_000, 10_000, 30_000]), min_size=1, max_size=4),
)
def test_a_resized_window_holds_what_is_young_enough(calls: list[tuple[bool, int]], widths_ms: list[int]) -> None:
    """Nothing younger than seven tenths of every window since is lost, and nothing stays that is older than the present
    one by more than two of its buckets and one of each window before it."""
    now = 1_000_000 * SECOND
    native.set_test_clock(now)
    try:
        guard = Guard(window_ns=10 * SECOND, failure_percent=0)
        seen: list[tuple[int, bool]] = []
        narrowest, slack = 10 * SECOND, 0
        for turn, (failed, pause_ms) in enumerate(calls):
            call(guard, failed=failed)
            seen.append((now, failed))
            if turn % 15 == 14:
                width = widths_ms[turn // 15 % len(widths_ms)] * MILLISECOND
                slack += guard.policy()["window_ns"] // 10
                guard.retune(window_ns=width)
                narrowest = min(narrowest, width)
            now += pause_ms * MILLISECOND
            native.set_test_clock(now)
        window = guard.policy()["window_ns"]
        surely = [one for one in seen if now - one[0] < min(window, narrowest) * 0.7]
        perhaps = [one for one in seen if now - one[0] < window * 1.2 + slack]
        held = guard.describe()
        assert len(surely) <= held["window_calls"] <= len(perhaps)
        assert sum(one[1] for one in surely) <= held["window_failures"] <= sum(one[1] for one in perhaps)
    finally:
        native.set_test_clock(-1)


def test_a_retune_between_failures_does_not_save_a_sick_service(clock) -> None:
    """Nineteen failures, another window, the twentieth: open."""
    guard = Guard(window_calls_min=20, failure_percent=50)
    for _ in range(19):
        call(guard, failed=True)
        clock.advance(10 * MILLISECOND)
    guard.retune(window_ns=60 * SECOND)
    assert guard.describe()["window_calls"] == 19
    call(guard, failed=True)
    assert guard.is_open()


def test_a_window_of_days_is_carried_over_like_any_other(clock) -> None:
    """What is long gone from it is left out before its age is reckoned, which would exceed 63 bits."""
    guard = Guard(window_ns=1_000_000 * SECOND, window_calls_min=100)
    for _ in range(3):
        admitted(guard.try_acquire()).failure(ERROR)
    guard.retune(window_ns=SECOND)
    assert guard.describe()["window_failures"] == 3
    guard.retune(window_ns=1_000_000 * SECOND)
    assert guard.describe()["window_failures"] == 3

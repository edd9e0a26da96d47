"""Whom a guard refuses first: less important calls, calls that come too late anyway; and whom it only counts."""

import pytest

from controlplane._native.guard import CRITICAL, DEFAULT, ERROR, SHEDDABLE, Guard
from tests.native.traffic import MILLISECOND, SECOND, admitted, refused

PRIORITIES = (CRITICAL, DEFAULT, SHEDDABLE)


def fill(guard: Guard, priority: int) -> list:
    """Calls of one priority, as many as go."""
    held = []
    while permit := guard.try_acquire_for(priority, None):
        held.append(permit)
    return held


@pytest.mark.parametrize(("priority", "share"), [(CRITICAL, 10), (DEFAULT, 8), (SHEDDABLE, 6)])
def test_lower_priorities_leave_room_for_higher_ones(clock, priority: int, share: int) -> None:
    """Of a concurrency limit, of a limit by order and of a burst alike."""
    assert len(fill(Guard(concurrency_max=10, reserve_percent=20), priority)) == share
    assert len(fill(Guard(rate_interval_ns=SECOND, rate_burst=10, reserve_percent=20), priority)) == share
    ordered = Guard(reserve_percent=20)
    ordered.limit(10, SECOND, 0)
    assert len(fill(ordered, priority)) == share


def test_critical_calls_are_refused_last(clock) -> None:
    """Under a full limit of sheddable calls there is room for critical ones, and the refusal says which it was."""
    guard = Guard(concurrency_max=10, reserve_percent=20)
    held = [fill(guard, priority) for priority in reversed(PRIORITIES)]
    assert [len(calls) for calls in held] == [6, 2, 2]
    assert refused(guard.try_acquire_for(SHEDDABLE, None)).part == "concurrency"
    held[2].pop().success()
    assert refused(guard.try_acquire_for(SHEDDABLE, None)).part == "shed"
    assert guard.refusals()["shed"] == 3


def test_without_a_reserve_all_are_equal(clock) -> None:
    """As by default."""
    assert [len(fill(Guard(concurrency_max=10), priority)) for priority in PRIORITIES] == [10, 10, 10]


def test_every_priority_has_at_least_one_place(clock) -> None:
    """A limit of one is not closed to anybody."""
    guard = Guard(concurrency_max=1, reserve_percent=50)
    assert guard.try_acquire_for(SHEDDABLE, None)


def learn(guard: Guard, clock, latency_ns: int, calls: int) -> None:
    """Successful calls of one latency."""
    for _ in range(calls):
        permit = admitted(guard.try_acquire())
        clock.advance(latency_ns)
        permit.success()


def test_what_cannot_finish_in_time_is_refused(clock) -> None:
    """A call that has less time left than a typical one takes; with enough it goes."""
    guard = Guard()
    learn(guard, clock, 50 * MILLISECOND, 20)
    assert guard.describe()["typical_ns"] == 50 * MILLISECOND
    admitted(guard.try_acquire_for(DEFAULT, clock.now_ns + 40 * MILLISECOND))  # the trial
    assert refused(guard.try_acquire_for(DEFAULT, clock.now_ns + 40 * MILLISECOND)).part == "deadline"
    assert guard.try_acquire_for(DEFAULT, clock.now_ns + 50 * MILLISECOND)
    assert guard.try_acquire_for(DEFAULT, None)


def test_a_deadline_that_has_passed_is_never_met(clock) -> None:
    """Not even as a trial, and not before anything is known."""
    guard = Guard()
    assert refused(guard.try_acquire_for(DEFAULT, clock.now_ns)).part == "deadline"
    assert guard.try_acquire_for(DEFAULT, clock.now_ns + 1)


def test_a_service_that_became_fast_again_is_found_out(clock) -> None:
    """Ten calls a second go in spite of all, and teach."""
    guard = Guard()
    learn(guard, clock, SECOND, 20)
    for _ in range(3_000):
        if permit := guard.try_acquire_for(DEFAULT, clock.now_ns + 100 * MILLISECOND):
            clock.advance(MILLISECOND)
            permit.success()
        clock.advance(10 * MILLISECOND)
    assert guard.describe()["typical_ns"] < 100 * MILLISECOND


@pytest.mark.parametrize(("latencies", "near"), [([10, 20, 30], 20), ([5, 5, 100], 5), ([1, 90, 100], 90)])
def test_typical_is_the_median(clock, latencies: list[int], near: int) -> None:
    """Within the steps of its walk, whatever the tail."""
    guard = Guard()
    for turn in range(3_000):
        learn(guard, clock, latencies[turn % 3] * MILLISECOND, 1)
    assert abs(guard.describe()["typical_ns"] - near * MILLISECOND) < 0.2 * near * MILLISECOND


def test_what_is_not_enforced_goes_and_is_counted(clock) -> None:
    """An observing guard says what it would have refused, by part, and takes no token that it would not have given."""
    guard = Guard(rate_interval_ns=SECOND, rate_burst=2, enforced=0)
    assert all(guard.try_acquire() for _ in range(5))
    assert guard.describe()["shadowed"] == 3
    assert guard.shadow_refusals()["rate"] == 3
    assert guard.describe()["refused"] == 0


def test_a_percentage_is_enforced(clock) -> None:
    """Of the calls that a part would refuse, that share is refused; the others are counted as shadowed."""
    guard = Guard(breaker_consecutive=1, enforced_percent=30)
    admitted(guard.try_acquire()).failure(ERROR)
    answers = [guard.try_acquire() for _ in range(2_000)]
    refusals = sum(not answer for answer in answers)
    assert 500 < refusals < 700
    assert guard.describe()["shadowed"] == 2_000 - refusals
    assert guard.shadow_refusals()["open"] == 2_000 - refusals


def test_what_went_past_an_open_breaker_is_no_evidence_about_it(clock) -> None:
    """Its success does not close it, its failure does not prolong it."""
    guard = Guard(breaker_consecutive=1, enforced_percent=1)
    admitted(guard.try_acquire()).failure(ERROR)
    for outcome in range(200):
        if permit := guard.try_acquire():
            permit.failure(ERROR) if outcome % 2 else permit.success()
    state = guard.describe()
    assert state["open"] == 1
    assert state["window_calls"] == 0


@pytest.mark.parametrize("priority", [-1, 3, True, 1.0, None])
def test_a_wrong_priority_is_named(priority: object) -> None:
    """With its bounds."""
    with pytest.raises((ValueError, TypeError), match="priority"):
        Guard().try_acquire_for(priority, None)


@pytest.mark.parametrize("priority", PRIORITIES)
def test_nor_is_a_limit_of_one_by_order(clock, priority: int) -> None:
    """It could never grow again, were nobody let in to find out: the reserve begins with the second call."""
    guard = Guard(reserve_percent=20)
    guard.limit(1, 10 * SECOND, 0)
    assert len(fill(guard, priority)) == 1

"""The breaker of the edge: when it opens, how it probes, what closes it."""

import pytest

from controlplane._native.guard import (
    BY_CONSECUTIVE,
    BY_ERRORS,
    BY_OVERLOAD,
    BY_SLOW,
    EDGE_OPENED,
    EDGE_PROBE_FAILED,
    EDGE_PROBE_PASSED,
    ERROR,
    OPEN,
    OVERLOAD,
    PROBING,
    TIMEOUT,
    Guard,
    Permit,
)
from tests.native.traffic import MILLISECOND, SECOND, Row, admitted, drain, kinds, refused


def opened(clock, **policy: int) -> Guard:
    """A guard whose breaker has just opened by one failure, its rows read."""
    guard = Guard(breaker_consecutive=1, **policy)
    assert admitted(guard.try_acquire()).failure(ERROR) == 1
    drain(guard)
    return guard


def half_open(clock, **policy: int) -> Guard:
    """A guard whose penalty has just ended."""
    guard = opened(clock, **policy)
    clock.advance(refused(guard.try_acquire()).retry_after_ns)
    drain(guard)
    return guard


def test_consecutive_failures_open_it(clock) -> None:
    """The n-th failure in a row opens, a success in between starts the count again."""
    guard = Guard(breaker_consecutive=3)
    for fails in (1, 1, 0, 1, 1):
        permit = admitted(guard.try_acquire())
        assert (permit.failure(ERROR) if fails else permit.success()) == 0
    assert admitted(guard.try_acquire()).failure(ERROR) == 1
    assert drain(guard) == [Row(1, EDGE_OPENED, -1, clock.now_ns, BY_CONSECUTIVE, 3, 3, clock.now_ns)]
    assert guard.is_open()


def test_a_window_of_failures_opens_it(clock) -> None:
    """At `window_calls_min` calls and the failure share it opens, not before."""
    guard = Guard(window_calls_min=10, failure_percent=50)
    for index in range(9):
        permit = admitted(guard.try_acquire())
        assert (permit.failure(ERROR) if index % 2 else permit.success()) == 0
    assert admitted(guard.try_acquire()).failure(ERROR) == 1
    assert drain(guard) == [Row(1, EDGE_OPENED, -1, clock.now_ns, BY_ERRORS, 10, 5, clock.now_ns)]


def test_a_window_of_slow_calls_opens_it(clock) -> None:
    """Slow answers are as bad as failures where the policy says so."""
    guard = Guard(window_calls_min=4, slow_percent=100, slow_ns=10 * MILLISECOND)
    for _ in range(4):
        permit = admitted(guard.try_acquire())
        clock.advance(10 * MILLISECOND)
        permit.success()
    assert drain(guard)[0][1:] == (EDGE_OPENED, -1, clock.now_ns, BY_SLOW, 4, 4, clock.now_ns - 30 * MILLISECOND)


def test_old_failures_leave_the_window(clock) -> None:
    """What is older than the window neither opens nor is counted."""
    guard = Guard(window_ns=10 * SECOND, window_calls_min=4)
    for _ in range(3):
        admitted(guard.try_acquire()).failure(ERROR)
    clock.advance(10 * SECOND)
    assert guard.describe()["window_calls"] == 0
    assert admitted(guard.try_acquire()).failure(ERROR) == 0


def test_the_window_slides_a_tenth_at_a_time(clock) -> None:
    """Under steady traffic what is more than nine tenths old leaves bucket by bucket."""
    guard = Guard(window_ns=10 * SECOND, failure_percent=0)
    for second in range(30):
        for _ in range(second + 1):
            admitted(guard.try_acquire()).failure(ERROR)
        expected = sum(range(second + 1, max(0, second - 9), -1))
        assert guard.describe()["window_failures"] == expected
        clock.advance(SECOND)


@pytest.mark.parametrize(("kind", "cause"), [(ERROR, BY_CONSECUTIVE), (TIMEOUT, BY_OVERLOAD), (OVERLOAD, BY_OVERLOAD)])
def test_the_row_says_what_it_looked_like(clock, kind: int, cause: int) -> None:
    """Time-outs and 429/503 are told apart from errors."""
    guard = Guard(breaker_consecutive=3)
    for _ in range(3):
        admitted(guard.try_acquire()).failure(kind)
    assert drain(guard)[0].a == cause


def test_while_open_calls_are_refused_until_the_penalty_ends(clock) -> None:
    """`retry_after_ns` is the rest of the penalty, which is open_ns give or take a tenth."""
    guard = opened(clock, open_ns=10 * SECOND)
    answer = refused(guard.try_acquire())
    assert answer.reason == OPEN
    assert 9 * SECOND <= answer.retry_after_ns <= 11 * SECOND
    clock.advance(answer.retry_after_ns - 1)
    assert refused(guard.try_acquire()).retry_after_ns == 1
    clock.advance(1)
    assert admitted(guard.try_acquire()).probe


@pytest.mark.parametrize("probes_max", [1, 3, 16])
def test_no_stampede_when_the_penalty_ends(clock, probes_max: int) -> None:
    """Of 100 concurrent calls at that moment exactly `probes_max` pass."""
    guard = half_open(clock, probes_max=probes_max)
    answers = [guard.try_acquire() for _ in range(100)]
    assert sum(isinstance(answer, Permit) for answer in answers) == probes_max
    assert {answer.reason for answer in answers[probes_max:]} == {PROBING}  # type: ignore[union-attr]


def test_enough_good_probes_close_it(clock) -> None:
    """`probe_successes` probes in a row close it, and normal traffic flows."""
    guard = half_open(clock, probe_successes=3)
    assert [admitted(guard.try_acquire()).success() for _ in range(3)] == [0, 0, 1]
    assert kinds(guard) == [(EDGE_PROBE_PASSED, -1)]
    assert not admitted(guard.try_acquire()).probe


def test_one_bad_probe_opens_it_for_twice_as_long(clock) -> None:
    """A failed probe opens it again; the penalty doubles up to its bound."""
    guard = half_open(clock, open_ns=SECOND, open_max_ns=3 * SECOND)
    for least, most in ((18, 22), (27, 30), (27, 30)):
        assert admitted(guard.try_acquire()).failure(ERROR) == 1
        assert kinds(guard) == [(EDGE_PROBE_FAILED, -1)]
        rest = refused(guard.try_acquire()).retry_after_ns
        assert least * SECOND <= 10 * rest <= most * SECOND
        clock.advance(rest)


def test_a_penalty_shortens_only_by_healthy_operation(clock) -> None:
    """Time alone forgives nothing; a full window of closed operation with calls takes one doubling back."""
    guard = half_open(clock, open_ns=SECOND, window_ns=10 * SECOND, probe_successes=1)
    admitted(guard.try_acquire()).success()
    clock.advance(3_600 * SECOND)
    admitted(guard.try_acquire()).failure(ERROR)
    rest = refused(guard.try_acquire()).retry_after_ns
    assert 1.8 * SECOND <= rest <= 2.2 * SECOND
    clock.advance(rest)
    admitted(guard.try_acquire()).success()
    for _ in range(2):
        clock.advance(10 * SECOND)
        admitted(guard.try_acquire()).success()
    admitted(guard.try_acquire()).failure(ERROR)
    assert refused(guard.try_acquire()).retry_after_ns <= 1.1 * SECOND


def test_a_probe_that_never_returns_opens_it_again(clock) -> None:
    """After `probe_timeout_ns` the slot is lost, that counts as a failure, and the late result counts as nothing."""
    guard = half_open(clock, probe_timeout_ns=SECOND, probe_successes=1)
    lost = admitted(guard.try_acquire())
    clock.advance(SECOND - 1)
    assert refused(guard.try_acquire()).reason == PROBING
    clock.advance(1)
    assert refused(guard.try_acquire()).reason == OPEN
    assert kinds(guard) == [(EDGE_PROBE_FAILED, -1)]
    assert lost.success() == 0
    assert guard.is_open()


def test_the_oldest_probe_is_the_one_that_times_out(clock) -> None:
    """Probes that come and go beside it do not prolong the wait for a lost one."""
    guard = half_open(clock, probes_max=3, probe_timeout_ns=SECOND, probe_successes=100)
    first = admitted(guard.try_acquire())
    clock.advance(SECOND // 4)
    lost = admitted(guard.try_acquire())
    first.success()
    for _ in range(4):
        clock.advance(SECOND // 4 - 1)
        admitted(guard.try_acquire()).cancel()
    assert kinds(guard) == []
    clock.advance(4)
    assert refused(guard.try_acquire()).reason == OPEN
    lost.cancel()


def test_of_two_lost_probes_the_first_one_decides(clock) -> None:
    """The edge opens when the older of them has taken too long."""
    guard = half_open(clock, probes_max=2, probe_timeout_ns=SECOND)
    first = admitted(guard.try_acquire())
    clock.advance(SECOND // 2)
    second = admitted(guard.try_acquire())
    clock.advance(SECOND // 2)
    assert refused(guard.try_acquire()).reason == OPEN
    assert [first.success(), second.success()] == [1, 0]  # the row of the lost probe is told once


def test_a_cancelled_probe_gives_its_slot_to_the_next(clock) -> None:
    """Cancelled, the probe is neither success nor failure."""
    guard = half_open(clock, probe_successes=1)
    admitted(guard.try_acquire()).cancel()
    assert admitted(guard.try_acquire()).success() == 1


def test_a_stale_success_closes_nothing(clock) -> None:
    """A call from before the opening succeeds while half open: it is counted and proves nothing."""
    guard = Guard(breaker_consecutive=1, probe_successes=1)
    early = admitted(guard.try_acquire())
    admitted(guard.try_acquire()).failure(ERROR)
    clock.advance(refused(guard.try_acquire()).retry_after_ns)
    probe = admitted(guard.try_acquire())
    drain(guard)
    assert early.success() == 0
    assert guard.describe()["probing"] == 1
    assert guard.describe()["calls"] == 2
    probe.success()
    assert guard.describe()["probing"] == 0


def test_a_stale_failure_opens_nothing(clock) -> None:
    """A call from before the opening fails after the closing: it is counted and opens nothing."""
    guard = Guard(breaker_consecutive=1, probe_successes=1)
    early = admitted(guard.try_acquire())
    admitted(guard.try_acquire()).failure(ERROR)
    clock.advance(refused(guard.try_acquire()).retry_after_ns)
    admitted(guard.try_acquire()).success()
    drain(guard)
    assert early.failure(ERROR) == 0
    assert not guard.is_open()
    assert guard.describe()["failures"] == 2

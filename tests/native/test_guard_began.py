"""Since when: a verdict carries the time at which its evidence last stood at zero."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import EDGE_OPENED, ENDPOINT_TRIPPED, ERROR, Guard
from tests.native.traffic import MILLISECOND, SECOND, admitted, drain, fail, succeed


def trip(guard: Guard, kind: int) -> int:
    """Since when the last verdict of that kind says it is."""
    rows = [row for row in drain(guard) if row.kind == kind]
    assert rows
    return rows[-1].d


def test_a_stray_failure_that_was_outweighed_is_not_where_it_began(clock) -> None:
    """Enough successes bring the evidence to zero; the failures that decide begin anew."""
    guard = Guard(endpoints=2, failure_percent=0)
    fail(guard, 0, 1)
    assert guard.endpoint(0)["began_ns"] == clock.now_ns
    succeed(guard, 0, 60)
    assert guard.endpoint(0)["began_ns"] == 0
    clock.advance(SECOND)
    began = clock.now_ns
    for _ in range(5):
        fail(guard, 0, 1)
        clock.advance(MILLISECOND)
    assert trip(guard, ENDPOINT_TRIPPED) == began


def test_evidence_that_was_cleared_began_nowhere(clock) -> None:
    """After an order took everything back the next failure is the first."""
    guard = Guard(endpoints=2, failure_percent=0)
    fail(guard, 0, 3)
    guard.restore(0)
    clock.advance(SECOND)
    fail(guard, 0, 5)
    assert trip(guard, ENDPOINT_TRIPPED) == clock.now_ns


@pytest.mark.parametrize("policy", [{"breaker_consecutive": 6}, {"window_calls_min": 40, "failure_percent": 10}])
def test_an_edge_that_always_fails_a_little_began_when_it_failed_much(clock, policy: dict[str, int]) -> None:
    """One call in a hundred fails all the time, so that the window is never clean; the outage is what is dated."""
    guard = Guard(**policy)
    for call in range(500):
        clock.advance(10 * MILLISECOND)
        permit = admitted(guard.try_acquire())
        _ = permit.failure(ERROR) if call % 100 == 50 else permit.success()
    began = clock.now_ns
    while not guard.is_open():
        admitted(guard.try_acquire()).failure(ERROR)
        clock.advance(10 * MILLISECOND)
    assert trip(guard, EDGE_OPENED) == began


def test_what_an_edge_was_suspected_of_long_ago_is_no_beginning(clock) -> None:
    """Failures that have left the window without a success after them are forgotten with it."""
    guard = Guard(breaker_consecutive=0, window_calls_min=4, window_ns=SECOND)
    for _ in range(3):
        admitted(guard.try_acquire()).failure(ERROR)
    clock.advance(5 * SECOND)
    began = clock.now_ns
    for _ in range(4):
        admitted(guard.try_acquire()).failure(ERROR)
        clock.advance(MILLISECOND)
    assert trip(guard, EDGE_OPENED) == began


@given(st.lists(st.sampled_from(["success", "success", "success", "failure", "slow", "clear"]), max_size=80))
@settings(max_examples=200, deadline=None)
def test_it_began_when_the_sums_left_zero(results: list[str]) -> None:
    """Of an endpoint, whatever its calls do: as the three sums that can be read say."""
    now, began = 1_000 * SECOND, 0
    native.set_test_clock(now)
    guard = Guard(endpoints=1, failure_percent=0, slow_ns=50 * MILLISECOND, endpoint_consecutive=0)
    guard.retune(endpoint_evidence_mnat=65_000)  # nobody is condemned: one endpoint stays in any case
    try:
        for result in results:
            if result == "clear":
                guard.restore(0)
            else:
                permit = admitted(guard.try_acquire())
                now += 60 * MILLISECOND if result == "slow" else MILLISECOND
                native.set_test_clock(now)
                _ = permit.failure(ERROR) if result == "failure" else permit.success()
            seen = guard.endpoint(0)
            held = seen["evidence_mnat"] + seen["trickle_evidence_mnat"] + seen["slow_evidence_mnat"]
            began = 0 if not held else began or now
            assert seen["began_ns"] == began
    finally:
        native.set_test_clock(-1)

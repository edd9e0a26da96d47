"""What a permit promises: settled once, dropped is cancelled, overdue is a failure once."""

import pytest

from controlplane._native.guard import ERROR, TIMEOUT, Guard, Permit, Refusal
from tests.native.traffic import MILLISECOND, SECOND, admitted, permit_to, refused


def test_a_permit_is_truthy_and_a_refusal_falsy(clock) -> None:
    """Both are values; the refusal says why in a word."""
    guard = Guard(concurrency_max=1)
    permit, refusal = guard.try_acquire(), guard.try_acquire()
    assert isinstance(permit, Permit)
    assert isinstance(refusal, Refusal)
    assert permit
    assert not refusal
    assert (permit.endpoint, permit.start_ns, permit.probe) == (-1, clock.now_ns, False)
    assert (refusal.part, refusal.retry_after_ns) == ("concurrency", 0)
    assert "concurrency" in repr(refusal)
    assert "endpoint=-1" in repr(permit)


def test_settling_twice_does_nothing(clock) -> None:
    """Only the first settlement counts, whichever follows."""
    guard = Guard(endpoints=1)
    permit = admitted(guard.try_acquire())
    permit.success()
    assert [permit.success(), permit.failure(ERROR), permit.cancel(), permit.stalled()] == [0, 0, 0, 0]
    permit.answered()
    seen = guard.describe()
    assert (seen["calls"], seen["failures"], seen["cancelled"], seen["in_flight"]) == (1, 0, 0, 0)


def test_a_dropped_permit_is_cancelled(clock) -> None:
    """Its slot is free again, and it is no evidence."""
    guard = Guard(endpoints=2, concurrency_max=1)
    permit = admitted(guard.try_acquire())
    endpoint = permit.endpoint
    del permit
    seen = guard.describe()
    assert (seen["in_flight"], seen["cancelled"], seen["calls"]) == (0, 1, 0)
    assert guard.endpoint(endpoint)["in_flight"] == 0


def test_a_permit_keeps_its_guard_alive(clock) -> None:
    """A permit may be settled after everybody else has forgotten the guard."""
    permit = admitted(Guard(endpoints=2).try_acquire())
    assert permit.success() == 0


def test_an_overdue_call_counts_once_as_a_failure(clock) -> None:
    """Its later end gives its slot back, and tells how long answers take now and that there are any."""
    guard = Guard(endpoints=1)
    permit = admitted(guard.try_acquire())
    clock.advance(MILLISECOND)
    permit.stalled()
    permit.stalled()
    assert guard.describe()["in_flight"] == 1
    permit.success()
    seen = guard.describe()
    assert (seen["calls"], seen["failures"], seen["in_flight"], seen["cancelled"]) == (1, 1, 0, 0)
    assert guard.latency_quantile_ns(500) == pytest.approx(MILLISECOND, rel=0.02)
    assert (seen["window_calls"], seen["window_failures"]) == (1, 0)


@pytest.mark.parametrize(("end", "failures"), [("success", 0), ("timeout", 1), ("cancel", 1), ("left", 0)])
def test_to_the_edge_an_overdue_call_is_what_became_of_it(clock, end: str, failures: int) -> None:
    """Nothing while it runs; given up without an answer it has failed, and with one it has not."""
    guard = Guard(endpoints=1)
    permit = admitted(guard.try_acquire())
    permit.stalled()
    assert guard.describe()["window_calls"] == 0
    if end == "success":
        permit.success()
    elif end == "timeout":
        permit.failure(TIMEOUT)
    else:
        if end == "left":
            permit.answered()
        permit.cancel()
    assert guard.describe()["window_failures"] == failures


def test_a_relayed_failure_is_none_of_the_edge(clock) -> None:
    """Neither a call nor a failure, and the slot is free; settled once."""
    guard = Guard(endpoints=2)
    permit = admitted(guard.try_acquire())
    assert [permit.relayed(), permit.failure(ERROR)] == [0, 0]
    seen = guard.describe()
    assert (seen["calls"], seen["failures"], seen["cancelled"], seen["in_flight"]) == (0, 0, 1, 0)


def test_latency_ends_with_the_head_of_the_answer(clock) -> None:
    """A body that streams for a minute does not make the endpoint slow."""
    guard = Guard(endpoints=1, slow_ns=SECOND)
    permit = admitted(guard.try_acquire())
    clock.advance(5 * MILLISECOND)
    permit.answered()
    clock.advance(60 * SECOND)
    permit.answered()
    permit.success()
    assert guard.endpoint(0)["slow"] == 0
    assert guard.endpoint(0)["ewma_ns"] == 5 * MILLISECOND
    assert 5 * MILLISECOND <= guard.latency_quantile_ns(1000) <= 5.05 * MILLISECOND


def test_latency_beyond_the_range_is_clamped(clock) -> None:
    """The guard's own histogram counts it at its highest value; reset forgets it."""
    guard = Guard()
    permit = admitted(guard.try_acquire())
    clock.advance(3_600 * SECOND)
    permit.success()
    counts, lowest, highest, digits = guard.latency_counts()
    assert (lowest, highest, digits) == (1_000, 60 * SECOND, 2)
    assert sum(counts.tolist()) == 1
    assert highest <= guard.latency_quantile_ns(500) <= highest * 1.01
    guard.latency_reset()
    assert sum(counts.tolist()) == 0


def test_slow_calls_are_counted_where_slow_is_defined(clock) -> None:
    """`set_slow_ns` moves the border for the calls that follow; 0: none is slow."""
    guard = Guard(endpoints=1)
    for slow_ns in (0, 10, 11):
        guard.set_slow_ns(slow_ns)
        permit = admitted(guard.try_acquire())
        clock.advance(10)
        permit.success()
    assert guard.describe()["slow"] == 1
    assert guard.describe()["slow_ns"] == 11


def test_a_permit_of_an_ejected_endpoint_gives_its_slot_back(clock) -> None:
    """Generations decide about evidence, never about slots."""
    guard = Guard(endpoints=2, concurrency_max=1)
    permit = permit_to(guard, 0)
    guard.eject(0, SECOND, 0)
    refused(guard.try_acquire())
    permit.failure(ERROR)
    assert guard.try_acquire()

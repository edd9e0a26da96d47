"""Calls that somebody else's proxy made are evidence as calls made here: the same verdicts, at the same call."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import (
    EDGE_OPENED,
    EDGE_PROBE_PASSED,
    EJECTED,
    ENDPOINT_PROBE_FAILED,
    ENDPOINT_PROBE_PASSED,
    ENDPOINT_TRIPPED,
    ERROR,
    HEALTHY,
    OBSERVED,
    OBSERVED_PROBE,
    OVERLOAD,
    PROBATION,
    STALLED,
    SUCCESS,
    TIMEOUT,
    Guard,
)
from tests.native.conftest import StoodClock
from tests.native.traffic import MILLISECOND, SECOND, drain, kinds, permit_to, states


def seen(guard: Guard, endpoint: int) -> dict[str, int]:
    """All that is known of an endpoint but the length of its penalty, which is drawn."""
    return {**guard.endpoint(endpoint), "until_ns": 0}


OUTCOMES = st.sampled_from([SUCCESS, SUCCESS, SUCCESS, SUCCESS, ERROR, ERROR, TIMEOUT, OVERLOAD])


@given(st.lists(st.tuples(st.integers(0, 2), OUTCOMES, st.integers(1, 40)), max_size=60), st.sampled_from([0, 1]))
@settings(max_examples=150, deadline=None)
def test_what_is_observed_is_judged_as_what_is_called(results: list[tuple[int, int, int]], enforced: int) -> None:
    """The same results, once of calls admitted here and once as a log tells them, leave the same rows and the same
    counts, until one of them is out of traffic: from then on admission decides who is called."""
    policy = {"endpoints": 3, "slow_ns": 20 * MILLISECOND, "ejected_percent_max": 40, "enforced": enforced}
    try:
        now = 1_000 * SECOND
        native.set_test_clock(now)
        called, observed = Guard(**policy), Guard(**policy)  # type: ignore[arg-type]
        for endpoint, outcome, latency_ms in results:
            native.set_test_clock(now)
            if called.is_open() or states(called, 3) != [HEALTHY] * 3:
                break
            permit = permit_to(called, endpoint)
            now += latency_ms * MILLISECOND
            native.set_test_clock(now)
            told = permit.success() if outcome == SUCCESS else permit.failure(outcome)
            assert observed.observe(endpoint, outcome, latency_ms * MILLISECOND) & OBSERVED == told
            assert drain(observed) == drain(called)
            assert [seen(observed, k) for k in range(3)] == [seen(called, k) for k in range(3)]
            for field in ("calls", "failures", "slow", "open", "window_calls", "window_failures", "typical_ns"):
                assert observed.describe()[field] == called.describe()[field]
        assert observed.in_flight == 0
        assert list(observed.latency_counts()[0]) == list(called.latency_counts()[0])
    finally:
        native.set_test_clock(-1)


def test_a_call_that_began_before_the_ejection_is_no_evidence_after_it(clock: StoodClock) -> None:
    """Answers to what was in flight when an endpoint was taken out neither keep it out nor bring it back."""
    guard = Guard(endpoints=4, endpoint_consecutive=5, eject_ns=SECOND)
    for _ in range(5):
        clock.advance(MILLISECOND)
        guard.observe(0, ERROR, MILLISECOND)
    assert kinds(guard) == [(ENDPOINT_TRIPPED, 0)]
    clock.advance(3 * SECOND)  # the penalty is over: it is on probation since now
    assert guard.observe(0, ERROR, 2 * SECOND) == 0
    assert states(guard, 4)[0] == PROBATION
    assert (kinds(guard), guard.describe()["window_failures"]) == ([], 0)


def test_results_on_probation_are_the_probes(clock: StoodClock) -> None:
    """Three good ones, each begun after the last was judged, bring it back; one bad one takes it out again."""
    guard = Guard(endpoints=4, probe_successes=3, eject_ns=SECOND)
    for last, kind, state in ((SUCCESS, ENDPOINT_PROBE_PASSED, HEALTHY), (ERROR, ENDPOINT_PROBE_FAILED, EJECTED)):
        guard.probe(0, 60 * SECOND)
        for outcome in (SUCCESS, SUCCESS, last):
            clock.advance(25 * MILLISECOND)
            assert guard.observe(0, outcome, MILLISECOND) & OBSERVED_PROBE
        assert kinds(guard) == [(kind, 0)]
        assert states(guard, 4)[0] == state


def test_a_burst_on_probation_is_one_probe(clock: StoodClock) -> None:
    """What comes back within the pause after a probe passes nothing: a good moment is one, not three."""
    guard = Guard(endpoints=4, probe_successes=3)
    guard.probe(0, 60 * SECOND)
    clock.advance(25 * MILLISECOND)
    assert [guard.observe(0, SUCCESS, MILLISECOND) & OBSERVED_PROBE for _ in range(5)] == [OBSERVED_PROBE, 0, 0, 0, 0]
    assert states(guard, 4)[0] == PROBATION


def test_a_half_open_edge_closes_by_what_is_observed(clock: StoodClock) -> None:
    """The breaker opens by a log's failures, and closes by its successes that began after it was half open."""
    guard = Guard(breaker_consecutive=5, open_ns=SECOND, probe_successes=2)
    for _ in range(5):
        clock.advance(MILLISECOND)
        guard.observe(-1, ERROR, MILLISECOND)
    assert kinds(guard) == [(EDGE_OPENED, -1)]
    clock.advance(10 * SECOND)
    assert guard.observe(-1, SUCCESS, 9 * SECOND) == 0  # begun while it was open
    for _ in range(2):
        clock.advance(MILLISECOND)
        assert guard.observe(-1, SUCCESS, MILLISECOND // 2) & OBSERVED_PROBE
    assert kinds(guard) == [(EDGE_PROBE_PASSED, -1)]
    assert not guard.is_open()


def test_stalls_that_come_apart_eject(clock: StoodClock) -> None:
    """Calls that do not come back condemn their endpoint, told one after the other; told at one instant they do not."""
    for apart_ns, out in ((30 * MILLISECOND, True), (0, False)):
        guard = Guard(endpoints=4, endpoint_consecutive=5)
        clock.advance(10 * SECOND)
        for _ in range(5):
            clock.advance(apart_ns)
            guard.observe(2, STALLED, 2 * SECOND)
        assert (states(guard, 4)[2] == EJECTED) is out


def test_what_adapts_to_calls_in_flight_learns_nothing(clock: StoodClock) -> None:
    """Limits bound what is in flight here; somebody else's time-outs do not shrink them."""
    guard = Guard(endpoints=2, concurrency_max=100, concurrency_adapts=1)
    guard.limit(20, 60 * SECOND, 0)
    before = guard.describe()["concurrency"], guard.describe()["limit"]
    for _ in range(40):
        clock.advance(SECOND)
        guard.observe(0, TIMEOUT, MILLISECOND)
    assert (guard.describe()["concurrency"], guard.describe()["limit"]) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((2, SUCCESS, 1), IndexError), ((-1, SUCCESS, 1), IndexError), ((0, 5, 1), ValueError), ((0, 0, -1), ValueError)],
)
def test_what_is_out_of_range_is_refused(arguments: tuple[int, int, int], error: type[Exception]) -> None:
    """An endpoint that is not there, an outcome that is none and a negative latency change nothing."""
    guard = Guard(endpoints=2)
    with pytest.raises(error):
        guard.observe(*arguments)
    assert guard.describe()["calls"] == 0

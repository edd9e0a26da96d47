"""Evidence against endpoints, ejection under caps, probation."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.detector import bank
from controlplane._native.guard import (
    BY_CONSECUTIVE,
    BY_ERRORS,
    BY_OVERLOAD,
    BY_SLOW,
    BY_STALLED,
    EFFECTIVE,
    EJECTED,
    ENDPOINT_CAPPED,
    ENDPOINT_PROBE_FAILED,
    ENDPOINT_PROBE_PASSED,
    ENDPOINT_TRIPPED,
    ERROR,
    HEALTHY,
    OVERLOAD,
    PROBATION,
    RETRY_BUDGET,
    TIMEOUT,
    Guard,
)
from tests.native.traffic import (
    MILLISECOND,
    SECOND,
    Row,
    admitted,
    drain,
    fail,
    kinds,
    permit_to,
    refused,
    states,
    succeed,
)


def cusum(steps: list[int]) -> int:
    """The largest sum of a suffix, or 0: what the recursion max(0, S + step) computes, by definition."""
    return max(0, *accumulate(reversed(steps)), 0)


@given(st.lists(st.sampled_from(["good", "slow", "bad"]), max_size=20))  # fewer than saturate a sum
@settings(max_examples=150, deadline=None)
def test_evidence_is_the_cusum_by_definition(results: list[str]) -> None:
    """Each sum equals the largest suffix sum of its increments after every call: those of the detector at 1 %."""
    _, up, down, _ = bank(0.01, 1e-6)
    trickle: list[int] = []
    failures: list[int] = []
    slowness: list[int] = []
    try:
        now = SECOND
        native.set_test_clock(now)
        guard = Guard(endpoints=1, slow_ns=1000, endpoint_consecutive=0, endpoint_evidence_mnat=0, failure_percent=0)
        for result in results:
            permit = admitted(guard.try_acquire())
            now += 1000 if result == "slow" else 999
            native.set_test_clock(now)
            if result == "bad":
                permit.failure(ERROR)
                trickle.append(up[0])
                failures.append(up[1])
            else:
                permit.success()
                trickle.append(down[0])
                failures.append(down[1])
                slowness.append(3219 if result == "slow" else -673)
            seen = guard.endpoint(0)
            assert (seen["evidence_mnat"], seen["slow_evidence_mnat"]) == (cusum(failures), cusum(slowness))
            assert seen["trickle_evidence_mnat"] == cusum(trickle)
    finally:
        native.set_test_clock(-1)


def test_failures_in_a_row_eject_in_the_same_settlement(clock) -> None:
    """The deciding result's settlement returns 1, and the endpoint is out when it does."""
    guard = Guard(endpoints=3, endpoint_consecutive=5, endpoint_evidence_mnat=0)
    assert fail(guard, 1, 4) == 0
    assert fail(guard, 1, 1) == 1
    assert states(guard, 3) == [HEALTHY, EJECTED, HEALTHY]
    assert drain(guard) == [Row(1, ENDPOINT_TRIPPED, 1, clock.now_ns, BY_CONSECUTIVE, 5, 5, clock.now_ns)]
    assert all(admitted(guard.try_acquire()).endpoint != 1 for _ in range(200))


def test_spread_failures_eject_by_evidence(clock) -> None:
    """Failures with successes between them add up; a share that healthy endpoints show does not."""
    guard = Guard(endpoints=2, endpoint_consecutive=0)
    for _ in range(4):
        succeed(guard, 0, 2)
        fail(guard, 0, 1)
    assert fail(guard, 0, 1) == 1
    row = drain(guard)[0]
    assert (row.kind, row.endpoint, row.a) == (ENDPOINT_TRIPPED, 0, BY_ERRORS)
    assert (row.b, row.c) == (11, 5)  # the first two successes stood at zero


def test_slow_answers_eject(clock) -> None:
    """Latency alone, without one error, rejects an endpoint's health."""
    guard = Guard(endpoints=2, slow_ns=50 * MILLISECOND)
    for _ in range(5):
        permit = permit_to(guard, 1)
        clock.advance(50 * MILLISECOND)
        permit.success()
    assert drain(guard) == [Row(1, ENDPOINT_TRIPPED, 1, clock.now_ns, BY_SLOW, 5, 5, clock.now_ns - 200 * MILLISECOND)]


def test_stalled_calls_eject(clock) -> None:
    """Calls that do not come back are failures from the moment they are overdue."""
    guard = Guard(endpoints=2)
    overdue = [permit_to(guard, 0) for _ in range(5)]
    told = []
    for permit in overdue:
        clock.advance(20 * MILLISECOND)
        told.append(permit.stalled())
    assert told == [0, 0, 0, 0, 1]
    assert drain(guard)[0][1:] == (ENDPOINT_TRIPPED, 0, clock.now_ns, BY_STALLED, 5, 5, clock.now_ns - 80 * MILLISECOND)


def test_stalls_of_one_pause_are_one_observation(clock) -> None:
    """Fifty calls that come due within 75 ms, as when a replica was not scheduled for so long, eject nobody."""
    guard = Guard(endpoints=2, failure_percent=0)
    overdue = [permit_to(guard, 0) for _ in range(50)]
    for permit in overdue:
        clock.advance(3 * MILLISECOND // 2)
        assert permit.stalled() == 0
    assert guard.endpoint(0)["consecutive"] == 4
    assert guard.endpoint(0)["failures"] == 50, "they are counted all the same"
    assert guard.endpoint(1)["consecutive"] == 0


def test_a_trickle_of_failures_ejects(clock) -> None:
    """One call in fourteen fails: too few for the sum of a quarter, found by that of a twentieth."""
    guard = Guard(endpoints=2, endpoint_consecutive=0, failure_percent=0)
    for _ in range(40):
        succeed(guard, 0, 13)
        if fail(guard, 0, 1):
            break
    row = drain(guard)[0]
    assert (row.kind, row.endpoint, row.a) == (ENDPOINT_TRIPPED, 0, BY_ERRORS)
    assert 16 < row.c <= 30


def test_what_is_normal_on_an_edge_is_no_evidence(clock) -> None:
    """The same trickle is lived with where it was learned, and a total failure is still found in five or six calls."""
    guard = Guard(endpoints=2, endpoint_consecutive=0, failure_percent=0)
    guard.set_failure_ppm(70_000)
    assert guard.describe()["failure_ppm"] == 90_509, "the next of the table"
    for _ in range(200):
        succeed(guard, 0, 13)
        assert fail(guard, 0, 1) == 0
    succeed(guard, 0, 100)
    assert [fail(guard, 0, 1) for _ in range(11)].index(1) <= 10
    guard.set_failure_ppm(0)
    assert guard.describe()["failure_ppm"] == 11_313, "less than 1 % is not believed"


def test_the_learned_share_outlives_another_policy(clock) -> None:
    """A retune of the policy keeps what was learned, and the sums that stand."""
    guard = Guard(endpoints=2)
    guard.set_failure_ppm(30_000)
    fail(guard, 0, 1)
    before = guard.endpoint(0)["evidence_mnat"]
    guard.retune(endpoint_consecutive=7)
    assert guard.describe()["failure_ppm"] == 32_000
    assert guard.endpoint(0)["evidence_mnat"] == before > 0


def test_a_single_endpoint_is_never_ejected(clock) -> None:
    """It says that it is sick, and goes on."""
    guard = Guard(endpoints=1, failure_percent=0)
    assert fail(guard, 0, 5) == 1
    assert kinds(guard) == [(ENDPOINT_CAPPED, 0)]
    assert states(guard, 1) == [HEALTHY]


def test_no_more_than_the_cap_are_out_at_once(clock) -> None:
    """Of twenty endpoints at 10 % two may be ejected; the third is told as capped and must earn its evidence anew."""
    guard = Guard(endpoints=20, ejected_percent_max=10)
    for endpoint in range(3):
        fail(guard, endpoint, 5)
    told = [(row.kind, row.endpoint) for row in drain(guard) if row.kind != EFFECTIVE]
    assert told == [(ENDPOINT_TRIPPED, 0), (ENDPOINT_TRIPPED, 1), (ENDPOINT_CAPPED, 2)]
    assert guard.endpoint(2)["evidence_mnat"] == 0
    assert fail(guard, 2, 4) == 0
    assert fail(guard, 2, 1) == 1


def test_an_endpoint_on_probation_still_counts_as_out(clock) -> None:
    """A pool must not drain one by one: while the first is not back, the second is capped."""
    guard = Guard(endpoints=3)
    fail(guard, 0, 5)
    clock.advance(guard.endpoint(0)["until_ns"] - clock.now_ns)
    fail(guard, 1, 5)
    assert states(guard, 3) == [PROBATION, HEALTHY, HEALTHY]


def test_a_probe_of_the_edge_takes_no_second_risk(clock) -> None:
    """While the edge is half open, its few calls go to healthy endpoints."""
    guard = Guard(endpoints=2, probes_max=16)
    guard.eject(0, 0, 0)
    guard.probe(-1, SECOND)
    held = [admitted(guard.try_acquire()) for _ in range(16)]
    assert {permit.endpoint for permit in held} == {1}


def test_sick_siblings_veto_an_ejection(clock) -> None:
    """Where no sibling is clean it is not the endpoint: capped by overload, and retries are suspended for a second."""
    guard = Guard(endpoints=2, failure_percent=0)
    fail(guard, 1, 2, TIMEOUT)
    assert fail(guard, 0, 2, OVERLOAD) == 0
    assert fail(guard, 0, 1, OVERLOAD) == 1
    row = drain(guard)[0]
    assert (row.kind, row.endpoint, row.a) == (ENDPOINT_CAPPED, 0, BY_OVERLOAD)
    assert states(guard, 2) == [HEALTHY, HEALTHY]
    answer = refused(guard.try_again(0))
    assert (answer.reason, answer.retry_after_ns) == (RETRY_BUDGET, SECOND)
    clock.advance(SECOND)
    assert guard.try_again(0)


def test_time_outs_spread_over_all_endpoints_are_one_verdict(clock) -> None:
    """Five in all, none of them five on its own: a caller with few calls to each must not wait for fifteen."""
    guard = Guard(endpoints=3, failure_percent=0)
    assert [fail(guard, endpoint, 1, TIMEOUT) for endpoint in (0, 1, 2, 0, 1)] == [0, 0, 0, 0, 1]
    assert [(row.kind, row.a, row.b, row.c) for row in drain(guard)] == [(ENDPOINT_CAPPED, BY_OVERLOAD, 5, 5)]


def test_errors_spread_over_all_endpoints_are_not(clock) -> None:
    """A 500 is about the request or the endpoint; only time says that it is load."""
    guard = Guard(endpoints=3, failure_percent=0)
    assert [fail(guard, endpoint, 1) for endpoint in (0, 1, 2, 0, 1, 2)] == [0] * 6


def test_one_that_hangs_beside_a_stray_time_out_is_ejected_alone(clock) -> None:
    """Its sibling's one time-out does not make it everybody's overload."""
    guard = Guard(endpoints=2, failure_percent=0)
    fail(guard, 1, 1, TIMEOUT)
    fail(guard, 0, 4, TIMEOUT)
    succeed(guard, 1, 2)
    fail(guard, 0, 1, TIMEOUT)
    assert kinds(guard) == [(ENDPOINT_TRIPPED, 0)]


def test_a_lapsed_penalty_becomes_probation(clock) -> None:
    """No call but a probe, one at a time and spaced, until enough have passed."""
    guard = Guard(endpoints=2, probe_successes=2)
    fail(guard, 0, 5)
    drain(guard)
    clock.advance(guard.endpoint(0)["until_ns"] - clock.now_ns)
    assert states(guard, 2) == [PROBATION, HEALTHY]
    probe = admitted(guard.try_acquire())
    assert (probe.endpoint, probe.probe) == (0, True)
    assert all(admitted(guard.try_acquire()).endpoint == 1 for _ in range(50))
    probe.success()
    clock.advance(20 * MILLISECOND - 1)
    assert admitted(guard.try_acquire()).endpoint == 1
    clock.advance(1)
    drain(guard)
    assert permit_to(guard, 0).success() == 1
    assert kinds(guard) == [(ENDPOINT_PROBE_PASSED, 0)]
    assert states(guard, 2) == [HEALTHY, HEALTHY]
    assert guard.endpoint(0)["weight"] == 100


@pytest.mark.parametrize("end", ["failure", "stalled", "slow", "lost"])
def test_a_bad_probe_ejects_again_for_twice_as_long(clock, end: str) -> None:
    """A failed, stalled, slow or lost probe: out again, doubled."""
    guard = Guard(endpoints=2, slow_ns=SECOND, eject_ns=10 * SECOND, probe_timeout_ns=5 * SECOND)
    succeed(guard, 1, 5)  # slow is what takes longer than the siblings do
    fail(guard, 0, 5)
    clock.advance(guard.endpoint(0)["until_ns"] - clock.now_ns)
    probe = permit_to(guard, 0)
    drain(guard)
    if end == "failure":
        assert probe.failure(ERROR) == 1
    elif end == "stalled":
        assert probe.stalled() == 1
    elif end == "slow":
        clock.advance(SECOND)
        assert probe.success() == 1
    else:
        clock.advance(5 * SECOND)
    assert states(guard, 2) == [EJECTED, HEALTHY]
    assert kinds(guard) == [(ENDPOINT_PROBE_FAILED, 0)]
    assert 18 * SECOND <= guard.endpoint(0)["until_ns"] - clock.now_ns <= 22 * SECOND
    assert guard.endpoint(0)["ejections"] == 2
    probe.cancel()


def test_a_probe_as_slow_as_its_siblings_passes(clock) -> None:
    """All answers take longer by now: that keeps nobody out."""
    guard = Guard(endpoints=2, slow_ns=SECOND, eject_ns=10 * SECOND, probe_successes=1, endpoint_evidence_mnat=0)
    fail(guard, 0, 5)
    clock.advance(guard.endpoint(0)["until_ns"] - clock.now_ns)
    probe = permit_to(guard, 0)
    siblings = [permit_to(guard, 1) for _ in range(200)]
    clock.advance(SECOND)
    for permit in siblings:
        permit.success()
    probe.success()
    assert states(guard, 2) == [HEALTHY, HEALTHY]


def test_slow_everywhere_ejects_nobody(clock) -> None:
    """Condemned and kept, an endpoint begins anew without evidence; that makes it no clean sibling."""
    guard = Guard(endpoints=3, slow_ns=50 * MILLISECOND)
    for _ in range(200):
        permit = admitted(guard.try_acquire())
        clock.advance(50 * MILLISECOND)
        permit.success()
    assert states(guard, 3) == [HEALTHY] * 3


def test_a_cancelled_probe_is_no_evidence(clock) -> None:
    """It gives its slot back; the next probe may start 20 ms later."""
    guard = Guard(endpoints=2, probe_successes=1)
    fail(guard, 0, 5)
    clock.advance(guard.endpoint(0)["until_ns"] - clock.now_ns)
    permit_to(guard, 0).cancel()
    assert admitted(guard.try_acquire()).endpoint == 1
    clock.advance(20 * MILLISECOND)
    assert permit_to(guard, 0).probe


def test_ejections_decay_by_healthy_operation(clock) -> None:
    """Ten penalties' time in health, with calls, takes one doubling back; time without calls does not."""
    guard = Guard(endpoints=2, probe_successes=1, eject_ns=SECOND)
    fail(guard, 0, 5)
    clock.advance(guard.endpoint(0)["until_ns"] - clock.now_ns)
    permit_to(guard, 0).success()
    clock.advance(100 * SECOND)
    assert guard.endpoint(0)["ejections"] == 1
    succeed(guard, 0, 1)
    assert guard.endpoint(0)["ejections"] == 0


def test_late_results_of_an_ejected_endpoint_are_no_evidence(clock) -> None:
    """Calls in flight at the ejection fail afterwards: neither the probation nor the edge is touched."""
    guard = Guard(endpoints=2, window_calls_min=5, breaker_consecutive=5, probe_successes=1)
    late = [permit_to(guard, 0) for _ in range(20)]
    fail(guard, 0, 5)
    assert kinds(guard) == [(ENDPOINT_TRIPPED, 0)]
    assert [permit.failure(ERROR) for permit in late] == [0] * 20
    assert not guard.is_open()
    assert guard.endpoint(0)["in_flight"] == 0
    assert guard.endpoint(0)["failures"] == 25
    assert guard.describe()["window_failures"] == 0

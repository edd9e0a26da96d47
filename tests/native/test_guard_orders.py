"""Orders of the control plane: what they do, that they lapse, and what they may never do."""

import pytest

from controlplane._native.guard import (
    CONCURRENCY,
    EDGE_OPENED,
    EFFECTIVE,
    EJECTED,
    ENDPOINT_CAPPED,
    ENDPOINT_PROBE_FAILED,
    ENDPOINT_PROBE_PASSED,
    ENDPOINT_TRIPPED,
    ERROR,
    HEALTHY,
    LEASE_LAPSED,
    OPEN,
    PROBATION,
    PROBING,
    RETRY_BUDGET,
    WEIGHT,
    Guard,
)
from tests.native.traffic import SECOND, Row, admitted, drain, fail, kinds, permit_to, refused, states


def test_an_ordered_ejection_lapses_into_probation(clock) -> None:
    """Out until the lease ends; then probes decide, and the lapse is told."""
    guard = Guard(endpoints=2)
    guard.eject(0, 10 * SECOND, 0)
    assert all(admitted(guard.try_acquire()).endpoint == 1 for _ in range(100))
    clock.advance(10 * SECOND - 1)
    assert guard.is_ejected(0)
    clock.advance(1)
    assert states(guard, 2) == [PROBATION, HEALTHY]
    assert kinds(guard) == [(LEASE_LAPSED, 0)]


def test_an_order_beats_the_caps_but_never_empties(clock) -> None:
    """Two of three may be ordered out; the order for the last healthy one is ignored."""
    guard = Guard(endpoints=3, ejected_percent_max=10)
    for endpoint in range(3):
        guard.eject(endpoint, SECOND, 0)
    assert states(guard, 3) == [EJECTED, EJECTED, HEALTHY]
    guard.probe(2, SECOND)
    assert states(guard, 3) == [EJECTED, EJECTED, HEALTHY]


def test_ejecting_twice_only_extends(clock) -> None:
    """The longer of two ends holds, whoever set it."""
    guard = Guard(endpoints=2)
    guard.eject(0, 10 * SECOND, 0)
    guard.eject(0, 5 * SECOND, 0)
    assert guard.endpoint(0)["until_ns"] == clock.now_ns + 10 * SECOND
    guard.eject(0, 20 * SECOND, 0)
    assert guard.endpoint(0)["until_ns"] == clock.now_ns + 20 * SECOND


def test_who_is_back_without_a_probe_is_no_clean_sibling_yet(clock) -> None:
    """It begins without evidence, and that does not make it clean: for a second nobody is ejected on its account."""
    guard = Guard(endpoints=2, failure_percent=0)
    guard.eject(0, 10 * SECOND, 0)
    guard.restore(0)
    fail(guard, 1, 5)
    assert states(guard, 2) == [HEALTHY, HEALTHY]
    clock.advance(SECOND)
    fail(guard, 1, 5)
    assert states(guard, 2) == [HEALTHY, EJECTED]


def test_an_ordered_probe_ends_the_penalty_now(clock) -> None:
    """Probation at once; when its lease ends the probes remain the reflex's own."""
    guard = Guard(endpoints=2)
    fail(guard, 0, 5)
    guard.probe(0, SECOND)
    assert permit_to(guard, 0).probe
    drain(guard)
    clock.advance(SECOND)
    assert states(guard, 2)[0] == PROBATION
    assert kinds(guard) == [(LEASE_LAPSED, 0)]


@pytest.mark.parametrize("percent", [0, 10, 50])
def test_a_weight_is_a_share_of_the_normal_share(clock, percent: int) -> None:
    """A weighed endpoint gets that part of what its siblings get; the lease gives it all back."""
    guard = Guard(endpoints=2)
    guard.eject(0, SECOND, 0)
    guard.weigh(0, percent, SECOND)
    chosen = 0
    for _ in range(4_000):
        permit = admitted(guard.try_acquire())
        chosen += permit.endpoint == 0
        permit.cancel()
    assert abs(chosen / 4_000 - percent / (100 + percent)) < 0.03
    drain(guard)
    clock.advance(SECOND)
    assert guard.endpoint(0)["weight"] == 100
    assert kinds(guard) == [(LEASE_LAPSED, 0)]


def test_every_lease_ends_at_its_own_time(clock) -> None:
    """One that ends does not delay or forget another: weight, limit, edge weight, a probe that is out."""
    guard = Guard(endpoints=3, probe_timeout_ns=5 * SECOND)
    guard.eject(2, 0, 0)
    probe = permit_to(guard, 2)
    guard.limit(10_000, SECOND, 0)
    guard.weigh(0, 50, 2 * SECOND)
    guard.weigh(1, 50, 3 * SECOND)
    guard.weigh(-1, 50, 4 * SECOND)
    drain(guard)
    told = []
    for _ in range(5):
        clock.advance(SECOND)
        guard.is_open()
        told.append(kinds(guard))
    lapsed = [[(LEASE_LAPSED, target)] for target in (-1, 0, 1, -1)]
    assert told == [*lapsed, [(ENDPOINT_PROBE_FAILED, 2)]]
    probe.cancel()


def test_all_weights_at_zero_still_serve(clock) -> None:
    """Weights choose between endpoints, they refuse nothing."""
    guard = Guard(endpoints=2)
    guard.weigh(0, 0, SECOND)
    guard.weigh(1, 0, SECOND)
    assert {admitted(guard.try_acquire()).endpoint for _ in range(100)} == {0, 1}


def test_isolation_refuses_until_its_lease_ends(clock) -> None:
    """Isolated, every call is refused as open; then a probe passes."""
    guard = Guard()
    guard.isolate(SECOND, 0)
    answer = refused(guard.try_acquire())
    assert (answer.reason, answer.retry_after_ns) == (OPEN, SECOND)
    clock.advance(SECOND)
    probe = admitted(guard.try_acquire())
    assert probe.probe
    assert refused(guard.try_acquire()).reason == PROBING
    assert kinds(guard) == [(LEASE_LAPSED, -1)]


def test_the_edge_is_offered_a_share(clock) -> None:
    """weigh(-1): that share of calls passes until the lease ends."""
    guard = Guard()
    guard.isolate(SECOND, 0)
    guard.weigh(-1, 25, SECOND)
    answers = [guard.try_acquire() for _ in range(4_000)]
    assert abs(sum(bool(answer) for answer in answers) / 4_000 - 0.25) < 0.03
    assert {refused(answer).reason for answer in answers if not answer} == {WEIGHT}
    clock.advance(SECOND)
    assert all(guard.try_acquire() for _ in range(100))


def test_a_limit_clamps_calls_and_forbids_retries(clock) -> None:
    """The tighter of order and policy holds; no retry and no second life while it is in force."""
    guard = Guard(endpoints=2, concurrency_max=5)
    guard.limit(2, SECOND, 0)
    held = [admitted(guard.try_acquire()) for _ in range(2)]
    assert refused(guard.try_acquire()).reason == CONCURRENCY
    held.pop().cancel()
    assert refused(guard.try_again(0)).reason == RETRY_BUDGET
    assert refused(guard.try_redrive(0)).reason == RETRY_BUDGET
    clock.advance(SECOND)
    assert guard.describe()["limit"] == 0
    assert guard.try_again(0)
    assert kinds(guard) == [(LEASE_LAPSED, -1)]


def test_restore_takes_everything_back(clock) -> None:
    """After restore nothing refuses, and nothing is held against edge or endpoint."""
    guard = Guard(endpoints=2, breaker_consecutive=3)
    fail(guard, 0, 2)
    guard.eject(0, SECOND, 0)
    guard.isolate(SECOND, 0)
    guard.limit(1, SECOND, 0)
    guard.restore(0)
    guard.restore(-1)
    assert states(guard, 2) == [HEALTHY, HEALTHY]
    assert guard.endpoint(0)["evidence_mnat"] == 0
    seen = guard.describe()
    assert (seen["open"], seen["probing"], seen["limit"], seen["weight"]) == (0, 0, 0, 100)
    assert all(guard.try_acquire() for _ in range(10))
    assert kinds(guard) == []


def test_effective_is_the_first_choice_without_the_endpoint(clock) -> None:
    """One row per signal: which signal, and when the first call was sent elsewhere because of it."""
    guard = Guard(endpoints=2)
    guard.eject(0, SECOND, 123)
    clock.advance(7)
    for _ in range(3):
        admitted(guard.try_acquire())
    assert drain(guard) == [Row(1, EFFECTIVE, 0, clock.now_ns, 123, 0, 0)]


def test_effective_after_a_reflex_names_the_deciding_result(clock) -> None:
    """For an ejection and for the breaker alike."""
    guard = Guard(endpoints=2, breaker_consecutive=8)
    fail(guard, 0, 5)
    tripped_at = clock.now_ns
    clock.advance(11)
    fail(guard, 1, 8)
    opened_at = clock.now_ns
    clock.advance(13)
    refused(guard.try_acquire())
    rows = drain(guard)
    assert [row[1:] for row in rows if row.kind == EFFECTIVE] == [
        (EFFECTIVE, 0, tripped_at + 11, tripped_at, 0, 0, 0),
        (EFFECTIVE, -1, opened_at + 13, opened_at, 0, 0, 0),
    ]
    assert [row.kind for row in rows if row.kind != EFFECTIVE] == [ENDPOINT_TRIPPED, ENDPOINT_CAPPED, EDGE_OPENED]


def test_effective_of_a_limit_is_its_first_refusal(clock) -> None:
    """A call that passes under the limit was not treated differently; renewing the order asks nothing anew."""
    guard = Guard()
    guard.limit(1, SECOND, 55)
    admitted(guard.try_acquire()).cancel()
    assert kinds(guard) == []
    held = admitted(guard.try_acquire())
    refused(guard.try_acquire())
    guard.limit(1, SECOND, 66)
    refused(guard.try_acquire())
    assert [(row.kind, row.a) for row in drain(guard)] == [(EFFECTIVE, 55)]
    held.cancel()


def test_observing_refuses_ejects_and_limits_nothing(clock) -> None:
    """Evidence and rows as ever, no effect, no EFFECTIVE; orders are ignored, endpoints chosen uniformly."""
    guard = Guard(endpoints=2, enforced=0, breaker_consecutive=5, rate_interval_ns=SECOND, concurrency_max=1)
    fail(guard, 0, 5)
    guard.eject(1, SECOND, 1)
    guard.isolate(SECOND, 1)
    guard.limit(1, SECOND, 1)
    guard.weigh(-1, 0, SECOND)
    guard.weigh(0, 0, SECOND)
    permits = [admitted(guard.try_acquire()) for _ in range(2_000)]
    assert abs(sum(permit.endpoint for permit in permits) / 2_000 - 0.5) < 0.05
    assert states(guard, 2) == [HEALTHY, HEALTHY]
    assert guard.describe()["refused"] == 0
    assert kinds(guard) == [(ENDPOINT_TRIPPED, 0)]
    fail(guard, 1, 1)
    for permit in permits[:5]:
        permit.failure(ERROR)
    assert EDGE_OPENED in {row.kind for row in drain(guard)}
    assert all(guard.try_again(0) for _ in range(500))


def test_from_enforcing_to_observing_everything_is_taken_back(clock) -> None:
    """What was ejected, opened or limited is normal again, and stays so when enforcing resumes."""
    guard = Guard(endpoints=2)
    guard.eject(0, SECOND, 1)
    guard.isolate(SECOND, 1)
    guard.limit(1, SECOND, 1)
    guard.enforce(0)
    assert guard.describe()["enforced"] == 0
    guard.enforce(1)
    assert states(guard, 2) == [HEALTHY, HEALTHY]
    assert all(guard.try_acquire() for _ in range(10))
    assert kinds(guard) == []


def test_enforcing_begins_without_the_evidence_of_the_time_before(clock) -> None:
    """What was seen while nothing was to be done neither opens the breaker nor ejects an endpoint afterwards."""
    guard = Guard(endpoints=3, window_calls_min=10, failure_percent=50, endpoint_consecutive=5, enforced=0)
    for endpoint in range(3):
        fail(guard, endpoint, 4)
    drain(guard)
    guard.enforce(1)
    assert [guard.endpoint(endpoint)["evidence_mnat"] for endpoint in range(3)] == [0, 0, 0]
    assert guard.describe()["window_calls"] == 0
    fail(guard, 0, 4)
    assert kinds(guard) == []
    fail(guard, 0, 1)
    assert kinds(guard) == [(ENDPOINT_TRIPPED, 0)]


def test_a_weight_does_not_bring_back_what_a_reflex_has_just_ejected(clock) -> None:
    """The reflex knows more than an order that was on its way; an ejection by order is the engine's own to end."""
    guard = Guard(endpoints=3)
    fail(guard, 0, 5)
    guard.weigh(0, 25, SECOND)
    assert states(guard, 3) == [EJECTED, HEALTHY, HEALTHY]
    guard.eject(0, 10 * SECOND, 0)
    guard.weigh(0, 25, SECOND)
    assert states(guard, 3) == [HEALTHY, HEALTHY, HEALTHY]


def test_nor_does_a_weight_close_what_a_reflex_has_just_opened(clock) -> None:
    """Of an edge as of an endpoint: a step of a ramp that was on its way must not undo a relapse."""
    guard = Guard(breaker_consecutive=3)
    for _ in range(3):
        admitted(guard.try_acquire()).failure(ERROR)
    guard.weigh(-1, 50, SECOND)
    assert refused(guard.try_acquire()).reason == OPEN
    guard.isolate(10 * SECOND, 0)
    guard.weigh(-1, 50, SECOND)
    assert (guard.is_open(), guard.describe()["weight"]) == (False, 50)


def test_a_weighed_endpoint_may_be_probed_again_and_says_that_it_passed(clock) -> None:
    """A share too small to bring a call is no dead end: probes come whatever the weight, and their end is told."""
    guard = Guard(endpoints=2)
    guard.weigh(0, 1, 30 * SECOND)
    guard.probe(0, 30 * SECOND)
    assert states(guard, 2) == [PROBATION, HEALTHY]
    for _ in range(200):
        permit = admitted(guard.try_acquire())
        clock.advance(1_000_000)
        permit.success()
    assert kinds(guard) == [(ENDPOINT_PROBE_PASSED, 0)]
    guard.weigh(0, 25, 30 * SECOND)
    assert guard.endpoint(0)["weight"] == 25


def test_a_limit_closes_the_breaker_that_its_verdict_opened(clock) -> None:
    """The order answers that verdict: open, nothing would be answered, and the limit could not adapt."""
    guard = Guard(breaker_consecutive=3, endpoint_consecutive=0, endpoints=1)
    fail(guard, 0, 3)
    assert refused(guard.try_acquire()).reason == OPEN
    guard.limit(1, 30 * SECOND, 0)
    admitted(guard.try_acquire()).success()

"""The measures: what counts as bad, when a next hop is unhealthy, which services a failure touched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from controlplane.demo import measure
from controlplane.demo.pipe import Sent, Served
from controlplane.model.unit import MILLISECOND, SECOND, Nanos

ONSET = Nanos(10 * SECOND)
WINDOW = Nanos(4 * SECOND)


def served(at_ms: int, took_ms: int, status: int = 200) -> Served:
    """A request that began `at_ms` after the onset."""
    start = ONSET + at_ms * MILLISECOND
    return Served(Nanos(start), Nanos(start + took_ms * MILLISECOND), status, "catalog")


def test_a_failure_is_bad_when_it_ends_and_a_late_answer_when_it_is_late() -> None:
    """A failed request shows at its end, a slow or hanging one at the slow mark, a good one never."""
    assert measure.bad_at(served(0, 5)) is None
    assert measure.bad_at(served(0, 5, 500)) == ONSET + 5 * MILLISECOND
    assert measure.bad_at(served(0, 400)) == ONSET + 300 * MILLISECOND
    assert measure.bad_at(served(0, 900, 504)) == ONSET + 300 * MILLISECOND
    assert measure.bad_at(Served(ONSET, Nanos(0), 0, "catalog")) == ONSET + 300 * MILLISECOND


def test_users_are_counted_once_each() -> None:
    """A request is failed or slow or neither; one without an answer that was given up is failed."""
    rows = [
        Sent(ONSET, Nanos(ONSET + 1), 200, "cart"),
        Sent(ONSET, Nanos(ONSET + 1), 503, "cart"),
        Sent(ONSET, Nanos(ONSET + SECOND), 200, "cart"),
        Sent(ONSET, Nanos(ONSET + 2 * SECOND), 0, "cart"),
    ]
    assert measure.users(rows) == measure.Users(requests=4, failed=2, slow=1)
    assert measure.users(rows).bad == 3


def test_a_healthy_hop_never_escalates_and_says_so() -> None:
    """Without bad requests the escalation time is the window, flagged as a lower bound."""
    rows = [served(at, 5) for at in range(-500, 4000, 10)]
    found = measure.escalation(rows, onset=ONSET, window_ns=WINDOW)
    assert (found.seconds, found.censored) == (4.0, True)


def test_escalation_waits_for_a_fifth_of_the_trailing_quarter_second() -> None:
    """With a request every 10 ms, the fifth failure after the onset makes 5 of 25 bad, and no earlier one a fifth."""
    rows = [served(at, 0, 500 if at >= 0 else 200) for at in range(-500, 1000, 10)]
    found = measure.escalation(rows, onset=ONSET, window_ns=WINDOW)
    assert (found.seconds, found.censored) == (0.04, False)


def test_three_unlucky_requests_are_no_escalation() -> None:
    """Three failures among the last 20 requests of a quiet hop are 15 %, and no verdict."""
    rows = [served(at, 0, 500 if at in (1000, 1100, 1200) else 200) for at in range(-4000, 4000, 100)]
    assert measure.escalation(rows, onset=ONSET, window_ns=WINDOW).censored


def test_what_was_bad_before_the_onset_is_not_this_escalation() -> None:
    """A hop that was unhealthy already is judged from the onset on."""
    rows = [served(at, 0, 500) for at in range(-500, -300, 10)] + [served(at, 0) for at in range(-300, 1000, 10)]
    assert measure.escalation(rows, onset=ONSET, window_ns=WINDOW).censored


ROWS = st.lists(
    st.tuples(st.integers(-600, 2500), st.sampled_from([1, 5, 250, 400]), st.sampled_from([200, 200, 500])), max_size=80
)


@given(ROWS)
def test_escalation_agrees_with_looking_at_every_moment(drawn: list[tuple[int, int, int]]) -> None:
    """The sliding window gives what counting afresh at every completion gives."""
    rows = [served(at, took, status) for at, took, status in drawn]
    shown = sorted(
        ((measure.bad_at(row) or row.end, measure.bad_at(row) is not None) for row in rows), key=lambda pair: pair[0]
    )
    expected = None
    for last, (at, _) in enumerate(shown):
        recent = [bad for when, bad in shown[: last + 1] if when > at - 250 * MILLISECOND]
        judged = recent if len(recent) >= 20 else [bad for _, bad in shown[max(0, last - 19) : last + 1]]
        if ONSET <= at <= ONSET + WINDOW and len(judged) >= 20 and sum(judged) >= 0.2 * len(judged):
            expected = (at - ONSET) / 1e9
            break
    found = measure.escalation(rows, onset=ONSET, window_ns=WINDOW)
    assert (None if found.censored else found.seconds) == expected


def test_the_first_unhealthy_hop_counts() -> None:
    """Of several next hops the earliest gives the time; a hop that stayed healthy never wins over one that did not."""
    hops = {
        "cart": measure.Escalation(4.0, censored=True),
        "catalog": measure.Escalation(0.7, censored=False),
        "checkout": measure.Escalation(0.9, censored=False),
    }
    assert measure.earliest(hops) == measure.Escalation(0.7, censored=False, hop="catalog")


def test_a_service_is_touched_by_a_bad_second_and_not_by_a_bad_request() -> None:
    """Three failures and more than 5 % of one second touch a service; two failures, or 3 of 100, do not."""
    healthy = [served(at, 1) for at in range(0, 4000, 10)]
    some = [served(at, 1, 500) for at in (1001, 1002)]
    enough = [served(at, 1, 500) for at in range(1000, 1060, 10)]
    ledger = {"search": healthy, "cart": healthy + some, "catalog": healthy + enough}
    assert measure.blast_radius(ledger, onset=ONSET, window_ns=WINDOW) == ("catalog",)


def test_what_happens_outside_the_window_touches_nobody() -> None:
    """Failures before the onset or after the window belong to no blast radius."""
    rows = [served(at, 0, 500) for at in (*range(-900, -800, 10), *range(4100, 4200, 10))]
    assert not measure.touched(rows, onset=ONSET, window_ns=WINDOW)


def test_percentiles_of_nothing_are_unknown() -> None:
    """No value gives no percentile rather than zero."""
    assert measure.percentiles([]) == measure.Percentiles(0, None, None, None)


def test_percentiles_are_those_of_the_values() -> None:
    """HDR percentiles are numpy's within the histogram's three digits."""
    values = [1_000 * value for value in range(1, 1001)]
    found = measure.percentiles(values)
    assert found.p50 is not None
    assert found.p99 is not None
    assert np.isclose(found.p50, np.percentile(values, 50) / 1e9, rtol=0.002)
    assert np.isclose(found.p99, np.percentile(values, 99) / 1e9, rtol=0.002)
    assert found.count == 1000

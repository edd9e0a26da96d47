"""By how much a signal exceeds normal operation, and when that is a surprise."""

import numpy as np
import pytest

from controlplane.decide.analysis.excess import excess, failures, filled, latencies


def column(normal: list[float], incident: list[float]) -> np.ndarray:
    return np.array([*normal, *incident])[:, None]


CALM = [0.010, 0.011, 0.009] * 20


def test_mass_is_requests_times_what_lies_beyond_the_bound() -> None:
    """100 requests a bucket, two buckets, 1 s against a bound of a few milliseconds: nearly 200 s."""
    values = column(CALM, [1.0, 1.0])
    found = latencies(values, 60, requests=np.full_like(values, 100.0))
    assert found.mass[0] == pytest.approx(200.0 * (1.0 - found.bound[0]))
    assert found.seen[0] == pytest.approx(1.0)
    assert found.surprise[0] > 100


def test_what_stays_below_the_bound_has_no_mass() -> None:
    """A ripple is neither surprising nor anybody's loss."""
    values = column(CALM, [0.0105, 0.0112, 0.0101])
    found = latencies(values, 60, requests=np.ones_like(values))
    assert found.mass[0] == 0.0
    assert abs(found.surprise[0]) < 1.0


def test_buckets_count_by_their_requests() -> None:
    """A bucket of one request says little beside one of a thousand."""
    values = column(CALM, [1.0, 0.01])
    requests = np.ones_like(values)
    requests[-1] = 999.0
    assert latencies(values, 60, requests=requests).seen[0] == pytest.approx(0.01099, abs=1e-5)


def test_one_spike_among_several_buckets_is_no_incident() -> None:
    """Of three buckets most must exceed; of two nobody can tell a spike from a change."""
    spike = latencies(column(CALM, [0.5, 0.01, 0.01]), 60, requests=np.ones((63, 1)))
    change = latencies(column(CALM, [0.5, 0.5, 0.01]), 60, requests=np.ones((63, 1)))
    assert spike.surprise[0] < 1.0 < change.surprise[0]


def test_unknown_is_neither_zero_nor_excess() -> None:
    """Where nothing is known nothing is claimed, and gaps among known buckets change nothing."""
    values = column(CALM, [np.nan, np.nan])
    found = latencies(values, 60, requests=np.ones_like(values))
    assert np.isnan(found.seen[0])
    assert found.mass[0] == found.surprise[0] == 0.0
    gaps = column([np.nan, *CALM, np.nan], [np.nan, 1.0])
    whole = column(CALM, [1.0])
    one = latencies(gaps, 62, requests=np.ones_like(gaps))
    other = latencies(whole, 60, requests=np.ones_like(whole))
    assert one.surprise[0] == pytest.approx(other.surprise[0])


def test_the_fewer_normal_buckets_the_more_is_asked() -> None:
    """The same excess is less of a surprise after six normal buckets than after sixty."""
    short = latencies(column(CALM[:6], [0.02]), 6, requests=np.ones((7, 1)))
    long = latencies(column(CALM, [0.02]), 60, requests=np.ones((61, 1)))
    assert 0 < short.surprise[0] < long.surprise[0]


def test_fewer_requests_than_usual_are_less_certain() -> None:
    """A mean over a quarter of the requests varies twice as much, and is trusted half as far."""
    values = column(CALM, [0.05])
    usual, thin = np.full_like(values, 100.0), np.full_like(values, 100.0)
    thin[-1] = 25.0
    ratio = latencies(values, 60, requests=usual).surprise / latencies(values, 60, requests=thin).surprise
    assert ratio[0] == pytest.approx(2.0)


def test_one_failing_request_of_a_quiet_service_is_no_surprise() -> None:
    """One of four is 25 %, and still one; a thousand of four thousand are not."""
    values = column([0.0] * 60, [0.25])
    few = failures(values, 60, requests=np.full_like(values, 4.0), counted=True)
    many = failures(values, 60, requests=np.full_like(values, 4000.0), counted=True)
    assert few.mass[0] == 0.0
    assert few.surprise[0] < 1.0
    assert many.mass[0] == pytest.approx(4000.0 * (0.25 - 0.006))


def test_weights_that_are_no_counts_are_not_counted() -> None:
    """Without requests the share alone decides."""
    values = column([0.0] * 60, [0.25])
    assert failures(values, 60, requests=np.ones_like(values), counted=False).surprise[0] > 1.0


def test_gaps_in_requests_are_filled_with_the_usual() -> None:
    """An unknown count is the column's normal median; one without any is like the others; none weigh 1."""
    requests = np.array([[10.0, np.nan], [20.0, np.nan], [30.0, np.nan], [np.nan, np.nan]])
    assert filled(requests, 3, (4, 2))[3].tolist() == [20.0, 20.0]
    assert filled(None, 3, (4, 2)).tolist() == [[1.0, 1.0]] * 4


def test_a_floor_may_differ_by_column() -> None:
    """What varies within its own floor is calm."""
    values = np.vstack([np.ones((60, 2)), [[1.2, 1.2]]])
    found = excess(values, 60, requests=np.ones_like(values), floor=np.array([0.01, 1.0]))
    assert found.surprise[0] > 1.0 > found.surprise[1]

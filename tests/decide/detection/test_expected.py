"""Silences that are due, those that are none, and when to look."""

from controlplane.decide.detection.expected import Expected
from controlplane.model.signal import EdgeSampled, Heartbeat, Target
from controlplane.model.unit import SECOND, Nanos

ONE = Target("orders", "o1")


def sample(second: float) -> EdgeSampled:
    at = Nanos(round(second * SECOND))
    return EdgeSampled(at=at, caller="web", callee="orders", window_ns=SECOND, calls=9, failures=0)


def test_nothing_is_due_while_nothing_is_expected() -> None:
    """An idle process sleeps on, and too few samples make no rate."""
    expected = Expected()
    assert expected.due_at is None
    for second in range(20):
        expected.heard(sample(second))
    assert expected.due_at is None


def test_traffic_that_stopped_is_found_once() -> None:
    """After fourteen mean gaps; then it is learned anew, and nothing is due."""
    expected = Expected()
    for second in range(40):
        expected.heard(sample(second))
    assert expected.silent(Nanos(46 * SECOND)) == ([], [])  # the first time was reckoned when the rate was learned
    assert expected.due_at is not None
    _, stopped = expected.silent(expected.due_at)
    assert [(one.caller, one.callee, one.gap_ns) for one in stopped] == [("web", "orders", SECOND)]
    assert expected.due_at is None


def test_a_beat_is_missing_after_three_and_comes_back() -> None:
    """It is news once, and its return is told."""
    expected = Expected()
    expected.beat(Heartbeat(at=Nanos(0), target=ONE, every_ns=SECOND))
    assert expected.due_at == 3 * SECOND
    assert [one.news for one in expected.silent(Nanos(3 * SECOND))[0]] == [True]
    assert [one.news for one in expected.silent(Nanos(4 * SECOND))[0]] == [False]
    assert expected.beat(Heartbeat(at=Nanos(5 * SECOND), target=ONE, every_ns=SECOND))
    assert not expected.beat(Heartbeat(at=Nanos(6 * SECOND), target=ONE, every_ns=0))
    assert expected.silent(Nanos(60 * SECOND)) == ([], [])


def test_who_slept_itself_accuses_nobody() -> None:
    """What was missed meanwhile may be waiting at the door."""
    expected = Expected()
    expected.beat(Heartbeat(at=Nanos(0), target=ONE, every_ns=SECOND))
    assert expected.silent(Nanos(60 * SECOND))[0] == []
    assert expected.due_at == 61 * SECOND

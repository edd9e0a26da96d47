"""What waited comes out at once: the second trigger."""

import numpy as np
import pytest

from controlplane.decide.feedback.backlog import after_backlog
from controlplane.decide.feedback.loop import Loop, verdict


def pair(*, queue: float = 1000.0) -> Loop:
    """users -> front (a third full) -> back (90 % full, patience 100), both called twice at most."""
    return Loop(
        np.array([0, 1, 2, 2]),
        np.array([1, 2]),
        base=[100.0, 0.0, 0.0],
        capacity=[np.inf, 300.0, 111.0],
        calls=1.0,
        attempts=[1.0, 2.0],
        patience=[100.0, 100.0, 100.0],
        queue=[1000.0, 1000.0, queue],
    )


def test_a_backlog_that_comes_out_fills_the_queue_behind() -> None:
    """400 requests leave the front at 300 a second for 2 s; the back takes 111 of them: it fails, and stays so."""
    loop, failed = pair(), np.array([1.0, 1.0, 0.0])
    assert verdict(loop, failed).clears
    start = after_backlog(loop, failed, [0.0, 400.0, 0.0])
    assert start.tolist() == [1.0, 1.0, 1.0]
    assert verdict(loop, start).stuck.tolist() == [True, True, True]


def test_a_backlog_that_the_queue_behind_can_hold_does_no_harm() -> None:
    """40 requests more are fewer than callers of the back are ready to wait for."""
    failed = np.array([1.0, 1.0, 0.0])
    np.testing.assert_array_equal(after_backlog(pair(), failed, [0.0, 40.0, 0.0]), failed)


def test_a_queue_that_refuses_loses_the_excess_only() -> None:
    """Behind a short queue 300 a second on 111 lose their excess, not all."""
    start = after_backlog(pair(queue=50.0), [1.0, 1.0, 0.0], [0.0, 400.0, 0.0])
    assert 0.5 < start[2] < 0.7


def test_without_a_backlog_the_state_is_what_it_was() -> None:
    """Nothing waits, nothing comes."""
    np.testing.assert_array_equal(after_backlog(pair(), [1.0, 1.0, 0.0], np.zeros(3)), [1.0, 1.0, 0.0])


@pytest.mark.parametrize("backlog", [[0.0, np.nan, 0.0], [-1.0, 0.0, 0.0], [1.0]])
def test_what_is_no_backlog_is_refused_by_name(backlog: list[float]) -> None:
    """NaN, below 0 and other sizes give a ValueError."""
    with pytest.raises(ValueError, match="backlog"):
        after_backlog(pair(), np.zeros(3), backlog)

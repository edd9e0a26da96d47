"""Envoy's outlier detection, as its documentation describes it."""

import pytest

from controlplane.sim.textbook.outlier import ConsecutiveEdge, OutlierEdge
from tests.sim.textbook.client import SECOND, Client, Clock, reached, sent, sent_to


def failing(edge: ConsecutiveEdge, endpoint: int, times: int) -> None:
    """So many failures of a replica."""
    for _ in range(times):
        edge.fail(sent_to(edge, endpoint), 1)


def test_five_failures_in_a_row_eject_and_four_do_not() -> None:
    """The fifth one ejects; a success in between starts the row anew."""
    edge = ConsecutiveEdge(Client(4), Clock(), 1)
    failing(edge, 2, 4)
    edge.succeed(sent_to(edge, 2))
    failing(edge, 2, 4)
    assert edge.ejected == frozenset()
    failing(edge, 2, 1)
    assert edge.ejected == {2}
    assert reached(edge) == {0, 1, 3}


def test_relayed_failures_and_time_outs_count() -> None:
    """A 5xx is a 5xx, whosever failure it passes on."""
    edge = ConsecutiveEdge(Client(4), Clock(), 1)
    for _ in range(3):
        edge.relay(sent_to(edge, 0))
    for _ in range(2):
        edge.fail(sent_to(edge, 0), 2)
    assert edge.ejected == {0}


def test_a_tenth_may_be_ejected_but_always_one() -> None:
    """Of four replicas one, of twenty two."""
    for size, most in ((4, 1), (20, 2)):
        edge = ConsecutiveEdge(Client(size), Clock(), 1)
        for endpoint in range(4):
            failing(edge, endpoint, 5)
        assert len(edge.ejected) == most


def test_penalties_grow_by_thirty_seconds_and_end_at_a_sweep() -> None:
    """30 s the first time and 60 s the second; every ten seconds it is looked at."""
    clock = Clock()
    edge = ConsecutiveEdge(Client(4), clock, 1)
    for times, back_at in ((1, 30), (2, 90)):
        failing(edge, 1, 5)
        assert edge.ejected == {1}
        assert edge._times[1] == times
        while clock.now < (back_at - 10) * SECOND:
            clock.now += 10 * SECOND
            edge.sweep(clock.now)
        assert edge.ejected == {1}
        clock.now += 10 * SECOND
        edge.sweep(clock.now)
        assert edge.ejected == frozenset()


def test_a_quiet_interval_lowers_the_multiplier() -> None:
    """Each sweep that finds the host in takes one ejection off its count."""
    edge = ConsecutiveEdge(Client(4), Clock(), 1)
    failing(edge, 1, 5)
    edge.sweep(30 * SECOND)
    edge.sweep(40 * SECOND)
    assert edge._times[1] == 0


def test_in_panic_everybody_is_used() -> None:
    """With one replica of one ejected less than half is healthy, and it is used all the same; one of two is enough."""
    alone = ConsecutiveEdge(Client(1), Clock(), 1)
    failing(alone, 0, 5)
    assert alone.ejected == {0}
    assert reached(alone) == {0}
    pair = ConsecutiveEdge(Client(2), Clock(), 1)
    failing(pair, 0, 5)
    assert reached(pair) == {1}


def test_three_retries_at_a_time_and_no_more() -> None:
    """Envoy's default max_retries; one that ends makes room."""
    edge = ConsecutiveEdge(Client(4), Clock(), 1)
    firsts = [sent(edge) for _ in range(4)]
    for first in firsts:
        edge.fail(first, 1)
    retries = [edge.again(first, first.endpoint) for first in firsts]
    assert [retry is not None for retry in retries] == [True, True, True, False]
    assert retries[0] is not None
    edge.succeed(retries[0])
    assert edge.again(firsts[3], firsts[3].endpoint) is not None


def test_the_sweep_ejects_who_is_far_below_the_mean() -> None:
    """One of ten at 70 % is 3 deviations below; nobody is with fewer than 100 calls each, or under five hosts."""
    for size, calls, out in ((10, 100, {4}), (10, 90, set()), (4, 100, set())):
        edge = OutlierEdge(Client(size), Clock(), 1)
        for endpoint in range(size):
            for number in range(calls):
                call = sent_to(edge, endpoint)
                if endpoint == min(4, size - 1) and number % 10 < 3:
                    edge.fail(call, 1)
                else:
                    edge.succeed(call)
        edge.sweep(10 * SECOND)
        assert edge.ejected == out


def test_without_the_sweep_rates_are_not_compared() -> None:
    """`consecutive_5xx` alone does not see three failures in ten."""
    edge = ConsecutiveEdge(Client(10), Clock(), 1)
    for endpoint in range(10):
        for number in range(100):
            call = sent_to(edge, endpoint)
            if endpoint == 4 and number % 10 < 3:
                edge.fail(call, 1)
            else:
                edge.succeed(call)
    edge.sweep(10 * SECOND)
    assert edge.ejected == frozenset()


@pytest.mark.parametrize(("size", "standing_by"), [(2, 0.3), (4, 0.0)])
def test_who_stands_by_gets_what_the_first_level_cannot_bear(size: int, standing_by: float) -> None:
    """Half of two healthy: 70 % of the load stays, at an overprovisioning of 1.4; three of four bear all of it."""
    edge = ConsecutiveEdge(Client(priorities=(0,) * size + (1, 1)), Clock(), 1)
    failing(edge, 0, 5)
    seen = [sent(edge).endpoint for _ in range(2_000)]
    assert sum(endpoint >= size for endpoint in seen) / 2_000 == pytest.approx(standing_by, abs=0.05)
    assert 0 not in seen

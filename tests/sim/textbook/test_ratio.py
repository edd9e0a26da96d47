"""The ratio breaker, as Hystrix describes it."""

from controlplane.sim.textbook.ratio import RatioEdge, Window
from tests.sim.textbook.client import SECOND, Client, Clock, sent


def ended(edge: RatioEdge, good: int, bad: int) -> None:
    """So many calls, the good ones first."""
    for number in range(good + bad):
        call = sent(edge)
        if number < good:
            edge.succeed(call)
        else:
            edge.fail(call, 1)


def test_half_of_twenty_opens_and_nineteen_are_too_few() -> None:
    """The twentieth call decides."""
    edge = RatioEdge(Client(), Clock(), 1)
    ended(edge, 9, 10)
    assert not edge.is_open
    ended(edge, 0, 1)
    assert edge.is_open
    assert edge.begin(1, None) is None


def test_less_than_half_does_not_open() -> None:
    """49 % of a hundred is borne."""
    edge = RatioEdge(Client(), Clock(), 1)
    ended(edge, 51, 49)
    assert not edge.is_open


def test_calls_older_than_ten_seconds_are_forgotten() -> None:
    """Nineteen failures, ten seconds, and one more: nothing opens."""
    clock = Clock()
    edge = RatioEdge(Client(), clock, 1)
    ended(edge, 0, 19)
    clock.now = 10 * SECOND
    ended(edge, 0, 1)
    assert not edge.is_open


def test_after_five_seconds_one_call_tries_and_its_success_closes() -> None:
    """Before that, nobody; with it, nobody else; then all."""
    clock = Clock()
    edge = RatioEdge(Client(), clock, 1)
    ended(edge, 0, 20)
    clock.now = 5 * SECOND - 1
    assert edge.begin(1, None) is None
    clock.now = 5 * SECOND
    probe = sent(edge)
    assert edge.begin(1, None) is None
    edge.succeed(probe)
    assert not edge.is_open
    ended(edge, 0, 19)
    assert not edge.is_open, "the window begins empty"


def test_a_probe_that_fails_opens_for_five_more_seconds() -> None:
    """And one that is cancelled is given to the next call."""
    clock = Clock()
    edge = RatioEdge(Client(), clock, 1)
    ended(edge, 0, 20)
    clock.now = 6 * SECOND
    edge.cancel(sent(edge))
    edge.fail(sent(edge), 2)
    clock.now = 11 * SECOND - 1
    assert edge.begin(1, None) is None
    clock.now = 11 * SECOND
    assert edge.begin(1, None) is not None


def test_an_old_result_neither_closes_nor_lengthens() -> None:
    """Calls that began before the breaker opened are no probes."""
    clock = Clock()
    edge = RatioEdge(Client(), clock, 1)
    late = [sent(edge), sent(edge)]
    ended(edge, 0, 20)
    clock.now = 4 * SECOND
    edge.succeed(late[0])
    edge.fail(late[1], 1)
    assert edge.is_open
    clock.now = 5 * SECOND
    assert edge.begin(1, None) is not None


def test_a_retry_meets_the_breaker_too() -> None:
    """The failure that opens it is not tried again."""
    edge = RatioEdge(Client(), Clock(), 1)
    ended(edge, 0, 19)
    last = sent(edge)
    edge.fail(last, 1)
    assert edge.again(last, last.endpoint) is None


def test_a_window_is_the_sum_of_its_last_buckets() -> None:
    """Whatever the gaps: counted against a list of everything."""
    window, told = Window(5, 10), []
    for now in (0, 3, 12, 40, 44, 59, 60, 200, 201, 249, 250):
        window.add(now, now % 3, 1)
        told.append((now // 10, now % 3))
        live = [good for number, good in told if number > now // 10 - 5]
        assert (window.good, window.bad) == (sum(live), len(live))

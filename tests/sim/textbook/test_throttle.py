"""Adaptive throttling, as the SRE book describes it."""

import pytest

from controlplane.sim.textbook.throttle import ThrottleEdge
from tests.sim.textbook.client import SECOND, Client, Clock, sent


def asked(edge: ThrottleEdge, calls: int, accepted: int) -> int:
    """Calls of which the callee accepts so many at most, first come first served; how many were sent."""
    went = 0
    for _ in range(calls):
        call = edge.begin(1, None)
        if call is None:
            continue
        went += 1
        if went <= accepted:
            edge.succeed(call)
        else:
            edge.fail(call, 3)
    return went


def test_nothing_is_refused_while_half_is_accepted() -> None:
    """K = 2: requests may be twice the accepts."""
    edge = ThrottleEdge(Client(), Clock(), 1)
    assert asked(edge, 200, 100) == 200
    assert edge.refusal_probability(0) == 0.0


def test_a_hundred_requests_are_needed_to_refuse_one() -> None:
    """Ninety-nine failures prove nothing, the hundredth does."""
    edge = ThrottleEdge(Client(), Clock(), 1)
    assert asked(edge, 100, 0) == 100
    assert edge.refusal_probability(0) > 0.9


def test_the_probability_is_the_books() -> None:
    """(requests - K accepts) / (requests + 1), with what was refused here among the requests."""
    edge = ThrottleEdge(Client(), Clock(), 1)
    asked(edge, 100, 10)
    assert edge.refusal_probability(0) == pytest.approx((100 - 20) / 101)


def test_a_callee_that_accepts_a_tenth_is_sent_about_a_fifth() -> None:
    """In the long run K times what is accepted."""
    clock = Clock()
    edge = ThrottleEdge(Client(), clock, 1)
    sent_on = 0
    for second in range(600):
        clock.now = second * SECOND
        went = asked(edge, 100, 10)
        sent_on += went if second >= 300 else 0
    assert sent_on / 30_000 == pytest.approx(0.2, abs=0.03)


def test_two_minutes_later_all_is_forgotten() -> None:
    """The window is two minutes."""
    edge = ThrottleEdge(Client(), Clock(), 1)
    asked(edge, 100, 0)
    assert edge.refusal_probability(119 * SECOND) > 0.9
    assert edge.refusal_probability(120 * SECOND) == 0.0


def test_retries_stay_under_a_tenth_of_the_requests() -> None:
    """Of a hundred failed calls ten are tried again."""
    edge = ThrottleEdge(Client(), Clock(), 1)
    for _ in range(900):
        edge.succeed(sent(edge))
    for call in [sent(edge) for _ in range(100)]:
        edge.fail(call, 1)
        again = edge.again(call, call.endpoint)
        if again is not None:
            edge.succeed(again)
    assert edge._attempted.bad == 100
    call = sent(edge)
    edge.fail(call, 1)
    assert edge.again(call, call.endpoint) is None

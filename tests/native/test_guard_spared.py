"""The edge's breaker stays closed while an endpoint serves well: those that fail are the cause, not the service."""

from collections.abc import Iterator

import pytest

from controlplane._native import guard as native
from controlplane._native.guard import EDGE_OPENED, ERROR, TIMEOUT, Guard
from tests.native.traffic import MILLISECOND, SECOND, admitted, kinds


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """The native clock stands still and is given back."""
    native.set_test_clock(SECOND)
    yield
    native.set_test_clock(-1)


def lived(bad: set[int], *, endpoints: int = 5, share: int = 1, calls: int = 400, kind: int = ERROR) -> Guard:
    """A guard after so many calls, of which those to `bad` endpoints fail, `share` by `share`; only one is ejected."""
    guard = Guard(endpoints=endpoints, window_calls_min=20, failure_percent=50, open_ns=SECOND, eject_ns=100 * SECOND)
    now, number = SECOND, [0] * endpoints
    for index in range(endpoints):
        guard.weigh(index, 100, 1_000 * SECOND)
    for _ in range(calls):
        now += 5 * MILLISECOND
        native.set_test_clock(now)
        answer = guard.try_acquire()
        if not answer:
            continue
        permit = admitted(answer)
        number[permit.endpoint] += 1
        if permit.endpoint in bad and number[permit.endpoint] % share == 0:
            permit.failure(kind)
        else:
            permit.success()
    return guard


@pytest.mark.parametrize("kind", [ERROR, TIMEOUT])
def test_two_good_of_five_keep_the_breaker_closed(kind: int) -> None:
    """Three replicas dead, one of them ejected: half of the calls and more fail, and nothing is refused."""
    guard = lived({0, 1, 2}, kind=kind)
    assert guard.refusals()["open"] == 0
    assert (EDGE_OPENED, -1) not in kinds(guard)


def test_all_bad_open_it() -> None:
    """Nobody serves well: the service fails, and its callers are refused."""
    assert lived(set(range(5))).refusals()["open"] > 0


def test_all_half_bad_open_it() -> None:
    """Two of three calls succeed nowhere reliably: every other call fails at every endpoint."""
    assert lived(set(range(5)), share=2, calls=2_000).refusals()["open"] > 0


def test_the_good_one_that_dies_opens_it() -> None:
    """As long as the last good one serves, closed; a few calls after it has died, open."""
    guard = lived({0, 1, 2, 3})
    assert guard.refusals()["open"] == 0
    now = native.now_ns()
    for _ in range(200):
        now += 5 * MILLISECOND
        native.set_test_clock(now)
        if answer := guard.try_acquire():
            admitted(answer).failure(ERROR)
    assert guard.refusals()["open"] > 0


def test_a_single_endpoint_is_the_edge() -> None:
    """Where there is one endpoint or none, nobody can stand in."""
    assert lived({0}, endpoints=1).refusals()["open"] > 0

"""Calls that do not come back, by counters alone: never told before their time, never twice."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.proxies.haproxy.stall import StallCount

STALL = 1_000
LOOK = 100


def test_a_server_that_hangs_is_told_call_by_call() -> None:
    """Three calls that are never answered: three times, one at a look, and no more."""
    count = StallCount()
    told = [count.look(now, started=3, in_flight=3, stall_ns=STALL) for now in range(0, 3_000, LOOK)]
    assert [waited > 0 for waited in told].index(True) == 10
    assert sum(waited > 0 for waited in told) == 3
    assert all(waited >= STALL for waited in told if waited)


def test_a_busy_server_is_not_overdue() -> None:
    """A hundred in flight at all times, each answered in time."""
    count = StallCount()
    started = 100
    for now in range(0, 20_000, LOOK):
        assert not count.look(now, started=started, in_flight=100, stall_ns=STALL)
        for _ in range(30):  # a call takes some 330: well within a stall
            count.answered()
        started += 30


def test_bodies_that_are_read_slowly_are_not_overdue() -> None:
    """In flight for HAProxy, answered for the log: the head was there."""
    count = StallCount()
    count.look(0, started=5, in_flight=5, stall_ns=STALL)
    for _ in range(5):
        count.answered()
    assert not any(count.look(now, started=5, in_flight=5, stall_ns=STALL) for now in range(0, 9_000, LOOK))


def test_lines_that_were_lost_are_forgotten_when_it_is_idle() -> None:
    """They cannot add up: with nothing in flight nothing is owed."""
    count = StallCount()
    for now in range(0, 9_000, LOOK):
        count.look(now, started=now, in_flight=0, stall_ns=STALL)
    assert not count.look(9_000, started=9_001, in_flight=1, stall_ns=STALL)
    assert not count.look(9_900, started=9_001, in_flight=1, stall_ns=STALL)
    assert count.look(10_000, started=9_001, in_flight=1, stall_ns=STALL) == 1_000


def test_a_reload_begins_anew() -> None:
    """Counters that go back are another worker's."""
    count = StallCount()
    for now in range(0, 500, LOOK):
        count.look(now, started=1_000, in_flight=50, stall_ns=STALL)
    assert not any(count.look(now, started=2, in_flight=1, stall_ns=STALL) for now in range(500, 1_500, LOOK))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=80))
def test_nothing_is_told_that_could_not_be(steps: list[tuple[int, int]]) -> None:
    """Against a list of calls, answered oldest first, as they seldom are but as the bound must allow: what is told
    as overdue is, and no more often than calls were."""
    count, waiting, started, told, overdue_ever = StallCount(), list[tuple[int, int]](), 0, 0, set[int]()
    for number, (arrive, leave) in enumerate(steps):
        now = number * LOOK
        for _ in range(min(leave, len(waiting))):
            waiting.pop(0)
            count.answered()
        for _ in range(arrive):
            waiting.append((started, now))
            started += 1
        overdue_ever |= {call for call, since in waiting if now - since >= STALL}
        waited = count.look(now, started=started, in_flight=len(waiting), stall_ns=STALL)
        if waited:
            told += 1
            assert any(now - since >= STALL for _, since in waiting)
    assert told <= len(overdue_ever)

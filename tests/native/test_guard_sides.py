"""Side orders: what each does, that it does only that, and that it ends by itself."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import (
    CRITICAL,
    DEFAULT,
    EFFECTIVE,
    LEASE_LAPSED,
    PART_CAP_RETRIES,
    PART_CLOSE,
    PART_FAIL_OVER,
    PART_HARDEN,
    PART_SHED,
    PART_TIGHTEN,
    PARTS,
    RETRY_BUDGET,
    SHED,
    SHEDDABLE,
    Guard,
)
from tests.native.sides_oracle import Sides
from tests.native.traffic import MILLISECOND, SECOND, Row, admitted, drain, kinds, refused

NOTHING = {"fail_over": 0, "failed_over": 0, "retry_cap": -1, "shed": 0, "shed_keep": -1, "deadline_ns": 0} | {
    "closed": 0,
    "hardened": 0,
}
GENEROUS = {"retry_percent": 100, "retry_floor_per_s": 1_000_000}
TWO_LEVELS = [(1, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 0)]
Ordered = Callable[[Guard], None]

ORDERS: dict[int, Ordered] = {
    PART_FAIL_OVER: lambda guard: guard.fail_over(50, SECOND, 77),
    PART_CAP_RETRIES: lambda guard: guard.cap_retries(0, SECOND, 77),
    PART_SHED: lambda guard: guard.shed(CRITICAL, 100, SECOND, 77),
    PART_TIGHTEN: lambda guard: guard.tighten(5 * MILLISECOND, SECOND, 77),
    PART_CLOSE: lambda guard: guard.close(100, SECOND, 77),
    PART_HARDEN: lambda guard: guard.harden(100, SECOND, 77),
}
SEEN = {
    PART_FAIL_OVER: {"fail_over": 50, "failed_over": 50},
    PART_CAP_RETRIES: {"retry_cap": 0},
    PART_SHED: {"shed": 100, "shed_keep": CRITICAL},
    PART_TIGHTEN: {"deadline_ns": 5 * MILLISECOND},
    PART_CLOSE: {"closed": 100},
    PART_HARDEN: {"hardened": 100},
}
each_part = pytest.mark.parametrize("part", ORDERS, ids=PARTS[1:])


def sides(guard: Guard) -> dict[str, int]:
    """The side orders that the guard says it follows."""
    state = guard.describe()
    return {name: state[name] for name in NOTHING}


def standby(**policy: int) -> Guard:
    """Two endpoints, and two that stand by."""
    return Guard(endpoints=4, sites=TWO_LEVELS, **policy)


def share_of_standby(guard: Guard, calls: int = 4_000) -> float:
    """Of first calls, those that went to one that stands by."""
    went = 0
    for _ in range(calls):
        permit = admitted(guard.try_acquire())
        went += permit.endpoint >= 2
        permit.cancel()
    return went / calls


@each_part
def test_a_side_order_is_seen_alone_and_lapses(clock, part: int) -> None:
    """Until its lease ends; then a row says which part lapsed, and nothing is left of it."""
    guard = standby()
    ORDERS[part](guard)
    assert sides(guard) == NOTHING | SEEN[part]
    clock.advance(SECOND - 1)
    assert sides(guard) == NOTHING | SEEN[part]
    clock.advance(1)
    assert sides(guard) == NOTHING
    assert drain(guard) == [Row(1, LEASE_LAPSED, -1, clock.now_ns, part, 0, 0)]


@each_part
def test_one_part_is_taken_back_and_the_others_stay(clock, part: int) -> None:
    """They coexist, with one another and with what is ordered about the edge's calls."""
    guard = standby()
    guard.limit(7, SECOND, 0)
    for order in ORDERS.values():
        order(guard)
    for _ in range(2):
        guard.restore_part(-1, part)
    expected = NOTHING
    for other in SEEN.keys() - {part}:
        expected = expected | SEEN[other]
    assert sides(guard) == expected
    assert guard.describe()["limit"] == 7


@pytest.mark.parametrize("end", ["restore", "observe"])
def test_everything_taken_back_takes_them_back(clock, end: str) -> None:
    """With the order about the edge, and when enforcing ends; nothing is told of later."""
    guard = standby()
    for order in ORDERS.values():
        order(guard)
    if end == "restore":
        guard.restore(-1)
    else:
        guard.enforce(0)
    assert sides(guard) == NOTHING
    clock.advance(2 * SECOND)
    assert kinds(guard) == []


def test_while_observing_they_are_ignored(clock) -> None:
    """Nothing is in force afterwards, either."""
    guard = standby(enforced=0)
    for order in ORDERS.values():
        order(guard)
    assert sides(guard) == NOTHING
    assert guard.try_acquire_for(SHEDDABLE, None)
    assert guard.deadline_ns() == 0
    guard.enforce(1)
    assert sides(guard) == NOTHING


@each_part
def test_renewing_one_keeps_its_signal_told_once(clock, part: int) -> None:
    """The same order again only lasts longer: it asks for no second EFFECTIVE."""
    guard = standby(**GENEROUS)
    for _ in range(3):
        ORDERS[part](guard)
        clock.advance(SECOND // 2)
        for _ in range(40):
            guard.try_acquire_for(SHEDDABLE, None)
            guard.try_again(-1)
            guard.deadline_ns()
            guard.door()
    effective = [row for row in drain(guard) if row.kind == EFFECTIVE]
    assert [(row.endpoint, row.a, row.b) for row in effective] == [(-1, 77, part)]


def test_shedding_is_effective_with_the_first_call_it_refuses(clock) -> None:
    """One that is kept was not treated differently."""
    guard = Guard()
    guard.shed(DEFAULT, 100, SECOND, 123)
    admitted(guard.try_acquire_for(DEFAULT, None)).cancel()
    assert drain(guard) == []
    clock.advance(5)
    assert refused(guard.try_acquire_for(SHEDDABLE, None)).reason == SHED
    assert drain(guard) == [Row(1, EFFECTIVE, -1, clock.now_ns, 123, PART_SHED, 0)]


def test_failing_over_is_effective_with_the_first_call_that_goes_there(clock) -> None:
    """Those that went where they always go were not treated differently."""
    guard = standby()
    guard.fail_over(100, SECOND, 123)
    clock.advance(9)
    assert admitted(guard.try_acquire()).endpoint >= 2
    assert drain(guard) == [Row(1, EFFECTIVE, -1, clock.now_ns, 123, PART_FAIL_OVER, 0)]


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_part_of_the_calls_fails_over(clock, percent: int) -> None:
    """So many, and all of them at the end of the lease are where they were."""
    guard = standby()
    guard.fail_over(percent, SECOND, 0)
    assert abs(share_of_standby(guard) - percent / 100) < 0.03
    clock.advance(SECOND)
    assert share_of_standby(guard) == 0


def test_all_calls_fail_over_and_come_back(clock) -> None:
    """With 100 the first priority gets none, not even by an avoided endpoint; the lease gives them back."""
    guard = standby(**GENEROUS)
    guard.fail_over(100, SECOND, 0)
    assert share_of_standby(guard, 500) == 1
    assert {admitted(guard.try_again(2)).endpoint for _ in range(50)} == {3}
    clock.advance(SECOND)
    assert share_of_standby(guard, 500) == 0


def test_who_stands_by_is_not_drowned(clock) -> None:
    """One endpoint for four bears 1.4 times its quarter of the calls, whatever is ordered; the guard says so."""
    guard = Guard(endpoints=5, sites=[(1, 0, 0)] * 4 + [(1, 1, 0)])
    guard.fail_over(100, SECOND, 0)
    assert sides(guard) == NOTHING | {"fail_over": 100, "failed_over": 35}


def test_failing_over_heeds_the_health_of_who_stands_by(clock) -> None:
    """Without anybody there nobody is sent; who comes back takes over at once."""
    guard = standby()
    guard.fail_over(100, 10 * SECOND, 0)
    guard.eject(2, SECOND, 0)
    guard.eject(3, SECOND, 0)
    assert (guard.describe()["failed_over"], share_of_standby(guard, 200)) == (0, 0)
    guard.restore(2)
    assert guard.describe()["failed_over"] == 70
    guard.restore(3)
    assert guard.describe()["failed_over"] == 100


def test_a_cap_of_nothing_stops_every_further_attempt(clock) -> None:
    """Retries and second lives; the budget is whole when the cap ends."""
    guard = Guard(endpoints=2, retry_floor_per_s=3)
    guard.cap_retries(0, SECOND, 55)
    clock.advance(1)
    answer = refused(guard.try_again(0))
    assert (answer.reason, answer.retry_after_ns) == (RETRY_BUDGET, 0)
    assert refused(guard.try_redrive(0)).reason == RETRY_BUDGET
    assert not guard.may_retry()
    assert drain(guard) == [Row(1, EFFECTIVE, -1, clock.now_ns, 55, PART_CAP_RETRIES, 0)]
    clock.advance(SECOND)
    assert guard.may_retry()
    assert admitted(guard.try_again(0))


def test_a_cap_allows_no_more_than_the_policy(clock) -> None:
    """It is drawn from besides the budget, and what it saves up is a burst of ten."""
    guard = Guard(retry_percent=0, retry_floor_per_s=2)
    guard.cap_retries(100, SECOND, 0)
    for _ in range(50):
        admitted(guard.try_acquire()).cancel()
    assert sum(bool(guard.try_again(-1)) for _ in range(50)) == 2
    plenty = Guard(**GENEROUS)
    plenty.cap_retries(50, SECOND, 0)
    for _ in range(500):
        admitted(plenty.try_acquire()).cancel()
    assert sum(bool(plenty.try_again(-1)) for _ in range(50)) == 10


@pytest.mark.parametrize("percent", [1, 7, 33, 50, 99, 100])
def test_shedding_is_even(clock, percent: int) -> None:
    """Of any hundred in a row exactly so many, however the calls between them are worth."""
    guard = Guard()
    guard.shed(CRITICAL, percent, SECOND, 0)
    went = []
    for turn in range(400):
        went.append(bool(guard.try_acquire_for(1 + turn % 2, None)))
        assert guard.try_acquire_for(CRITICAL, None)
    assert {went[at : at + 100].count(False) for at in range(300)} == {percent}


def test_what_was_admitted_is_not_shed_at_its_second_attempt(clock) -> None:
    """The call has cost something already."""
    guard = Guard(endpoints=2, **GENEROUS)
    guard.shed(CRITICAL, 100, SECOND, 0)
    assert all(guard.try_again(0) and guard.try_redrive(0) for _ in range(20))


def test_where_refusals_apply_to_a_part_the_rest_is_counted(clock) -> None:
    """Calls that would have been shed go, and are in the shadow counts."""
    guard = Guard(enforced_percent=1, seed=5)
    guard.shed(CRITICAL, 100, SECOND, 0)
    answers = [guard.try_acquire() for _ in range(1_000)]
    shed = sum(not answer for answer in answers)
    assert guard.shadow_refusals()["shed"] == 1_000 - shed
    assert guard.refusals()["shed"] == shed < 50


def test_a_tightened_call_is_told_so_and_refused_for_nothing(clock) -> None:
    """Whoever makes it keeps to it; a part of the calls is an even part."""
    guard = Guard()
    guard.tighten(MILLISECOND, SECOND, 9, 25)
    told = [guard.deadline_ns() for _ in range(100)]
    assert told.count(MILLISECOND) == 25
    assert set(told) == {0, MILLISECOND}
    assert guard.try_acquire_for(DEFAULT, None)
    clock.advance(SECOND)
    assert guard.deadline_ns() == 0


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (lambda guard: guard.fail_over(0, 1, 0), "percent must be between 1 and 100, not 0"),
        (lambda guard: guard.cap_retries(101, 1, 0), "percent must be between 0 and 100"),
        (lambda guard: guard.shed(SHEDDABLE, 50, 1, 0), "keep_priority must be between 0 and 1"),
        (lambda guard: guard.shed(DEFAULT, 50, -1, 0), "lease_ns must be between"),
        (lambda guard: guard.tighten(0, 1, 0), "deadline_ns must be between 1"),
        (lambda guard: guard.tighten(1, 1, 0, 0), "percent must be between 1 and 100"),
        (lambda guard: guard.restore_part(-1, 7), "part must be between 1 and 6"),
        (lambda guard: guard.restore_part(0, 1), r"side orders are about the edge \(-1\), not about endpoint 0"),
    ],
)
def test_what_is_no_order_is_refused_and_changes_nothing(clock, order: Ordered, message: str) -> None:
    """By name and bounds."""
    guard = standby()
    before = bytes(guard.buffer)
    with pytest.raises(ValueError, match=message):
        order(guard)
    assert bytes(guard.buffer) == before


STEPS = st.one_of(
    st.tuples(st.just("shed"), st.sampled_from([CRITICAL, DEFAULT]), st.sampled_from([1, 30, 100])),
    st.tuples(st.just("cap"), st.sampled_from([0, 10, 33, 100]), st.just(0)),
    st.tuples(st.just("tighten"), st.sampled_from([5, 6]), st.sampled_from([1, 50, 100])),
    st.tuples(st.just("restore"), st.sampled_from([PART_CAP_RETRIES, PART_SHED, PART_TIGHTEN]), st.just(0)),
    st.tuples(st.just("time"), st.sampled_from([1, SECOND // 2, SECOND]), st.just(0)),
    st.tuples(st.just("calls"), st.integers(1, 60), st.sampled_from([CRITICAL, DEFAULT, SHEDDABLE])),
    st.tuples(st.sampled_from(["again", "redrive"]), st.integers(1, 12), st.just(0)),
    st.tuples(st.just("deadline"), st.integers(1, 30), st.just(0)),
)


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_side_orders_touch_the_calls_that_the_model_says(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is ordered, renewed, taken back and called in whatever order."""
    native.set_test_clock(now := SECOND)
    guard, model = Guard(endpoints=2, **GENEROUS), Sides()
    model.now = now
    try:
        for kind, one, two in steps:
            if kind == "shed":
                guard.shed(one, two, SECOND, 0)
                model.order(PART_SHED, (one, two), SECOND)
            elif kind == "cap":
                guard.cap_retries(one, SECOND, 0)
                model.order(PART_CAP_RETRIES, (one,), SECOND)
            elif kind == "tighten":
                guard.tighten(one, SECOND, 0, two)
                model.order(PART_TIGHTEN, (one, two), SECOND)
            elif kind == "restore":
                guard.restore_part(-1, one)
                model.restore(one)
            elif kind == "time":
                native.set_test_clock(now := now + one)
                model.now = now
            for _ in range(one if kind == "calls" else 0):
                assert bool(guard.try_acquire_for(two, None)) == model.first(two, PART_SHED, PART_CAP_RETRIES)
            for _ in range(one if kind in {"again", "redrive"} else 0):
                further = guard.try_again if kind == "again" else guard.try_redrive
                assert bool(further(-1)) == model.further(PART_CAP_RETRIES)
            for _ in range(one if kind == "deadline" else 0):
                assert guard.deadline_ns() == model.deadline_ns(PART_TIGHTEN)
    finally:
        native.set_test_clock(-1)

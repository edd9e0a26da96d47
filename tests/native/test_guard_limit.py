"""A limit by order adapts: it grows by full rounds of answers, shrinks by calls in vain, and pauses at one."""

from itertools import pairwise

import pytest

from controlplane._native.guard import ERROR, OVERLOAD, TIMEOUT, Guard, Permit
from tests.native.traffic import SECOND, admitted, refused

MILLISECOND = SECOND // 1000
LONG = 1000 * SECOND


def limit(guard: Guard) -> int:
    return guard.describe()["limit"]


def full(guard: Guard) -> list[Permit]:
    """As many calls in flight as the limit allows."""
    permits = []
    while isinstance(answer := guard.try_acquire(), Permit):
        permits.append(answer)
    return permits


def test_four_full_rounds_of_answers_make_room_for_one_more(clock) -> None:
    """Additive increase while it is small: many callers at one each must not double the load at once."""
    guard = Guard(failure_percent=0)
    guard.limit(1, LONG, 0)
    sizes = []
    for _ in range(40):
        permits = full(guard)
        sizes.append(len(permits))
        clock.advance(10 * MILLISECOND)
        for permit in permits:
            permit.success()
    assert sizes[0] == 1
    assert all(after - before in (0, 1) for before, after in pairwise(sizes))
    assert 9 <= sizes[-1] <= 16


def test_a_large_limit_grows_by_a_sixteenth_a_round(clock) -> None:
    """A service that is well again must not get its load back one call after the other."""
    guard = Guard(failure_percent=0)
    guard.limit(100, LONG, 0)
    for _ in range(12):
        permits = full(guard)
        clock.advance(10 * MILLISECOND)
        for permit in permits:
            permit.success()
    assert 190 <= limit(guard) <= 210


def test_answers_while_it_does_not_bind_teach_nothing(clock) -> None:
    """One call at a time says nothing about whether eight could be borne."""
    guard = Guard(failure_percent=0)
    guard.limit(4, LONG, 0)
    for _ in range(100):
        admitted(guard.try_acquire()).success()
    assert limit(guard) == 4


@pytest.mark.parametrize("kind", [TIMEOUT, OVERLOAD])
@pytest.mark.parametrize(("lost", "left"), [(1, 7), (3, 5), (8, 1)])
def test_each_call_in_vain_takes_one_from_it(clock, kind: int, lost: int, left: int) -> None:
    """It shrinks by what was lost: by little where nearly all is answered, to one where nothing is."""
    guard = Guard(failure_percent=0)
    guard.limit(8, LONG, 0)
    permits = full(guard)
    clock.advance(250 * MILLISECOND)
    for permit in permits[:lost]:
        permit.failure(kind)
    assert limit(guard) == left


def test_one_call_in_fifty_lost_costs_nothing_that_lasts(clock) -> None:
    """A hundred at a time, two of each round in vain: the limit still grows while it binds."""
    guard = Guard(failure_percent=0)
    guard.limit(100, LONG, 0)
    for _ in range(10):
        permits = full(guard)
        clock.advance(10 * MILLISECOND)
        for number, permit in enumerate(permits):
            if number % 50 == 0:
                permit.failure(TIMEOUT)
            else:
                permit.success()
    assert limit(guard) > 120


def test_the_breaker_does_not_open_under_a_limit(clock) -> None:
    """What holds the edge back adapts to how much is still answered; opened on top, it would lose that, too."""
    guard = Guard(failure_percent=50, window_calls_min=10)
    guard.limit(20, LONG, 0)
    for _ in range(100):
        if isinstance(permit := guard.try_acquire(), Permit):
            clock.advance(MILLISECOND)
            permit.failure(ERROR)
    assert isinstance(guard.try_acquire(), Permit)


def test_an_error_is_an_answer_and_no_sign_of_load(clock) -> None:
    """500s neither shrink nor raise it."""
    guard = Guard(failure_percent=0)
    guard.limit(2, LONG, 0)
    for permit in full(guard):
        permit.failure(ERROR)
    assert limit(guard) == 2


def test_at_one_a_call_in_vain_is_followed_by_a_doubling_pause(clock) -> None:
    """As long as the call took, then twice, four times, at most a second; an answer ends it."""
    guard = Guard(failure_percent=0)
    guard.limit(1, LONG, 0)
    pauses = []
    for _ in range(5):
        permit = admitted(guard.try_acquire())
        clock.advance(100 * MILLISECOND)
        permit.failure(TIMEOUT)
        pauses.append(refused(guard.try_acquire()).retry_after_ns // MILLISECOND)
        clock.advance(pauses[-1] * MILLISECOND)
    assert pauses == [100, 200, 400, 800, 1000]
    admitted(guard.try_acquire()).success()
    permit = admitted(guard.try_acquire())
    clock.advance(100 * MILLISECOND)
    for held in [permit, *full(guard)]:
        held.failure(TIMEOUT)
    assert limit(guard) == 1


def test_calls_from_before_the_limit_teach_it_nothing(clock) -> None:
    """What was sent before the order times out after it, and causes no pause."""
    guard = Guard(failure_percent=0)
    old = [admitted(guard.try_acquire()) for _ in range(3)]
    clock.advance(100 * MILLISECOND)
    guard.limit(1, LONG, 0)
    clock.advance(100 * MILLISECOND)
    for permit in old:
        permit.failure(TIMEOUT)
    assert admitted(guard.try_acquire())


@pytest.mark.parametrize("gives_up", [Permit.cancel, lambda permit: permit.failure(TIMEOUT)])
def test_overdue_is_not_in_vain_before_it_has_ended(clock, gives_up) -> None:
    """Overdue, it changes nothing; given up then, or timed out, it shrinks the limit, once."""
    guard = Guard(endpoints=2, failure_percent=0)
    guard.limit(8, LONG, 0)
    permit = admitted(guard.try_acquire())
    clock.advance(100 * MILLISECOND)
    permit.stalled()
    assert limit(guard) == 8
    gives_up(permit)
    assert limit(guard) == 7


def test_a_late_answer_that_was_waited_for_makes_room(clock) -> None:
    """A service that is slow, and answers in time for its caller, bears what it gets: the limit grows."""
    guard = Guard(endpoints=2, failure_percent=0)
    guard.limit(2, LONG, 0)
    for _ in range(12):
        permits = full(guard)
        clock.advance(300 * MILLISECOND)
        for permit in permits:
            permit.stalled()
        clock.advance(100 * MILLISECOND)
        for permit in permits:
            permit.success()
    assert limit(guard) >= 4


def test_it_begins_at_half_of_what_is_under_way(clock) -> None:
    """The order's number is the least; thirty under way make it fifteen, and calls of before teach nothing."""
    guard = Guard(failure_percent=0)
    old = [admitted(guard.try_acquire()) for _ in range(30)]
    clock.advance(MILLISECOND)
    guard.limit(2, LONG, 0)
    assert limit(guard) == 15
    clock.advance(MILLISECOND)
    for permit in old:
        permit.failure(TIMEOUT)
    assert limit(guard) == 15
    assert len(full(guard)) == 15, "those of before have ended"


def test_renewing_keeps_what_was_learned_and_another_number_begins_anew(clock) -> None:
    """The lease is renewed every few seconds; that must not undo the adaptation."""
    guard = Guard(failure_percent=0)
    guard.limit(8, LONG, 0)
    permit = admitted(guard.try_acquire())
    clock.advance(MILLISECOND)
    permit.failure(TIMEOUT)
    guard.limit(8, LONG, 0)
    assert limit(guard) == 7
    guard.limit(2, LONG, 0)
    assert limit(guard) == 2
    guard.restore(-1)
    assert limit(guard) == 0


def test_callers_that_share_an_overloaded_service_find_what_it_can_bear(clock) -> None:
    """Seven guards that want 20 calls/s each, a server of 50/s: most of its capacity ends as answers in time."""
    guards = [Guard(failure_percent=0, seed=seed) for seed in range(1, 8)]
    for guard in guards:
        guard.limit(1, LONG, 0)
    step, service, patience = 1 * MILLISECOND, 20 * MILLISECOND, 250 * MILLISECOND
    queue: list[tuple[int, Guard, Permit]] = []
    waiting: list[tuple[int, Permit]] = []
    answered, free_at, now = 0, 0, 0
    for tick in range(10_000):
        clock.advance(step)
        now += step
        for index, guard in enumerate(guards):
            if tick % 50 == index * 7 and isinstance(answer := guard.try_acquire(), Permit):
                queue.append((now, guard, answer))
                waiting.append((now, answer))
        while waiting and now - waiting[0][0] >= patience:
            waiting.pop(0)[1].failure(TIMEOUT)
        if queue and now >= free_at:
            sent, _, permit = queue.pop(0)
            free_at = now + service
            if now + service - sent < patience:
                waiting = [entry for entry in waiting if entry[1] is not permit]
                permit.success()
                answered += 1
    assert answered >= 0.7 * 10_000 * step // service


def test_what_was_never_learned_is_no_limit_when_its_tag_comes_round(clock) -> None:
    """The tag has 16 bits: the limit of order number 65,536 is what the order says, not the zero of fresh memory."""
    guard = Guard()
    for number in range(1 << 16):
        guard.limit(5 + number % 2, LONG, 0)
    assert limit(guard) == 6
    assert len(full(guard)) == 6
    admitted(guard.try_acquire()).failure(TIMEOUT)
    assert limit(guard) == 5


def test_sick_endpoints_do_not_shrink_it_while_others_serve_well(clock) -> None:
    """Two of four hang: the limit goes on growing with what the others answer; when all hang, it shrinks to one."""
    for hanging, shrinks in (({0, 1}, False), ({0, 1, 2, 3}, True)):
        guard = Guard(endpoints=4, failure_percent=0, endpoint_consecutive=0, ejected_percent_max=0)
        for _ in range(40):  # everybody has served
            admitted(guard.try_acquire()).success()
        guard.limit(8, LONG, 0)
        for _ in range(60):
            clock.advance(50 * MILLISECOND)
            for permit in full(guard):
                if permit.endpoint in hanging:
                    permit.failure(TIMEOUT)
                else:
                    permit.success()
        assert (limit(guard) == 1) is shrinks

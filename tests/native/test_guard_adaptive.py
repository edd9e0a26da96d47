"""A guard whose concurrency limit adapts: the algorithm is tested by itself, here is what the guard makes of it."""

from controlplane._native.guard import DEFAULT, SHEDDABLE, TIMEOUT, Guard, Permit
from tests.native.traffic import MILLISECOND, SECOND, refused

CALM = {"failure_percent": 0, "endpoint_consecutive": 0, "concurrency_adapts": 1}


def full(guard: Guard) -> list[Permit]:
    """As many calls as go."""
    held = []
    while permit := guard.try_acquire():
        held.append(permit)
    return held


def serve(guard: Guard, clock, rounds: int, capacity: int) -> None:
    """Rounds of a saturated caller; the service answers `capacity` calls in 10 ms, and lets the others time out."""
    for _ in range(rounds):
        held = full(guard)
        clock.advance(10 * MILLISECOND)
        for turn, permit in enumerate(held):
            permit.success() if turn < capacity else permit.failure(TIMEOUT)
        if not held:
            clock.advance(10 * MILLISECOND)


def test_it_begins_with_a_little_and_binds(clock) -> None:
    """Twenty calls before anything is known, and the next is refused as over any other limit."""
    guard = Guard(**CALM)
    assert guard.describe()["concurrency"] == 20
    assert len(full(guard)) == 0 or refused(guard.try_acquire()).part == "concurrency"


def test_calls_in_vain_shrink_it(clock) -> None:
    """To about what the service answers, and never below its minimum."""
    guard = Guard(**CALM, concurrency_min=3)
    serve(guard, clock, 400, capacity=6)
    assert 3 <= guard.describe()["concurrency"] <= 9
    serve(guard, clock, 400, capacity=0)
    assert guard.describe()["concurrency"] == 3


def test_room_lets_it_grow_up_to_the_maximum(clock) -> None:
    """A service that answers all in time is given more, as far as the policy goes."""
    guard = Guard(**CALM, concurrency_max=60)
    serve(guard, clock, 600, capacity=1_000)
    assert guard.describe()["concurrency"] == 60


def test_a_retune_keeps_what_was_learned_within_the_new_bounds(clock) -> None:
    """And switching it off leaves the plain limit."""
    guard = Guard(**CALM, concurrency_max=60)
    serve(guard, clock, 600, capacity=1_000)
    guard.retune(concurrency_max=40)
    assert guard.describe()["concurrency"] == 40
    guard.retune(concurrency_max=100)
    assert 40 <= guard.describe()["concurrency"] < 50
    guard.retune(concurrency_adapts=0)
    assert guard.describe()["concurrency"] == 100


def test_less_important_calls_leave_room_here_too(clock) -> None:
    """A share of what the service bears."""
    guard = Guard(**CALM, reserve_percent=25)
    held = [guard.try_acquire_for(SHEDDABLE, None) for _ in range(20)]
    assert sum(map(bool, held)) == 10
    assert refused(guard.try_acquire_for(SHEDDABLE, None)).part == "shed"
    assert guard.try_acquire_for(DEFAULT, None)
    clock.advance(SECOND)

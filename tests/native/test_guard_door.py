"""A closed door: nothing gets through it, by no way, until its lease ends or it is opened."""

import pytest

from controlplane._native.guard import CLOSED, CRITICAL, REASONS, SHEDDABLE, Guard, Permit
from tests.native.traffic import SECOND, admitted, refused


def test_nothing_passes_a_closed_door(clock) -> None:
    """First calls of every priority, retries, second lives, with time to spare or none."""
    guard = Guard(endpoints=2, retry_percent=100, retry_floor_per_s=1_000_000)
    guard.close(100, SECOND, 0)
    answers = [guard.try_acquire(), guard.try_again(0), guard.try_redrive(0)]
    answers += [guard.try_acquire_for(priority, None) for priority in range(CRITICAL, SHEDDABLE + 1)]
    assert [answer.reason for answer in answers] == [CLOSED] * 6
    assert guard.refusals()[REASONS[CLOSED]] == 6
    clock.advance(SECOND)
    admitted(guard.try_acquire()).cancel()


def test_no_call_is_exempt_from_a_closed_door(clock) -> None:
    """`enforced_percent` stages limits; a door that lets nine of ten through would be none."""
    guard = Guard(endpoints=1, enforced_percent=10)
    guard.close(100, SECOND, 0)
    assert all(refused(guard.try_acquire()).reason == CLOSED for _ in range(200))


def test_who_only_observes_closes_nothing(clock) -> None:
    """In observe mode the order is in force, and every call goes."""
    guard = Guard(endpoints=1, enforced=0)
    guard.close(100, SECOND, 0)
    assert isinstance(guard.try_acquire(), Permit)
    assert guard.door() == 0


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_part_of_a_door_is_closed_to_a_part_of_the_calls(clock, percent: int) -> None:
    """Drawn call by call, within what chance allows (five standard deviations)."""
    guard, calls = Guard(endpoints=1), 4_000
    guard.close(percent, SECOND, 0)
    through = 0
    for _ in range(calls):
        answer = guard.try_acquire()
        if isinstance(answer, Permit):
            through += 1
            answer.cancel()
    expected = calls * (100 - percent) / 100
    assert abs(through - expected) < 5 * (calls * percent * (100 - percent)) ** 0.5 / 100


def test_a_door_is_asked_without_a_permit(clock) -> None:
    """1: closed, 2: open and hardened, 0: neither; a closed one comes first, and nothing is taken."""
    guard = Guard(endpoints=0)
    assert guard.door() == 0
    guard.harden(100, 2 * SECOND, 0)
    assert guard.door() == 2
    guard.close(100, SECOND, 0)
    assert guard.door() == 1
    assert guard.in_flight == 0
    clock.advance(SECOND)
    assert guard.door() == 2
    clock.advance(SECOND)
    assert guard.door() == 0

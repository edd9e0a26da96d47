"""`with guard.acquire():` and `async with guard.acquire():`: what comes out of the body is the result of the call."""

import asyncio
import sys

import anyio
import pytest

from controlplane._native.guard import ERROR, ByGuard, Guard, Permit, Refused


def test_the_body_that_ends_well_is_a_success() -> None:
    """And the permit is at hand in it."""
    guard = Guard(endpoints=1)
    with guard.acquire() as permit:
        assert permit.endpoint == 0
        assert guard.in_flight == 1
    assert (guard.in_flight, guard.describe()["calls"], guard.describe()["failures"]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("error", "failures", "cancelled"),
    [(RuntimeError, 1, 0), (TimeoutError, 1, 0), (KeyboardInterrupt, 0, 1), (asyncio.CancelledError, 0, 1)],
)
def test_an_exception_is_a_failure_and_cancellation_is_not(error, failures: int, cancelled: int) -> None:
    """It is not swallowed."""
    guard = Guard()
    with pytest.raises(error), guard.acquire():
        raise error
    state = guard.describe()
    assert (state["failures"], state["cancelled"], state["in_flight"]) == (failures, cancelled, 0)


def test_the_refusal_of_another_guard_is_no_evidence() -> None:
    """What guards cause says nothing about the service."""
    outer, inner = Guard(breaker_consecutive=1), Guard(concurrency_max=1, name="stock")
    held = inner.acquire()
    with pytest.raises(Refused, match="call to stock refused: concurrency") as caught, outer.acquire():
        inner.acquire()
    assert isinstance(caught.value, ByGuard)
    assert (caught.value.service, caught.value.part, caught.value.retry_after_s) == ("stock", "concurrency", 0.0)
    assert outer.describe()["cancelled"] == 1
    assert not outer.is_open()
    held.cancel()


def test_a_trip_rings() -> None:
    """When a result changed a state, and not otherwise."""
    guard, rung = Guard(breaker_consecutive=2), []
    guard.ring = lambda: rung.append(guard.is_open())
    for _ in range(2):
        with pytest.raises(RuntimeError), guard.acquire():
            raise RuntimeError
    assert rung == [True]


async def test_async_with_is_the_same(anyio_backend) -> None:
    """On every loop; and an awaitable that was awaited holds nothing."""
    guard = Guard(name="orders", concurrency_max=1)
    async with guard.acquire() as permit:
        await anyio.lowlevel.checkpoint()
        assert guard.in_flight == 1
        with pytest.raises(Refused, match="orders"):
            guard.acquire()
    assert guard.in_flight == 0
    assert sys.getrefcount(permit) == 2
    with pytest.raises(TimeoutError):
        async with guard.acquire():
            raise TimeoutError
    assert guard.describe()["failures"] == 1


async def test_many_tasks_use_one_guard_at_once(anyio_backend) -> None:
    """Each has its own permit: nothing is mixed up, and nothing stays behind."""
    guard, most = Guard(endpoints=3, concurrency_max=8, failure_percent=0, endpoint_consecutive=0), 0

    async def one(turn: int) -> None:
        nonlocal most
        try:
            async with guard.acquire() as permit:
                most = max(most, guard.in_flight)
                for _ in range(turn % 5):
                    await anyio.lowlevel.checkpoint()
                assert permit.endpoint in range(3)
                if turn % 7 == 0:
                    raise RuntimeError
        except (Refused, RuntimeError):
            pass

    for _ in range(20):
        async with anyio.create_task_group() as tasks:
            for turn in range(30):
                tasks.start_soon(one, turn)
    state = guard.describe()
    assert most == 8
    assert (state["in_flight"], state["cancelled"]) == (0, 0)
    assert state["calls"] + state["refused"] == 600


async def test_a_cancelled_body_gives_the_slot_back(anyio_backend) -> None:
    """And counts as neither success nor failure."""
    guard = Guard(concurrency_max=1)
    with anyio.move_on_after(0):
        async with guard.acquire():
            await anyio.sleep_forever()
    assert (guard.in_flight, guard.describe()["cancelled"]) == (0, 1)
    assert guard.try_acquire()


def test_a_permit_made_by_hand_is_of_no_guard() -> None:
    """It settles nothing, and says so where it could not even be entered."""
    permit = Permit()
    assert (permit.success(), permit.failure(ERROR), permit.cancel()) == (0, 0, 0)
    with pytest.raises(RuntimeError, match="a permit comes from a guard"):
        permit.__aenter__()

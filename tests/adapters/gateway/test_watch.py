"""The stall watch on a clock that tests move: when a stall is due, and when lateness is our own."""

from collections.abc import AsyncIterator

import anyio
import pytest
import trio
from trio.testing import MockClock

from controlplane._native.guard import Permit
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.inflight import Attempt
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service, Topology

pytestmark = pytest.mark.anyio

STALL_S = 0.2


@pytest.fixture
def clock() -> MockClock:
    """Time that passes only when a test says so."""
    return MockClock()


@pytest.fixture
def anyio_backend(clock: MockClock) -> tuple[str, dict[str, object]]:
    """Virtual time exists on trio only."""
    return "trio", {"clock": clock}


@pytest.fixture
async def guards() -> AsyncIterator[GuardSet]:
    """Guards of one service with two endpoints, and a running watch."""
    service = Service(
        name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}") for n in (1, 2))
    )
    guards = GuardSet(Topology(services=(service,)), {"default": GuardPolicy(stall_s=STALL_S)})
    async with anyio.create_task_group() as tasks:
        await tasks.start(guards.watch)
        yield guards
        tasks.cancel_scope.cancel()


def enter(guards: GuardSet) -> Attempt:
    service = guards.services["orders"]
    permit = service.guard.try_acquire()
    assert isinstance(permit, Permit)
    return guards.stall.inflight.enter(service, permit, anyio.CancelScope(), anyio.current_time(), redrivable=False)


async def advance(clock: MockClock, seconds: float) -> None:
    """Let time pass in steps no scheduler would notice."""
    for _ in range(round(seconds / 0.01)):
        clock.jump(0.01)
        await trio.testing.wait_all_tasks_blocked()


def failures(guards: GuardSet) -> int:
    return sum(guards.guard("orders").endpoint(index)["failures"] for index in (0, 1))


async def test_a_call_stalls_when_its_time_is_over(guards: GuardSet, clock: MockClock) -> None:
    """Just before the threshold nothing is said; at it, exactly once."""
    enter(guards)
    await advance(clock, STALL_S - 0.02)
    assert failures(guards) == 0
    await advance(clock, 0.03)
    assert failures(guards) == 1
    await advance(clock, 1.0)
    assert failures(guards) == 1


async def test_calls_stall_in_the_order_in_which_they_began(guards: GuardSet, clock: MockClock) -> None:
    """A younger call has its full time."""
    enter(guards)
    await advance(clock, 0.1)
    enter(guards)
    await advance(clock, 0.12)
    assert failures(guards) == 1
    await advance(clock, 0.1)
    assert failures(guards) == 2


async def test_a_call_that_was_answered_does_not_stall(guards: GuardSet, clock: MockClock) -> None:
    """Leaving in time is all it takes."""
    attempt = enter(guards)
    await advance(clock, 0.15)
    guards.stall.inflight.leave(attempt)
    attempt.permit.success()
    await advance(clock, 1.0)
    assert failures(guards) == 0


async def test_a_process_that_was_stopped_accuses_nobody(guards: GuardSet, clock: MockClock) -> None:
    """The watch wakes ten seconds late: every call gets its time anew, counted from now."""
    for _ in range(10):
        enter(guards)
    await trio.testing.wait_all_tasks_blocked()
    clock.jump(10.0)
    await trio.testing.wait_all_tasks_blocked()
    assert failures(guards) == 0
    await advance(clock, STALL_S - 0.02)
    assert failures(guards) == 0
    await advance(clock, 0.03)
    assert failures(guards) > 0


async def test_lateness_is_remembered_by_the_calls_it_touched(guards: GuardSet, clock: MockClock) -> None:
    """A time-out of a call that was in flight during the stop may be ours; of one that began later it is not."""
    enter(guards)
    await trio.testing.wait_all_tasks_blocked()
    before = anyio.current_time()
    clock.jump(1.0)
    assert guards.stall.lagged_since(before, anyio.current_time())  # even before the watch has run
    await trio.testing.wait_all_tasks_blocked()
    assert guards.stall.lagged_since(before, anyio.current_time())
    await advance(clock, 0.1)
    after = anyio.current_time()
    await advance(clock, 0.1)
    assert not guards.stall.lagged_since(after, anyio.current_time())


async def test_an_idle_watch_sleeps(guards: GuardSet, clock: MockClock) -> None:
    """With nothing in flight there is no beat, so a long idle time is no lateness."""
    await trio.testing.wait_all_tasks_blocked()
    before = anyio.current_time()
    clock.jump(3600.0)
    await trio.testing.wait_all_tasks_blocked()
    assert not guards.stall.lagged_since(before, anyio.current_time())

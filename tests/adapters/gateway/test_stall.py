"""A replica that accepts and never answers: silence becomes evidence, and who waits is served elsewhere."""

import anyio
import httpx
import pytest

from controlplane._native.guard import now_ns
from controlplane.adapters.gateway.transport import GuardedTransport
from controlplane.model.command import Command, Eject, Intent, Isolate
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos
from tests.adapters.gateway.replica import Replica, guards_of, serving
from tests.native.traffic import fail, permit_to

pytestmark = pytest.mark.anyio

# well above what a busy machine adds to a healthy answer: the servers share our process
IMPATIENT = GuardPolicy(stall_s=0.5)


async def test_calls_hanging_on_a_replica_are_answered_by_another() -> None:
    """Nothing has timed out and no error was seen: the stalled calls eject, and all in flight there are sent again."""
    async with serving(Replica("o1"), Replica("o2")) as (hung, good):
        hung.hangs = True
        guards = guards_of(hung, good, policy=IMPATIENT)
        answers: list[tuple[int, str]] = []
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client, anyio.create_task_group() as tasks:
            await tasks.start(guards.watch)

            async def ask() -> None:
                response = await client.get("http://orders/")
                answers.append((response.status_code, response.extensions["endpoint"]))

            with anyio.fail_after(20):
                async with anyio.create_task_group() as asking:
                    for _ in range(30):
                        asking.start_soon(ask)
            tasks.cancel_scope.cancel()
        assert answers == [(200, "o2")] * 30
        assert guards.guard("orders").is_ejected(0)
        trips = [signal for signal in guards.drain() if isinstance(signal, Tripped)]
        assert [(str(trip.target), trip.cause) for trip in trips] == [("orders/o1", Cause.STALLED)]
        assert guards.stall.inflight.redriven >= 5
        described = guards.guard("orders").describe()
        assert described["in_flight"] == guards.stall.inflight.total == 0


async def test_what_must_not_be_sent_twice_goes_on_waiting() -> None:
    """A POST on the ejected replica is left alone: it may have been done."""
    async with serving(Replica("o1"), Replica("o2")) as (hung, good):
        hung.hangs = True
        guards = guards_of(hung, good, policy=GuardPolicy(stall_s=30.0))
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client, anyio.create_task_group() as tasks:
            answers: list[str] = []

            async def ask(method: str) -> None:
                response = await client.request(method, "http://orders/")
                answers.append(f"{method} {response.extensions['endpoint']}")

            while not hung.seen:
                tasks.start_soon(ask, "POST")
                await anyio.wait_all_tasks_blocked()
            posted = len(hung.seen)
            while len(hung.seen) == posted:
                tasks.start_soon(ask, "GET")
                await anyio.wait_all_tasks_blocked()
            await guards.apply(order(Eject(), "o1"))
            await anyio.wait_all_tasks_blocked()
            while guards.stall.inflight.total > posted:
                await anyio.sleep(0)
            assert "GET o1" not in answers
            hung.released.set()
        assert answers.count("POST o1") == posted


async def test_an_ordered_ejection_redrives_at_once() -> None:
    """What the engine orders moves the calls in flight, with no stall and no time-out in between."""
    async with serving(Replica("o1"), Replica("o2")) as (hung, good):
        hung.hangs = True
        guards = guards_of(hung, good, policy=GuardPolicy(stall_s=30.0))
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client, anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(client.get, "http://orders/")
            await hung.wait_seen(1)
            with anyio.fail_after(5):
                await guards.apply(order(Eject(), "o1"))
                while guards.stall.inflight.total:
                    await anyio.sleep(0)
        assert len(good.seen) == 10


@pytest.mark.parametrize(("siblings_fail", "answers"), [(False, True), (True, True), (True, False)])
async def test_a_queue_is_not_sent_to_siblings_that_are_as_late(*, siblings_fail: bool, answers: bool) -> None:
    """While endpoints fail together it would fill the queues of those that are left; from who hangs it goes on."""
    guards = guards_of(Replica("o1"), Replica("o2"), policy=GuardPolicy(stall_s=30.0))
    service = guards.services["orders"]
    inflight = guards.stall.inflight
    overdue, answered, attempt = (
        inflight.enter(service, permit_to(service.guard, 0), anyio.CancelScope(), at, redrivable=True)
        for at in (0.0, 40.0, 50.0)
    )
    assert overdue.lane.stalled(40.0) is overdue
    if answers:
        inflight.leave(answered)
    for endpoint in (1, 0) if siblings_fail else ():
        fail(service.guard, endpoint, 4)
    if siblings_fail:
        fail(service.guard, 0, 1)
    assert service.guard.describe()["retries_suspended"] == siblings_fail
    await guards.apply(order(Eject(), "o1"))
    assert (attempt.relief is None) == (siblings_fail and answers)


async def test_without_another_replica_the_slow_answer_is_awaited() -> None:
    """Nothing else may be called: giving the call up would only make sure that it fails."""
    async with serving(Replica("o1"), Replica("o2")) as replicas:
        for replica in replicas:
            replica.hangs = True
        guards = guards_of(*replicas, policy=GuardPolicy(stall_s=30.0))
        answers: list[int] = []
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client, anyio.create_task_group() as tasks:

            async def ask() -> None:
                answers.append((await client.get("http://orders/")).status_code)

            tasks.start_soon(ask)
            while not (seen := [replica for replica in replicas if replica.seen]):
                await anyio.wait_all_tasks_blocked()
            await guards.apply(order(Isolate()))
            await guards.apply(order(Eject(), seen[0].name))
            assert guards.stall.inflight.redriven == 0
            seen[0].released.set()
        assert answers == [200]


def order(intent: Intent, endpoint: str = "") -> Command:
    return Command(
        id=CommandId("c1"),
        epoch=Epoch(1),
        incident=IncidentId("i1"),
        target=Target("orders", endpoint),
        intent=intent,
        lease_until=Nanos(now_ns() + 30 * SECOND),
    )

"""Sending twice: only what may be, within the budget, when the callee wishes, and never for a failure further down."""

from collections.abc import AsyncIterator

import anyio
import httpx
import msgspec
import pytest

from controlplane._native.guard import now_ns, set_test_clock
from controlplane.adapters.gateway.transport import GuardedTransport
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Relayed
from tests.adapters.gateway.replica import Replica, guards_of, serving

pytestmark = pytest.mark.anyio

PATIENT = GuardPolicy(
    attempts=3, endpoint_consecutive=0, endpoint_evidence=0, failure_percent=0
)  # no reflex but retries


def client_of(*replicas: Replica, policy: GuardPolicy = PATIENT, external: bool = False) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=GuardedTransport(guards_of(*replicas, policy=policy, external=external)))


async def test_a_failed_get_is_sent_again_to_another_replica() -> None:
    """The user sees the good answer; the bad replica is asked at most once per call."""
    async with serving(Replica("o1"), Replica("o2")) as (bad, good):
        bad.status = 502
        async with client_of(bad, good) as client:
            for _ in range(6):
                response = await client.get("http://orders/")
                assert (response.status_code, response.extensions["endpoint"]) == (200, "o2")
        assert 1 <= len(bad.seen) <= 6


async def test_without_attempts_nothing_is_retried() -> None:
    """The default policy makes one attempt."""
    async with serving(Replica("o1"), Replica("o2")) as (bad, worse):
        bad.status = worse.status = 500
        async with client_of(bad, worse, policy=GuardPolicy(endpoint_consecutive=0, endpoint_evidence=0)) as client:
            assert (await client.get("http://orders/")).status_code == 500
        assert len(bad.seen) + len(worse.seen) == 1


async def test_the_last_answer_is_delivered_when_all_attempts_fail() -> None:
    """Not a refusal of ours but what the service said, body included."""
    async with serving(Replica("o1"), Replica("o2")) as (bad, worse):
        bad.status = worse.status = 500
        async with client_of(bad, worse) as client:
            response = await client.get("http://orders/")
        assert (response.status_code, response.text) == (500, "ok")
        assert len(bad.seen) + len(worse.seen) == 3


async def test_retries_stop_with_the_budget() -> None:
    """A service that only fails costs a fifth more calls than were asked for, and the floor of one second at first."""
    set_test_clock(now_ns())  # stands: a slow machine would earn three retries with every second
    async with serving(Replica("o1"), Replica("o2")) as (bad, worse):
        bad.status = worse.status = 500
        async with client_of(bad, worse) as client:
            for _ in range(50):
                assert (await client.get("http://orders/")).status_code == 500
        assert len(bad.seen) + len(worse.seen) == 50 + 50 // 5 + 3


async def test_a_post_is_sent_once() -> None:
    """It might do twice what was wanted once."""
    async with serving(Replica("o1"), Replica("o2")) as (bad, worse):
        bad.status = worse.status = 500
        async with client_of(bad, worse) as client:
            assert (await client.post("http://orders/", content=b"x")).status_code == 500
        assert len(bad.seen) + len(worse.seen) == 1


@pytest.mark.parametrize(("honoured", "times"), [(False, 1), (True, 3)])
async def test_a_key_makes_a_post_repeatable_where_the_service_honours_it(honoured: bool, times: int) -> None:
    """That the policy says; a user's header alone is no promise of the service. The body goes along, whole."""
    async with serving(Replica("o1")) as (replica,):
        replica.status = 500
        policy = msgspec.structs.replace(PATIENT, idempotency_keys=honoured)
        async with client_of(replica, policy=policy) as client:
            await client.post("http://orders/", content=b"body", headers={"Idempotency-Key": "k1"})
        assert [seen.body for seen in replica.seen] == [b"body"] * times


async def test_a_streamed_body_is_sent_once() -> None:
    """What has been sent is gone; the method does not matter."""

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with serving(Replica("o1")) as (replica,):
        replica.status = 500
        async with client_of(replica) as client:
            assert (await client.put("http://orders/", content=body())).status_code == 500
        assert [seen.body for seen in replica.seen] == [b"onetwo"]


async def test_a_retry_waits_as_long_as_the_callee_wishes() -> None:
    """`Retry-After` in seconds is waited out, on the loop's clock, before the next attempt."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 503, {"retry-after": "1"}
        policy = GuardPolicy(attempts=2, deadline_s=5.0)
        async with client_of(replica, policy=policy) as client, anyio.create_task_group() as tasks:
            answers: list[int] = []

            async def ask() -> None:
                answers.append((await client.get("http://orders/")).status_code)

            started = anyio.current_time()
            tasks.start_soon(ask)
            await replica.wait_seen(1)
            replica.status = 200
            await replica.wait_seen(2)
            assert 0.9 <= anyio.current_time() - started < 4
        assert answers == [200]


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """The answer is delivered as it is, at once."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 503, {"retry-after": "600"}
        async with client_of(replica) as client:
            with anyio.fail_after(5):
                response = await client.get("http://orders/")
        assert (response.status_code, response.text, len(replica.seen)) == (503, "ok", 1)


async def test_nobody_waits_for_a_retry_that_the_budget_will_refuse() -> None:
    """The budget is asked before `Retry-After` is waited out: the answer is delivered at once."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 503, {"retry-after": "20"}
        guards = guards_of(replica, policy=msgspec.structs.replace(PATIENT, deadline_s=60.0))
        guards.guard("orders").cap_retries(0, 3_600_000_000_000, 0)
        async with httpx.AsyncClient(transport=GuardedTransport(guards), timeout=60) as client:
            with anyio.fail_after(5):
                assert (await client.get("http://orders/")).status_code == 503
        assert len(replica.seen) == 1


async def test_cancellation_during_the_wait_leaves_nothing_behind() -> None:
    """The caller goes away while its retry waits: no permit is held, and the answer it will not read is closed."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 503, {"retry-after": "3"}
        guards = guards_of(replica, policy=PATIENT)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.get, "http://orders/")
            await replica.wait_seen(1)
            while guards.guard("orders").describe()["failures"] == 0:
                await anyio.sleep(0)
            tasks.cancel_scope.cancel()
        assert guards.guard("orders").describe()["in_flight"] == 0
        assert len(replica.seen) == 1


async def test_429_is_never_success() -> None:
    """Overload is a failure of its own kind, and is retried."""
    async with serving(Replica("o1")) as (replica,):
        replica.status = 429
        guards = guards_of(replica, policy=PATIENT)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            assert (await client.get("http://orders/")).status_code == 429
        assert guards.guard("orders").endpoint(0)["failures"] == 3


async def test_a_relayed_failure_is_no_evidence_and_not_retried() -> None:
    """Whoever passes on the failure of its database keeps its place; the database is named instead."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 502, {"controlplane-cause": "db"}
        rings: list[int] = []
        guards = guards_of(replica, policy=GuardPolicy(attempts=3))
        guards._ring = lambda: rings.append(1)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            for _ in range(20):
                assert (await client.get("http://orders/")).status_code == 502
        assert len(replica.seen) == 20
        described = guards.guard("orders").describe()
        assert (described["failures"], described["cancelled"]) == (0, 20)
        (relayed,) = guards.drain()
        assert isinstance(relayed, Relayed)
        assert (relayed.caller, relayed.callee, relayed.count) == ("orders", "db", 20)
        assert 1 <= len(rings) <= 20


async def test_a_refusal_over_there_is_no_evidence() -> None:
    """A replica that sheds by our own hand is not sick."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 503, {"controlplane-refused": "shed"}
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            for _ in range(10):
                assert (await client.get("http://orders/")).status_code == 503
        assert guards.guard("orders").describe()["failures"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"controlplane-cause": "orders"},
        {"controlplane-cause": "x" * 5000},
        {"controlplane-cause": "a b; drop"},
        {"controlplane-cause": ""},
    ],
)
async def test_a_cause_that_is_none_excuses_nobody(headers: dict[str, str]) -> None:
    """Names that cannot be another service's are not believed."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 500, headers
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            await client.get("http://orders/")
        assert guards.guard("orders").describe()["failures"] == 1


async def test_third_parties_are_neither_believed_nor_told() -> None:
    """An external service cannot excuse itself by a header, and learns nothing of our deadlines."""
    async with serving(Replica("o1")) as (replica,):
        replica.status = 500
        replica.headers = {"controlplane-cause": "db", "controlplane-refused": "shed"}
        guards = guards_of(replica, external=True)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            await client.get("http://orders/")
        assert guards.guard("orders").describe()["failures"] == 1
        assert not [name for name in replica.seen[0].headers if name.startswith("controlplane")]

"""What protocols say about trying again: attempts count over hops, push-back is obeyed, load ends second lives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.headers import attempt, pushback_s
from controlplane.adapters.gateway.middleware import GuardMiddleware
from controlplane.adapters.gateway.transport import GuardedTransport
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import EntrySampled
from tests.adapters.gateway.replica import Replica, guards_of, serving
from tests.adapters.gateway.test_retry import PATIENT

pytestmark = pytest.mark.anyio

LEASE_NS = 3_600_000_000_000


@asynccontextmanager
async def hop(replica: Replica, policy: GuardPolicy = PATIENT) -> AsyncIterator[tuple[httpx.AsyncClient, GuardSet]]:
    """A service in the middle: its middleware, and one guarded call for each request."""
    guards = guards_of(replica, policy=policy)
    async with httpx.AsyncClient(transport=GuardedTransport(guards)) as below:

        async def serve(_: Request) -> Response:
            return Response(status_code=(await below.get("http://orders/")).status_code)

        app = GuardMiddleware(Starlette(routes=[Route("/", serve)]), guards)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as above:
            yield above, guards


async def test_each_attempt_says_which_it_is() -> None:
    """The first says nothing, the second 2, the third 3; a third party is not told."""
    for external, said in ((False, [None, "2", "3"]), (True, [None, None, None])):
        async with serving(Replica("o1")) as (replica,):
            replica.status = 500
            guards = guards_of(replica, policy=PATIENT, external=external)
            async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
                assert (await client.get("http://orders/")).status_code == 500
            assert [seen.headers.get("controlplane-attempt") for seen in replica.seen] == said


@pytest.mark.parametrize("field", ["controlplane-attempt", "x-envoy-attempt-count"])
async def test_what_is_a_retry_above_is_not_retried_below(field: str) -> None:
    """Retries at every layer would multiply: one request, sent again above, is sent once from here, and says so."""
    async with serving(Replica("o1")) as (replica,):
        replica.status = 500
        generous = msgspec.structs.replace(PATIENT, retry_percent=100, retry_floor_per_s=10)
        async with hop(replica, generous) as (client, guards):
            assert (await client.get("/")).status_code == 500
            assert len(replica.seen) == 3
            assert (await client.get("/", headers={field: "2"})).status_code == 500
            assert (await client.get("/", headers={field: "1"})).status_code == 500
    assert [seen.headers.get("controlplane-attempt") for seen in replica.seen[3:]] == ["2", None, "2", "3"]
    assert guards.entry.now()[4] == 1


async def test_retries_that_arrive_are_told_to_the_engine() -> None:
    """Of three requests one was a retry: the sample says so."""
    async with serving(Replica("o1")) as (replica,), hop(replica) as (client, guards):
        for headers in ({}, {"controlplane-attempt": "3"}, {}):
            assert (await client.get("/", headers=headers)).status_code == 200
        (sample,) = (one for one in guards.sample() if isinstance(one, EntrySampled))
    assert (sample.requests, sample.retries) == (3, 1)


@pytest.mark.parametrize("value", ["-1", "soon", "", "1e3", "9" * 40])
async def test_a_push_back_that_says_no_is_obeyed(value: str) -> None:
    """Negative, or not a number: gRPC asks for no further attempt, whatever Retry-After says."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 503, {"grpc-retry-pushback-ms": value, "retry-after": "0"}
        async with httpx.AsyncClient(transport=GuardedTransport(guards_of(replica, policy=PATIENT))) as client:
            with anyio.fail_after(5):
                assert (await client.get("http://orders/")).status_code == 503
    assert len(replica.seen) == 1


async def test_a_push_back_is_waited_out() -> None:
    """200 ms are asked for; before them nobody is asked again."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.headers = 503, {"grpc-retry-pushback-ms": "200"}
        guards = guards_of(replica, policy=GuardPolicy(attempts=2, deadline_s=10.0))
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            started = anyio.current_time()
            assert (await client.get("http://orders/")).status_code == 503
            assert anyio.current_time() - started >= 0.2
    assert len(replica.seen) == 2


async def test_under_a_limit_nothing_is_sent_twice() -> None:
    """A service that gets no more than it bears gets neither retries nor second lives."""
    async with serving(Replica("o1"), Replica("o2")) as (one, two):
        one.status = two.status = 503
        guards = guards_of(one, two, policy=PATIENT)
        guards.guard("orders").limit(10, LEASE_NS, 0)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            for _ in range(5):
                assert (await client.get("http://orders/")).status_code == 503
        assert len(one.seen) + len(two.seen) == 5
        guard = guards.guard("orders")
        assert not guard.try_redrive(0)
        assert not guard.try_again(0)


@pytest.mark.parametrize(("value", "number"), [("1", 1), ("2", 2), ("999", 999), ("0", 1)])
def test_an_attempt_is_a_small_number(value: str, number: int) -> None:
    """At most three digits."""
    assert attempt(value) == number


@pytest.mark.parametrize("value", ["", "-2", "2.0", "1000", "٢", "2 2", "x" * 10_000])
def test_what_is_no_attempt_is_the_first(value: str) -> None:
    """A hostile field changes nothing."""
    assert attempt(value) == 1


def test_push_back_has_a_bound() -> None:
    """A day at most; absent: nothing is said."""
    assert pushback_s(None) is None
    assert pushback_s("250") == 0.25
    assert pushback_s("999999999") == 86_400.0

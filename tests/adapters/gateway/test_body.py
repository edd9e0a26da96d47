"""The permit is held until the body ends, and what becomes of the body is part of the verdict."""

import anyio
import httpx
import pytest

from controlplane.adapters.gateway.transport import GuardedTransport
from tests.adapters.gateway.replica import Replica, guards_of, serving

pytestmark = pytest.mark.anyio


async def test_the_permit_is_held_until_the_body_is_read() -> None:
    """A stream counts against the concurrency limit for as long as it flows, and then as one success."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        guard = guards.guard("orders")
        client = httpx.AsyncClient(transport=GuardedTransport(guards))
        async with client, client.stream("GET", "http://orders/") as response:
            assert guard.in_flight == 1
            assert guards.stall.inflight.total == 0  # answered: no longer waiting
            await response.aread()
            assert guard.in_flight == 0
        described = guard.describe()
        assert (described["calls"], described["failures"], described["cancelled"]) == (1, 0, 0)


async def test_a_body_closed_early_is_neither_success_nor_failure() -> None:
    """The program lost interest; that says nothing about the endpoint."""
    async with serving(Replica("o1")) as (replica,):
        replica.drips = True
        guards = guards_of(replica)
        client = httpx.AsyncClient(transport=GuardedTransport(guards))
        async with client, client.stream("GET", "http://orders/"):
            pass
        described = guards.guard("orders").describe()
        assert (described["in_flight"], described["failures"], described["cancelled"]) == (0, 0, 1)


async def test_an_answer_without_a_body_is_complete_when_closed() -> None:
    """Nobody need read nothing: HEAD and empty answers are successes."""
    async with serving(Replica("o1")) as (replica,):
        replica.body = b""
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            async with client.stream("HEAD", "http://orders/"):
                pass
            async with client.stream("GET", "http://orders/"):
                pass
        described = guards.guard("orders").describe()
        assert (described["calls"], described["cancelled"], described["in_flight"]) == (2, 0, 0)


async def test_a_body_that_breaks_off_is_a_failure() -> None:
    """The head said 200, the rest never came."""
    async with serving(Replica("o1")) as (replica,):
        replica.breaks_off = True
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("http://orders/")
        described = guards.guard("orders").endpoint(0)
        assert (described["failures"], described["in_flight"]) == (1, 0)


async def test_a_body_that_stops_coming_is_a_time_out() -> None:
    """The program's own read timeout ends it, and it counts."""
    async with serving(Replica("o1")) as (replica,):
        replica.drips = True
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards), timeout=0.05) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("http://orders/")
        assert guards.guard("orders").endpoint(0)["failures"] == 1


async def test_cancellation_while_the_body_is_read_counts_nothing() -> None:
    """The reader is cancelled between two chunks: the slot is free again."""
    async with serving(Replica("o1")) as (replica,):
        replica.drips = True
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.get, "http://orders/")
            await replica.wait_seen(1)
            while guards.stall.inflight.total:
                await anyio.sleep(0)
            tasks.cancel_scope.cancel()
        described = guards.guard("orders").describe()
        assert (described["in_flight"], described["failures"], described["cancelled"]) == (0, 0, 1)


async def test_a_transport_without_a_wire_is_settled_at_once() -> None:
    """httpx.MockTransport hands over a body that nobody will ever iterate."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        mock = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))
        async with httpx.AsyncClient(transport=GuardedTransport(guards, mock)) as client:
            assert (await client.get("http://orders/x")).text == f"{replica.url}/x"
        described = guards.guard("orders").describe()
        assert (described["in_flight"], described["calls"], described["cancelled"]) == (0, 1, 0)


async def test_latency_is_counted_to_the_head_of_the_answer() -> None:
    """A client that reads slowly does not make the endpoint slow."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            async with client.stream("GET", "http://orders/") as response:
                answered = anyio.current_time()
                await anyio.sleep(0.2)  # real time: the reader idles while the permit is open
                await response.aread()
            assert anyio.current_time() - answered >= 0.2
        assert guards.guard("orders").latency_quantile_ns(1000) < 200_000_000

"""Requests through the transport, against real servers on loopback: choice, rewrite, ejection, deadlines, cancels."""

import logging

import anyio
import httpx
import pytest

from controlplane.adapters.gateway import once
from controlplane.adapters.gateway.context import Inbound, inbound
from controlplane.adapters.gateway.pool import PooledTransport
from controlplane.adapters.gateway.transport import GuardedTransport, RefusedError
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Cause, Tripped
from controlplane.model.unit import SECOND
from tests.adapters.gateway.replica import Replica, deaf, guards_of, serving

pytestmark = pytest.mark.anyio


async def test_a_request_to_a_service_reaches_one_of_its_endpoints() -> None:
    """Path and query stay, the Host field is the endpoint's, the request the program sees is its own."""
    async with serving(Replica("o1"), Replica("o2")) as replicas:
        async with httpx.AsyncClient(transport=GuardedTransport(guards_of(*replicas))) as client:
            names = set()
            for _ in range(40):
                response = await client.get("http://orders/a%20b/c?d=e&f=%2F")
                names.add(response.extensions["endpoint"])
                assert (response.status_code, response.text) == (200, "ok")
        assert str(response.request.url) == "http://orders/a%20b/c?d=e&f=%2F"
        assert names == {"o1", "o2"}
        for replica in replicas:
            assert {seen.target for seen in replica.seen} == {"/a%20b/c?d=e&f=%2F"}
            assert {f"http://{seen.headers['host']}" for seen in replica.seen} == {replica.url}


async def test_the_scheme_and_port_of_a_service_url_are_the_endpoints() -> None:
    """A program may write whatever URL it was used to; and a Host field it chose itself is kept."""
    async with serving(Replica("o1")) as (replica,):
        async with httpx.AsyncClient(transport=GuardedTransport(guards_of(replica))) as client:
            assert (await client.get("https://ORDERS:444/x", headers={"Host": "shop.example"})).status_code == 200
        assert replica.seen[0].headers["host"] == "shop.example"


async def test_other_hosts_pass_through_untouched() -> None:
    """A host that is no service gets the very request, and no guard counts it."""
    async with serving(Replica("o1"), Replica("elsewhere")) as (replica, elsewhere):
        guards = guards_of(replica)
        elsewhere.status = 500
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            for _ in range(10):
                assert (await client.get(f"{elsewhere.url}/x")).status_code == 500
        assert len(elsewhere.seen) == 10
        assert "controlplane-deadline-ms" not in elsewhere.seen[0].headers
        assert guards.guard("orders").describe()["calls"] == 0


async def test_a_failing_replica_is_ejected_and_the_deciding_call_sent_again() -> None:
    """Five failures eject; the fifth caller and all after it get an answer from the other replica."""
    async with serving(Replica("o1"), Replica("o2")) as (bad, good):
        bad.status = 500
        guards = guards_of(bad, good)
        rings: list[int] = []
        guards._ring = lambda: rings.append(1)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            statuses = [(await client.get("http://orders/")).status_code for _ in range(60)]
        assert statuses.count(500) == 4
        assert len(bad.seen) == 5
        assert guards.guard("orders").is_ejected(0)
        assert rings
        (trip,) = [signal for signal in guards.drain() if isinstance(signal, Tripped)]
        assert (str(trip.target), trip.cause, trip.failures, trip.contained) == ("orders/o1", Cause.ERRORS, 5, True)


async def test_observing_only_counts() -> None:
    """In observe mode the verdict is written, nothing is ejected and nothing sent again."""
    async with serving(Replica("o1"), Replica("o2")) as (bad, good):
        bad.status = 500
        guards = guards_of(bad, good, enforced=0)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            statuses = [(await client.get("http://orders/")).status_code for _ in range(60)]
        assert statuses.count(500) == len(bad.seen) > 5
        (trip,) = [signal for signal in guards.drain() if isinstance(signal, Tripped)][:1]
        assert not trip.contained


async def test_a_connection_that_is_refused_is_a_failure_of_the_endpoint() -> None:
    """Nobody listens on one endpoint: after five errors it is out."""
    with deaf(Replica("o1")) as gone:
        async with serving(Replica("o2")) as (good,):
            guards = guards_of(gone, good)
            errors = 0
            async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
                for _ in range(60):
                    try:
                        await client.get("http://orders/")
                    except httpx.ConnectError:
                        errors += 1
        assert errors == 4
        assert guards.guard("orders").is_ejected(0)


async def test_a_slow_replica_is_ejected_without_a_single_error() -> None:
    """Answers that come well, but late, are evidence too."""
    async with serving(Replica("o1"), Replica("o2")) as (slow, good):
        slow.delay_s = 0.2
        guards = guards_of(slow, good, policy=GuardPolicy(slow_s=0.15))
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            for _ in range(200):
                assert (await client.get("http://orders/")).status_code == 200
                if guards.guard("orders").is_ejected(0):
                    break
        (trip,) = [signal for signal in guards.drain() if isinstance(signal, Tripped)]
        assert (str(trip.target), trip.cause) == ("orders/o1", Cause.SLOW)


async def test_a_refusal_is_a_transport_error_that_says_when_to_come_back() -> None:
    """Handlers of httpx.TransportError see a refusal; it names the part, the service and the request."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica, policy=GuardPolicy(rate_per_s=0.1))
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            await client.get("http://orders/")
            with pytest.raises(httpx.TransportError) as caught:
                await client.get("http://orders/again")
        refused = caught.value
        assert isinstance(refused, RefusedError)
        assert (refused.part, refused.service, refused.request.url.path) == ("rate", "orders", "/again")
        assert 0 < refused.retry_after_s <= 10
        assert len(replica.seen) == 1


async def test_a_deadline_that_has_passed_refuses_without_a_call() -> None:
    """The incoming request's deadline bounds outgoing calls; none is left, so none is made."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            token = inbound.set(Inbound(deadline=anyio.current_time()))
            with pytest.raises(RefusedError) as caught:
                await client.get("http://orders/")
            inbound.reset(token)
        assert caught.value.part == "deadline"
        assert replica.seen == []


async def test_an_ordered_deadline_is_kept_travels_on_and_is_no_evidence() -> None:
    """The shorter of both holds. Who misses it has done nothing wrong yet: the deadline is an order's making."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica, policy=GuardPolicy(stall_s=5.0, deadline_s=30.0))
        guard = guards.guard("orders")
        guard.tighten(300_000_000, 3_600_000_000_000, 0)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            with anyio.fail_after(5), pytest.raises(httpx.ReadTimeout):
                await client.get("http://orders/")
            assert 1 <= int(replica.seen[0].headers["controlplane-deadline-ms"]) <= 300
            assert (guard.describe()["failures"], guard.in_flight) == (0, 0)
            guard.tighten(3_600_000_000_000, 3_600_000_000_000, 0)
            replica.released.set()
            await client.get("http://orders/")
        assert int(replica.seen[1].headers["controlplane-deadline-ms"]) <= 30_000


async def test_the_deadline_bounds_all_attempts_and_travels_on() -> None:
    """A replica that never answers is given up at the policy's deadline, which it was told."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica, policy=GuardPolicy(deadline_s=0.5, attempts=3))
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("http://orders/")
        assert len(replica.seen) == 1
        assert 1 <= int(replica.seen[0].headers["controlplane-deadline-ms"]) <= 500
        assert guards.guard("orders").endpoint(0)["failures"] == 1


async def test_a_callers_haste_is_no_evidence() -> None:
    """A deadline brought in by a stranger, shorter than any answer, must not eject healthy endpoints."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            token = inbound.set(Inbound(deadline=anyio.current_time() + 0.02))
            with pytest.raises(httpx.ReadTimeout):
                await client.get("http://orders/")
            inbound.reset(token)
        described = guards.guard("orders").describe()
        assert (described["failures"], described["cancelled"], described["in_flight"]) == (0, 1, 0)


async def test_a_time_out_of_a_loop_that_lagged_is_no_evidence() -> None:
    """Noticed too late to be sure: the program gets its time-out, the endpoint keeps its name."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica, policy=GuardPolicy(attempt_timeout_s=0.05))
        guards.stall.lagged_s = -1.0  # every wake-up counts as late
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("http://orders/")
        described = guards.guard("orders").describe()
        assert (described["failures"], described["cancelled"]) == (0, 1)


async def test_a_probe_that_fails_costs_no_user() -> None:
    """A user's request sent to a sick endpoint on purpose is sent again elsewhere when it fails there."""
    async with serving(Replica("o1"), Replica("o2")) as (bad, good):
        guards = guards_of(bad, good)
        guard = guards.guard("orders")
        guard.eject(0, 60 * SECOND, 0)
        guard.probe(0, 60 * SECOND)
        bad.status = 500
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            for _ in range(20):
                response = await client.get("http://orders/")
                assert (response.status_code, response.extensions["endpoint"]) == (200, "o2")
        assert len(bad.seen) == 1


async def test_connections_are_pooled_per_endpoint() -> None:
    """A bulkhead: what one endpoint does to its connections leaves the others' alone."""
    pools = PooledTransport()
    one, again, other = (pools.pool(httpx.URL(url)) for url in ("http://a:1/x", "http://a:1/y", "http://a:2/x"))
    assert one is again
    assert one is not other
    await pools.aclose()


async def test_the_programs_own_timeout_is_a_time_out() -> None:
    """What the program waits at most counts as the endpoint's failure."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards), timeout=0.05) as client:
            with pytest.raises(httpx.TimeoutException):
                await client.get("http://orders/")
        assert guards.guard("orders").endpoint(0)["failures"] == 1


async def test_cancellation_gives_the_permit_back_and_counts_nothing() -> None:
    """The caller goes away while the call waits: neither success nor failure, and the slot is free."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica, policy=GuardPolicy(concurrency_max=1))
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.get, "http://orders/")
            await replica.wait_seen(1)
            assert guards.stall.inflight.total == 1
            tasks.cancel_scope.cancel()
        described = guards.guard("orders").describe()
        assert (described["in_flight"], described["failures"], described["cancelled"]) == (0, 0, 1)
        assert guards.stall.inflight.total == 0


async def test_a_request_that_cannot_be_sent_is_no_evidence() -> None:
    """A header that HTTP forbids is the program's fault, and the endpoint keeps its name."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            for _ in range(10):
                with pytest.raises(httpx.LocalProtocolError):
                    await client.get("http://orders/", headers=[(b"x", b"a\r\nb: c")])
        assert guards.guard("orders").endpoint(0)["failures"] == 0
        assert replica.seen == []


async def test_a_bug_of_ours_is_logged_once_and_requests_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bookkeeping that raises at every turn costs the program nothing but its protection."""
    monkeypatch.setattr(once, "_reported", set())
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("a bug")

        service = guards.services["orders"]
        for name in ("succeed", "fail", "cancel"):
            monkeypatch.setattr(service, name, broken)
        monkeypatch.setattr(guards.stall.inflight, "enter", broken)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            with caplog.at_level(logging.ERROR):
                for status in (200, 500, 200, 500):
                    replica.status = status
                    assert (await client.get("http://orders/")).status_code == status
            replica.status = 200
            monkeypatch.setattr("controlplane.adapters.gateway.transport.Exchange", broken)
            assert (await client.get("http://orders/")).text == "ok"
        places = [record.args for record in caplog.records if record.name == "controlplane.gateway"]
        assert len(places) == len(set(places)) >= 3

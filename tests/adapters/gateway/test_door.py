"""The doors of a process: what it serves fails closed by order, and its sensitive routes harden."""

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from controlplane._native.guard import now_ns
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.middleware import GuardMiddleware
from controlplane.adapters.gateway.transport import GuardedTransport, RefusedError
from controlplane.model.command import Close, Command, Harden, Intent, Restore
from controlplane.model.errors import ActuationError
from controlplane.model.posture import Sensitive
from controlplane.model.signal import Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos
from tests.adapters.gateway.test_middleware import application, caller

pytestmark = pytest.mark.anyio
PAY = Sensitive(path="/pay", rate_per_s=1.0, burst=2)


def shop(*, guarded: bool = True) -> GuardSet:
    """Guards of `shop`, which `auth` protects, as it protects `orders`; `/pay` is sensitive."""
    protects = ("shop", "orders") if guarded else ("orders",)
    services = (
        Service(name="shop", calls=("auth", "orders")),
        Service(name="auth", endpoints=(Endpoint(name="a", url="http://a:1"),), guards="waf", protects=protects),
        Service(name="orders", endpoints=(Endpoint(name="o", url="http://127.0.0.1:9"),)),
    )
    return GuardSet(Topology(services=services, entry="shop", sensitive=(PAY,) if guarded else ()), {})


def order(number: int, service: str, intent: Intent, *, enforcement: str = "full", percent: int = 100) -> Command:
    return Command(
        id=CommandId(f"c{number}"),
        epoch=Epoch(1),
        incident=IncidentId("i1"),
        target=Target(service),
        intent=intent,
        lease_until=Nanos(now_ns() + 60 * SECOND),
        enforcement=enforcement,
        percent=percent,
    )


async def ok(request: Request) -> Response:
    return PlainTextResponse("ok")


async def test_what_the_process_serves_is_closed_and_opened() -> None:
    """503 with the guard's name and a time to come back; it is nobody's failure, and the application is not asked."""
    guards = shop()
    async with caller(GuardMiddleware(application(ok), guards)) as client:
        assert (await client.get("/orders")).status_code == 200
        await guards.apply(order(1, "shop", Close("auth")))
        answer = await client.get("/orders")
        assert (answer.status_code, answer.headers["controlplane-refused"]) == (503, "closed")
        assert (answer.headers["controlplane-cause"], answer.headers["retry-after"]) == ("auth", "1")
        assert guards.entry.now()[:2] == (1, 0)
        await guards.apply(order(2, "shop", Restore(what="close")))
        assert (await client.get("/orders")).status_code == 200


async def test_a_shadowed_order_closes_nothing() -> None:
    """It is only told."""
    guards = shop()
    await guards.apply(order(1, "shop", Close("auth"), enforcement="shadow"))
    async with caller(GuardMiddleware(application(ok), guards)) as client:
        assert (await client.get("/orders")).status_code == 200


@pytest.mark.parametrize("path", ["/pay", "/pay/42", "//pay", "/pay//42"])
async def test_a_sensitive_route_hardens_however_it_is_written(path: str) -> None:
    """Its burst goes, the rest is refused with a time to come back; other routes are as ever."""
    guards = shop()
    async with caller(GuardMiddleware(application(ok), guards)) as client:
        assert [(await client.get(path)).status_code for _ in range(5)] == [200] * 5
        await guards.apply(order(1, "shop", Harden("auth")))
        answers = [await client.get(f"http://gateway{path}") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 503, 503, 503]
        assert answers[-1].headers["controlplane-refused"] == "hardened"
        assert (await client.get("/payment")).status_code == 200
        await guards.apply(order(2, "shop", Restore(what="harden")))
        assert (await client.get(path)).status_code == 200


async def test_no_socket_is_opened_through_a_closed_door() -> None:
    """A WebSocket is turned away before it is accepted; the application never hears of it."""
    guards = shop()
    await guards.apply(order(1, "shop", Close("auth")))
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def app(*_: object) -> None:
        raise AssertionError("the application was asked")

    await GuardMiddleware(app, guards)({"type": "websocket", "path": "/chat"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_a_mistake_of_ours_opens_no_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where admission breaks a call goes unguarded, but not through a closed door."""
    guards = shop()
    await guards.apply(order(1, "orders", Close("auth")))

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("controlplane.adapters.gateway.transport.Exchange", broken)
    async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
        with pytest.raises(RefusedError, match="closed"):
            await client.get("http://orders/1")


async def test_where_nothing_is_guarded_there_is_no_door() -> None:
    """An order about it is answered with that, and no request pays for a door."""
    guards = shop(guarded=False)
    assert guards.doors.guards == []
    with pytest.raises(ActuationError, match="shop"):
        await guards.apply(order(1, "shop", Close("auth")))

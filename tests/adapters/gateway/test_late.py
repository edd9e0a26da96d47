"""A request that arrives when its caller has no time left."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.middleware import GuardMiddleware
from controlplane.adapters.gateway.transport import GuardedTransport
from tests.adapters.gateway.replica import Replica, guards_of, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("headers", "counted"), [({"controlplane-deadline-ms": "0"}, (0, 0)), ({}, (1, 0))])
async def test_what_arrives_too_late_is_no_failure_of_ours(headers: dict[str, str], counted: tuple[int, int]) -> None:
    """Anybody may send a deadline of zero: it is refused, and moves no count of the entry."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        app = Starlette(routes=[Route("/", asking(guards))], middleware=[Middleware(GuardMiddleware, guards)])
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.get("/", headers=headers)
    assert answer.status_code == (503 if headers else 200)
    assert guards.entry.now()[:2] == counted


def asking(guards: GuardSet):
    """An application that calls on before it answers."""

    async def ask(request: Request) -> Response:
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as client:
            return PlainTextResponse((await client.get("http://orders/")).text)

    return ask

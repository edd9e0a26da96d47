"""What strangers and accidents must not leave behind: connections, pools, permits, words that others would believe."""

from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

from controlplane.adapters.gateway.middleware import GuardMiddleware
from controlplane.adapters.gateway.proxy import reverse_proxy
from controlplane.adapters.gateway.transport import GuardedTransport
from tests.adapters.gateway.replica import Replica, guards_of, serving

pytestmark = pytest.mark.anyio

GET = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "query_string": b"",
    "headers": [],
    "asgi": {"spec_version": "2.4"},
}


async def nothing_more() -> MutableMapping[str, Any]:
    """A request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def gone(_: object) -> None:
    """The user's connection, after the user has left."""
    raise BrokenPipeError


async def test_an_answer_whose_user_has_left_gives_its_connection_back() -> None:
    """Also where the user is gone before its first byte is passed on: else such users would use the pool up."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as calls:
            app: Any = GuardMiddleware(reverse_proxy({"/": "orders"}, calls), guards)
            await app(dict(GET), nothing_more, gone)
            assert guards.guard("orders").in_flight == 0
            await app(dict(GET), nothing_more, heard := Heard())
        assert (heard.status, guards.entry.now()) == (200, (1, 0, 0, 0))
        assert len(replica.seen) == 2


class Heard:
    """A user who listens."""

    status = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.status = message.get("status", self.status)

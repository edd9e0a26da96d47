"""What strangers and accidents must not leave behind: connections, pools, permits, words that others would believe."""

import gc
import os
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.host import Host
from controlplane.adapters.gateway.middleware import GuardMiddleware
from controlplane.adapters.gateway.pool import PooledTransport
from controlplane.adapters.gateway.proxy import reverse_proxy
from controlplane.adapters.gateway.transport import GuardedTransport
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service, Topology
from tests.adapters.gateway.replica import Replica, deaf, guards_of, serving

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
        assert (heard.status, guards.entry.now()) == (200, (1, 0, 0, 0, 0))
        assert len(replica.seen) == 2


class Heard:
    """A user who listens."""

    status = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        self.status = message.get("status", self.status)


async def test_addresses_that_are_no_endpoints_share_one_pool() -> None:
    """A program that dials where its users say must not keep a pool, and an idle connection, for every such place."""
    pools = PooledTransport()
    with deaf(Replica("gone")) as replica:
        for number in range(20):
            request = httpx.Request("GET", replica.url.replace("127.0.0.1", f"127.0.0.{number + 1}"))
            with suppress(httpx.ConnectError):
                await pools.handle_async_request(request)
    gc.collect()
    assert sum(type(one) is httpx.AsyncHTTPTransport for one in gc.get_referrers(httpx.AsyncHTTPTransport)) <= 1
    await pools.aclose()


async def test_a_third_party_can_blame_nobody_through_us() -> None:
    """What it says of causes and refusals is neither believed nor passed on to those who believe us."""
    async with serving(Replica("o1")) as (replica,):
        replica.status = 503
        replica.headers = {"controlplane-cause": "db", "controlplane-refused": "rate"}
        guards = guards_of(replica, external=True)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as calls:
            app: Any = GuardMiddleware(reverse_proxy({"/": "orders"}, calls), guards)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as users:
                response = await users.get("/")
        assert response.status_code == 503
        assert response.headers["controlplane-cause"] == "orders"
        assert "controlplane-refused" not in response.headers


def test_a_child_of_a_fork_leaves_its_parents_places_alone(tmp_path: Path) -> None:
    """The calls that it inherited, those that it makes and what its users see are not counted in its parent's words."""
    services = (
        Service(name="gateway", calls=("orders",)),
        Service(name="orders", endpoints=(Endpoint(name="o1", url="http://127.0.0.1:1"),)),
    )
    topology = Topology(services=services, entry="gateway")
    host = Host(str(tmp_path / "arena"), topology, workers=2, role="follows")
    guards = GuardSet(topology, {"default": GuardPolicy(concurrency_max=2)}, host=host)
    guard = guards.guard("orders")
    held = [guard.try_acquire() for _ in range(2)]
    child = os.fork()
    if not child:
        held.clear()
        guards.entry.ended(failed=True, slow=False)
        guards.fell_back("orders")
        held.append(guard.try_acquire())
        os._exit(int(guard.is_shared or not held[0]))
    assert os.waitpid(child, 0)[1] == 0
    assert (guard.in_flight, bool(guard.try_acquire())) == (2, False)
    assert guards.entry.now() == (0, 0, 0, 0, 0)
    assert guards.drain() == []
    guards.leave()
    host.close()

"""The reverse proxy, round trip: what is passed on, what stays behind, what users are told when nothing comes back."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import httpx
import pytest

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.middleware import EntryOptions, GuardMiddleware
from controlplane.adapters.gateway.proxy import reverse_proxy
from controlplane.adapters.gateway.transport import GuardedTransport
from controlplane.model.policy import GuardPolicy
from tests.adapters.gateway.replica import Replica, deaf, guards_of, serving

pytestmark = pytest.mark.anyio

ROUTES = {"/orders": "orders", "/orders/special": "elsewhere", "/": "orders"}


class Gateway:
    """A proxy with the client that faces its users."""

    def __init__(self, guards: GuardSet, routes: Mapping[str, str] = ROUTES) -> None:
        self._calls = httpx.AsyncClient(transport=GuardedTransport(guards))
        app: Any = GuardMiddleware(reverse_proxy(routes, self._calls, buffer_max_bytes=1000), guards)
        self._users = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop.example")

    async def __aenter__(self) -> httpx.AsyncClient:
        return self._users

    async def __aexit__(self, *_: object) -> None:
        await self._users.aclose()
        await self._calls.aclose()


async def test_a_request_goes_round() -> None:
    """Method, path, query, body and headers arrive; status, headers and body come back."""
    async with serving(Replica("o1")) as (replica,):
        replica.status, replica.body = 201, b"made"
        replica.headers = {"x-answer": "yes", "connection": "keep-alive, x-hop", "x-hop": "1", "set-cookie": "a=b"}
        async with Gateway(guards_of(replica)) as users:
            response = await users.post("/orders/a%2Fb?c=%20d", content=b"body", headers={"x-ask": "1"})
            second = await users.get("/orders/", headers={"te": "trailers", "connection": "x-mine", "x-mine": "1"})
        assert (response.status_code, response.content, response.headers["x-answer"]) == (201, b"made", "yes")
        assert "x-hop" not in response.headers
        first, later = replica.seen
        assert (first.method, first.target, first.body) == ("POST", "/orders/a%2Fb?c=%20d", b"body")
        assert (first.headers["x-ask"], first.headers["x-forwarded-host"]) == ("1", "shop.example")
        assert first.headers["x-forwarded-for"] == "127.0.0.1"
        assert second.status_code == 201
        assert not {"te", "x-mine"} & set(later.headers)


async def test_no_users_cookie_reaches_another_user() -> None:
    """The proxy's client serves many: it keeps nothing that a service set."""
    async with serving(Replica("o1")) as (replica,):
        replica.headers = {"set-cookie": "session=secret"}
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as calls:
            app = reverse_proxy({"/": "orders"}, calls)
            for _ in range(2):
                transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
                async with httpx.AsyncClient(transport=transport, base_url="http://x") as one:
                    assert (await one.get("/")).headers["set-cookie"] == "session=secret"
            assert list(calls.cookies.jar) == []
        assert all("cookie" not in seen.headers for seen in replica.seen)


async def test_nothing_is_added_in_the_users_name() -> None:
    """The client's own defaults (agent, encodings) are not the user's."""
    async with serving(Replica("o1")) as (replica,):
        async with Gateway(guards_of(replica)) as users:
            request = users.build_request("GET", "/orders/")
            for name in ("accept", "accept-encoding", "user-agent"):
                del request.headers[name]
            await users.send(request)
        assert not {"accept", "accept-encoding", "user-agent"} & set(replica.seen[0].headers)


@pytest.mark.parametrize(
    ("path", "service"),
    [("/orders", "orders"), ("/orders/x", "orders"), ("/orders/special/x", "elsewhere"), ("/ordersx", None)],
)
async def test_the_longest_prefix_wins(path: str, service: str | None) -> None:
    """Prefixes end where segments end."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as calls:
        app: Any = reverse_proxy({"/orders": "orders", "/orders/special": "elsewhere"}, calls)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as users:
            response = await users.get(path)
    assert asked == ([service] if service else [])
    assert response.status_code == (200 if service else 404)


async def test_an_unknown_path_is_told_what_there_is() -> None:
    """404 in JSON, with the prefixes that would have matched."""
    async with httpx.AsyncClient() as calls:
        app: Any = reverse_proxy({"/a": "a", "/b/c": "b"}, calls)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as users:
            response = await users.get("/nope")
    assert response.status_code == 404
    assert response.json() == {"error": "no route for /nope", "routes": ["/a", "/b/c"]}


@pytest.mark.parametrize("path", [b"/orders/../admin", b"/orders/%2e%2e/admin", b"/orders/./x"])
async def test_a_path_that_climbs_is_refused(path: bytes) -> None:
    """What one side reads as /orders and the other as /admin reaches nobody."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as calls:
        decoded = path.replace(b"%2e", b".").decode()
        scope = {"type": "http", "method": "GET", "path": decoded, "raw_path": path, "query_string": b"", "headers": []}
        await reverse_proxy({"/": "orders"}, calls)(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_a_prefix_must_be_a_path() -> None:
    """A route that can never match is refused when it is written."""
    async with httpx.AsyncClient() as calls:
        with pytest.raises(ValueError, match="route 'orders' must begin with a slash"):
            reverse_proxy({"orders": "orders"}, calls)


async def test_a_refusal_is_503_with_the_part_and_when_to_come_back() -> None:
    """The guard's refusal in HTTP's words."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica, policy=GuardPolicy(rate_per_s=0.5))
        async with Gateway(guards) as users:
            await users.get("/")
            response = await users.get("/")
        assert response.status_code == 503
        assert (response.headers["controlplane-refused"], response.headers["controlplane-cause"]) == ("rate", "orders")
        assert response.headers["retry-after"] == "2"
        assert guards.entry.now() == (2, 1, 0, 0, 0)


async def test_no_connection_is_502_and_no_answer_504() -> None:
    """Two different failures of a callee look different."""
    with deaf(Replica("gone")) as gone:
        async with Gateway(guards_of(gone)) as users:
            response = await users.get("/")
        assert (response.status_code, response.headers["controlplane-cause"]) == (502, "orders")
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        async with Gateway(guards_of(replica, policy=GuardPolicy(deadline_s=0.05))) as users:
            assert (await users.get("/")).status_code == 504


async def test_a_small_body_can_be_sent_twice_and_a_large_one_is_streamed() -> None:
    """Up to the limit it is held and retried; beyond it goes through once, whole."""
    policy = GuardPolicy(attempts=2, endpoint_consecutive=0, endpoint_evidence=0)
    async with serving(Replica("o1")) as (replica,):
        replica.status = 500
        async with Gateway(guards_of(replica, policy=policy)) as users:
            await users.put("/", content=b"x" * 1000)
            assert [len(seen.body) for seen in replica.seen] == [1000, 1000]
            replica.seen.clear()

            async def large() -> AsyncIterator[bytes]:
                for _ in range(10):
                    yield b"y" * 1000

            await users.put("/", content=large())
            assert [len(seen.body) for seen in replica.seen] == [10_000]
            replica.seen.clear()
            await users.put("/", content=b"z" * 5000)
            assert [(len(seen.body), seen.headers["content-length"]) for seen in replica.seen] == [(5000, "5000")]


async def test_a_user_who_leaves_ends_the_call() -> None:
    """Cancelled with the user's request: the permit is back, nothing is counted."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica)
        async with Gateway(guards) as users, anyio.create_task_group() as tasks:
            tasks.start_soon(users.get, "/")
            await replica.wait_seen(1)
            tasks.cancel_scope.cancel()
        described = guards.guard("orders").describe()
        assert (described["in_flight"], described["failures"], guards.entry.now()[0]) == (0, 0, 0)


@pytest.mark.parametrize("size", [10, 5_000], ids=["held", "streamed"])
async def test_a_user_who_hangs_up_is_not_waited_for(size: int) -> None:
    """The server says that the connection is gone: the service is let go at once, however long it would still take."""
    async with serving(Replica("o1")) as (replica,):
        replica.hangs = True
        guards = guards_of(replica)
        hung_up = anyio.Event()
        messages = [
            {"type": "http.request", "body": b"x" * size, "more_body": True},
            {"type": "http.request", "body": b"", "more_body": False},
        ]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            await hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            raise AssertionError(f"nobody is there for {message}")

        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as calls:
            app: Any = GuardMiddleware(reverse_proxy(ROUTES, calls, buffer_max_bytes=1000), guards)
            scope = {"type": "http", "method": "PUT", "path": "/", "query_string": b"", "headers": []}
            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(app, scope, receive, send)
                    await replica.wait_seen(1)
                    hung_up.set()
        described = guards.guard("orders").describe()
        assert (described["in_flight"], described["failures"], guards.entry.now()[0]) == (0, 0, 0)
        assert len(replica.seen[0].body) == size


async def test_a_strangers_priority_is_not_passed_on_where_it_is_not_trusted() -> None:
    """The services behind would believe it: it comes from one of their own."""
    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as calls:
            app: Any = GuardMiddleware(reverse_proxy(ROUTES, calls), guards, EntryOptions(trust_priority=False))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as users:
                await users.get("/orders", headers={"controlplane-priority": "critical"})
                await users.get("/orders", headers={"controlplane-priority": "sheddable"})
        first, second = replica.seen
        assert "controlplane-priority" not in first.headers
        assert second.headers["controlplane-priority"] == "sheddable"

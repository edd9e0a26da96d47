"""The incoming side: what counts, what is shed, which deadline holds, and who is named as the cause."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from controlplane.adapters.gateway.context import Inbound, absolve, blame, inbound
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.headers import Priority
from controlplane.adapters.gateway.middleware import DEFAULTS, App, EntryOptions, GuardMiddleware
from controlplane.adapters.gateway.transport import GuardedTransport, RefusedError
from controlplane.model.topology import Service, Topology
from tests.adapters.gateway.replica import Replica, guards_of, serving

pytestmark = pytest.mark.anyio

Endpoint = Callable[[Request], Awaitable[Response]]


@pytest.fixture
def guards() -> GuardSet:
    """Guards of a process that calls nobody yet."""
    return GuardSet(Topology(services=(Service(name="orders"),)), {})


def application(endpoint: Endpoint, *middleware: Middleware) -> Starlette:
    return Starlette(
        routes=[Route("/{path:path}", endpoint, methods=["GET", "POST"])],
        middleware=middleware,
    )


def guarded(endpoint: Endpoint, guards: GuardSet, options: EntryOptions = DEFAULTS) -> GuardMiddleware:
    """The middleware around a whole application, whose own 500 it sees."""
    return GuardMiddleware(application(endpoint), guards, options)


def added(endpoint: Endpoint, guards: GuardSet) -> Starlette:
    """The middleware as `app.add_middleware` places it, where exceptions reach it first."""
    return application(endpoint, Middleware(GuardMiddleware, guards))


def caller(app: App) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


async def ok(request: Request) -> Response:
    return PlainTextResponse("ok")


def counts(guards: GuardSet) -> tuple[int, int, int, int]:
    return guards.entry.now()[:4]


async def test_good_answers_are_requests_and_nothing_else(guards: GuardSet) -> None:
    """404 is an answer; so is 200."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse("", status_code=int(request.path_params["path"]))

    async with caller(guarded(answer, guards)) as client:
        for status in (200, 404, 429, 302):
            await client.get(f"/{status}")
    assert counts(guards) == (4, 0, 0, 0)


async def test_5xx_and_exceptions_are_failures(guards: GuardSet) -> None:
    """Once each, whoever turns the exception into an answer."""

    async def fail(request: Request) -> Response:
        if request.path_params["path"] == "raise":
            raise ValueError("a bug of the application")
        return PlainTextResponse("", status_code=500)

    for app in (guarded(fail, guards), added(fail, guards)):
        before = guards.entry.now()[0]
        async with caller(app) as client:
            assert (await client.get("/raise")).status_code == 500
            assert (await client.get("/answer")).status_code == 500
        assert counts(guards) == (before + 2, before + 2, 0, 0)


async def test_slow_is_a_late_head(guards: GuardSet) -> None:
    """From the request to the answer's head; a long body that follows is not slowness."""

    async def late(request: Request) -> Response:
        async def body() -> Any:
            yield b"a"
            await anyio.sleep(0.25)  # real time: a body that takes its time
            yield b"b"

        if request.path_params["path"] == "late":
            await anyio.sleep(0.25)  # real time: slow is what the wall clock says
        return StreamingResponse(body())

    async with caller(guarded(late, guards, EntryOptions(slow_s=0.2))) as client:
        await client.get("/long")
        assert counts(guards) == (1, 0, 0, 0)
        await client.get("/late")
    assert counts(guards) == (2, 0, 1, 0)


class Crowd:
    """Requests that wait inside the application until they are let go."""

    def __init__(self) -> None:
        self.inside = 0
        self.go = anyio.Event()
        self.came = anyio.Event()

    async def serve(self, request: Request) -> Response:
        self.inside += 1
        self.came.set()
        await self.go.wait()
        return PlainTextResponse("ok")

    async def wait_inside(self, count: int) -> None:
        while self.inside < count:
            self.came = anyio.Event()
            await self.came.wait()


async def test_overload_is_shed_by_priority(guards: GuardSet) -> None:
    """Of ten at a time: sheddable requests are refused from seven in flight on, default at nine, critical at ten."""
    crowd = Crowd()
    app = guarded(crowd.serve, guards, EntryOptions(concurrency_max=10, retry_after_s=2.5))
    async with caller(app) as client, anyio.create_task_group() as tasks:

        async def ask(priority: str) -> httpx.Response:
            return await client.get("/", headers={"controlplane-priority": priority})

        for admitted, refused in (
            (["sheddable"] * 7, ["sheddable"]),
            (["default"] * 2, ["sheddable", "default"]),
            (["critical"], ["sheddable", "default", "critical"]),
        ):
            for priority in admitted:
                tasks.start_soon(ask, priority)
                await crowd.wait_inside(crowd.inside + 1)
            for priority in refused:
                response = await ask(priority)
                assert (response.status_code, response.headers["controlplane-refused"]) == (503, "shed")
                assert response.headers["retry-after"] == "3"
        crowd.go.set()
    assert counts(guards) == (10, 0, 0, 6)
    assert app.in_flight == 0


@pytest.mark.parametrize(("percent", "wanted", "most"), [(70, Priority.SHEDDABLE, 7), (90, Priority.DEFAULT, 9)])
def test_each_class_has_its_share(percent: int, wanted: Priority, most: int) -> None:
    """Of ten: seven, nine, ten; and never none."""
    assert EntryOptions(concurrency_max=10).admitted_max(wanted) == most
    assert EntryOptions(concurrency_max=1).admitted_max(wanted) == 1
    assert EntryOptions(concurrency_max=10).admitted_max(Priority.CRITICAL) == 10


async def test_strangers_may_not_call_themselves_critical(guards: GuardSet) -> None:
    """Where priority is not trusted it can only be lowered."""
    seen: list[Priority] = []

    async def note(request: Request) -> Response:
        current = inbound.get()
        assert current is not None
        seen.append(current.priority)
        return PlainTextResponse("")

    async with caller(guarded(note, guards, EntryOptions(trust_priority=False))) as client:
        for word in ("critical", "default", "sheddable", "root", "9" * 9000):
            await client.get("/", headers={"controlplane-priority": word})
    assert seen == [Priority.DEFAULT, Priority.DEFAULT, Priority.SHEDDABLE, Priority.DEFAULT, Priority.DEFAULT]


async def test_grpc_is_shed_in_its_own_words(guards: GuardSet) -> None:
    """Trailers only: HTTP 200, grpc-status 8, and when to come back."""
    crowd = Crowd()
    app = guarded(crowd.serve, guards, EntryOptions(concurrency_max=1, retry_after_s=0.25))
    async with caller(app) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.get, "/")
        await crowd.wait_inside(1)
        response = await client.post("/svc/Method", headers={"content-type": "application/grpc+proto"})
        crowd.go.set()
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/grpc"
    assert (response.headers["grpc-status"], response.headers["grpc-retry-pushback-ms"]) == ("8", "250")
    assert response.headers["controlplane-refused"] == "shed"


@pytest.mark.parametrize(
    ("headers", "left_s"),
    [
        ({"controlplane-deadline-ms": "1500"}, 1.5),
        ({"x-envoy-expected-rq-timeout-ms": "200"}, 0.2),
        ({"grpc-timeout": "3S"}, 3.0),
        ({"grpc-timeout": "3S", "controlplane-deadline-ms": "100", "x-envoy-expected-rq-timeout-ms": "200"}, 0.1),
        ({}, math.inf),
        ({"grpc-timeout": "-1S", "controlplane-deadline-ms": "NaN"}, math.inf),
        ({"controlplane-deadline-ms": "9" * 4000}, math.inf),
        ({"controlplane-deadline-ms": "1e3", "x-envoy-expected-rq-timeout-ms": "0x10"}, math.inf),
    ],
)
async def test_the_shortest_valid_deadline_holds(guards: GuardSet, headers: dict[str, str], left_s: float) -> None:
    """Hostile values are as good as absent."""
    found: list[float] = []

    async def note(request: Request) -> Response:
        current = inbound.get()
        assert current is not None
        found.append(current.deadline - anyio.current_time())
        return PlainTextResponse("")

    async with caller(guarded(note, guards)) as client:
        assert (await client.get("/", headers=headers)).status_code == 200
    assert found[0] == left_s or left_s - 1 <= found[0] <= left_s + 1e-6


async def test_a_cancelled_request_counts_nothing(guards: GuardSet) -> None:
    """Neither success nor failure, and no longer in flight."""
    crowd = Crowd()
    app = guarded(crowd.serve, guards)
    async with caller(app) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.get, "/")
        await crowd.wait_inside(1)
        assert app.in_flight == 1
        tasks.cancel_scope.cancel()
    assert (counts(guards), app.in_flight) == ((0, 0, 0, 0), 0)


async def test_a_client_that_went_away_counts_nothing(guards: GuardSet) -> None:
    """However the application ends after the disconnect."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    messages = iter([{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    middleware = GuardMiddleware(app, guards)
    await middleware({"type": "http", "headers": []}, receive, send)
    assert (counts(guards), middleware.in_flight, len(sent)) == ((0, 0, 0, 0), 0, 2)


async def test_a_request_is_in_flight_until_its_body_is_sent(guards: GuardSet) -> None:
    """Work that goes on after the last byte is no longer the request's."""
    flights: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        flights.append(middleware.in_flight)
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        flights.append(middleware.in_flight)
        await send({"type": "http.response.body", "body": b"b", "more_body": False})
        flights.append(middleware.in_flight)

    middleware = GuardMiddleware(app, guards)
    async with caller(middleware) as client:
        await client.get("/")
    assert (flights, counts(guards)) == ([1, 1, 0], (1, 0, 0, 0))


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass_through(guards: GuardSet, kind: str) -> None:
    """The very scope, receive and send."""
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    arguments: Any = ({"type": kind}, object(), object())
    await GuardMiddleware(app, guards)(*arguments)
    assert seen == list(arguments)
    assert counts(guards) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (RefusedError("orders", "open", 4.2), 503, {"controlplane-refused": "open", "retry-after": "5"}),
        (RefusedError("orders", "concurrency"), 503, {"controlplane-refused": "concurrency", "retry-after": "1"}),
        (httpx.ConnectError("refused"), 502, {}),
        (httpx.ReadTimeout("late"), 504, {}),
        (
            httpx.HTTPStatusError("500", request=httpx.Request("GET", "http://o"), response=httpx.Response(500)),
            502,
            {},
        ),
    ],
)
async def test_a_failed_call_that_escapes_is_answered(
    guards: GuardSet, error: Exception, status: int, headers: dict[str, str]
) -> None:
    """In HTTP's own words, naming the cause, counted as one failed request."""

    async def call(request: Request) -> Response:
        blame("orders")
        raise error

    async with caller(added(call, guards)) as client:
        response = await client.get("/")
    assert (response.status_code, response.headers["controlplane-cause"]) == (status, "orders")
    assert {name: response.headers[name] for name in headers} == headers
    assert counts(guards) == (1, 1, 0, 0)


async def test_the_applications_own_bug_names_the_call_that_failed_before(guards: GuardSet) -> None:
    """Around the whole application the middleware sees the 500 that the framework made of an exception."""

    async def fail(request: Request) -> Response:
        blame("orders")
        raise ValueError("could not cope with the failed call")

    async with caller(guarded(fail, guards)) as client:
        response = await client.get("/")
    assert (response.status_code, response.headers["controlplane-cause"]) == (500, "orders")
    assert counts(guards) == (1, 1, 0, 0)


async def test_a_404_that_was_raised_stays_the_applications_bug(guards: GuardSet) -> None:
    """raise_for_status on an answer that is no failure of the callee is not relayed."""

    async def call(request: Request) -> Response:
        raise httpx.HTTPStatusError("404", request=httpx.Request("GET", "http://o"), response=httpx.Response(404))

    async with caller(added(call, guards)) as client:
        response = await client.get("/")
    assert response.status_code == 500
    assert "controlplane-cause" not in response.headers


async def test_an_error_after_the_head_is_raised_on(guards: GuardSet) -> None:
    """The answer has begun: nothing can be put in its place, and the server must learn of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise httpx.ReadError("broke")

    transport = httpx.ASGITransport(app=GuardMiddleware(app, guards))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        with pytest.raises(httpx.ReadError):
            await client.get("/")
    assert counts(guards) == (1, 1, 0, 0)


async def test_an_own_5xx_after_a_failed_call_names_the_cause() -> None:
    """The application answers 500 itself; whoever called it can see that the database is to blame."""

    async with serving(Replica("o1")) as (replica,):
        guards = guards_of(replica)
        async with httpx.AsyncClient(transport=GuardedTransport(guards)) as calls:

            async def call(request: Request) -> Response:
                found = await calls.get("http://orders/")
                return PlainTextResponse("", status_code=500 if found.status_code >= 500 else 200)

            async with caller(guarded(call, guards)) as client:
                replica.status = 500
                assert (await client.get("/")).headers["controlplane-cause"] == "orders"
                replica.headers = {"controlplane-cause": "db"}
                assert (await client.get("/")).headers["controlplane-cause"] == "db"
                replica.status = 200
                assert "controlplane-cause" not in (await client.get("/")).headers


async def test_a_failure_that_was_retried_away_blames_nobody() -> None:
    """The call came good; what fails afterwards is the application's own."""

    async def fail(request: Request) -> Response:
        blame("recommendations")
        absolve("recommendations")
        return PlainTextResponse("", status_code=500)

    guards = GuardSet(Topology(), {})
    async with caller(guarded(fail, guards)) as client:
        assert "controlplane-cause" not in (await client.get("/")).headers


async def test_a_cause_the_application_named_itself_is_kept(guards: GuardSet) -> None:
    """A relay that copies its callee's header knows better."""

    async def fail(request: Request) -> Response:
        blame("orders")
        return PlainTextResponse("", status_code=502, headers={"Controlplane-Cause": "db"})

    async with caller(guarded(fail, guards)) as client:
        assert (await client.get("/")).headers.get_list("controlplane-cause") == ["db"]


async def test_what_one_request_learned_is_not_the_next_ones(guards: GuardSet) -> None:
    """Each request has its own context, and leaves none behind."""

    async def fail(request: Request) -> Response:
        current = inbound.get()
        assert isinstance(current, Inbound)
        assert current.cause is None
        blame("orders")
        return PlainTextResponse("")

    async with caller(guarded(fail, guards)) as client:
        for _ in range(3):
            assert (await client.get("/")).status_code == 200
    assert inbound.get() is None

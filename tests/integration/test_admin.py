"""The admin API over the wire: what it refuses changes nothing, what it streams can be resumed."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from controlplane.admin.event import FOLLOWERS_MAX
from tests.integration.process import Served, World, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One process for all tests of this module: each shows that it is as it was."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        world = World(tmp_path_factory.mktemp("admin"), stack)
        world.write()
        yield world.serve()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic dTpw", "Bearer \xff\xfe"])
@pytest.mark.parametrize("path", ["/v1/status", "/v1/events", "/metrics", "/openapi.json", "/nowhere"])
def test_without_the_token_nothing_is_said(served: Served, path: str, authorization: str | None) -> None:
    """401 with a challenge and a problem body, for every path that is not open; the answer does not say which exist."""
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    answer = httpx.get(served.admin_url + path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}


def test_a_wrong_token_orders_nothing(served: Served) -> None:
    """A freeze with the wrong token is no freeze."""
    before = served.get("/v1/status")
    answer = httpx.post(f"{served.admin_url}/v1/freeze", json={}, headers={"authorization": "Bearer nope"})
    assert answer.status_code == 401
    assert served.get("/v1/status") == before


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/v1/freeze", b"{", 400, "not JSON"),
        ("/v1/freeze", b"[]", 400, "Expected `object`"),
        ("/v1/freeze", b'{"reason": 5}', 400, "$.reason"),
        ("/v1/freeze", b'{"raeson": "x"}', 400, "raeson"),
        ("/v1/freeze", b"\xff", 400, "not JSON"),
        ("/v1/mode", b'{"mode": "on"}', 400, "$.mode"),
        ("/v1/mode", b"{}", 400, "mode"),
        ("/v1/signals", b'[{"a":' * 10_000, 400, "not JSON"),
        ("/v1/signals", b'[{"type": "ordered", "order": "freeze", "by": "x"}]', 400, "$[0].type"),
        ("/v1/signals", b'[{"type": "fell_back", "service": "nope", "count": 1}]', 400, "$[0].service"),
        ("/v1/signals", b'[{"type": "fell_back", "service": "orders"}]', 400, "count"),
        ("/v1/freeze", b" " * 65_537, 413, "65536"),
    ],
)
def test_a_bad_body_is_refused_and_changes_nothing(
    served: Served, path: str, body: bytes, status: int, says: str
) -> None:
    """The message names the field or the position; mode, epoch, incidents and orders are what they were."""
    before = served.get("/v1/status")
    answer = served.admin.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert served.get("/v1/status") == before


def test_an_endless_body_is_cut_off(served: Served) -> None:
    """A body without a length is read no further than the limit."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 16_384
            yield b" " * 16_384

    try:
        answer = served.admin.post("/v1/freeze", content=endless(), headers={"content-type": "application/json"})
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # refused so early that the client was still writing
    assert sent < 50_000_000
    assert not served.get("/v1/status")["frozen"]


def test_a_name_of_somebody_else_is_refused(served: Served) -> None:
    """A page that rebinds its own name to loopback gets no answer, not even on open paths."""
    assert httpx.get(f"{served.admin_url}/livez", headers={"host": "evil.example"}).status_code == 421
    assert httpx.get(f"{served.admin_url}/livez", headers={"host": "localhost:1"}).status_code == 200


def test_records_can_be_followed_and_resumed(served: Served) -> None:
    """An order shows up in the stream with its number; Last-Event-ID goes on after it, 0 begins with the first."""
    with served.admin.stream("GET", "/v1/events") as stream:
        events = (event for event in _events(stream) if event["event"] == "order_taken")
        for name in ("freeze", "resume"):
            served.admin.post(f"/v1/{name}", json={"reason": "test"})
        first, second = next(events), next(events)
    assert [first["data"]["order"], second["data"]["order"]] == ["freeze", "resume"]
    assert first["event"] == "order_taken"
    assert int(second["id"]) > int(first["id"])
    with served.admin.stream("GET", "/v1/events", headers={"last-event-id": first["id"]}) as stream:
        assert next(event for event in _events(stream) if event["event"] == "order_taken") == second
    with served.admin.stream("GET", "/v1/events", headers={"last-event-id": "0"}) as stream:
        assert next(_events(stream))["event"] == "epoch_started"
    assert served.admin.get("/v1/events", headers={"last-event-id": "x"}).status_code == 400


def test_followers_are_bounded_and_leave_no_trace(served: Served) -> None:
    """One follower too many is told to come back; places become free when clients go."""
    from contextlib import ExitStack

    many = httpx.Limits(max_connections=None)
    with (
        ExitStack() as stack,
        httpx.Client(headers=served.admin.headers, base_url=served.admin_url, limits=many) as client,
    ):
        answers = [stack.enter_context(client.stream("GET", "/v1/events")) for _ in range(FOLLOWERS_MAX + 1)]
        assert [answer.status_code for answer in answers] == [200] * FOLLOWERS_MAX + [503]
        assert "retry-after" in answers[-1].headers

    def none_left() -> bool:
        return "controlplane_event_followers 0" in served.admin.get("/metrics").text

    wait_for("no follower is left", none_left)


def _events(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    for line in stream.iter_lines():
        name, _, value = line.partition(": ")
        if not line and "data" in event:
            yield event
            event = {}
        elif name in ("id", "event"):
            event[name] = value
        elif name == "data":
            event[name] = json.loads(value)

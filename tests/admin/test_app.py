"""The admin application, in process: one table of routes, words people can use, and GET that never changes anything."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from controlplane.admin import create_app
from controlplane.admin.event import EventFeed
from controlplane.admin.metrics import render
from controlplane.admin.table import OPEN_PATHS, TABLE
from controlplane.assembly import Plane
from controlplane.assembly.plane import LINGER_S
from controlplane.config import parse_config
from controlplane.model.errors import JournalError
from controlplane.model.input import InputBatch
from controlplane.model.record import Record
from controlplane.model.signal import Cause, FellBack, Signal, Target, Tripped
from controlplane.testing import MemoryJournal

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-sufficient-length"

CONFIG = parse_config("""
[plane]
name = "gateway"
[[services]]
name = "orders"
endpoints = [
    { name = "a", url = "http://127.0.0.1:1", zone = "z1" },
    { name = "b", url = "http://127.0.0.1:2", zone = "z2", version = 'v"2' },
]
[[services]]
name = "mail"
external = true
fallback = true
endpoints = [{ name = "m", url = "http://127.0.0.1:3" }]
""")


@asynccontextmanager
async def admin(
    plane: Plane, app: Any = None, *, token: str | None = TOKEN, host: str = "localhost"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `plane`'s admin application, or of the one given."""
    transport = httpx.ASGITransport(app=app or create_app(plane, token=token))
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers) as client:
        yield client


def a_plane(records: list[tuple[int, Record]] | None = None) -> Plane:
    return Plane(CONFIG, seed=1, journal=MemoryJournal(records))


async def trip(plane: Plane) -> str:
    """Have endpoint b of orders tripped, and wait until its ejection is in force; the incident's id."""
    at = plane.clock.now()
    target = Target("orders", "b")
    plane.submit_nowait(Tripped(at=at, target=target, cause=Cause.ERRORS, calls=7, failures=7, contained=True))
    with anyio.fail_after(5):
        while not plane.guard("orders").is_ejected(1):
            await anyio.sleep(0.001)  # real time: a thread writes meanwhile
        written = -1
        while plane.statistics().inbox or plane.state.untold or written != plane.statistics().last_number:
            written = plane.statistics().last_number  # whatever follows from it is decided, and on record
            await anyio.sleep(2 * LINGER_S)  # real time: what only tells is put on record in company
    return next(iter(plane.state.incidents))


async def test_every_route_is_in_the_document_and_every_operation_is_served() -> None:
    """The OpenAPI document and the routes are one table, and each operation answers as it says."""
    async with a_plane() as plane, admin(plane) as client:
        document = (await client.get("/openapi.json")).json()
        described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
        assert described == {(operation.method, operation.path) for operation in TABLE}
        for method, path in sorted(described):
            if path == "/v1/events":
                continue  # endless: tests/integration
            answer = await client.request(method, path.replace("{id}", "none"), json={} if method == "POST" else None)
            operation = document["paths"][path][method.lower()]
            assert str(answer.status_code) in operation["responses"], (method, path, answer.text)
            media = answer.headers["content-type"].partition(";")[0]
            assert media in operation["responses"][str(answer.status_code)]["content"]


async def test_the_document_has_no_dangling_reference() -> None:
    """Every $ref leads to a schema of the document."""
    async with a_plane() as plane, admin(plane) as client:
        text = (await client.get("/openapi.json")).text
    schemas = json.loads(text)["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert referred
    assert referred <= set(schemas)


async def test_only_the_open_paths_answer_without_a_token() -> None:
    """Liveness, readiness and the console page are open; the page holds no fact about anything."""
    async with a_plane() as plane, admin(plane) as client:
        for operation in TABLE:
            answer = await client.request(
                operation.method, operation.path.replace("{id}", "i1"), headers={"authorization": ""}
            )
            assert (answer.status_code == 200) == (operation.path in OPEN_PATHS), operation
            assert answer.headers["cache-control"] == "no-store"
    assert sorted(OPEN_PATHS) == ["/", "/healthz", "/livez", "/readyz"]


async def test_unknown_paths_wrong_methods_and_wrong_types_are_told_apart() -> None:
    """404, 405 with Allow, 415: each a problem that says what would be right."""
    async with a_plane() as plane, admin(plane) as client:
        assert (await client.get("/v2/status")).status_code == 404
        assert (await client.get("/v1/status/")).status_code == 404
        refused = await client.post("/v1/status", json={})
        assert refused.status_code == 405
        assert set(refused.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}
        assert (await client.get("/v1/freeze")).status_code == 405
        untyped = await client.post("/v1/freeze", content=b"{}")
        assert untyped.status_code == 415
        assert "application/json" in untyped.json()["detail"]
        assert not plane.state.frozen


async def test_get_changes_nothing() -> None:
    """After every GET the journal and the status are what they were."""
    async with a_plane() as plane, admin(plane) as client:
        await trip(plane)
        before = (await client.get("/v1/status")).json()
        written = plane.statistics().last_number
        for operation in TABLE:
            if operation.method == "GET" and operation.name != "events":
                for method in ("GET", "HEAD"):
                    await client.request(method, operation.path.replace("{id}", "i1"))
        assert (await client.get("/v1/status")).json() == before
        assert plane.statistics().last_number == written


async def test_an_incident_is_told_in_seconds_and_words() -> None:
    """Times are ISO and seconds, users' and internal view side by side, with commands, timeline and explanation."""
    async with a_plane() as plane, admin(plane) as client:
        name = await trip(plane)
        listed = (await client.get("/v1/incidents", params={"state": "open"})).json()["incidents"]
        assert [(one["id"], one["origin"], one["masked"]) for one in listed] == [(name, "orders/b", False)]
        assert (await client.get("/v1/incidents?state=closed")).json() == {"incidents": []}
        one = (await client.get(f"/v1/incidents/{name}")).json()
        assert one["user_visible"] == {"requests": 0, "failed": 0, "slow": 0}
        assert "orders/b" in one["internal"]["touched"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one["opened"])
        assert 0 <= one["clock"]["contained_s"] < 60
        assert one["clock"]["closed_s"] is None
        assert one["explanation"][0].startswith(name)
        assert one["timeline"][0]["what"].startswith("detected: ")
        orders = (await client.get("/v1/commands")).json()["commands"]
        assert [(order["target"], order["intent"], order["incident"]) for order in orders] == [
            ("orders/b", "eject", name)
        ]
        assert 0 < orders[0]["lease_remaining_s"] <= CONFIG.response.lease_s
        assert [(order["id"], order["in_force"]) for order in one["commands"]] == [(orders[0]["id"], True)]


async def test_an_incident_says_what_it_took_and_whom_it_reached() -> None:
    """Phases and times, further alerts with who reported them, and the blast radius."""
    async with a_plane() as plane, admin(plane) as client:
        name = await trip(plane)
        at = plane.clock.now()
        await plane.order("resume", by="test")
        plane.submit_nowait(
            Tripped(at=at, target=Target("orders", "b"), cause=Cause.ERRORS, calls=5, failures=5, by="edge")
        )
        await plane.order("resume", by="test")
        [listed] = (await client.get("/v1/incidents")).json()["incidents"]
        one = (await client.get(f"/v1/incidents/{name}")).json()
    assert one["phase"] in ("communication", "stabilization")
    assert [each["phase"] for each in one["phases"]][:3] == ["detection", "containment", "communication"]
    assert one["times"]["to_detect_s"] is None
    assert 0 <= one["times"]["to_contain_s"] == one["clock"]["contained_s"]
    assert one["times"]["to_stabilize_s"] is None
    assert one["times"]["to_recover_s"] is None
    assert [(child["target"], child["cause"], child["by"], child["incident"]) for child in one["children"]] == [
        ("orders/b", "errors", "edge", None)
    ]
    assert one["merged_into"] is None
    assert one["blast_radius"] == {"predicted": None, "actual": ["orders"], "actual_edges": []}
    assert (listed["children"], listed["blast_radius"], listed["times"]) == (1, 1, one["times"])


async def test_times_of_incidents_are_histograms() -> None:
    """Cumulative buckets up to +Inf, whose count is that of the family; what was not reached is not counted."""
    async with a_plane() as plane, admin(plane) as client:
        await trip(plane)
        found = dict(samples((await client.get("/metrics")).text))
    name = "controlplane_incident_time_to_contain_seconds"
    buckets = [int(value) for series, value in found.items() if series.startswith(f"{name}_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == int(found[f"{name}_count"]) == int(found[f'{name}_bucket{{le="+Inf"}}']) == 1
    assert 0 <= float(found[f"{name}_sum"]) < 60
    assert found["controlplane_incident_time_to_recover_seconds_count"] == "0"
    phases = {series: value for series, value in found.items() if series.startswith("controlplane_incidents_in_phase")}
    assert len(phases) == 5
    assert sum(map(int, phases.values())) == 1


async def test_topology_shows_what_this_process_sees() -> None:
    """Endpoints with zone, version and the guard's view; nothing is said about what this process does not call."""
    async with a_plane() as plane, admin(plane) as client:
        await trip(plane)
        shown = (await client.get("/v1/topology")).json()
    services = {service["name"]: service for service in shown["services"]}
    assert shown["entry"] == "gateway"
    assert services["gateway"]["open"] is None
    assert services["gateway"]["calls"] == ["orders", "mail"]
    assert [endpoint["state"] for endpoint in services["orders"]["endpoints"]] == ["healthy", "ejected"]
    assert services["mail"]["external"]
    assert services["mail"]["fallback"]


async def test_orders_are_on_record_when_they_are_answered() -> None:
    """Freeze, resume and mode answer with the state they made; who and why go on record."""
    records: list[tuple[int, Record]] = []
    async with a_plane(records) as plane, admin(plane) as client:
        frozen = await client.post("/v1/freeze", json={"reason": "deploy", "by": "ana"})
        assert (frozen.json()["frozen"], frozen.json()["frozen_reason"]) == (True, "deploy")
        assert not (await client.post("/v1/resume", json={})).json()["frozen"]
        assert (await client.post("/v1/mode", json={"mode": "observe"})).json()["mode"] == "observe"
        assert plane.guard("orders").describe()["enforced"] == 0
    taken = [record for _, record in records if type(record).__name__ == "OrderTaken"]
    assert [(one.order, one.by, one.reason) for one in taken] == [
        ("freeze", "ana", "deploy"),
        ("resume", "api", ""),
        ("observe", "api", ""),
    ]


async def test_signals_of_others_are_taken_all_or_none() -> None:
    """A good array is counted; one bad element refuses the whole and is named."""
    good = {"type": "calls_finished", "target": {"service": "orders", "endpoint": "a"}, "calls": 9}
    async with a_plane() as plane, admin(plane) as client:
        assert (await client.post("/v1/signals", json=[good, good])).json() == {"accepted": 2}
        steps = plane.statistics().inbox + plane.statistics().steps
        for bad, where in (
            ({**good, "calls": -1}, "$[1].calls"),
            ({**good, "failures": 10}, "$[1].failures"),
            ({**good, "target": {"service": "nope"}}, "$[1].target.service"),
            ({**good, "target": {"service": "orders", "endpoint": "z"}}, "$[1].target.endpoint"),
            ({**good, "at": plane.clock.now() + 10**12}, "$[1].at"),
            ({**good, "calls": "9"}, "$[1].calls"),
            ({**good, "colour": 1}, "colour"),
            ({"type": "probe_finished", "target": {"service": "orders"}, "ok": True, "latency_ns": -1}, "latency_ns"),
        ):
            answer = await client.post("/v1/signals", json=[good, bad])
            assert answer.status_code == 400
            assert where in answer.json()["detail"], answer.text
        assert plane.statistics().inbox + plane.statistics().steps == steps
        assert (await client.post("/v1/signals", json=[{}] * 1001)).status_code == 400


async def test_a_full_inbox_is_a_503_that_says_what_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender learns how many were taken and when to come back, so that nothing is counted twice."""
    taken: list[Signal] = []

    def submit(signal: Signal) -> None:
        if taken:
            raise anyio.WouldBlock
        taken.append(signal)

    async with a_plane() as plane, admin(plane) as client:
        monkeypatch.setattr(plane, "submit_nowait", submit)
        signal = {"type": "fell_back", "service": "mail", "count": 1}
        answer = await client.post("/v1/signals", json=[signal] * 3)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["accepted"] == len(taken) == 1
    assert isinstance(taken[0], FellBack)


async def test_a_plane_that_does_not_run_is_alive_but_not_ready() -> None:
    """Readiness, orders and signals answer 503 before and after; reading still works."""
    plane = a_plane()
    async with admin(plane) as client:
        for _ in range(2):
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.post("/v1/freeze", json={})).status_code == 503
            assert (
                await client.post("/v1/signals", json=[{"type": "fell_back", "service": "mail", "count": 1}])
            ).status_code == 503
            assert (await client.get("/v1/events")).status_code == 503
            assert not (await client.get("/v1/status")).json()["ready"]
            if not plane._entered:
                async with plane:
                    assert (await client.get("/healthz")).status_code == 200


async def test_it_works_under_a_prefix_and_still_wants_the_token() -> None:
    """Mounted in a Starlette or FastAPI application, everything is below the prefix, and no path slips through."""
    async with a_plane() as plane:
        fast = FastAPI()
        fast.mount("/ops", create_app(plane, token=TOKEN))
        for app in (Starlette(routes=[Mount("/ops", app=create_app(plane, token=TOKEN))]), fast):
            async with admin(plane, app) as client:
                assert (await client.get("/ops/v1/status")).json()["name"] == "gateway"
                assert (await client.get("/ops/openapi.json")).json()["servers"] == [{"url": "/ops"}]
                client.headers["authorization"] = ""
                assert (await client.get("/ops/livez")).status_code == 200
                assert (await client.get("/ops/v1/status")).status_code == 401
                assert (await client.get("/ops/livez/../v1/status")).status_code == 401


async def test_no_token_must_be_meant() -> None:
    """None opens everything; an empty token is a mistake, not a wish."""
    async with a_plane() as plane:
        async with admin(plane, token=None) as client:
            assert (await client.get("/v1/status")).status_code == 200
        with pytest.raises(ValueError, match="None"):
            create_app(plane, token="")


@pytest.mark.parametrize(
    ("server", "host", "hosts", "status"),
    [
        ("127.0.0.1", "localhost", (), 200),
        ("127.0.0.1", "127.0.0.1", (), 200),
        ("::1", "[::1]", (), 200),
        ("127.0.0.1", "evil.example", (), 421),
        ("127.0.0.1", "localhost.evil.example", (), 421),
        ("127.0.0.1", "ops.example", ("ops.example",), 200),
        ("127.0.0.1", "any.example", ("*",), 200),
        ("10.0.0.1", "any.example", (), 200),
    ],
)
async def test_a_loopback_listener_answers_to_its_own_names(
    server: str, host: str, hosts: tuple[str, ...], status: int
) -> None:
    """DNS rebinding brings a foreign Host; elsewhere a name is whatever the network says."""
    plane = a_plane()
    inner = create_app(plane, token=TOKEN, hosts=hosts)

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "server": (server, 9911)}, receive, send)

    async with admin(plane, listening, host=f"{host}:9911") as client:
        assert (await client.get("/livez")).status_code == status


class FullDisk(MemoryJournal):
    """Takes the start's records, then nothing."""

    async def append(self, records: Sequence[Record], inputs: Sequence[InputBatch] = ()) -> int:
        if self.store:
            raise JournalError("disk is full")
        return await super().append(records, inputs)


async def test_status_says_that_the_journal_takes_nothing() -> None:
    """Who asks the status during an incident must see it there, not only in the metrics."""
    async with Plane(CONFIG, seed=1, journal=FullDisk()) as plane, admin(plane) as client:
        assert (await client.get("/v1/status")).json()["journal_up"] is True
        with pytest.raises(JournalError, match="disk is full"):
            await plane.order("freeze", by="test")
        status = (await client.get("/v1/status")).json()
        assert status["journal_up"] is False
        assert status["degraded"] == ["the journal does not take records: disk is full"]
        assert (await client.get("/readyz")).text == "ok, degraded\n"
        assert "\ncontrolplane_degraded 1\n" in (await client.get("/metrics")).text


async def test_the_console_is_one_page_that_loads_nothing() -> None:
    """Its policy admits its own script and style by hash, and no other origin; nothing is put in as HTML."""
    plane = a_plane()
    async with admin(plane) as client:
        answer = await client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 2
    assert not re.search(r"https?://|src=|innerHTML|insertAdjacent|document\.write|eval\(", answer.text)


def samples(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, value


async def test_a_scrape_of_many_services_leaves_turns_to_the_loop() -> None:
    """While a thousand endpoints are told of, others run often: a verdict waits for a part of a scrape, not for it."""
    services = "".join(
        f'[[services]]\nname = "s{number}"\nendpoints = [{{ name = "a", url = "http://127.0.0.1:1" }}]\n'
        for number in range(1000)
    )
    done, turns = False, 0

    async def count() -> None:
        nonlocal turns
        while not done:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with Plane(parse_config(services), seed=1) as plane, anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        text = (await render(plane)).decode()
        done = True
    assert len(re.findall(r"^controlplane_endpoint_calls_total\{", text, re.MULTILINE)) == 1000
    assert text.count("# TYPE controlplane_endpoint_calls_total ") == 1
    assert turns > 100


async def test_followers_at_one_place_share_what_is_written_down() -> None:
    """Each is told every event once, in order; the second one costs no encoding, and nobody is told what is not new."""
    async with a_plane() as plane:
        feed = EventFeed(plane)
        await trip(plane)
        async with plane.follow(0) as one, plane.follow(0) as other, plane.follow(2) as late:
            first = await one.receive()
            part = feed.part(one, first)
            ids = [int(number) for number in re.findall(rb"^id: (\d+)$", part, re.MULTILINE)]
            assert ids == list(range(1, plane.statistics().last_number + 1))
            assert feed.part(other, await other.receive()) is part
            assert part.endswith(feed.part(late, await late.receive()))
            assert [follower.take_nowait() for follower in (one, other, late)] == [None, None, None]
            await plane.order("freeze", by="ann", reason="a look")
            more = feed.part(other, await other.receive())
            assert re.findall(rb"^id: (\d+)$", more, re.MULTILINE)[0] == b"%d" % (ids[-1] + 1)
            assert b'"order":"freeze"' in more


async def test_metrics_are_prometheus_text() -> None:
    """Every sample belongs to a family with HELP and TYPE, names follow the conventions, no series comes twice."""
    async with a_plane() as plane, admin(plane) as client:
        await trip(plane)
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", answer.text, re.MULTILINE))
    assert set(kinds) == set(re.findall(r"^# HELP (\S+) .", answer.text, re.MULTILINE))
    seen: set[str] = set()
    for series, value in samples(answer.text):
        match = re.fullmatch(r"(controlplane_[a-z_]+?)(_bucket|_count|_sum)?(\{.*\})?", series)
        assert match, series
        family = match[1] + (match[2] or "") if match[1] + (match[2] or "") in kinds else match[1]
        assert family in kinds
        assert (kinds[family] == "counter") == family.endswith("_total")
        float(value)
        assert series not in seen
        seen.add(series)
    found = dict(samples(answer.text))
    assert found["controlplane_incidents_open"] == "1"
    assert found['controlplane_endpoint_ejected{service="orders",endpoint="b"}'] == "1"
    assert float(found['controlplane_response_seconds{stage="applied",quantile="0.99"}']) > 0

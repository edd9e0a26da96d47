"""GET /v1/graph, edges seen by others, the gauges and the command: who calls whom, in rates, shares and seconds."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from controlplane.admin import create_app
from controlplane.assembly import Plane
from controlplane.cli import main
from controlplane.cli.client import AdminClient
from controlplane.config import parse_config
from controlplane.model.config import Config

pytestmark = pytest.mark.anyio

CONFIG = """
[plane]
name = "shop"
[[services]]
name = "orders"
calls = ["mail"]
soft = ["mail"]
aliases = ["orders-vip"]
endpoints = [
    { name = "a", url = "http://127.0.0.1:1", zone = "z1", host = "h1" },
    { name = "b", url = "http://127.0.0.1:2", zone = "z1", host = "h2", version = "v2" },
]
[[services]]
name = "mail"
external = true
"""
SAMPLE = {"type": "edge_sampled", "caller": "orders", "callee": "db", "window_ns": 10**9, "calls": 20, "failures": 1}


@asynccontextmanager
async def asked(config: Config | None = None) -> AsyncIterator[tuple[Plane, httpx.AsyncClient]]:
    """A plane, and a client of its admin application."""
    async with Plane(config or parse_config(CONFIG), seed=1) as plane:
        transport = httpx.ASGITransport(app=create_app(plane, token=None))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield plane, client


async def told(plane: Plane, client: httpx.AsyncClient, *samples: dict[str, Any]) -> None:
    """Post `samples`, and wait until they are in the graph."""
    answer = await client.post("/v1/signals", json=list(samples))
    assert answer.status_code == 202, answer.text
    await plane.order("resume", by="test")
    with anyio.fail_after(5):
        while plane.statistics().inbox:
            await anyio.lowlevel.checkpoint()


async def test_the_graph_begins_with_what_is_declared() -> None:
    """Edges, groups and aliases of the file; rates that nobody has measured are null."""
    async with asked() as (_, client):
        graph = (await client.get("/v1/graph")).json()
    assert graph["entry"] == "shop"
    assert graph["coverage"] is None
    edges = {(one["caller"], one["callee"]): one for one in graph["edges"]}
    assert set(edges) == {("shop", "orders"), ("shop", "mail"), ("orders", "mail")}
    assert edges["orders", "mail"]["soft"]
    assert edges["shop", "orders"] == {
        "caller": "shop", "callee": "orders", "origin": "declared", "soft": False, "age_s": None, "calls_per_s": None,
        "attempts_per_call": None, "error_ratio": None, "client_latency_s": None, "server_latency_s": None,
        "in_flight": None, "source": None,
    }  # fmt: skip
    assert graph["aliases"] == [{"name": "orders-vip", "service": "orders", "by": "declared"}]
    assert {(group["kind"], group["name"]): group["members"] for group in graph["groups"]} == {
        ("host", "h1"): ["orders/a"],
        ("host", "h2"): ["orders/b"],
        ("zone", "z1"): ["orders", "orders/a", "orders/b"],
        ("version", "orders v2"): ["orders/b"],
        ("third_party", "mail"): ["orders", "orders/a", "orders/b", "shop"],
    }


async def test_edges_that_others_have_seen_are_taken_in() -> None:
    """An undeclared service is learned; its rate, share and latencies come out again, and the coverage falls."""
    async with asked() as (plane, client):
        more = {"attempts": 25, "client_latency_ns": 25 * 10**7, "server_latency_ns": 25 * 10**6, "in_flight": 3}
        await told(plane, client, {**SAMPLE, **more, "source": "spans"})
        graph = (await client.get("/v1/graph")).json()
        metrics = (await client.get("/metrics")).text
    edge = next(one for one in graph["edges"] if one["callee"] == "db")
    assert (edge["origin"], edge["source"], edge["in_flight"]) == ("learned", "spans", 3)
    assert edge["attempts_per_call"] == 1.25
    assert edge["error_ratio"] == 0.04
    assert (edge["client_latency_s"], edge["server_latency_s"]) == (0.01, 0.001)
    assert 0 < edge["calls_per_s"] <= 20
    assert 0 <= edge["age_s"] < 5
    db = next(one for one in graph["services"] if one["name"] == "db")
    assert (db["declared"], db["onward"], db["virtual"]) == (False, False, False)
    assert graph["coverage"] == 0
    assert "\ncontrolplane_graph_coverage_ratio 0\n" in metrics
    assert "\ncontrolplane_graph_edges 4\n" in metrics
    assert "\ncontrolplane_graph_evicted_total 0\n" in metrics


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"caller": "a b"}, ".caller: 'a b' is not a service's name"),
        ({"callee": ""}, ".callee: '' is not a service's name"),
        ({"callee": "x" * 129}, ".callee: "),
        ({"callee": "orders"}, ".callee: 'orders' is the caller, too"),
        ({"window_ns": 0}, ".window_ns: 0 is not from 1 up to"),
        ({"calls": -1}, ".calls: -1 is not from 0 up to 1000000000"),
        ({"failures": 21}, ".failures: 21 is not from 0 up to calls, 20"),
        ({"attempts": 30, "failures": 31}, ".failures: 31 is not from 0 up to attempts, 30"),
        ({"timed": 21}, ".timed: 21 is not from 0 up to calls, 20"),
        ({"client_latency_ns": -5}, ".client_latency_ns: -5 is not from 0"),
        ({"in_flight": -1}, ".in_flight: -1 is not from 0"),
        ({"calls": "many"}, "calls"),
        ({"source": "rumour"}, "source"),
    ],
)
async def test_a_wrong_sample_is_refused_by_its_field(change: dict[str, Any], named: str) -> None:
    """400 names it, and nothing of the request is taken."""
    async with asked() as (plane, client):
        answer = await client.post("/v1/signals", json=[SAMPLE, {**SAMPLE, **change}])
        assert answer.status_code == 400
        assert named in answer.json()["detail"]
        assert plane.graph.statistics().edges == 3


async def test_users_may_be_the_caller() -> None:
    """An empty caller is nobody in particular."""
    async with asked() as (plane, client):
        await told(plane, client, {**SAMPLE, "caller": "", "callee": "shop"})
        assert plane.graph.coverage() == 1.0


async def test_a_flood_of_invented_names_is_bounded_by_the_configuration() -> None:
    """`[graph]` holds; what was refused is counted where operators look."""
    config = parse_config(CONFIG + "\n[graph]\nservices_max = 10\nedges_max = 8\n")
    async with asked(config) as (plane, client):
        flood = [{**SAMPLE, "caller": f"x{number}", "callee": f"y{number}"} for number in range(300)]
        await told(plane, client, *flood)
        graph = (await client.get("/v1/graph")).json()
    assert len(graph["edges"]) <= 8
    assert len(graph["services"]) <= 10
    assert graph["refused"] >= 290


def test_the_command_prints_a_table_and_says_what_is_not_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`controlplane graph`: rates and shares for people, a dash where nothing is known."""

    async def answer() -> Any:
        async with asked() as (plane, client):
            await told(plane, client, SAMPLE, {**SAMPLE, "caller": "", "callee": "shop"})
            return (await client.get("/v1/graph")).json()

    graph = anyio.run(answer)
    monkeypatch.setattr(AdminClient, "get", lambda _, path: graph if path == "/v1/graph" else None)
    assert main(["graph"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "CALLER CALLEE KNOWN CALLS ERRORS SENDS LATENCY AT CALLEE HEARD"
    rows = {tuple(line.split()[:2]): line for line in lines[1:]}
    assert rows["(users)", "shop"].split()[2] == "learned"
    assert "5.00%" in rows["orders", "db"]
    assert rows["orders", "mail"].split()[2:] == ["(soft)", "declared", *"------"]
    assert lines[-3:] == [
        "coverage 50.0% of calls",
        "orders-vip means orders (declared)",
        "only ever called, and by themselves silent: db",
    ]
    assert main(["graph", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == graph

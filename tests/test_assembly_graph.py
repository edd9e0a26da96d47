"""The plane's graph: what is called through the plane is in it."""

import anyio
import httpx
import pytest

from controlplane._native.guard import now_ns, set_test_clock
from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.unit import SECOND

pytestmark = pytest.mark.anyio

CONFIG = """
[plane]
name = "shop"
[[services]]
name = "orders"
endpoints = [{ name = "a", url = "http://127.0.0.1:1" }, { name = "b", url = "http://127.0.0.1:2" }]
"""


async def test_calls_through_the_transport_become_edges_of_the_graph() -> None:
    """Told when the loop is awake and a second has passed."""
    set_test_clock(now_ns())
    try:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, text="ok"))
        async with (
            Plane(parse_config(CONFIG)) as plane,
            httpx.AsyncClient(transport=plane.transport(transport)) as client,
        ):
            for _ in range(5):
                assert (await client.get("http://orders/x")).status_code == 200
            set_test_clock(now_ns() + SECOND)
            await plane.order("resume", by="test")  # the loop is awake
            with anyio.fail_after(5):
                while plane.graph.edges(plane.clock.now())[0].calls is None:
                    await anyio.lowlevel.checkpoint()
            edge = plane.graph.edges(plane.clock.now())[0]
            assert (edge.caller, edge.callee, edge.calls, edge.attempts, edge.source) == (
                "shop", "orders", 5, 5, "gateway",
            )  # fmt: skip
    finally:
        set_test_clock(-1)

"""The graph of a host: whoever steers knows the edges that other processes call on."""

from pathlib import Path

import anyio
import pytest

from controlplane._native.guard import Permit
from controlplane.assembly import Plane
from controlplane.config import parse_config

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

CONFIG = """
[plane]
name = "shop"
[arena]
path = "{path}"
workers = 2
[[services]]
name = "orders"
endpoints = [{{ name = "a", url = "http://127.0.0.1:1" }}]
"""


async def test_calls_of_a_worker_are_in_the_graph_of_the_process_that_steers(tmp_path: Path) -> None:
    """It makes no calls itself, and hears of them within about two seconds."""
    config = parse_config(CONFIG.format(path=tmp_path / "arena"))
    async with Plane(config, steers=True) as steering, Plane(config, steers=False) as worker:
        for _ in range(7):
            permit = worker.guard("orders").try_acquire()
            assert isinstance(permit, Permit)
            permit.success()
        with anyio.fail_after(10):
            while (edge := steering.graph.edges(steering.clock.now())[0]).calls is None:
                await anyio.sleep(0.05)  # real time: another process is waited for
        assert (edge.caller, edge.callee, edge.calls) == ("shop", "orders", 7)
        assert worker.graph.edges(worker.clock.now())[0].calls is None

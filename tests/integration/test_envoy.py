"""The real Envoy under orders: it does what they say, shows what it refuses, and forgets them when nobody renews them."""

import time
from pathlib import Path

import anyio
import pytest

from controlplane.model.command import CapRetries, Eject, FailOver, Isolate, Limit, Probe, Restore, Weigh
from tests.integration.envoy_world import (
    Answers,
    Replica,
    ask,
    bootstrap,
    declared,
    envoy,
    order,
    plane_of,
    serving,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def api(request: pytest.FixtureRequest) -> str:
    """Both variants of the discovery service."""
    return request.param


async def test_an_ejected_endpoint_gets_no_request_once_it_is_acknowledged(api: str, tmp_path: Path) -> None:
    """From the acknowledgement on nothing is sent there, no request fails, and the endpoint is back when restored."""
    replicas = [Replica(f"o{number}") for number in range(3)]
    answers = Answers()
    async with anyio.create_task_group() as tasks:
        for replica in replicas:
            await replica.start(tasks)
        ports = {replica.name: replica.port for replica in replicas}
        plane = plane_of(declared("orders", ports))
        async with serving(plane) as port:
            with envoy(bootstrap(port, {"orders": ports}, api=api), tmp_path) as proxy:
                listen = await proxy.ready()
                for _ in range(4):
                    tasks.start_soon(ask, listen, answers)
                await until("all replicas are asked", lambda: all(len(one.arrivals) > 50 for one in replicas))
                await plane.apply(order(Eject(), "orders", "o1"))
                acknowledged = time.monotonic_ns()
                await until("others are asked", lambda: len(answers.since(acknowledged)) > 500)
                late = [at for at in replicas[1].arrivals if at > acknowledged + 2_000_000]
                assert late == []
                await plane.apply(order(Restore(), "orders", "o1"))
                restored = time.monotonic_ns()
                await until("it is asked again", lambda: any(one[3] == "o1" for one in answers.since(restored)))
                assert answers.failed() == []
        tasks.cancel_scope.cancel()

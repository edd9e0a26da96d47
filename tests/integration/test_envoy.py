"""The real Envoy under orders: it does what they say, shows what it refuses, and forgets them when nobody renews
them."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from anyio.abc import TaskGroup

from controlplane.adapters.proxies.envoy.plane import EnvoyPlane
from controlplane.model.command import CapRetries, Eject, FailOver, Isolate, Limit, Probe, Restore, Tighten, Weigh
from controlplane.model.errors import ActuationError
from controlplane.model.topology import Endpoint, Service
from tests.conftest import BACKENDS
from tests.integration.envoy_world import (
    Answers,
    Envoy,
    PlaneProcess,
    Replica,
    ask,
    bootstrap,
    envoy,
    order,
    plane_of,
    plane_process,
    serving,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.alone]


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def api(request: pytest.FixtureRequest) -> str:
    """Both variants of the discovery service."""
    return request.param


class World(NamedTuple):
    """Three replicas of `orders` behind an Envoy under a plane, and a client that asks without pause."""

    replicas: list[Replica]
    plane: EnvoyPlane
    proxy: Envoy
    answers: Answers
    listen: int
    tasks: TaskGroup

    async def shares(self, count: int = 400) -> Mapping[str, float]:
        """Who answers how much of the next `count` requests; what failed is answered by its status."""
        since = time.monotonic_ns()
        await until("requests are answered", lambda: len(self.answers.since(since)) >= count)
        got = Counter(one[3] or str(one[2]) for one in self.answers.since(since))
        return {name: number / sum(got.values()) for name, number in got.items()}


@asynccontextmanager
async def world(
    tmp_path: Path, api: str = "DELTA_GRPC", *, clients: int = 4, standby: int = 0, **more: Any
) -> AsyncIterator[World]:
    replicas = [Replica(f"o{number}") for number in range(3)]
    answers = Answers()
    async with anyio.create_task_group() as tasks:
        for replica in replicas:
            await replica.start(tasks)
        ports = {replica.name: replica.port for replica in replicas}
        endpoints = tuple(
            Endpoint(name=name, url=f"http://127.0.0.1:{port}", priority=int(number >= 3 - standby))
            for number, (name, port) in enumerate(ports.items())
        )
        plane = plane_of(Service(name="orders", endpoints=endpoints))
        async with serving(plane) as port:
            with envoy(bootstrap(port, {"orders": ports}, api=api, log="none", **more), tmp_path) as proxy:
                listen = await proxy.ready()
                for _ in range(clients):
                    tasks.start_soon(ask, listen, answers)
                yield World(replicas, plane, proxy, answers, listen, tasks)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("anyio_backend", BACKENDS)
async def test_an_ejected_endpoint_gets_no_request_once_it_is_acknowledged(api: str, tmp_path: Path) -> None:
    """From the acknowledgement on nothing is sent there, no request fails, and the endpoint is back when restored."""
    async with world(tmp_path, api) as it:
        await until("all replicas are asked", lambda: all(len(one.arrivals) > 50 for one in it.replicas))
        await it.plane.apply(order(Eject(), "orders", "o1"))
        acknowledged = time.monotonic_ns()
        await until("others are asked", lambda: len(it.answers.since(acknowledged)) > 500)
        # what was on its way to the replica at the moment of the acknowledgement may arrive after it
        assert [at for at in it.replicas[1].arrivals if at > acknowledged + 20_000_000] == []
        assert [one for one in it.answers.since(acknowledged) if one[3] == "o1"] == []
        await it.plane.apply(order(Restore(), "orders", "o1"))
        restored = time.monotonic_ns()
        await until("it is asked again", lambda: any(one[3] == "o1" for one in it.answers.since(restored)))
        assert it.answers.failed() == []
        (view,) = it.plane.views()
        assert (view.name, view.condition, view.converged.count) == ("edge/edge-1", "in force", 2)


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """What is about Envoy and not about loops runs on one of them."""
    return request.param


async def test_orders_about_endpoints_are_shares_of_calls(tmp_path: Path) -> None:
    """A weight is a share; a probed endpoint gets a little; the rest goes to its siblings, and nothing fails."""
    async with world(tmp_path) as it:
        await it.plane.apply(order(Weigh(20), "orders", "o0"))
        shares = await it.shares()
        assert 0.03 < shares["o0"] < 0.16  # 20 of 220
        await it.plane.apply(order(Probe(), "orders", "o0"))
        shares = await it.shares(800)
        assert 0.005 < shares["o0"] < 0.06  # 5 of 205
        assert it.answers.failed() == []


async def test_isolated_calls_are_refused_at_once_and_come_back(tmp_path: Path) -> None:
    """All calls to an isolated service are refused by Envoy; weighed and probed, so many are let through."""
    async with world(tmp_path) as it:
        await it.plane.apply(order(Isolate(), "orders"))
        assert await it.shares(200) == {"503": 1.0}
        await it.plane.apply(order(Weigh(50), "orders"))
        assert 0.35 < (await it.shares())["503"] < 0.65
        await it.plane.apply(order(Restore(), "orders"))
        assert "503" not in await it.shares(200)


async def test_failing_over_moves_a_share_to_those_that_stand_by(tmp_path: Path) -> None:
    """The endpoint of the second priority gets nothing, then its share, then everything."""
    async with world(tmp_path, standby=1) as it:
        await it.plane.apply(order(Weigh(99), "orders", "o0"))  # led by the plane, but hardly touched
        assert "o2" not in await it.shares(200)
        await it.plane.apply(order(FailOver(30), "orders"))
        assert 0.2 < (await it.shares())["o2"] < 0.4
        await it.plane.apply(order(FailOver(100), "orders"))
        assert await it.shares(200) == {"o2": 1.0}
        assert it.answers.failed() == []


async def test_a_limit_holds_calls_in_flight_and_stops_retries(tmp_path: Path) -> None:
    """With two calls in flight at most, of ten at once eight are refused; the limit is a runtime key of the cluster."""
    async with world(tmp_path, clients=10) as it:
        for replica in it.replicas:
            replica.delay_s = 0.05
        await it.plane.apply(order(Limit(2), "orders"))
        await anyio.sleep(0.1)  # real time: calls from before the limit end
        for replica in it.replicas:
            replica.busy_max = 0
        limited = time.monotonic_ns()
        await until("some get through", lambda: [one[2] for one in it.answers.since(limited)].count(200) >= 6)
        assert sum(one[2] == 503 for one in it.answers.since(limited)) > 6
        assert max(replica.busy_max for replica in it.replicas) <= 2
        keys = await it.proxy.runtime()
        assert keys["circuit_breakers.orders.contained.default.max_requests"] == "2"
        assert keys["circuit_breakers.orders.contained.default.max_retries"] == "0"
        await it.plane.apply(order(Restore(), "orders"))
        assert "503" not in await it.shares(100)


async def test_capped_retries_are_a_budget_of_the_cluster(tmp_path: Path) -> None:
    """A cap is the retry budget of the contained cluster, which all calls take."""
    async with world(tmp_path) as it:
        await it.plane.apply(order(CapRetries(10), "orders"))
        keys = await it.proxy.runtime()
        assert keys["circuit_breakers.orders.contained.default.retry_budget.budget_percent"] == "10"
        assert keys["controlplane.orders.contained"] == "100"


async def test_what_needs_routes_of_ours_is_refused_where_the_owner_has_his(tmp_path: Path) -> None:
    """A deadline cannot be had by cluster and runtime alone; the refusal says what is missing."""
    async with world(tmp_path, clients=0) as it:
        with pytest.raises(ActuationError, match="name them in `routes`"):
            await it.plane.apply(order(Tighten(100), "orders"))


async def test_a_lease_that_nobody_renews_ends(tmp_path: Path) -> None:
    """Without a command that takes it back, an ejection ends with its lease."""
    async with world(tmp_path) as it:
        await it.plane.apply(order(Eject(), "orders", "o1", lease_s=0.3))
        assert "o1" not in await it.shares(50)
        await until("the runtime layer is empty", partial(_empty, it.proxy))
        assert (await it.shares())["o1"] > 0.2


async def _empty(proxy: Envoy) -> bool:
    return not await proxy.runtime()


async def test_an_envoy_that_starts_again_gets_the_state_in_force(api: str, tmp_path: Path) -> None:
    """Killed and started again, it never sends anything to the endpoint that is ejected."""
    async with world(tmp_path, api, clients=0) as it:
        await it.plane.apply(order(Eject(), "orders", "o1"))
        listen = await it.proxy.restart()
        answers = Answers()
        it.tasks.start_soon(ask, listen, answers)
        await until("requests are answered", lambda: len(answers.got) > 300)
        assert {one[3] for one in answers.got} == {"o0", "o2"}
        (view,) = it.plane.views()
        assert view.restarts == 1


class Apart(NamedTuple):
    """A plane in a process of its own, which ejects `o1`, an Envoy under it, and a client."""

    plane: PlaneProcess
    proxy: Envoy
    answers: Answers

    def of(self, name: str, since: int) -> list[tuple[int, int, int, str]]:
        """Answers of that replica to what was asked after `since`."""
        return [one for one in self.answers.since(since) if one[3] == name]


@asynccontextmanager
async def apart(tmp_path: Path, api: str, *, ttl_s: float) -> AsyncIterator[Apart]:
    replicas, answers = [Replica(f"o{number}") for number in range(3)], Answers()
    async with anyio.create_task_group() as tasks:
        for replica in replicas:
            await replica.start(tasks)
        ports = {replica.name: replica.port for replica in replicas}
        with ExitStack() as stack:
            plane = stack.enter_context(plane_process(ports, ttl_s=ttl_s))
            proxy = stack.enter_context(envoy(bootstrap(plane.port, {"orders": ports}, api=api, log="none"), tmp_path))
            listen = await proxy.ready()
            tasks.start_soon(partial(ask, listen, answers, pause_s=0.002))
            await anyio.to_thread.run_sync(plane.wait_said, "in force")
            yield Apart(plane, proxy, answers)
        tasks.cancel_scope.cancel()


async def test_a_dead_plane_leaves_a_proxy_that_goes_on_and_forgets(api: str, tmp_path: Path) -> None:
    """While the plane lives, containment is renewed beyond its time to live; killed, it ends by it, and no request
    fails."""
    async with apart(tmp_path, api, ttl_s=2.0) as it:
        since = time.monotonic_ns()
        await anyio.sleep(3.0)  # real time: more than a time to live
        assert it.of("o1", since) == []
        killed = time.monotonic_ns()
        it.plane.kill()
        await until("its endpoint is asked again", lambda: bool(it.of("o1", killed)))
        assert it.of("o1", killed)[0][0] - killed > 1.0e9  # it was renewed two thirds of a second before, at most
        assert await it.proxy.runtime() == {}
        assert it.answers.failed() == []
        it.plane.start()


async def test_a_plane_that_starts_again_lets_nothing_through(api: str, tmp_path: Path) -> None:
    """Killed and started again, it takes over: the endpoint that it had ejected does not get a single request."""
    async with apart(tmp_path, api, ttl_s=30.0) as it:
        since = time.monotonic_ns()
        it.plane.kill()
        await anyio.to_thread.run_sync(it.plane.start)
        await anyio.to_thread.run_sync(it.plane.wait_said, "in force")
        again = time.monotonic_ns()
        await until("requests are answered", lambda: len(it.answers.since(again)) > 200)
        assert it.of("o1", since) == []
        assert it.answers.failed() == []

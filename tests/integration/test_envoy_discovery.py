"""The discovery service and the real Envoy: what it refuses is shown in its words, a thousand clusters cost little,
and the routes and clusters that come from the plane do what they say."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, TaskGroup

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.proxies.envoy.ads import DiscoveryService
from controlplane.adapters.proxies.envoy.catalog import Catalog, resource
from controlplane.adapters.proxies.envoy.discovery import ENDPOINTS, RUNTIME
from controlplane.adapters.proxies.envoy.grpc import GrpcServer
from controlplane.adapters.proxies.envoy.plane import EnvoyPlane
from controlplane.adapters.proxies.envoy.resources import runtime
from controlplane.adapters.proxies.envoy.resources.endpoints import assignment
from controlplane.adapters.proxies.wanted import EndpointWanted, ServiceWanted
from controlplane.model.command import Eject, Restore, Shed, Tighten, Weigh
from controlplane.model.errors import ActuationError
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service
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

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.alone]


@pytest.fixture(params=["GRPC", "DELTA_GRPC"])
def api(request: pytest.FixtureRequest) -> str:
    """Both variants of the discovery service."""
    return request.param


@pytest.fixture(params=[pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """What is about Envoy and not about loops runs on one of them."""
    return request.param


@asynccontextmanager
async def discovery(catalog: Catalog) -> AsyncIterator[tuple[DiscoveryService, int]]:
    """`catalog` served on a free port."""
    service = DiscoveryService(catalog, SystemClock())
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with anyio.create_task_group() as tasks:
        await tasks.start(GrpcServer(service.handlers).serve, listener)
        yield service, listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


def endpoints_at(*addresses: tuple[str, int]) -> bytes:
    """Endpoints of `orders.contained` at those addresses."""
    service = declared("orders", {f"o{number}": 1 for number in range(len(addresses))})
    places = {("orders", f"o{number}"): address for number, address in enumerate(addresses)}
    body = assignment("orders.contained", service, places, ServiceWanted(), [EndpointWanted()] * len(addresses))
    assert body is not None
    return body


async def test_what_envoy_refuses_is_shown_in_its_words_and_the_last_good_stays(api: str, tmp_path: Path) -> None:
    """A refused assignment leaves the one before in force, here and in Envoy; a proxy that starts again gets that
    one, too."""
    replica, answers, catalog = Replica("o0"), Answers(), Catalog()
    async with anyio.create_task_group() as tasks:
        await replica.start(tasks)
        name, key = "orders.contained", (ENDPOINTS, "orders.contained")
        led = runtime.layer(runtime.keys("orders", ServiceWanted(), interfered=True))
        catalog.put(
            [
                (ENDPOINTS, resource(name, endpoints_at(("127.0.0.1", replica.port)))),
                (RUNTIME, resource("controlplane", led)),
            ]
        )
        good = catalog.get(*key)
        async with discovery(catalog) as (service, port):
            # the owner's own cluster has nobody: whoever answers was led to the plane's
            with envoy(bootstrap(port, {"orders": {"o0": 1}}, api=api, log="none"), tmp_path) as proxy:
                listen = await proxy.ready()
                service.changed(catalog.put([(ENDPOINTS, resource(name, endpoints_at(("nowhere.example", 80))))]))
                (peer,) = service.peers.values()
                await until("Envoy has refused it", lambda: key in peer.session.refused())
                assert "malformed IP address: nowhere.example" in peer.session.refused()[key].why
                assert peer.session.settled([key])
                assert peer.session.offered(*key) == good
                tasks.start_soon(partial(ask, listen, answers, pause_s=0.002))
                await until("requests are answered", lambda: len(answers.got) > 20)
                listen = await proxy.restart()
                tasks.start_soon(partial(ask, listen, again := Answers(), pause_s=0.002))
                await until("requests are answered", lambda: len(again.got) > 20)
                assert {one[3] for one in [*answers.got[:20], *again.got]} == {"o0"}
                assert key in next(iter(service.peers.values())).session.refused()
                better = resource(name, endpoints_at(("127.0.0.1", replica.port), ("127.0.0.1", 1)))
                service.changed(catalog.put([(ENDPOINTS, better)]))
                (peer,) = service.peers.values()
                await until("what comes after is taken", lambda: peer.session.settled([key]))
                assert peer.session.refused() == {}
        tasks.cancel_scope.cancel()


async def test_a_proxy_that_refuses_fails_the_order_with_its_own_words(tmp_path: Path) -> None:
    """An address that Envoy does not take makes an order fail for whoever gave it; the view shows why."""
    endpoints = (Endpoint(name="o0", url="http://127.0.0.1:1"), Endpoint(name="o1", url="http://[fe80::1%25nope]:80"))
    plane = plane_of(Service(name="orders", endpoints=endpoints))
    async with serving(plane) as port:
        with envoy(bootstrap(port, {"orders": {"o0": 1}}, log="none"), tmp_path) as proxy:
            await proxy.ready()
            with pytest.raises(ActuationError, match=r"edge-1 .* refuses it: .*malformed IP address: fe80::1%25nope"):
                await plane.apply(order(Weigh(50), "orders", "o0"))
            print(plane.views())


async def test_a_thousand_clusters_are_loaded_and_one_of_them_changed(api: str, tmp_path: Path) -> None:
    """A thousand clusters of four endpoints load in seconds; a change of one sends that one, acknowledged in
    milliseconds."""
    ports = {f"o{number}": number + 1 for number in range(4)}
    services = {f"s{number}": ports for number in range(1000)}
    plane = plane_of(*(declared(name, of) for name, of in services.items()))
    async with serving(plane) as port:
        began = time.monotonic()
        with envoy(bootstrap(port, services, api=api, log="none", routes="ours"), tmp_path) as proxy:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(proxy.ready)
                await until("all clusters are there", partial(_loaded, proxy, 2001))
                print("loaded in", time.monotonic() - began)
                tasks.cancel_scope.cancel()
            took = []
            for number in range(100):
                service = f"s{number * 7 % 1000}"
                began = time.monotonic()
                await plane.apply(order(Eject(), service, "o1"))
                took.append(time.monotonic() - began)
                await plane.apply(order(Restore(), service, "o1"))
            took.sort()
            print("acked p50", took[50], "p99", took[99])
    assert took[99] < 1.0


async def _loaded(proxy: object, count: int) -> bool:
    try:
        return (await proxy.stats("^cluster_manager.active_clusters$")).get(
            "cluster_manager.active_clusters", 0
        ) >= count
    except Exception:
        return False


@asynccontextmanager
async def routed(
    tmp_path: Path, policy: GuardPolicy
) -> AsyncIterator[tuple[EnvoyPlane, list[Replica], int, TaskGroup]]:
    """Two replicas of `orders` behind an Envoy that takes its routes and the contained cluster from the plane."""
    replicas = [Replica("o0"), Replica("o1")]
    async with anyio.create_task_group() as tasks:
        for replica in replicas:
            await replica.start(tasks)
        ports = {replica.name: replica.port for replica in replicas}
        plane = plane_of(declared("orders", ports), policy=policy, routes={"/": "orders"})
        async with serving(plane) as port:
            with envoy(bootstrap(port, {"orders": ports}, log="none", routes="ours"), tmp_path) as proxy:
                yield plane, replicas, await proxy.ready(), tasks
        tasks.cancel_scope.cancel()


async def asked(tasks: TaskGroup, listen: int, count: int = 30, headers: str = "") -> list[tuple[int, float]]:
    """(status, seconds) of some requests."""
    answers = Answers()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as clients:
            clients.start_soon(partial(ask, listen, answers, headers=headers))
            await until("requests are answered", lambda: len(answers.got) >= count)
            scope.cancel()
    return [(status, (answered - began) / 1e9) for began, answered, status, _ in answers.got[:count]]


async def test_a_deadline_bounds_every_call_while_it_is_in_force(tmp_path: Path) -> None:
    """Answers that take 300 ms are given up after 50 while the order stands, and waited for before and after."""
    async with routed(tmp_path, GuardPolicy()) as (plane, replicas, listen, tasks):
        for replica in replicas:
            replica.delay_s = 0.3
        assert {status for status, _ in await asked(tasks, listen, 2)} == {200}
        await plane.apply(order(Tighten(50), "orders"))
        answers = await asked(tasks, listen, 5)
        assert {status for status, _ in answers} == {504}
        assert max(seconds for _, seconds in answers) < 0.29
        await plane.apply(order(Restore(), "orders"))
        assert {status for status, _ in await asked(tasks, listen, 2)} == {200}


async def test_what_matters_less_is_shed_first(tmp_path: Path) -> None:
    """Below "default" only what is sheddable is refused, below "critical" everything that is not; and never by
    accident."""
    critical, sheddable, nonsense = (
        f"controlplane-priority: {word}\r\n" for word in ("Critical", "sheddable", "urgent")
    )

    async def refused(headers: str) -> bool:
        (status,) = {status for status, _ in await asked(tasks, listen, 20, headers)}
        return status == 503

    async with routed(tmp_path, GuardPolicy()) as (plane, _, listen, tasks):
        assert [await refused(one) for one in (critical, "", nonsense, sheddable)] == [False] * 4
        await plane.apply(order(Shed("default"), "orders"))
        assert [await refused(one) for one in (critical, "", nonsense, sheddable)] == [False, False, False, True]
        await plane.apply(order(Shed("critical"), "orders"))
        assert [await refused(one) for one in (critical, "", nonsense, sheddable)] == [False, True, True, True]
        await plane.apply(order(Restore(), "orders"))
        assert [await refused(one) for one in (critical, "", nonsense, sheddable)] == [False] * 4


async def test_the_rate_and_the_retries_of_a_policy_are_those_of_its_routes(tmp_path: Path) -> None:
    """Beyond the rate of the policy calls are refused with 429; a connection that fails is tried elsewhere."""
    async with routed(tmp_path, GuardPolicy(rate_per_s=20, rate_burst=10)) as (_, _, listen, tasks):
        statuses = [status for status, _ in await asked(tasks, listen, 60)]
        assert 8 < statuses.count(200) < 40
        assert set(statuses) == {200, 429}
    async with routed(tmp_path, GuardPolicy(attempts=2)) as (_, replicas, listen, tasks):
        replicas[0].stop()
        assert {status for status, _ in await asked(tasks, listen, 60)} == {200}

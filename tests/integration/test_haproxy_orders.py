"""Every order, put in force in the real HAProxy by the adapter alone, on each event loop."""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.proxies.haproxy.examine import examine
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.proxy import HaProxy
from controlplane.model.command import (
    CapRetries,
    Command,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    Probe,
    Restore,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ActuationError, NotHere
from controlplane.model.signal import Effective, Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos, to_nanos
from tests.adapters.proxies.judge import RecordingJudge
from tests.integration.haproxy import NAMES, HaproxyWorld
from tests.integration.process import DEADLINE_S

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.alone]

ORDERS, O2 = Target("orders"), Target("orders", "orders-2")
CLOCK = SystemClock()
SERVICES = {"orders": NAMES}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HaproxyWorld]:
    """One HAProxy for all orders: each test takes back what it ordered."""
    with ExitStack() as stack:
        world = HaproxyWorld(tmp_path_factory.mktemp("haproxy"), stack)
        world.start()
        yield world


class Orders:
    """Commands with numbers that rise."""

    def __init__(self, proxy: HaProxy) -> None:
        self.proxy, self._number = proxy, 0

    async def give(self, target: Target, intent: Intent, *, lease_s: float = 30.0, percent: int = 100) -> None:
        self._number += 1
        command = Command(
            id=CommandId(f"c{self._number}"),
            epoch=Epoch(1),
            incident=IncidentId("i1"),
            target=target,
            intent=intent,
            lease_until=Nanos(CLOCK.now() + to_nanos(lease_s)),
            enforcement="full" if percent == 100 else "percent",
            percent=percent,
            signal_at=CLOCK.now(),
        )
        with anyio.fail_after(DEADLINE_S):
            await self.proxy.apply(command)


@asynccontextmanager
async def spoken_to(world: HaproxyWorld) -> AsyncIterator[Orders]:
    """The adapter, in conversation with HAProxy; what it ordered is taken back."""
    proxy = HaProxy(
        "edge", str(world.socket), SERVICES, naming=Naming(SERVICES, {}, {}), clock=CLOCK, judge=RecordingJudge()
    )
    orders = Orders(proxy)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(proxy.run)
        try:
            yield orders
        finally:
            with anyio.CancelScope(shield=True):
                for name in NAMES:
                    await orders.give(Target("orders", name), Restore())
                await orders.give(ORDERS, Restore())
            tasks.cancel_scope.cancel()


async def asked(world: HaproxyWorld, times: int = 60, **headers: str) -> list[int]:
    """Statuses of so many requests, one after the other."""

    def ask() -> list[int]:
        with httpx.Client(timeout=DEADLINE_S) as client:
            return [client.get(world.url, headers=headers).status_code for _ in range(times)]

    return await anyio.to_thread.run_sync(ask)


async def until(condition: Callable[[], bool]) -> None:
    """Another process comes to it."""
    with anyio.fail_after(DEADLINE_S):
        while not await anyio.to_thread.run_sync(condition):
            await anyio.sleep(0.02)  # real time: another process is asked


async def test_an_ejected_endpoint_gets_nothing(world: HaproxyWorld) -> None:
    """From the acknowledgement on, no request reaches it; taken back, it gets its share again."""
    async with spoken_to(world) as orders:
        await orders.give(O2, Eject())
        before = world.backends["orders-2"].requests
        assert set(await asked(world)) == {200}
        assert world.backends["orders-2"].requests == before
        assert [type(signal) for signal in orders.proxy.drain()] == [Effective]
        await orders.give(O2, Restore())
        await asked(world)
        assert world.backends["orders-2"].requests > before
        assert world.holds() == {}


async def test_a_share_is_a_share_of_its_weight(world: HaproxyWorld) -> None:
    """Steps of a recovery, from out to all of it; a weight that a person sets meanwhile is the new whole."""

    def weight() -> str:
        return world.ask("get weight orders/orders-2")

    async with spoken_to(world) as orders:
        await orders.give(O2, Eject())
        for intent, expected in ((Probe(), "5 (initial 100)"), (Weigh(25), "25 (initial 100)")):
            await orders.give(O2, intent)
            assert (weight(), world.status("orders-2")) == (expected, "UP")
        world.ask("set weight orders/orders-2 40")
        await until(lambda: weight() == "10 (initial 100)")
        await orders.give(O2, Restore())
        assert weight() == "40 (initial 100)"
        world.ask("set weight orders/orders-2 100")


async def test_an_isolated_service_is_refused_at_once(world: HaproxyWorld) -> None:
    """Every request is answered 503 with Retry-After and reaches nobody; for a part of the calls, a part of them."""
    async with spoken_to(world) as orders:
        before = [backend.requests for backend in world.backends.values()]
        await orders.give(ORDERS, Isolate())
        answer = await anyio.to_thread.run_sync(lambda: httpx.get(world.url))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert set(await asked(world, 20)) == {503}
        assert [backend.requests for backend in world.backends.values()] == before
        await orders.give(ORDERS, Isolate(), percent=50)
        answers = await asked(world, 200)
        assert 60 < answers.count(503) < 140
        await orders.give(ORDERS, Restore())
        assert set(await asked(world, 20)) == {200}


async def test_shedding_goes_by_priority(world: HaproxyWorld) -> None:
    """The less important are refused; without the header a request is neither critical nor the first to go."""
    async with spoken_to(world) as orders:
        await orders.give(ORDERS, Shed("critical"))
        for priority, status in (("critical", 200), ("default", 503), ("sheddable", 503), ("nonsense", 503)):
            assert set(await asked(world, 5, **{"controlplane-priority": priority})) == {status}
        await orders.give(ORDERS, Shed("default"))
        for priority, status in (("critical", 200), ("default", 200), ("sheddable", 503)):
            assert set(await asked(world, 5, **{"controlplane-priority": priority})) == {status}
        await orders.give(ORDERS, Restore("shed"))
        assert set(await asked(world, 5, **{"controlplane-priority": "sheddable"})) == {200}


async def test_a_limit_refuses_what_is_beyond_it(world: HaproxyWorld) -> None:
    """So many requests at a time, and the next one is refused and does not wait."""
    async with spoken_to(world) as orders:
        await orders.give(ORDERS, Limit(2))
        for backend in world.backends.values():
            backend.released.clear()
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(httpx.get(world.url, timeout=DEADLINE_S).status_code))
            for _ in range(4)
        ]
        try:
            for thread in threads:
                thread.start()
            await until(lambda: answers == [503, 503])
        finally:
            for backend in world.backends.values():
                backend.released.set()
            for thread in threads:
                thread.join()
        assert sorted(answers) == [200, 200, 503, 503]


async def test_a_deadline_ends_what_takes_longer(world: HaproxyWorld) -> None:
    """The request is answered 504 when its time is over."""
    async with spoken_to(world) as orders:
        await orders.give(ORDERS, Tighten(100))
        for backend in world.backends.values():
            backend.delay_s = 5.0
        try:
            began = time.monotonic()
            assert await asked(world, 1) == [504]
            assert time.monotonic() - began < 4.0
        finally:
            for backend in world.backends.values():
                backend.delay_s = 0.0


async def test_what_is_ordered_is_listed_in_haproxy_with_what_is_left(world: HaproxyWorld) -> None:
    """Caps are in its map; a lease that ends takes what it was for with it, whoever is there to see it."""
    async with spoken_to(world) as orders:
        await orders.give(ORDERS, CapRetries(20), lease_s=0.4)
        await orders.give(O2, Eject(), lease_s=0.4)
        assert world.holds() == {"orders/orders-2": 0, "orders/retries": 20}
        await until(lambda: world.holds() == {})
        assert (world.status("orders-2"), world.ask(f"show map {world.folder}/controlplane.map")) == ("UP", "")
        assert list(orders.proxy.wanted.orders()) == []


async def test_what_haproxy_cannot_do_is_refused_in_words(world: HaproxyWorld) -> None:
    """A share of the calls to backup servers, half a weight of one, a service it does not have, the last endpoint."""
    async with spoken_to(world) as orders:
        await orders.give(ORDERS, Restore())  # spoken to by now
        with pytest.raises(ActuationError, match="a share of the calls cannot fail over"):
            await orders.give(ORDERS, FailOver(50))
        with pytest.raises(NotHere, match="no calls to 'billing' pass here"):
            await orders.give(Target("billing"), Isolate())
        world.ask("set server orders/orders-1 state maint")
        world.ask("set server orders/orders-3 state drain")
        try:
            await until(lambda: len(orders.proxy.effective.person) == 2)
            with pytest.raises(ActuationError, match="orders/orders-2 is the last usable endpoint here"):
                await orders.give(O2, Eject())
        finally:
            world.ask("set server orders/orders-1 state ready")
            world.ask("set server orders/orders-3 state ready")
            await until(lambda: orders.proxy.effective.person == {})


async def test_what_was_acknowledged_and_is_not_kept_is_seen(world: HaproxyWorld) -> None:
    """Somebody releases a server behind our back: it is shown, and held again."""
    async with spoken_to(world) as orders:
        await orders.give(O2, Eject())
        world.ask("controlplane release orders/orders-2")
        await until(lambda: world.holds() == {"orders/orders-2": 0})
        assert orders.proxy.effective.corrected == 1
        assert orders.proxy.effective.condition(CLOCK.now()) == "lying"


async def test_a_proxy_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    """The order is not taken, and says that it will be when the proxy is back."""
    proxy = HaProxy(
        "edge",
        str(tmp_path / "none.sock"),
        SERVICES,
        naming=Naming(SERVICES, {}, {}),
        clock=CLOCK,
        judge=RecordingJudge(),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(proxy.run)
        for _ in range(2):
            with pytest.raises(ActuationError, match=r"edge is out of reach .*none.sock cannot be reached") as away:
                await Orders(proxy).give(O2, Eject())
            assert away.value.retryable
        assert proxy.effective.view(CLOCK.now()).condition == "unreachable"
        assert proxy.effective.view(CLOCK.now()).waiting.keys() == {"orders/orders-2"}
        tasks.cancel_scope.cancel()


async def test_a_look_before_driving_says_what_does_not_fit(world: HaproxyWorld, tmp_path: Path) -> None:
    """What the page prints fits; servers that are not there, and nobody there at all, are named."""
    assert await examine(str(world.socket), Naming(SERVICES, {}, {})) == []
    other = Naming({"orders": ("orders-1", "o9"), "cart": ("c1",)}, {}, {})
    assert await examine(str(world.socket), other) == ["it has no orders/o9, cart/c1"]
    (note,) = await examine(str(tmp_path / "none.sock"), other)
    assert note.startswith("not reached: ")
    world.ask("set server orders/orders-1 state drain")
    world.ask("set weight orders/orders-2 2")
    try:
        light, by_hand = await examine(str(world.socket), Naming(SERVICES, {}, {}))
        assert light.startswith("weights under 20 cannot be given back in steps")
        assert by_hand == "out by a person's hand, and stays so: orders/orders-1 (DRAIN)"
    finally:
        world.ask("set server orders/orders-1 state ready")
        world.ask("set weight orders/orders-2 100")


async def test_a_server_that_is_down_is_not_brought_up(world: HaproxyWorld) -> None:
    """Its own checks say that it is dead: what we let go of stays so, until they say otherwise."""
    host, port = world.backends["orders-2"].url.removeprefix("http://").split(":")
    async with spoken_to(world) as orders:
        await orders.give(O2, Eject())
        world.ask("set server orders/orders-2 addr 127.0.0.1 port 1")
        try:
            await until(lambda: "L4CON" in next(row for row in stat_rows(world) if row[1] == "orders-2"))
            await orders.give(O2, Restore())
            assert world.holds() == {}
            assert world.status("orders-2") == "DOWN"
        finally:
            world.ask(f"set server orders/orders-2 addr {host} port {port}")
        await until(lambda: world.status("orders-2") == "UP")


def stat_rows(world: HaproxyWorld) -> list[list[str]]:
    return [line.split(",") for line in world.ask("show stat -1 4 -1").splitlines()]

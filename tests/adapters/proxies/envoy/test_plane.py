"""The plane and its proxies: one that is slow, refuses, lies or is somebody else is shown, and blocks no other."""

import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import TaskGroup

from controlplane.adapters.proxies.envoy.discovery import ENDPOINTS, RUNTIME
from controlplane.adapters.proxies.envoy.plane import ACK_S, EnvoyPlane
from controlplane.adapters.proxies.envoy.wire import as_text, fields, message, text, uint
from controlplane.model.command import Eject, FailOver, Isolate, Restore, Shed, Weigh
from controlplane.model.errors import ActuationError, NotHere
from controlplane.model.signal import Effective, Target
from tests.adapters.proxies.envoy.test_grpc import Client
from tests.integration.envoy_world import declared, order, plane_of, serving, until

pytestmark = pytest.mark.anyio

PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
NAMES = {ENDPOINTS: "orders.contained", RUNTIME: "controlplane"}


class FakeProxy:
    """A proxy that acknowledges, or does not, or refuses. `got` are the types of what it was sent, in order."""

    def __init__(self, client: Client, node: str, *, agent: str = "envoy") -> None:
        self.acknowledges, self.refuses = True, ""
        self.got: list[str] = []
        self._client, self._node = client, message(1, text(1, node), text(6, agent))

    async def run(self, types: tuple[str, ...]) -> None:
        """Ask for `types`, and answer until the connection ends."""
        await self._client.start()
        self._call = await self._client.call(PATH)
        for type_url in types:
            await self._say(self._node, text(2, type_url), text(3, NAMES[type_url]))
        seen = 0
        try:
            while True:
                await self._client.read()
                body = self._client.body(self._call)
                while len(body) >= seen + 5 and len(body) >= seen + 5 + (
                    size := struct.unpack_from(">I", body, seen + 1)[0]
                ):
                    await self._answer(body[seen + 5 : seen + 5 + size])
                    seen += 5 + size
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    async def _answer(self, data: bytes) -> None:
        found = {number: as_text(value) for number, value in fields(memoryview(data)) if number in (4, 5)}
        self.got.append(found[4])
        if self.acknowledges:
            status = message(7, uint(1, 13), text(2, self.refuses)) if self.refuses and found[4] == ENDPOINTS else b""
            await self._say(text(2, found[4]), text(6, found[5]), status)

    async def _say(self, *parts: bytes) -> None:
        await self._client.say(self._call, b"".join(parts))


class World:
    """A plane of `orders` on a port, and fake proxies that ask it."""

    def __init__(self, plane: EnvoyPlane, port: int, tasks: TaskGroup) -> None:
        self.plane, self._port, self._tasks = plane, port, tasks

    async def proxy(
        self, node: str, *, types: tuple[str, ...] = (RUNTIME, ENDPOINTS), agent: str = "envoy"
    ) -> FakeProxy:
        """One that has settled."""
        client = Client(await anyio.connect_tcp("127.0.0.1", self._port))
        proxy = FakeProxy(client, node, agent=agent)
        self._tasks.start_soon(proxy.run, types)
        await until("it has everything", lambda: set(proxy.got) >= set(types))
        sessions = [peer.session for peer in self.plane.discovery.peers.values() if peer.session.node.id == node]
        await until("and has said so", lambda: not any(session.unacknowledged for session in sessions))
        return proxy


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    plane = plane_of(declared("orders", {"o0": 1, "o1": 2}))
    async with anyio.create_task_group() as tasks, serving(plane) as port:
        yield World(plane, port, tasks)
        tasks.cancel_scope.cancel()


async def test_an_order_is_in_force_when_all_have_acknowledged() -> None:
    """Each proxy gets the endpoints first and then what leads to them; when it was so is a signal, and is counted."""
    async with world() as it:
        first, second = await it.proxy("e1"), await it.proxy("e2")
        first.got.clear()
        command = order(Eject(), "orders", "o0", signal_at=time.monotonic_ns())
        await it.plane.apply(command)
        assert first.got == [ENDPOINTS, RUNTIME]
        assert second.got[-2:] == [ENDPOINTS, RUNTIME]
        (signal,) = it.plane.drain()
        assert isinstance(signal, Effective)
        assert (signal.target, signal.signal_at) == (Target("orders", "o0"), command.signal_at)
        assert {view.name: (view.condition, view.converged.count) for view in it.plane.views()} == {
            "edge/e1": ("in force", 1),
            "edge/e2": ("in force", 1),
        }
        await it.plane.apply(order(Restore(), "orders", "o0"))
        assert it.plane.drain() == []


async def test_a_proxy_that_never_acknowledges_is_waited_for_once() -> None:
    """The first order waits for it as long as patience is, the next does not; others have it at once."""
    async with world() as it:
        good, mute = await it.proxy("e1"), await it.proxy("e2")
        mute.acknowledges = False
        began = time.monotonic()
        await it.plane.apply(order(Eject(), "orders", "o0"))
        assert ACK_S <= time.monotonic() - began < 5 * ACK_S
        good.got.clear()
        began = time.monotonic()
        await it.plane.apply(order(Isolate(), "orders"))
        assert time.monotonic() - began < ACK_S
        assert good.got == [ENDPOINTS, RUNTIME]
        conditions = {view.name: (view.condition, list(view.waiting)) for view in it.plane.views()}
        assert conditions == {"edge/e1": ("in force", []), "edge/e2": ("slow", ["orders/o0", "orders"])}


async def test_where_nobody_acknowledges_an_order_has_failed_for_now() -> None:
    """The only proxy does not answer: retryable, with its name."""
    async with world() as it:
        mute = await it.proxy("e1")
        mute.acknowledges = False
        with pytest.raises(ActuationError, match=r"not acknowledged within 1 s by e1 \(127") as failed:
            await it.plane.apply(order(Isolate(), "orders"))
        assert failed.value.retryable


async def test_a_refusal_is_the_answer() -> None:
    """In the proxy's own words, and not to be tried again as it is."""
    async with world() as it:
        proxy = await it.proxy("e1")
        proxy.refuses = "orders.contained: not today"
        with pytest.raises(ActuationError, match=r"e1 .* refuses it: orders.contained: not today") as failed:
            await it.plane.apply(order(Eject(), "orders", "o0"))
        assert not failed.value.retryable
        (view,) = it.plane.views()
        assert view.refused == {"orders/o0": "orders.contained: not today"}


async def test_orders_that_nobody_could_carry_out_are_refused_or_wait() -> None:
    """No proxy, one without the layer, a service that does not pass, what the configuration does not have."""
    async with world() as it:
        (view,) = it.plane.views()
        assert (view.name, view.condition) == ("edge", "new")
        with pytest.raises(ActuationError, match=r"no proxy takes orders\.contained from edge") as failed:
            await it.plane.apply(order(Eject(), "orders", "o0"))
        assert failed.value.retryable
        proxy = await it.proxy("e1", types=(ENDPOINTS,))
        assert proxy.got == [ENDPOINTS]  # it has what was ordered before it came
        with pytest.raises(ActuationError, match="takes no runtime layer 'controlplane'"):
            await it.plane.apply(order(Weigh(50), "orders", "o1"))
        with pytest.raises(NotHere):
            await it.plane.apply(order(Eject(), "cart", "c0"))
        with pytest.raises(ActuationError, match="no endpoint of orders stands by"):
            await it.plane.apply(order(FailOver(50), "orders"))
        with pytest.raises(ActuationError, match="name them in `routes`"):
            await it.plane.apply(order(Shed("critical"), "orders"))


async def test_what_was_ordered_before_is_the_first_that_a_proxy_gets() -> None:
    """Before anybody is answered orders are taken on trust; whoever comes finds them in force."""
    plane = plane_of(declared("orders", {"o0": 1, "o1": 2}))
    await plane.apply(order(Eject(), "orders", "o0"))
    async with anyio.create_task_group() as tasks, serving(plane) as port:
        proxy = await World(plane, port, tasks).proxy("e1", types=(ENDPOINTS, RUNTIME))
        await until("it is led", lambda: proxy.got.count(RUNTIME) == 2 or proxy.got == [ENDPOINTS, RUNTIME])
        await plane.apply(order(Eject(), "orders", "o0"))
        (view,) = plane.views()
        assert view.condition == "in force"
        tasks.cancel_scope.cancel()


async def test_two_proxies_of_one_name_are_served_and_shown() -> None:
    """Both get every order; that they are two is said, until one of them leaves."""
    async with world() as it:
        first, second = await it.proxy("twin"), await it.proxy("twin")
        first.got.clear()
        second.got.clear()
        await it.plane.apply(order(Eject(), "orders", "o0"))
        assert first.got[:1] == second.got[:1] == [ENDPOINTS]
        (view,) = it.plane.views()
        assert "2 streams at once call themselves 'twin'" in view.trouble


async def test_a_proxy_that_leaves_is_unreachable_and_not_waited_for() -> None:
    """Others go on."""
    async with world() as it:
        stays, leaves = await it.proxy("e1"), await it.proxy("e2")
        await anyio.aclose_forcefully(leaves._client.stream)
        await until("it is gone", lambda: len(it.plane.discovery.peers) == 1)
        began = time.monotonic()
        await it.plane.apply(order(Eject(), "orders", "o0"))
        assert time.monotonic() - began < ACK_S
        assert stays.got[-1] == RUNTIME
        conditions = {view.name: view.condition for view in it.plane.views()}
        assert conditions == {"edge/e1": "in force", "edge/e2": "unreachable"}


async def test_nonsense_ends_the_stream_it_came_on() -> None:
    """Bytes that are no request are answered with a status, counted, and harm nobody."""
    async with world() as it:
        proxy = await it.proxy("e1")
        client = Client(await anyio.connect_tcp("127.0.0.1", it._port))
        await client.start()
        for path in (
            PATH,
            PATH.replace("Delta", "Stream"),
            "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
        ):
            call = await client.call(path)
            await client.say(call, b"\x0b\x0c nonsense")
            await client.until(lambda call=call: client.trailers(call))
            assert client.trailers(call)["grpc-status"] == "3"
        assert (it.plane.discovery.malformed, it.plane.logs.malformed) == (2, 1)
        await it.plane.apply(order(Eject(), "orders", "o0"))
        assert proxy.got[-1] == RUNTIME
        await anyio.aclose_forcefully(client.stream)

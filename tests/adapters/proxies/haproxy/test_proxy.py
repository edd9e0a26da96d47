"""The adapter against a runtime API that misbehaves: nothing is forgotten, and everything is said."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.proxies.haproxy.plan import Naming
from controlplane.adapters.proxies.haproxy.proxy import HaProxy
from controlplane.model.command import Command, Eject, Intent, Isolate, Probe, Restore, Weigh
from controlplane.model.errors import ActuationError, StaleEpoch
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos, to_nanos
from tests.adapters.proxies.haproxy.runtime import Runtime, served
from tests.adapters.proxies.judge import RecordingJudge

pytestmark = pytest.mark.anyio

CLOCK = SystemClock()
SERVICES = {"orders": ("o1", "o2", "o3")}
ORDERS, O1, O2 = Target("orders"), Target("orders", "o1"), Target("orders", "o2")


def order(number: int, target: Target, intent: Intent, *, lease_s: float = 30.0, epoch: int = 1) -> Command:
    return Command(
        id=CommandId(f"c{number}"),
        epoch=Epoch(epoch),
        incident=IncidentId("i1"),
        target=target,
        intent=intent,
        lease_until=Nanos(CLOCK.now() + to_nanos(lease_s)),
    )


def proxy_at(path: str) -> HaProxy:
    return HaProxy("edge", path, SERVICES, naming=Naming(SERVICES, {}, {}), clock=CLOCK, judge=RecordingJudge())


@asynccontextmanager
async def spoken_to(runtime: Runtime, folder: Path) -> AsyncIterator[HaProxy]:
    async with served(runtime, folder) as path, anyio.create_task_group() as tasks:
        proxy = proxy_at(path)
        tasks.start_soon(proxy.run)
        yield proxy
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.01)  # real time: sockets are


def held(runtime: Runtime) -> dict[str, int]:
    return {name: value for name, (_, _, value) in runtime.held.items()}


async def test_an_order_returns_when_it_is_acknowledged(tmp_path: Path) -> None:
    """What is sent is the difference, with what is left of the lease; taken back, it is released."""
    runtime = Runtime()
    async with spoken_to(runtime, tmp_path) as proxy:
        await proxy.apply(order(1, O1, Eject(), lease_s=20))
        kind, left_ms, percent = runtime.held["orders/o1"]
        assert (kind, percent) == ("hold", 0)
        assert 15_000 < left_ms <= 20_000
        await proxy.apply(order(2, ORDERS, Isolate()))
        assert held(runtime) == {
            "orders/o1": 0,
            **{f"orders/{name}": 0 for name in ("critical", "default", "sheddable")},
        }
        await proxy.apply(order(3, O1, Restore()))
        await proxy.apply(order(4, ORDERS, Restore()))
        assert held(runtime) == {}
        view = proxy.effective.view(CLOCK.now())
        assert (view.condition, view.converged.count, view.waiting) == ("in force", 4, {})


async def test_a_new_worker_gets_what_is_in_force(tmp_path: Path) -> None:
    """A reload begins with nothing; the old worker, which only finishes, is not believed."""
    runtime = Runtime()
    async with spoken_to(runtime, tmp_path) as proxy:
        await proxy.apply(order(1, O1, Eject()))
        runtime.stopping = 1
        await until(lambda: runtime.connections > 2)
        runtime.pid, runtime.stopping, runtime.held = 2, 0, {}
        await until(lambda: held(runtime) == {"orders/o1": 0})
        await until(lambda: proxy.effective.restarts == 1)


async def test_what_an_earlier_life_ordered_is_left_to_its_lease(tmp_path: Path) -> None:
    """Found in force at the start: renewed where it is ordered again, taken back where that is ordered, else left."""
    runtime = Runtime()
    for name in ("o1", "o2", "o3"):
        runtime.held[f"orders/{name}"] = ("hold", 9_000, 0)
    async with spoken_to(runtime, tmp_path) as proxy:
        await proxy.apply(order(1, O1, Eject(), lease_s=60))
        assert held(runtime) == {"orders/o1": 0, "orders/o2": 0, "orders/o3": 0}
        assert runtime.held["orders/o1"][1] > 50_000
        await proxy.apply(order(2, O2, Restore()))
        assert held(runtime) == {"orders/o1": 0, "orders/o3": 0}


async def test_what_the_proxy_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    """A server that it does not have; the others' orders are in force."""
    runtime = Runtime()
    del runtime.servers["orders/o2"]
    async with spoken_to(runtime, tmp_path) as proxy:
        await until(lambda: proxy.effective.trouble == "it has no orders/o2")
        with pytest.raises(ActuationError, match="edge refused: orders/o2: no server orders/o2") as refused:
            await proxy.apply(order(1, O2, Eject()))
        assert not refused.value.retryable
        await proxy.apply(order(2, O2, Restore()))
        await proxy.apply(order(3, O1, Eject()))
        assert held(runtime) == {"orders/o1": 0}


async def test_a_configuration_without_the_script_is_out_of_reach(tmp_path: Path) -> None:
    """No order could end by itself there: none is given."""
    runtime = Runtime()
    runtime.answer = lambda command: b"Unknown command: x\n\n> " if command == "controlplane list" else None
    async with spoken_to(runtime, tmp_path) as proxy:
        with pytest.raises(ActuationError, match=r"does not load controlplane\.lua"):
            await proxy.apply(order(1, O1, Eject()))
        assert held(runtime) == {}


@pytest.mark.parametrize("nonsense", [b"\n> ", b"500 go away\n\n> ", b"\xff\xfe\n> ", b"Pid\n\n> "])
async def test_whatever_is_no_haproxy_is_out_of_reach(tmp_path: Path, nonsense: bytes) -> None:
    """Another program behind the socket is shown, and nothing breaks."""
    runtime = Runtime()
    runtime.answer = lambda command: nonsense if command == "show info" else None
    async with spoken_to(runtime, tmp_path) as proxy:
        await until(lambda: "not HAProxy's answer" in proxy.effective.trouble)
        assert proxy.effective.condition(CLOCK.now()) == "unreachable"


async def test_an_older_epoch_is_refused_at_once(tmp_path: Path) -> None:
    """Without asking anybody."""
    runtime = Runtime()
    async with spoken_to(runtime, tmp_path) as proxy:
        await proxy.apply(order(1, O1, Eject(), epoch=2))
        with pytest.raises(StaleEpoch):
            await proxy.apply(order(9, O1, Restore()))
        assert held(runtime) == {"orders/o1": 0}


async def test_half_of_one_is_refused(tmp_path: Path) -> None:
    """Of a weight of 1 there is no share: the message says what to configure."""
    runtime = Runtime()
    runtime.servers["orders/o1"][5] = "1"
    async with spoken_to(runtime, tmp_path) as proxy:
        await proxy.apply(order(1, O1, Eject()))
        for number, intent in enumerate((Probe(), Weigh(50)), 2):
            with pytest.raises(ActuationError, match=r"the weight of orders/o1 is 1, .* configure `weight 100`"):
                await proxy.apply(order(number, O1, intent))
        assert held(runtime) == {"orders/o1": 0}


async def test_orders_that_lapse_while_it_is_away_are_not_put_in_force(tmp_path: Path) -> None:
    """However often they were repeated meanwhile; those whose lease goes on are."""
    runtime = Runtime()
    proxy = proxy_at(str(tmp_path / "admin.sock"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(proxy.run)
        for number in range(1, 6):
            for target, lease_s in ((O1, 0.3), (O2, 30.0)):
                with pytest.raises(ActuationError, match="out of reach"):
                    await proxy.apply(order(number, target, Eject(), lease_s=lease_s))
        await until(lambda: [one.command.target for one in proxy.wanted.orders()] == [O2])
        async with served(runtime, tmp_path):
            await until(lambda: held(runtime) == {"orders/o2": 0})
            assert not [asked for asked in runtime.asked if "hold orders/o1" in asked]
            tasks.cancel_scope.cancel()

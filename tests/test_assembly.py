"""The plane: wired from a configuration, at home in its host's program, and gone without a trace."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

import controlplane
from controlplane.assembly import Plane
from controlplane.config import parse_config
from controlplane.model.config import Config
from controlplane.model.errors import JournalBusy, JournalError
from controlplane.model.notice import Notice
from controlplane.model.record import EpochStarted, OrderTaken
from controlplane.model.signal import Cause, FellBack, Target, Tripped
from controlplane.testing import MemoryJournal

pytestmark = pytest.mark.anyio

ORDERS = """
[plane]
name = "shop"
[[services]]
name = "orders"
endpoints = [{ name = "a", url = "http://127.0.0.1:1" }, { name = "b", url = "http://127.0.0.1:2" }]
"""


def config(rest: str = "") -> Config:
    return parse_config(ORDERS + rest)


async def test_it_folds_its_journal_before_the_body_begins() -> None:
    """Inside `async with` the plane is ready, an epoch further than before."""
    store: Any = []
    for epoch in (1, 2):
        async with Plane(config(), journal=MemoryJournal(store)) as plane:
            assert plane.ready
            assert plane.state.epoch == epoch
        assert not plane.ready
    assert [type(record) for _, record in store] == [EpochStarted, EpochStarted]


async def test_it_is_entered_once() -> None:
    """A second entry is a mistake with a name, and does not disturb the first."""
    async with Plane(config()) as plane:
        with pytest.raises(RuntimeError, match="entered once"):
            await plane.__aenter__()
        assert plane.ready
    with pytest.raises(RuntimeError, match="entered once"):
        await plane.__aenter__()


async def test_what_ends_the_body_comes_out_as_it_was() -> None:
    """The program's own exception is not wrapped in a group of ours."""
    with pytest.raises(KeyError, match="mine"):
        async with Plane(config()):
            raise KeyError("mine")


async def test_cancellation_passes_through() -> None:
    """A time-out around the plane ends it, and it gives its journal back."""
    journal = MemoryJournal()
    with anyio.move_on_after(0.05) as scope:
        async with Plane(config(), journal=journal):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(JournalError, match="closed"):
        await journal.read()


async def test_reflexes_work_without_the_loop() -> None:
    """Before and after `async with`, guards answer and the transport ejects; facts are taken or refused by name."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500 if request.url.port == 2 else 200)

    plane = Plane(config(), seed=3)
    for _ in range(2):
        async with httpx.AsyncClient(transport=plane.transport(httpx.MockTransport(answer))) as client:
            for _ in range(100):
                await client.get("http://orders/1")
        assert plane.guard("orders").is_ejected(1)
        plane.fell_back("orders")
        with pytest.raises(RuntimeError, match="async with"):
            plane.submit_nowait(FellBack(at=plane.clock.now(), service="orders", count=1))
        with pytest.raises(RuntimeError, match="async with"):
            await plane.order("freeze", by="test")
        if not plane._entered:
            async with plane:
                pass


async def test_a_failing_endpoint_becomes_an_incident() -> None:
    """Calls through the transport, a guard that trips, an engine that names it, a notice that tells it."""

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500 if request.url.port == 2 else 200)

    class Ear:
        def __init__(self) -> None:
            self.heard: list[Notice] = []

        async def notify(self, notice: Notice) -> None:
            self.heard.append(notice)

    ear = Ear()
    async with (
        Plane(config(), notifiers=[ear], seed=3) as plane,
        httpx.AsyncClient(transport=plane.transport(httpx.MockTransport(answer))) as client,
    ):
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await client.get("http://orders/1")).status_code)

        with anyio.fail_after(10):
            while not plane.state.incidents:
                async with anyio.create_task_group() as tasks:
                    for _ in range(20):
                        tasks.start_soon(ask)
            while not ear.heard:
                await anyio.lowlevel.checkpoint()
        incident = next(iter(plane.state.incidents.values()))
        assert (incident.origin, incident.cause) == (Target("orders", "b"), Cause.ERRORS)
        statuses.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
        assert statuses == [200] * 50


async def test_calls_by_with_wake_the_loop_too() -> None:
    """What is guarded without HTTP, in whatever thread, is answered at once and not at the loop's next occasion."""
    async with Plane(config(), seed=3) as plane:
        guard = plane.guard("orders")

        def calls() -> None:
            for _ in range(60):
                with contextlib.suppress(ValueError), guard.acquire() as permit:
                    if permit.endpoint == 1:
                        raise ValueError

        await anyio.to_thread.run_sync(calls)
        with anyio.fail_after(10):
            while not plane.state.incidents:
                await anyio.lowlevel.checkpoint()


async def test_orders_are_on_record_and_in_force_when_they_return() -> None:
    """`observe` switches the reflexes off, `enforce` on again, and a restart remembers the last word."""
    store: Any = []
    async with Plane(config(), journal=MemoryJournal(store)) as plane:
        await plane.order("observe", by="ana", reason="cautious")
        assert plane.guard("orders").describe()["enforced"] == 0
        assert any(isinstance(record, OrderTaken) for _, record in store)
    plane = Plane(config(), journal=MemoryJournal(store))
    assert plane.guard("orders").describe()["enforced"] == 1
    async with plane:
        assert plane.state.mode == "observe"
        assert plane.guard("orders").describe()["enforced"] == 0


async def test_an_incident_and_its_order_outlive_the_plane() -> None:
    """A new plane over the same journal has the same incident open and ejects by the same order, not longer."""
    store: Any = []
    async with Plane(config(), journal=MemoryJournal(store)) as plane:
        trip = Tripped(at=plane.clock.now(), target=Target("orders", "b"), cause=Cause.ERRORS, calls=7, failures=7)
        plane.submit_nowait(trip)
        with anyio.fail_after(5):
            while not plane.state.in_force:
                await anyio.lowlevel.checkpoint()
        before = plane.state.in_force["orders/b"]
    async with Plane(config(), journal=MemoryJournal(store)) as plane:
        after = plane.state.in_force["orders/b"]
        assert (after.id, after.epoch) == (before.id, before.epoch + 1)
        assert after.lease_until <= before.lease_until
        assert plane.guard("orders").is_ejected(1)
        assert [one.id for one in plane.state.open_incidents()] == [before.incident]


async def test_orders_in_force_come_back_where_only_an_order_enforces() -> None:
    """Configured to observe, ordered to enforce: the guards enforce before the first order is applied again."""
    store: Any = []
    observing = msgspec.structs.replace(config(), plane=msgspec.structs.replace(config().plane, mode="observe"))
    async with Plane(observing, journal=MemoryJournal(store)) as plane:
        await plane.order("enforce", by="alice")
        trip = Tripped(at=plane.clock.now(), target=Target("orders", "a"), cause=Cause.ERRORS, calls=5, failures=5)
        await plane._loop.execute(trip)
        assert plane.guard("orders").is_ejected(0)
    async with Plane(observing, journal=MemoryJournal(store)) as again:
        assert again.state.in_force
        assert again.guard("orders").is_ejected(0)
        await again.order("observe", by="bob")
        assert not again.state.in_force
        assert not again.guard("orders").is_ejected(0)


async def test_a_journal_in_use_is_an_error_at_the_start(tmp_path: Path) -> None:
    """Two planes do not share a journal: the second says who has it, and starts nothing."""
    stored = config(f'[journal]\npath = "{tmp_path}/controlplane.db"')
    async with Plane(stored):
        with pytest.raises(JournalBusy, match=r"controlplane\.db"):
            async with Plane(stored):
                pytest.fail("it began")
    async with Plane(stored) as again:
        assert again.state.epoch == 2


async def test_a_loop_that_breaks_leaves_the_program_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body goes on under reflexes; the plane is no longer ready and says why."""
    plane = Plane(config())

    async def broken() -> None:
        raise ZeroDivisionError("a mistake of ours")

    async with plane:
        monkeypatch.setattr(plane._loop, "_turn", broken)
        plane._loop.ring()
        with anyio.fail_after(5):
            while plane.ready:
                await anyio.lowlevel.checkpoint()
        assert "a mistake of ours" in plane.trouble
        assert plane.guard("orders").try_acquire()


async def test_records_can_be_followed() -> None:
    """From the beginning, or from the newest on."""
    async with Plane(config()) as plane:
        newest = plane.statistics().last_number
        await plane.order("freeze", by="ana")
        async with plane.follow() as records:
            assert isinstance((await records.receive())[1], EpochStarted)
        async with plane.follow(newest) as records:
            number, record = await records.receive()
            assert number == newest + 1
            assert isinstance(record, OrderTaken)


async def test_the_gateway_proxies_by_its_routes() -> None:
    """The configured reverse proxy is an ASGI application; what has no route is told so."""
    plane = Plane(config('[gateway]\nroutes = { "/orders" = "orders" }'))
    async with (
        plane,
        plane.gateway() as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.get("/orders/1")).status_code == 502  # nobody listens on port 1


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_importing_the_package_imports_nothing_heavy() -> None:
    """`import controlplane` brings in none of the libraries behind it, and every public name can be had."""
    heavy = "{'anyio', 'httpx', 'numpy', 'msgspec', 'starlette', 'trio', 'asyncio', 'sqlite3'}"
    assert run(f"import sys; import controlplane; print({heavy} & set(sys.modules))") == "set()"
    for name in controlplane.__all__:
        assert getattr(controlplane, name) is not None
    assert set(controlplane.__all__) <= set(dir(controlplane))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = controlplane.nothing  # type: ignore[attr-defined]

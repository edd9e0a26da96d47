"""kill -9 in the middle of an incident, then a restart: real engine, real loop, real file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.decide.engine import Engine
from controlplane.model.command import Eject
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import CommandIssued, EpochStarted, NoticeDelivered, NoticeIssued, OrderTaken
from controlplane.model.signal import Cause, Ordered, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import RecordingDataPlane, VirtualClock

pytestmark = pytest.mark.anyio

ONE = Target("orders", "orders-1")
TOPOLOGY = Topology(
    entry="web",
    services=(
        Service(name="web", calls=("orders",)),
        Service(
            name="orders",
            endpoints=tuple(Endpoint(name=f"orders-{n}", url=f"http://127.0.0.1:{n}") for n in (1, 2, 3, 4)),
        ),
    ),
)
POLICY = ResponsePolicy(lease_s=30.0, blast_budget_percent=100)


class Life:
    """One process's worth of plane over a journal file."""

    def __init__(self, path: Path, clock: VirtualClock) -> None:
        self.clock = clock
        self.engine = Engine(TOPOLOGY, POLICY)
        self.journal = SqliteJournal(path)
        self.data_plane = RecordingDataPlane()
        self.loop = ControlLoop(
            self.engine,
            clock=clock,
            journal=self.journal,
            data_planes=[self.data_plane],
            append_timeout_s=60.0,  # real time on two of the loops: a slow disk is another test's matter
        )

    @asynccontextmanager
    async def lived(self) -> AsyncIterator["Life"]:
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self.loop.run)
                yield self
                tasks.cancel_scope.cancel()
        finally:
            await self.journal.aclose()

    async def trip(self) -> None:
        now = self.clock.now()
        await self.loop.execute(Tripped(at=now, target=ONE, cause=Cause.ERRORS, calls=5, failures=5, contained=True))


async def test_an_open_incident_and_its_orders_outlive_the_process(tmp_path: Path) -> None:
    """The successor knows the incident, has a newer epoch, and has ordered the ejection again with the same lease."""
    clock = VirtualClock(now=10**12)
    async with Life(tmp_path / "journal.db", clock).lived() as first:
        await first.trip()
        ejected = first.data_plane.applied[0]
        assert (ejected.target, ejected.intent) == (ONE, Eject())
    clock.advance(3)
    async with Life(tmp_path / "journal.db", clock).lived() as second:
        state = second.engine.state
        assert [incident.origin.service for incident in state.open_incidents()] == ["orders"]
        again = second.data_plane.applied[0]
        assert again.id == ejected.id
        assert again.epoch > ejected.epoch
        assert again.lease_until == ejected.lease_until


async def test_a_lease_that_ran_out_meanwhile_is_not_renewed(tmp_path: Path) -> None:
    """A process that was away longer than the lease does not order the ejection again as if nothing had been."""
    clock = VirtualClock(now=10**12)
    async with Life(tmp_path / "journal.db", clock).lived() as first:
        await first.trip()
    clock.advance(300)
    async with Life(tmp_path / "journal.db", clock).lived() as second:
        assert Eject() not in [order.intent for order in second.data_plane.applied]
        assert second.engine.state.open_incidents() != []


async def test_a_new_boot_does_not_make_leases_longer(tmp_path: Path) -> None:
    """After a reboot the monotonic clock begins again; the lease still ends when it would have."""
    clock = VirtualClock(now=10**12)
    async with Life(tmp_path / "journal.db", clock).lived() as first:
        await first.trip()
        left_ns = first.data_plane.applied[0].lease_until - clock.now()
    clock.advance(5)
    clock.reboot("another", now=10**9)
    async with Life(tmp_path / "journal.db", clock).lived() as second:
        again = second.data_plane.applied[0]
        assert 0 < again.lease_until - clock.now() <= left_ns - 4_900_000_000


async def test_a_freeze_outlives_the_process(tmp_path: Path) -> None:
    """A person's order is as durable as the engine's."""
    clock = VirtualClock(now=10**12)
    async with Life(tmp_path / "journal.db", clock).lived() as first:
        await first.loop.execute(Ordered(at=clock.now(), order="freeze", by="alice", reason="migration"))
    async with Life(tmp_path / "journal.db", clock).lived() as second:
        assert second.engine.state.frozen
        assert second.engine.state.frozen_reason == "migration"


async def test_the_record_of_a_command_is_in_the_file_before_it_acts(tmp_path: Path) -> None:
    """At the moment a data plane is asked, another reader of the file already finds the command and its undo."""
    clock = VirtualClock(now=10**12)
    life = Life(tmp_path / "journal.db", clock)
    found: list[bool] = []

    async def look(command: object) -> None:
        held = await life.journal.read()
        found.append(any(isinstance(entry, CommandIssued) and entry.command == command for entry in held))

    life.data_plane._meet = look
    async with life.lived():
        await life.trip()
    assert found
    assert all(found)


async def test_followers_see_one_history_across_lives(tmp_path: Path) -> None:
    """Numbers go on where the previous process ended, so that a stream can be resumed after a restart."""
    clock = VirtualClock(now=10**12)
    async with Life(tmp_path / "journal.db", clock).lived() as first:
        await first.loop.execute(Ordered(at=clock.now(), order="freeze", by="alice"))
    async with Life(tmp_path / "journal.db", clock).lived() as second, second.loop.follow(0) as stream:
        seen = [await stream.receive() for _ in range(5)]
    assert [number for number, _ in seen] == [1, 2, 3, 4, 5]
    assert [type(entry) for _, entry in seen] == [
        EpochStarted,
        OrderTaken,
        NoticeIssued,
        NoticeDelivered,
        EpochStarted,
    ]

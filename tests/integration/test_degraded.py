"""Disks that are really full or read-only, and clocks that are set: containment goes on, and it is said."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.stores import sqlite
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.cli import main
from controlplane.decide.engine import Engine
from controlplane.model.command import Eject
from controlplane.model.errors import JournalError
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import JournalGap
from controlplane.model.signal import Cause, Ordered, Target, Tripped
from controlplane.model.unit import to_nanos
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import RecordingDataPlane, RecordingNotifier, VirtualClock
from tests.taped import MESH, setup_of

pytestmark = pytest.mark.anyio

POLICY = ResponsePolicy(lease_s=30.0, blast_budget_percent=100, penalty_s=60.0)
DISK_BYTES = 512 * 1024


class Disk:
    """A file system of its own, so small that it fills, which can be made read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no block free. Raises nothing: ENOSPC is what is wanted."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (4096, 512, 1):
                while True:
                    try:
                        file.write(b"x" * size)
                    except OSError:
                        break

    def empty(self) -> None:
        self._filler.unlink()

    def set_mode(self, mode: str) -> None:
        """ "ro" or "rw"."""
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A tmpfs, where this user may mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk; test_sqlite.py has the same faults without one")
    yield Disk(path)
    subprocess.run(["umount", str(path)], check=True)


class Life:
    """One process's worth of plane."""

    def __init__(self, path: Path, clock: VirtualClock) -> None:
        self.clock = clock
        self.engine = Engine(MESH, POLICY)
        self.journal = SqliteJournal(path)
        self.data_plane, self.notifier = RecordingDataPlane(), RecordingNotifier()
        self.loop = ControlLoop(
            self.engine,
            clock=clock,
            journal=self.journal,
            data_planes=[self.data_plane],
            notifiers=[self.notifier],
            setup=setup_of(MESH, POLICY),
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

    async def trip(self, endpoint: str) -> Target:
        """A fault that is contained, whatever else fails."""
        target = Target("cart", endpoint)
        trip = Tripped(at=self.clock.now(), target=target, cause=Cause.ERRORS, calls=5, failures=5, contained=True)
        self.loop.submit_nowait(trip)
        with anyio.fail_after(20):
            while target not in self.data_plane.in_force:
                await anyio.sleep(0.001)  # real time: who spins here takes the interpreter from the thread that writes
        await self.settle()
        return target

    async def settle(self) -> None:
        """Until nothing waits to be decided, written or told."""
        seen, same = None, 0
        with anyio.fail_after(20):
            while same < 3:  # looks at which nothing had happened: a thread writes, and tasks answer
                now = self.loop.statistics()
                figures = (now.steps, now.inbox, now.records, now.lost, now.notices, now.commands)
                same = same + 1 if figures == seen and not now.inbox else 0
                seen = figures
                await anyio.wait_all_tasks_blocked()
                await self.journal.read_after(10**9, limit=1)

    @property
    def texts(self) -> list[str]:
        """What people were told."""
        return [notice.text for notice in self.notifier.delivered]


async def test_a_full_disk(disk: Disk) -> None:
    """ENOSPC: faults are contained, people are told, and when there is room again the gap is on record."""
    path = disk.path / "journal.db"
    clock = VirtualClock(now=10**12)
    async with Life(path, clock).lived() as life:
        await life.trip("cart-0")
        disk.fill()
        for _ in range(20):  # what the log had allocated before is used up
            try:
                await life.loop.execute(Ordered(at=clock.now(), order="resume", by="x", reason="x" * 2000))
            except JournalError:
                break
        await life.trip("cart-1")
        assert not life.loop.statistics().journal_ok
        assert "disk is full" in life.loop.statistics().degraded[0]
        assert any("the journal does not take records" in text for text in life.texts)
        lost = life.loop.statistics().lost
        disk.empty()
        await life.trip("cart-2")
        assert life.loop.statistics().degraded == ()
        (gap,) = [record for record in await life.journal.read() if isinstance(record, JournalGap)]
        assert gap.records >= lost
        assert any("the journal works again" in text for text in life.texts)
    assert main(["replay", str(path)]) == 0


async def test_a_journal_that_is_read_only_at_the_start(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on record is known, faults are contained, it is said, and writing begins when the disk allows it."""
    monkeypatch.setattr(sqlite, "_REOPEN_S", 0.0)
    path = disk.path / "journal.db"
    clock = VirtualClock(now=10**12)
    async with Life(path, clock).lived() as first:
        await first.trip("cart-0")
    disk.set_mode("ro")
    try:
        async with Life(path, clock).lived() as second:
            assert [order.intent for order in second.data_plane.applied] == [Eject()]
            assert second.engine.state.open_incidents()
            await second.trip("cart-1")
            assert "read-only" in second.loop.statistics().degraded[0].lower()
            assert any("the journal does not take records" in text for text in second.texts)
            disk.set_mode("rw")
            await second.trip("cart-2")
            assert second.loop.statistics().degraded == ()
    finally:
        disk.set_mode("rw")
    async with Life(path, clock).lived() as third:
        assert third.engine.state.epoch == 3
        assert third.engine.state.journal_gap > 0
    assert main(["replay", str(path)]) == 0


async def test_a_journal_that_becomes_read_only(tmp_path: Path) -> None:
    """SQLite answers SQLITE_READONLY in the middle of an incident; the same as with a full disk."""
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)
    async with Life(path, clock).lived() as life:
        await life.trip("cart-0")
        await life.journal._call(lambda: life.journal._table.connection.execute("PRAGMA query_only=1"))
        await life.trip("cart-1")
        assert "readonly database" in life.loop.statistics().degraded[0]
        assert any("readonly database" in text for text in life.texts)
        await life.journal._call(lambda: life.journal._table.connection.execute("PRAGMA query_only=0"))
        await life.trip("cart-2")
        assert life.engine.state.journal_gap > 0
    assert main(["replay", str(path)]) == 0


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_wall_clock_that_is_set_changes_no_lease(tmp_path: Path, hours: int) -> None:
    """At run time and across a restart leases go by the monotonic clock; after the restart people are told."""
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)
    async with Life(path, clock).lived() as first:
        target = await first.trip("cart-0")
        lease = first.data_plane.in_force[target].lease_until
        clock.step_wall(hours * 3600)
        await first.loop.execute(Ordered(at=clock.now(), order="resume", by="alice"))
        assert first.data_plane.in_force[target].lease_until == lease
        assert len(first.data_plane.applied) == 1
    clock.advance(3)
    async with Life(path, clock).lived() as second:
        assert second.data_plane.in_force[target].lease_until == lease
        assert isinstance(second.data_plane.in_force[target].intent, Eject)
        await second.settle()
        (text,) = [text for text in second.texts if "wall clock" in text]
    assert text.startswith(f"the wall clock went {'ahead' if hours > 0 else 'back'} by 18000 s since the last start")
    assert main(["replay", str(path)]) == 0


async def test_a_wall_clock_that_is_set_during_a_reboot_never_lengthens_a_lease(tmp_path: Path) -> None:
    """Back: it is at most what it was at the last record. Ahead: it is over, and the target is tried with care."""
    for hours in (-5, 5):
        path = tmp_path / f"journal{hours}.db"
        clock = VirtualClock(now=10**12)
        async with Life(path, clock).lived() as first:
            target = await first.trip("cart-0")
        clock.step_wall(hours * 3600)
        clock.reboot(f"boot {hours}", now=10**9)
        async with Life(path, clock).lived() as second:
            await second.settle()
            order = second.data_plane.in_force[target]
            if hours < 0:
                assert isinstance(order.intent, Eject)
                assert order.lease_until - clock.now() <= to_nanos(POLICY.lease_s)
                assert any("the wall clock went back by" in text for text in second.texts)
            else:
                assert not isinstance(order.intent, Eject)
        assert main(["replay", str(path)]) == 0

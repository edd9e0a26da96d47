"""What the real loop was told goes on record as it happens, and is enough to make every decision again."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from controlplane.adapters.stores import inputs as stored
from controlplane.adapters.stores.history import History
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.cli import main
from controlplane.decide.engine import Engine
from controlplane.decide.graph.live import DependencyGraph
from controlplane.model import signal as sig
from controlplane.model.signal import Cause, Ordered, Signal, Target, Tripped
from controlplane.model.unit import Nanos
from controlplane.runtime import tape
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import RecordingDataPlane, RecordingNotifier, ScriptedSource, VirtualClock
from tests.taped import MESH, POLICY, setup_of, signals

pytestmark = pytest.mark.anyio

ONE = Target("stock", "stock-1")
UNLUCKY = 1_313_131  # calls


@pytest.fixture(autouse=True)
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine with a mistake in it, live and when it replays."""
    observe = DependencyGraph.observe

    def observed(graph: DependencyGraph, signal: sig.EdgeSampled) -> None:
        if signal.calls == UNLUCKY:
            raise OverflowError("unlucky")
        observe(graph, signal)

    monkeypatch.setattr(DependencyGraph, "observe", observed)


def too_many(at: Nanos) -> list[Signal]:
    """What the engine breaks over, and the same again."""
    one = sig.EdgeSampled(
        at=at, caller="web", callee="cart", window_ns=10**9, calls=UNLUCKY, failures=0, source="gateway"
    )
    return [one, one]


class Life:
    """One process's worth of plane over a journal file, whose source says what it is told."""

    def __init__(self, path: Path, clock: VirtualClock, *, inputs_max: int = 100_000) -> None:
        self.clock, self.source = clock, ScriptedSource()
        self.journal = SqliteJournal(path, inputs_max=inputs_max)
        self.data_plane, self.notifier = RecordingDataPlane(), RecordingNotifier()
        self.engine = Engine(MESH, POLICY)
        self.loop = ControlLoop(
            self.engine,
            clock=clock,
            journal=self.journal,
            data_planes=[self.data_plane],
            sources=[self.source],
            notifiers=[self.notifier],
            append_timeout_s=60.0,  # real time on two of the loops: a slow disk is another test's matter
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

    async def tell(self, told: Iterable[Signal]) -> None:
        """Have each decided; time goes on meanwhile."""
        for signal in told:
            behind = signal.at - self.clock.now()
            if behind > 0:
                self.clock.advance(behind / 1e9)
            self.source.tell(signal)
            self.loop.ring()
            if self.loop.statistics().steps % 7 == 0:  # several wait, as a rule
                await self.settle()
        await self.settle()

    async def settle(self) -> None:
        """Until nothing waits to be decided, written or told."""
        with anyio.fail_after(20):
            steps = -1
            while steps != self.loop.statistics().steps or self.loop.statistics().inbox or self.source.facts:
                steps = self.loop.statistics().steps
                self.loop.ring()
                await anyio.wait_all_tasks_blocked()
                await self.journal.read_after(10**9, limit=1)  # after every append that was asked for before
                await anyio.wait_all_tasks_blocked()

    def trip(self) -> Tripped:
        return Tripped(at=self.clock.now(), target=ONE, cause=Cause.ERRORS, calls=5, failures=5, contained=True)


def replayed(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, object]]]:
    """Exit status and epochs of `controlplane replay`."""
    status = main(["replay", str(path), "--json"])
    epochs: list[dict[str, object]] = msgspec.json.decode(capsys.readouterr().out)["epochs"]
    return status, epochs


async def test_lives_of_the_real_loop_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Groups, ticks, answers of data planes and notifiers, an engine that breaks, a restart: all of it again."""
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)
    async with Life(path, clock).lived() as first:
        await first.tell(signals(5, 300, begin=clock.now()))
        await first.tell(too_many(clock.now()))
        assert first.loop.statistics().engine_errors > 0
        await first.tell(signals(6, 200, begin=clock.now()))
        live = main(["replay", str(path), "--json"])  # while it runs
    capsys.readouterr()
    async with Life(path, clock).lived() as second:
        await second.tell(signals(7, 200, begin=clock.now()))
    status, epochs = replayed(path, capsys)
    assert (live, status) == (0, 0)
    assert [one["stopped"] for one in epochs] == ["", ""]
    assert sum(int(str(one["records"])) for one in epochs) > 200


async def test_inputs_cost_no_append_of_their_own(tmp_path: Path) -> None:
    """Those that cause no record wait for one that does; alone they are written about once a second, and at the end."""
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)

    def rows() -> list[tuple[int, int]]:
        with History(path) as history:
            return [(row.first, row.count) for row, _ in history.inputs(1)]

    quiet = sig.Sampled(at=clock.now(), target=ONE, calls=1, failures=0, slow=0)
    async with Life(path, clock).lived() as life:
        await life.tell([quiet] * 10)
        assert rows() == [(1, 1)]
        await life.tell([life.trip()])
        assert rows()[1] == (2, 11)
        written = len(rows())
        clock.advance(1.5)
        await life.tell([quiet] * 3)
        clock.advance(1.5)
        life.loop.ring()
        await anyio.wait_all_tasks_blocked()
        await life.settle()
        assert len(rows()) > written
        await life.tell([quiet])
    last, count = rows()[-1]
    with History(path) as history:
        told = [one for _, inputs in history.inputs(1) for one in inputs]
    assert len(told) == last + count - 1


async def test_what_a_full_journal_did_not_take_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Records are lost, inputs are not: the replay makes the lost decisions again, and covers those after."""
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)
    life = Life(path, clock)
    async with life.lived():
        await life.tell(signals(8, 100, begin=clock.now()))
        await pages(life, 1)
        await life.tell(signals(9, 100, begin=clock.now()))
        assert life.loop.statistics().lost > 0
        await pages(life, 1_000_000)
        await life.tell(signals(10, 100, begin=clock.now()))
    lost = life.loop.statistics().lost  # at the end: a notice may be told, and lost, after everything is settled
    status, (epoch,) = replayed(path, capsys)
    assert (status, epoch["stopped"], epoch["records_lost"]) == (0, "", lost)


async def test_an_epoch_whose_begin_was_not_taken_is_put_on_record_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the times of what follows could not be read after a reboot, and two epochs would have one number."""
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)
    async with Life(path, clock).lived() as first:
        await first.tell(signals(8, 50, begin=clock.now()))
    second = Life(path, clock)
    await second.journal.open()
    await pages(second, 1)
    async with second.lived():
        assert second.loop.statistics().lost  # what is smaller may still find room
        await second.tell([second.trip()])
        await pages(second, 1_000_000)
        clock.advance(2)
        await second.loop.execute(Ordered(at=clock.now(), order="freeze", by="alice"))
    async with Life(path, clock).lived() as third:
        assert third.engine.state.epoch == 3
        assert third.engine.state.frozen
    status, epochs = replayed(path, capsys)
    assert (status, [one["epoch"] for one in epochs]) == (0, [1, 2, 3])
    assert [one["stopped"] for one in epochs] == ["", "", ""]
    assert int(str(epochs[1]["records_lost"])) > 1


async def pages(life: Life, count: int) -> None:
    """So large may the file become; SQLite never makes it smaller than it is."""
    await life.journal._call(lambda: life.journal._table.connection.execute(f"PRAGMA max_page_count={count}"))


async def test_a_value_that_is_no_signals_costs_the_replay_and_not_the_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be encoded ends what a replay can cover; decisions go on record all the same."""
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)
    async with Life(path, clock).lived() as life:
        await life.tell([sig.FellBack(at=clock.now(), service="mail", count=2**70), life.trip()])
        assert life.loop.statistics().lost == 0
        assert life.loop.statistics().records > 3
    status, (epoch,) = replayed(path, capsys)
    assert status == 0
    assert epoch["stopped"] == "its inputs end before record 2"


async def test_inputs_are_bounded_and_the_oldest_epoch_goes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond `inputs_max` older epochs lose theirs from the end; a running one that is too long ends in being kept."""
    monkeypatch.setattr(stored, "_REMOVED_ROWS", 5)
    monkeypatch.setattr(tape, "FLUSH_NS", 0)
    path = tmp_path / "journal.db"
    clock = VirtualClock(now=10**12)
    for seed in (11, 12, 13):
        life = Life(path, clock, inputs_max=600)
        async with life.lived():
            await life.tell(signals(seed, 250, begin=clock.now()))
            with anyio.fail_after(20):
                while await life.journal._call(life.journal._table._inputs.too_many):
                    await anyio.lowlevel.checkpoint()
    status, epochs = replayed(path, capsys)
    assert status == 0
    counts = [int(str(one["inputs"])) for one in epochs]
    assert sum(counts) <= 600
    assert counts[0] < counts[1]
    assert epochs[-1]["stopped"] == ""
    assert epochs[0]["stopped"]

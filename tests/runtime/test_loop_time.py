"""The loop and time, on trio's virtual clock: an hour passes in no time."""

from typing import Any

import anyio
import msgspec
import pytest
import trio.testing

from controlplane.model.errors import JournalError
from controlplane.model.outcome import Outcome
from controlplane.model.signal import Signal
from controlplane.model.unit import MILLISECOND, SECOND, Nanos
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import RecordingDataPlane
from tests.runtime.scripted import World, command, fact, record

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


async def test_it_ticks_when_the_engine_said_and_samples_first() -> None:
    """At wake_at sources are sampled, the samples are decided, then the engine ticks; not before, and not again."""
    world = World()
    began = world.clock.now()
    world.source.samples = [fact("sample")]
    world.engine.begin = Outcome(wake_at=Nanos(began + 90 * SECOND))
    async with world.running():
        await anyio.sleep(89.999)
        assert world.engine.ticked_at == []
        assert world.source.sampled == 0
        await anyio.sleep(3600)
    assert world.engine.ticked_at == [began + 90 * SECOND]
    assert world.log == ["start boot", "step sample", "tick"]


async def test_a_newer_outcome_moves_the_time() -> None:
    """The last outcome's wake_at is the one that counts, and None takes it back."""
    world = World()
    began = world.clock.now()
    world.engine.begin = Outcome(wake_at=Nanos(began + 10 * SECOND))
    world.engine.on["later"] = Outcome(wake_at=Nanos(began + 60 * SECOND))
    world.engine.on["sooner"] = Outcome(wake_at=Nanos(began + 20 * SECOND))
    async with world.running() as loop:
        await loop.execute(fact("later"))
        await loop.execute(fact("sooner"))
        await anyio.sleep(120)
        assert world.engine.ticked_at == [began + 20 * SECOND]
        await loop.execute(fact("never"))
        await anyio.sleep(120)
    assert len(world.engine.ticked_at) == 1


async def test_an_engine_that_never_rests_does_not_spin_its_host() -> None:
    """A wake_at that is always due is asked for once a millisecond."""
    world = World()
    world.engine.begin = Outcome(wake_at=Nanos(1))
    world.engine.on_tick = lambda now: Outcome(wake_at=Nanos(1))
    async with world.running():
        await anyio.sleep(0.1)
    assert 90 <= len(world.engine.ticked_at) <= 110


async def test_a_tick_that_fails_is_tried_again_after_a_second() -> None:
    """A mistake of the engine at a tick neither ends the loop nor makes it spin."""
    world = World()
    began = world.clock.now()
    world.engine.begin = Outcome(wake_at=Nanos(began + SECOND))

    def tick(now: Nanos) -> Outcome:
        if len(world.engine.ticked_at) < 3:
            raise ZeroDivisionError
        return Outcome()

    world.engine.on_tick = tick
    async with world.running() as loop:
        await anyio.sleep(60)
        assert loop.statistics().engine_errors == 2
    assert world.engine.ticked_at == [began + second * SECOND for second in (1, 2, 3)]


async def test_a_flood_does_not_starve_the_tick() -> None:
    """While signals keep coming the tick is still on time."""
    world = World(inbox_max=10_000)
    began = world.clock.now()
    world.engine.begin = Outcome(wake_at=Nanos(began + 5 * MILLISECOND))
    world.engine.on["flood"] = Outcome(wake_at=Nanos(began + 5 * MILLISECOND))
    async with world.running() as loop:
        for _ in range(1000):
            loop.submit_nowait(fact("flood"))
        world.clock.advance(0.1)  # type: ignore[attr-defined]
        while not world.engine.ticked_at:
            await anyio.lowlevel.checkpoint()
        assert loop.statistics().inbox > 800  # two groups were decided, not all of them


async def test_a_thousand_samples_are_decided_before_the_tick_and_in_turns() -> None:
    """Whoever else is on the loop gets turns meanwhile, and a group that is full is carried out, not waited for."""
    world = World()
    world.source.samples = [fact(f"sample {number}") for number in range(1000)]
    world.engine.begin = Outcome(wake_at=Nanos(world.clock.now() + SECOND))
    world.engine.on["sample 999"] = Outcome((record("the last"),))
    step, began, turns = world.engine.step, anyio.Event(), 0

    def told(signal: Signal, now: Nanos) -> Outcome:
        began.set()
        return step(signal, now)

    world.engine.step = told  # type: ignore[method-assign]
    async with world.running():
        await began.wait()
        while not world.engine.ticked_at:
            await anyio.lowlevel.checkpoint()
            turns += 1
        await anyio.sleep(1)
    assert world.log[1:] == [*(f"step sample {number}" for number in range(1000)), "append the last", "tick"]
    assert turns >= 10


async def test_samples_that_take_too_long_come_after_the_tick() -> None:
    """The tick waits a fifth of a second for them, not until there are none; each is decided all the same."""
    world = World()
    began = world.clock.now()
    world.source.samples = [fact(f"sample {number}") for number in range(500)]
    world.engine.begin = Outcome(wake_at=Nanos(began + SECOND))
    step = world.engine.step

    def slow(signal: Signal, now: Nanos) -> Outcome:
        world.clock.advance(0.001)  # type: ignore[attr-defined]
        return msgspec.structs.replace(step(signal, now), wake_at=None if world.engine.ticked_at else Nanos(began))

    world.engine.step = slow  # type: ignore[method-assign]
    async with world.running():
        await anyio.sleep(5)
    assert world.log.index("tick") == pytest.approx(201, abs=5)
    assert sum(line.startswith("step sample") for line in world.log) == 500
    assert len(world.engine.ticked_at) == 1


async def test_a_hanging_data_plane_is_cut_off() -> None:
    """It costs one time-out, its other commands of that outcome come back unasked, and the loop lives on."""
    world = World()
    world.engine.on["web"] = Outcome(commands=(command("c1"), command("c2"), command("c3")))
    world.meeting["c2"] = anyio.Event
    async with world.running() as loop:
        began = anyio.current_time()
        await loop.execute(fact("web"))
        assert anyio.current_time() - began == pytest.approx(2.0)
        await anyio.wait_all_tasks_blocked()
    assert [line for line in world.log if "acted" in line] == [
        "step acted c1 ok",
        "step acted c2 no answer within 2.0 s",
        "step acted c3 no answer within 2.0 s",
    ]


async def test_a_hanging_data_plane_holds_up_no_other() -> None:
    """The second data plane has every command at once, while the first one hangs."""
    world = World()
    world.meeting["c1"] = anyio.Event
    second = RecordingDataPlane()
    world.engine.on["web"] = Outcome(commands=(command("c1"), command("c2")))
    world.loop = ControlLoop(
        world.engine, clock=world.clock, journal=world.journal, data_planes=[world.data_plane, second]
    )
    async with world.running() as loop:
        loop.submit_nowait(fact("web"))
        await anyio.wait_all_tasks_blocked()
        assert [order.id for order in second.applied] == ["c1", "c2"]
        assert world.data_plane.applied == []


async def test_a_hanging_journal_is_cut_off_and_left_alone_for_a_while() -> None:
    """It costs containment one time-out in ten, and when it answers again records are written again."""
    world = World()
    async with world.running() as loop:
        world.journal.gate = anyio.Event()
        world.engine.on["web"] = Outcome((record("r"),), (command("c1"),))
        began = anyio.current_time()
        for _ in range(5):
            with pytest.raises(JournalError, match=r"not on record: no answer within 1\.0 s"):
                await loop.execute(fact("web"))
        assert anyio.current_time() - began == pytest.approx(1.0)
        assert len(world.data_plane.applied) == 5
        world.journal.gate = None
        await anyio.sleep(10)
        await loop.execute(fact("web"))
        assert loop.statistics().journal_ok
        await anyio.wait_all_tasks_blocked()
    assert [line for line in world.log if "unwritten" in line] == [
        "step unwritten 1 no answer within 1.0 s",
        "step unwritten 4 no answer within 1.0 s",
        "step unwritten 0",
    ]


async def test_a_shutdown_is_bounded_by_the_time_outs() -> None:
    """A journal and a data plane that both hang hold up the end for one time-out each."""
    world = World()
    async with anyio.create_task_group() as tasks:
        await tasks.start(world.loop.run)
        world.journal.gate = anyio.Event()
        world.meeting["c1"] = anyio.Event
        world.engine.on["web"] = Outcome((record("r"),), (command("c1"),))
        world.loop.submit_nowait(fact("web"))
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        tasks.cancel_scope.cancel()
    assert anyio.current_time() - began == pytest.approx(3.0)

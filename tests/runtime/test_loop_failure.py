"""Crash points: a journal, a data plane or the engine fails, and containment goes on."""

import asyncio

import anyio
import pytest

from controlplane.model.command import Command
from controlplane.model.errors import ActuationError, ControlPlaneError, JournalError
from controlplane.model.outcome import Outcome
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import RecordingDataPlane
from tests.runtime.scripted import World, command, fact, record

pytestmark = pytest.mark.anyio


async def settle(loop: ControlLoop) -> None:
    """Until everything that follows from what was told has been decided."""
    await anyio.wait_all_tasks_blocked()
    assert loop.statistics().inbox == 0


async def test_containment_goes_on_without_a_journal() -> None:
    """Commands act although their records were not taken; the engine is told once, and once more when it works."""
    world = World()
    for name in ("one", "two", "three"):
        world.engine.on[name] = Outcome((record(name), record(name)), (command(f"c-{name}"),))
    world.engine.on["unwritten 0"] = Outcome((record("gap"),))
    async with world.running() as loop:
        world.journal.failure = JournalError("disk full")
        loop.submit_nowait(fact("one"))
        await settle(loop)
        assert not loop.statistics().journal_ok
        loop.submit_nowait(fact("two"))
        await settle(loop)
        assert loop.statistics().lost == 4
        world.journal.failure = None
        loop.submit_nowait(fact("three"))
        await settle(loop)
        seen = loop.statistics()
    assert [order.id for order in world.data_plane.applied] == ["c-one", "c-two", "c-three"]
    told = [line for line in world.log if "unwritten" in line]
    assert told == ["step unwritten 2 disk full", "step unwritten 2 disk full", "step unwritten 0"]
    assert world.log.index("step unwritten 2 disk full") < world.log.index("step two")
    assert sorted(world.log[-2:]) == ["append gap", "step acted c-three ok"]
    assert (seen.journal_ok, seen.lost, seen.records) == (True, 4, 3)


async def test_records_lost_while_telling_of_the_loss_do_not_go_round() -> None:
    """An engine that answers `Unwritten` with a record of its own does not make the loop spin."""
    world = World()
    world.engine.on["one"] = Outcome((record("one"),))
    world.engine.on["unwritten 1 disk full"] = Outcome((record("more"),))
    async with world.running() as loop:
        world.journal.failure = JournalError("disk full")
        loop.submit_nowait(fact("one"))
        await settle(loop)
        assert loop.statistics().lost == 2
    assert world.log.count("step unwritten 1 disk full") == 1


async def test_an_order_that_was_not_journaled_says_so() -> None:
    """The sender learns that its order is in force but not on record."""
    world = World()
    world.engine.on["freeze"] = Outcome((record("frozen"),))
    async with world.running() as loop:
        world.journal.failure = JournalError("disk full")
        with pytest.raises(JournalError, match="in force, but not on record: disk full"):
            await loop.execute(fact("freeze"))


async def test_a_journal_that_cannot_be_read_stops_the_start() -> None:
    """A plane that would begin without its memory does not begin; the error comes as it is."""
    world = World()
    await world.journal.aclose()
    with pytest.raises(JournalError, match="closed"):
        await world.loop.run()


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (ActuationError("proxy is away", retryable=True), "acted c1 proxy is away"),
        (ValueError("our mistake"), "acted c1 ValueError('our mistake')"),
    ],
)
async def test_a_failing_data_plane_is_answered_to_the_engine(failure: Exception, told: str) -> None:
    """The failure comes back as `Acted`, and the next command is applied all the same."""
    world = World()
    world.engine.on["web"] = Outcome(commands=(command("c1"), command("c2")))
    world.meeting["c1"] = lambda: failure
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await settle(loop)
        assert loop.statistics().commands_failed == 1
    assert [line for line in world.log if "acted" in line] == [f"step {told}", "step acted c2 ok"]


async def test_no_data_plane_at_all_is_said() -> None:
    """Commands that nobody can carry out come back as not done."""
    world = World()
    world.engine.on["web"] = Outcome(commands=(command("c1"),))
    world.loop = ControlLoop(world.engine, clock=world.clock, journal=world.journal)
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await settle(loop)
    assert world.log[-1] == "step acted c1 there is no data plane"


async def test_every_data_plane_gets_every_command_in_order() -> None:
    """With two data planes one answer comes back per command: ok only when both took it."""
    world = World()

    async def refuse(order: Command) -> None:
        if order.id == "c2":
            raise ActuationError("no such backend", retryable=False)

    second = RecordingDataPlane(refuse)
    world.engine.on["web"] = Outcome(commands=(command("c1"), command("c2"), command("c3")))
    world.loop = ControlLoop(
        world.engine, clock=world.clock, journal=world.journal, data_planes=[world.data_plane, second]
    )
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await settle(loop)
    assert [order.id for order in world.data_plane.applied] == ["c1", "c2", "c3"]
    assert [order.id for order in second.applied] == ["c1", "c3"]
    assert [line for line in world.log if "acted" in line] == [
        "step acted c1 ok",
        "step acted c2 no such backend",
        "step acted c3 ok",
    ]


async def test_an_older_epoch_is_answered_and_not_obeyed() -> None:
    """A command of an older epoch than the data plane has seen comes back as stale."""
    world = World()
    world.engine.on["web"] = Outcome(commands=(command("c2", epoch=5), command("c1", epoch=4)))
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await settle(loop)
    assert world.log[-1] == "step acted c1 epoch 4 is older than 5, which is in force"


async def test_a_mistake_of_the_engine_costs_one_signal(caplog: pytest.LogCaptureFixture) -> None:
    """The loop logs the traceback, counts it, and decides the next signal; who waits for the order is told."""
    world = World()
    world.engine.on["bad"] = ZeroDivisionError("in the engine")
    async with world.running() as loop:
        loop.submit_nowait(fact("bad"))
        await loop.execute(fact("good"))
        with pytest.raises(ControlPlaneError, match="the engine failed"):
            await loop.execute(fact("bad"))
        assert loop.statistics().engine_errors == 2
    assert "step good" in world.log
    assert "ZeroDivisionError: in the engine" in caplog.text


async def test_a_task_cancelled_by_asyncio_itself_leaves_nobody_waiting(anyio_backend_name: str) -> None:
    """`Task.cancel` knows no shields: the loop ends, and the sender of the order in hand is told how that went."""
    if anyio_backend_name != "asyncio":
        pytest.skip("trio has no such cancellation")
    world = World()
    world.engine.on["freeze"] = Outcome((record("r1"),))
    running = asyncio.get_running_loop().create_task(world.loop.run())
    world.journal.gate = anyio.Event()
    sender = asyncio.get_running_loop().create_task(world.loop.execute(fact("freeze")))
    await anyio.wait_all_tasks_blocked()
    running.cancel()
    with anyio.fail_after(10), pytest.raises(ControlPlaneError, match="not on record"):
        await sender
    assert (await asyncio.gather(running, return_exceptions=True)) != [None]

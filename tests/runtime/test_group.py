"""What waits is decided together: one append for all of it, and nothing acts before it."""

import anyio
import pytest

from controlplane.model.outcome import Outcome
from controlplane.testing import MemoryJournal
from tests.runtime.scripted import World, command, fact, record

pytestmark = pytest.mark.anyio


def world_of(faults: int) -> World:
    """Each fault has a record and a command of its own."""
    world = World(inbox_max=1_000)
    for number in range(faults):
        world.engine.on[f"f{number}"] = Outcome((record(f"r{number}"),), (command(f"c{number}"),))
    return world


async def test_simultaneous_faults_cost_few_appends() -> None:
    """Fifty faults that wait are on record in a few appends, and each acts after the append that holds it."""
    world = world_of(50)
    async with world.running() as loop:
        for number in range(50):
            loop.submit_nowait(fact(f"f{number}"))
        await anyio.wait_all_tasks_blocked()
    appends = [line for line in world.log if line.startswith("append")]
    assert len(appends) < 15  # one, on a machine that is not interrupted
    for number in range(50):
        (held,) = [line for line in appends if f"r{number}" in line.split()]
        assert world.log.index(f"step f{number}") < world.log.index(held) < world.log.index(f"apply c{number}")
    applied = [line for line in world.log if line.startswith("apply")]
    assert applied == [f"apply c{number}" for number in range(50)]


async def test_nothing_acts_while_the_journal_writes() -> None:
    """The commands of a group wait for the append of all its records; what comes meanwhile is the next group."""
    world = world_of(4)
    async with world.running() as loop:
        gate = world.journal.gate = anyio.Event()
        loop.submit_nowait(fact("f0"))
        loop.submit_nowait(fact("f1"))
        await anyio.wait_all_tasks_blocked()
        loop.submit_nowait(fact("f2"))
        await anyio.wait_all_tasks_blocked()
        assert not [line for line in world.log if line.startswith("apply")]
        gate.set()
        await anyio.wait_all_tasks_blocked()
    assert world.log.index("apply c0") < world.log.index("step f2")
    assert isinstance(world.journal, MemoryJournal)


async def test_a_verdict_is_decided_while_the_journal_writes() -> None:
    """What a source has seen does not wait for the journal, nor overtake: it acts after its own append, which comes
    after what was decided before has acted."""
    world = world_of(4)
    async with world.running() as loop:
        gate = world.journal.gate = anyio.Event()
        loop.submit_nowait(fact("f0"))
        await anyio.wait_all_tasks_blocked()
        for name in ("f1", "f2"):
            world.source.tell(fact(name))
            loop.ring()
            await anyio.wait_all_tasks_blocked()
        assert "step f2" in world.log
        gate.set()
        await anyio.wait_all_tasks_blocked()
    order = ["step f1", "step f2", "append r0", "apply c0", "append r1 r2", "apply c1", "apply c2"]
    assert [line for line in world.log if line in order] == order


async def test_an_order_goes_before_what_waits_for_the_next_group() -> None:
    """A group is bounded: a person's order waits for at most one of them, however long the queue is."""
    world = world_of(500)
    async with world.running() as loop:
        for number in range(500):
            loop.submit_nowait(fact(f"f{number}"))
        await anyio.lowlevel.checkpoint()
        await loop.execute(fact("freeze"))
        decided = world.log.index("step freeze")
    assert len([line for line in world.log[:decided] if line.startswith("step f")]) <= 64


async def test_an_engine_that_breaks_breaks_only_its_own_signal() -> None:
    """Of a group whose second signal breaks the engine, the first and third act."""
    world = world_of(3)
    world.engine.on["f1"] = ZeroDivisionError("in the engine")
    async with world.running() as loop:
        for number in range(3):
            loop.submit_nowait(fact(f"f{number}"))
        await anyio.wait_all_tasks_blocked()
    assert [line for line in world.log if line.startswith("apply")] == ["apply c0", "apply c2"]


async def test_a_full_inbox_says_so_while_facts_are_decided() -> None:
    """Signals from outside are refused and counted; what a source has seen itself is decided all the same."""
    world = World(inbox_max=3)
    world.engine.on["seen"] = Outcome((record("r"),), (command("c1"),))
    async with world.running() as loop:
        gate = world.journal.gate = anyio.Event()
        world.engine.on["hold"] = Outcome((record("held"),))
        loop.submit_nowait(fact("hold"))
        await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            loop.submit_nowait(fact("flood"))
        with pytest.raises(anyio.WouldBlock):
            loop.submit_nowait(fact("flood"))
        assert loop.statistics().degraded == ("the inbox is full: signals from outside are refused",)
        world.source.tell(fact("seen"))
        loop.ring()
        gate.set()
        await anyio.wait_all_tasks_blocked()
        assert loop.statistics().degraded == ()
        assert loop.statistics().inbox_refused == 1
    assert world.log.index("step seen") < world.log.index("step flood")
    assert "apply c1" in world.log

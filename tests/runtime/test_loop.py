"""What the loop promises about order, wake-up, bounds and its end."""

import threading

import anyio
import pytest

from controlplane.model.errors import ControlPlaneError
from controlplane.model.outcome import Outcome
from controlplane.model.unit import Nanos
from controlplane.testing import VirtualClock
from tests.runtime.scripted import World, command, fact, record

pytestmark = pytest.mark.anyio


async def test_effects_keep_the_order_of_the_outcome() -> None:
    """Records first, then commands in their order, then their answers as steps of their own."""
    world = World()
    world.engine.on["web"] = Outcome((record("r1"), record("r2")), (command("c1"), command("c2")))
    world.engine.on["acted c1 ok"] = Outcome((record("a1"),))
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await anyio.wait_all_tasks_blocked()
        await loop.execute(fact("after"))
    assert world.log[:6] == ["start boot", "step web", "append r1 r2", "apply c1", "apply c2", "step acted c1 ok"]
    assert sorted(world.log[6:8]) == ["append a1", "step acted c2 ok"]  # together, unless the machine was slow
    assert world.log[8:] == ["step after"]


async def test_the_journal_is_asked_only_when_there_are_records() -> None:
    """A step without records costs no transaction."""
    world = World()
    async with world.running() as loop:
        await loop.execute(fact("quiet"))
    assert world.log == ["start boot", "step quiet"]


async def test_a_ring_wakes_the_loop_without_any_tick() -> None:
    """The engine named no time; facts arrive because somebody rang."""
    world = World()
    told = anyio.Event()
    world.engine.on["web"] = Outcome(commands=(command("c1"),))
    world.meeting["c1"] = told.set
    async with world.running() as loop:
        await anyio.wait_all_tasks_blocked()
        world.source.tell(fact("web"))
        loop.ring()
        with anyio.fail_after(10):
            await told.wait()
    assert world.engine.ticked_at == []


async def test_many_rings_are_one() -> None:
    """Rings before the loop has looked cost one look."""
    world = World()
    looks = 0

    def drain() -> list[object]:
        nonlocal looks
        looks += 1
        return []

    async with world.running() as loop:
        await anyio.wait_all_tasks_blocked()
        world.source.drain = drain  # type: ignore[method-assign, assignment]
        for _ in range(1000):
            loop.ring()
        await anyio.wait_all_tasks_blocked()
    assert 1 <= looks <= 3


async def test_a_ring_while_deciding_is_not_slept_through() -> None:
    """Facts that arrive during a step are decided before the loop sleeps."""
    world = World()
    world.engine.on["web"] = Outcome(commands=(command("c1"),))
    world.engine.on["late"] = Outcome(commands=(command("c2"),))

    def ring() -> None:
        world.source.tell(fact("late"))
        world.loop.ring()

    world.meeting["c1"] = ring
    done = anyio.Event()
    world.meeting["c2"] = done.set
    async with world.running() as loop:
        loop.submit_nowait(fact("web"))
        with anyio.fail_after(10):
            await done.wait()


async def test_another_thread_may_ring() -> None:
    """`ring_threadsafe` wakes a sleeping loop from any thread, again and again."""
    world = World()
    rounds = 0
    done = anyio.Event()

    def met() -> None:
        nonlocal rounds
        rounds += 1
        done.set()

    world.engine.on["web"] = Outcome(commands=(command("c1"),))
    world.meeting["c1"] = met
    async with world.running() as loop:
        for expected in (1, 2, 3):
            await anyio.wait_all_tasks_blocked()
            done = anyio.Event()
            world.source.tell(fact("web"))
            thread = threading.Thread(target=lambda: [loop.ring_threadsafe() for _ in range(50)])
            thread.start()
            with anyio.fail_after(10):
                await done.wait()
            thread.join()
            assert rounds == expected
    loop.ring_threadsafe()  # after the end: nothing to wake, nothing to break


async def test_the_inbox_is_bounded_and_says_so() -> None:
    """A full inbox raises WouldBlock, counts it, and takes signals again when the loop has caught up."""
    world = World(inbox_max=3)
    async with world.running() as loop:
        for _ in range(3):
            loop.submit_nowait(fact("web"))
        with pytest.raises(anyio.WouldBlock):
            loop.submit_nowait(fact("web"))
        assert loop.statistics().inbox == 3
        await anyio.wait_all_tasks_blocked()
        loop.submit_nowait(fact("again"))
        await anyio.wait_all_tasks_blocked()
    assert world.log.count("step web") == 3
    assert world.log[-1] == "step again"
    assert loop.statistics().inbox_refused == 1


async def test_an_order_overtakes_everything_that_waits() -> None:
    """A person's order is decided before signals that arrived earlier."""
    world = World(inbox_max=1000)
    async with world.running() as loop:
        for _ in range(500):
            loop.submit_nowait(fact("flood"))
        await loop.execute(fact("freeze"))
        assert world.log.index("step freeze") == 1


async def test_a_flood_leaves_turns_to_the_host() -> None:
    """Between a few decisions every other task of the host gets its turn."""
    world = World(inbox_max=1000)
    async with world.running() as loop:
        for _ in range(1000):
            loop.submit_nowait(fact("flood"))
        turns = 0
        while loop.statistics().inbox:
            turns += 1
            await anyio.lowlevel.checkpoint()
    assert turns > 10


async def test_execute_returns_when_journaled_and_applied() -> None:
    """The sender goes on after its own outcome's effects, not before."""
    world = World()
    gate = anyio.Event()
    world.journal.gate = gate
    world.engine.on["freeze"] = Outcome((record("r1"),), (command("c1"),))
    returned = False

    async def order() -> None:
        nonlocal returned
        await world.loop.execute(fact("freeze"))
        returned = True
        assert "apply c1" in world.log

    async with world.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(order)
        await anyio.wait_all_tasks_blocked()
        assert not returned
        gate.set()
    assert returned


async def test_execute_fails_when_the_loop_has_ended() -> None:
    """Nobody waits for ever: neither who waits while the loop ends nor who comes later; what was begun is finished."""
    world = World()
    world.engine.on["first"] = Outcome((record("r1"),))
    ends: dict[str, str] = {}

    async def order(name: str) -> None:
        try:
            await world.loop.execute(fact(name))
        except ControlPlaneError as error:
            ends[name] = str(error)
        else:
            ends[name] = "done"

    async with anyio.create_task_group() as senders:
        async with anyio.create_task_group() as tasks:
            await tasks.start(world.loop.run)
            world.journal.gate = anyio.Event()
            senders.start_soon(order, "first")
            await anyio.wait_all_tasks_blocked()
            for number in range(100):
                senders.start_soon(order, f"waiting {number}")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            world.journal.gate.set()
        await order("late")
    assert ends["first"] == "done"
    assert ends["late"] == "the control loop has ended"
    assert set(ends.values()) == {"done", "the control loop has ended"}
    assert len(ends) == 102


async def test_a_shutdown_finishes_what_was_begun() -> None:
    """Cancelled while the journal writes, the loop still applies the commands of that outcome, then ends."""
    world = World()
    world.journal.gate = anyio.Event()
    world.engine.on["web"] = Outcome((record("r1"),), (command("c1"), command("c2")))
    async with anyio.create_task_group() as tasks:
        await tasks.start(world.loop.run)
        world.loop.submit_nowait(fact("web"))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        world.journal.gate.set()
    assert world.log[:5] == ["start boot", "step web", "append r1", "apply c1", "apply c2"]
    assert world.log[5:] == ["step acted c1 ok", "step acted c2 ok"]


async def test_started_means_folded_and_applied_again() -> None:
    """When `run` reports itself started, records are restored and the orders in force were given to the data plane."""
    world = World()
    await world.journal.append([record("old")])
    world.engine.begin = Outcome((record("epoch"),), (command("c1", epoch=2),))
    async with world.running():
        assert world.engine.restored == [record("old")]
        assert world.log == ["append old", "start boot", "append epoch", "apply c1", "step acted c1 ok"]


async def test_a_loop_runs_once() -> None:
    """Running it again is refused: its engine has a past."""
    world = World()
    async with world.running() as loop:
        pass
    with pytest.raises(RuntimeError, match="runs once"):
        await loop.run()


async def test_response_times_are_those_of_the_deciding_signal() -> None:
    """Commands that name their signal are measured from it to decision, journal and data plane; others are not."""
    clock = VirtualClock(now=10_000_000_000)
    world = World(clock=clock)
    world.engine.on["web"] = Outcome((record("r1"),), (command("c1", signal_at=9_990_000_000), command("c2")))
    world.meeting["c1"] = lambda: clock.advance(0.02)
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await anyio.wait_all_tasks_blocked()
        seen = loop.statistics()
    assert (seen.decided.count, seen.journaled.count, seen.applied.count) == (1, 1, 1)
    assert 10_000_000 <= seen.decided.p50_ns <= seen.journaled.p50_ns < seen.applied.p50_ns
    assert seen.applied.max_ns >= 30_000_000
    assert (seen.steps, seen.records, seen.commands, seen.last_number) == (3, 1, 2, 1)


async def test_response_times_count_a_signal_once() -> None:
    """The renewal of an order names its old signal and is no slow response to it; a newer signal is one to time."""
    clock = VirtualClock(now=10_000_000_000)
    world = World(clock=clock)
    for fact_of, at in (("verdict", 9_990_000_000), ("renewal", 9_990_000_000), ("relapse", 39_999_000_000)):
        world.engine.on[fact_of] = Outcome((record(fact_of),), (command("c1", signal_at=at),))
    async with world.running() as loop:
        await loop.execute(fact("verdict"))
        clock.advance(30.0)
        await loop.execute(fact("renewal"))
        assert loop.statistics().applied.count == 1
        await loop.execute(fact("relapse"))
        seen = loop.statistics()
    assert (seen.decided.count, seen.journaled.count, seen.applied.count) == (2, 2, 2)
    assert seen.applied.max_ns < 1_000_000_000  # and not thirty seconds


async def test_what_a_start_orders_again_is_no_response() -> None:
    """A restart answers no signal: orders of before, and their renewals, would count as the slowest of all."""
    world = World(clock=VirtualClock(now=90_000_000_000))
    world.engine.begin = Outcome((record("start"),), (command("c1", signal_at=1_000_000_000),))
    async with world.running() as loop:
        seen = loop.statistics()
    assert (seen.commands, seen.applied.count) == (1, 0)


async def test_sources_that_fail_are_counted_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    """A source's mistake costs its own facts and nothing else."""
    world = World()

    def drain() -> list[object]:
        raise ValueError("ring out of shape")

    world.source.drain = drain  # type: ignore[method-assign, assignment]
    async with world.running() as loop:
        await loop.execute(fact("web"))
        assert loop.statistics().source_errors >= 1
    assert "step web" in world.log
    assert "ScriptedSource failed to tell" in caplog.text


async def test_the_next_time_is_never_slept_past(anyio_backend_name: str) -> None:
    """With real time, too, the loop ticks at or after wake_at, by itself."""
    from controlplane.adapters.clock import SystemClock

    clock = SystemClock()
    world = World(clock=clock)
    ticked = anyio.Event()
    due = Nanos(clock.now() + 5_000_000)
    world.engine.begin = Outcome(wake_at=due)

    def tick(now: Nanos) -> Outcome:
        ticked.set()
        return Outcome()

    world.engine.on_tick = tick
    async with world.running():
        with anyio.fail_after(10):
            await ticked.wait()
    assert world.engine.ticked_at[0] >= due

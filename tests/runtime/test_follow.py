"""Those who look on: history, then what is new, without a gap, and never a burden."""

from collections.abc import Sequence

import anyio
import pytest
from anyio.abc import ObjectReceiveStream

from controlplane.model.errors import JournalError
from controlplane.model.outcome import Outcome
from controlplane.model.record import Record
from controlplane.runtime.follow import Follower, Tail
from controlplane.testing import MemoryJournal
from tests.runtime.scripted import World, fact, record

pytestmark = pytest.mark.anyio


async def take(stream: ObjectReceiveStream[tuple[int, Record]], count: int) -> list[tuple[int, str]]:
    taken = []
    with anyio.fail_after(10):
        for _ in range(count):
            number, entry = await stream.receive()
            taken.append((number, getattr(entry, "reason", "")))
    return taken


async def write(tail: Tail, journal: MemoryJournal, *texts: str) -> None:
    entries: Sequence[Record] = [record(text) for text in texts]
    tail.extend(entries, last=await journal.append(entries))


async def test_by_default_only_what_is_new_is_told() -> None:
    """Without a number the stream begins now, also before the first write of this loop."""
    world = World()
    await world.journal.append([record("old")])
    world.engine.on["a"] = Outcome((record("a1"), record("a2")))
    world.engine.on["b"] = Outcome((record("b1"),))
    async with world.running() as loop, loop.follow() as early:
        await loop.execute(fact("a"))
        async with loop.follow() as late:
            await loop.execute(fact("b"))
            assert await take(early, 3) == [(2, "a1"), (3, "a2"), (4, "b1")]
            assert await take(late, 1) == [(4, "b1")]


async def test_a_follower_waits_for_the_next_record() -> None:
    """A record wakes those who wait for it."""
    world = World()
    world.engine.on["a"] = Outcome((record("a1"),))
    got: list[tuple[int, str]] = []

    async with world.running() as loop, anyio.create_task_group() as tasks:

        async def follow() -> None:
            async with loop.follow(0) as stream:
                got.extend(await take(stream, 1))

        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        await loop.execute(fact("a"))
    assert got == [(1, "a1")]


async def test_history_and_present_join_without_a_gap() -> None:
    """From a number on: pages of the journal first, then the tail, then what is new, each once and in order."""
    journal = MemoryJournal()
    await journal.append([record(str(number)) for number in range(1, 1201)])
    tail = Tail(records_max=3)
    follower = Follower(tail, journal, 5)
    await write(tail, journal, "1201", "1202")
    first = await take(follower, 600)
    await write(tail, journal, "1203", "1204", "1205", "1206", "1207", "1208")
    rest = await take(follower, 603)
    assert [number for number, _ in first + rest] == list(range(6, 1209))
    assert all(text == str(number) for number, text in first + rest)


async def test_one_that_falls_off_the_tail_is_told_by_the_end() -> None:
    """A follower that was up to date and is then too slow ends, and may resume from what it saw last."""
    journal = MemoryJournal()
    tail = Tail(records_max=3)
    follower = Follower(tail, journal, 0)
    await write(tail, journal, "1", "2")
    assert await take(follower, 1) == [(1, "1")]
    await write(tail, journal, "3", "4", "5", "6")
    with pytest.raises(anyio.EndOfStream):
        await follower.receive()
    assert await take(Follower(tail, journal, 1), 5) == [(number, str(number)) for number in range(2, 7)]


async def test_the_end_of_the_loop_ends_the_stream() -> None:
    """What was written before the end is still told, then the stream is over."""
    world = World()
    world.engine.on["a"] = Outcome((record("a1"),))
    async with world.running() as loop:
        stream = loop.follow()
        await loop.execute(fact("a"))
    assert [number async for number, _ in stream] == [1]
    async with loop.follow(0) as late:
        assert [number async for number, _ in late] == [1]


async def test_a_waiting_follower_is_ended_with_the_loop() -> None:
    """Nobody waits for records of a loop that is gone."""
    world = World()
    seen: list[int] = []

    async def follow() -> None:
        seen.extend([number async for number, _ in world.loop.follow()])
        seen.append(-1)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, world.running():
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
    assert seen == [-1]


async def test_history_that_cannot_be_read_is_an_error() -> None:
    """A follower of a broken journal hears why."""
    journal = MemoryJournal()
    await journal.aclose()
    with pytest.raises(JournalError):
        await Follower(Tail(), journal, 0).receive()


async def test_what_the_journal_has_forgotten_is_skipped() -> None:
    """A number from before the journal's first record continues with the first one there is."""
    journal = MemoryJournal(records_max=2)
    await journal.append([record(str(number)) for number in range(1, 6)])
    tail = Tail()
    await write(tail, journal, "6")
    assert [number for number, _ in await take(Follower(tail, journal, 1), 3)] == [4, 5, 6]


async def test_a_closed_follower_follows_no_more() -> None:
    """After the `async with` the stream is closed."""
    journal = MemoryJournal()
    tail = Tail()
    async with Follower(tail, journal, 0) as follower:
        pass
    with pytest.raises(anyio.ClosedResourceError):
        await follower.receive()


async def test_what_is_at_hand_is_taken_without_waiting_and_what_came_otherwise_is_left_out() -> None:
    """Nothing at hand is None; after a skip comes the record behind it, from the journal's page as from the tail."""
    journal, tail = MemoryJournal(), Tail()
    await write(tail, journal, "a", "b", "c", "d")
    early, late = Follower(Tail(), journal, 0), Follower(tail, journal, 2)
    assert await take(early, 1) == [(1, "a")]
    early.skip_to(2)
    assert early.take_nowait() == (3, record("c"))
    assert late.take_nowait() == (3, record("c"))
    late.skip_to(4)
    assert late.take_nowait() is None
    await write(tail, journal, "e")
    assert late.take_nowait() == (5, record("e"))
    await late.aclose()
    assert late.take_nowait() is None

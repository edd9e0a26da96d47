"""Every journal keeps the same promises."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.stores.memory import MemoryJournal
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.model.command import Command, Eject
from controlplane.model.errors import JournalError
from controlplane.model.incident import Phase
from controlplane.model.record import CommandIssued, EpochStarted, IncidentOpened, PhaseChanged, Record
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos
from controlplane.ports import Journal

pytestmark = pytest.mark.anyio

ONE = Target("orders", "orders-1")
EVERY_SHAPE: list[Record] = [
    EpochStarted(at=Nanos(1), epoch=Epoch(1), boot="boot", wall_ns=2**60, shift_ns=-5),
    IncidentOpened(
        at=Nanos(2),
        incident=IncidentId("i1"),
        origin=ONE,
        cause=Cause.ERRORS,
        signal_at=Nanos(2),
        shadow=False,
        evidence='5 of 5 "failed" \u2192 \U0001f525',
    ),
    CommandIssued(
        at=Nanos(2**62),
        command=Command(
            id=CommandId("c1"),
            epoch=Epoch(1),
            incident=IncidentId("i1"),
            target=ONE,
            intent=Eject(),
            lease_until=Nanos(2**62 + 1),
        ),
    ),
]


def records(first: int, count: int) -> list[Record]:
    return [
        PhaseChanged(at=Nanos(number), incident=IncidentId("i1"), phase=Phase.CONTAINMENT, reason=str(number))
        for number in range(first, first + count)
    ]


@pytest.fixture(params=["memory", "sqlite"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Journal]:
    """Makes journals over one and the same store."""
    store: list[tuple[int, Record]] = []
    return {
        "memory": lambda: MemoryJournal(store),
        "sqlite": lambda: SqliteJournal(tmp_path / "journal.db"),
    }[request.param]


@pytest.fixture
async def journal(reopen: Callable[[], Journal]) -> AsyncIterator[Journal]:
    journal = reopen()
    yield journal
    await journal.aclose()


async def test_an_empty_journal_reads_as_nothing(journal: Journal) -> None:
    """A journal that was never written to has no records."""
    assert await journal.read() == []
    assert await journal.read_after(0, limit=10) == []


async def test_records_come_back_equal_and_in_order(journal: Journal) -> None:
    """What is read equals what was appended, type for type."""
    await journal.append(EVERY_SHAPE[:1])
    await journal.append(EVERY_SHAPE[1:])
    assert await journal.read() == EVERY_SHAPE


async def test_append_answers_the_number_of_the_last_record(journal: Journal) -> None:
    """Numbers begin at one and have no gaps; an empty append changes nothing."""
    assert await journal.append(records(1, 3)) == 3
    assert await journal.append([]) == 3
    assert await journal.append(records(4, 2)) == 5


async def test_read_after_pages_through_the_records(journal: Journal) -> None:
    """Pages follow each other without a gap or a repeat, and end empty."""
    await journal.append(records(1, 5))
    first = await journal.read_after(0, limit=2)
    second = await journal.read_after(first[-1][0], limit=10)
    assert [number for number, _ in first + second] == [1, 2, 3, 4, 5]
    assert [record for _, record in first + second] == records(1, 5)
    assert await journal.read_after(5, limit=10) == []


async def test_a_journal_continues_where_its_predecessor_ended(reopen: Callable[[], Journal]) -> None:
    """After closing and opening again, records are there and numbers go on."""
    first = reopen()
    await first.append(records(1, 2))
    await first.aclose()
    second = reopen()
    assert await second.read() == records(1, 2)
    assert await second.append(records(3, 1)) == 3
    await second.aclose()


async def test_concurrent_appends_stay_whole_and_in_order(journal: Journal) -> None:
    """Batches of tasks that append at the same time are neither mixed nor lost, and each learns its own number."""
    numbers: dict[int, int] = {}

    async def append(batch: int) -> None:
        numbers[batch] = await journal.append(records(100 * batch, 3))

    async with anyio.create_task_group() as tasks:
        for batch in range(1, 21):
            tasks.start_soon(append, batch)
    held = await journal.read()
    assert len(held) == 60
    for batch, last in numbers.items():
        assert held[last - 3 : last] == records(100 * batch, 3)


async def test_a_cancelled_append_is_all_or_nothing(journal: Journal) -> None:
    """Cancelling before or while the journal writes leaves whole batches only, and the journal usable."""
    for attempt in range(20):
        with anyio.CancelScope() as scope:
            if attempt % 2:
                scope.cancel()
            else:
                scope.deadline = anyio.current_time() + attempt * 0.000_05
            await journal.append(records(10 * attempt, 4))
    await journal.append(records(900, 1))
    texts = [record.reason for record in await journal.read() if isinstance(record, PhaseChanged)]
    assert texts[-1] == "900"
    assert len(texts) % 4 == 1
    for start in range(0, len(texts) - 1, 4):
        first = int(texts[start])
        assert texts[start : start + 4] == [str(first + step) for step in range(4)]


async def test_closing_twice_is_closing_once(journal: Journal) -> None:
    """`aclose` is idempotent, and a closed journal refuses to be used."""
    await journal.append(records(1, 1))
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(JournalError, match="closed"):
        await journal.append(records(2, 1))
    with pytest.raises(JournalError, match="closed"):
        await journal.read()


async def test_a_journal_that_was_never_used_closes(reopen: Callable[[], Journal]) -> None:
    """Closing needs no opening."""
    await reopen().aclose()

"""What only a file can do to a journal: be shared, damaged, newer, full, read-only, or survive its writer."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from controlplane.adapters.stores import sqlite, table
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.model.errors import JournalBusy, JournalError
from controlplane.model.input import InputBatch, Ticked
from controlplane.model.record import JournalGap, Record
from controlplane.model.unit import Epoch, Nanos

pytestmark = pytest.mark.anyio

WRITER = """
import sys, anyio
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.model.record import JournalGap

async def main():
    journal = SqliteJournal(sys.argv[1])
    first = 1
    while True:
        batch = [JournalGap(at=number, records=first, reason="x" * 50) for number in range(first, first + 7)]
        first = await journal.append(batch) + 1
        print(first - 1, flush=True)

anyio.run(main, backend=sys.argv[2])
"""


def gap(number: int, reason: str = "test") -> Record:
    return JournalGap(at=Nanos(number), records=1, reason=reason)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(path)
    yield journal
    await journal.aclose()


def execute(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


async def test_every_acknowledged_record_survives_kill_9(path: Path, anyio_backend_name: str) -> None:
    """After kill -9 in the middle of appending, all that was acknowledged is there, and every batch is whole."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), anyio_backend_name], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(40):
            await anyio.to_thread.run_sync(writer.stdout.readline)
        writer.send_signal(signal.SIGKILL)
        rest = await anyio.to_thread.run_sync(writer.stdout.read)
    acknowledged = int(rest.rpartition("\n")[0].rpartition("\n")[2] or 40 * 7)
    journal = SqliteJournal(path)
    held = await journal.read()
    await journal.aclose()
    assert len(held) >= acknowledged >= 280
    assert len(held) % 7 == 0
    assert [record.at for record in held] == list(range(1, len(held) + 1))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT DISTINCT count(*) FROM records GROUP BY batch").fetchall() == [(7,)]
    connection.close()


async def test_a_second_opener_is_told_who_holds_the_file(path: Path, journal: SqliteJournal) -> None:
    """JournalBusy names file, owner and remedy; when the owner has closed, the second may open."""
    await journal.append([gap(1)])
    second = SqliteJournal(path)
    with pytest.raises(JournalBusy, match=rf"journal\.db: is held by process {os.getpid()}; stop that process"):
        await second.open()
    await journal.aclose()
    assert await second.read() == [gap(1)]
    await second.aclose()


async def test_a_file_is_readable_by_others_while_it_is_owned(path: Path, journal: SqliteJournal) -> None:
    """People may look into the journal with any SQLite reader."""
    await journal.append([gap(1)])
    with sqlite3.connect(path) as connection:
        row = connection.execute("SELECT number, batch, json_extract(record, '$.type') FROM records").fetchone()
    connection.close()
    assert row == (1, 1, "journal_gap")


async def test_nobody_else_may_read_the_file(path: Path, journal: SqliteJournal) -> None:
    """The file, its log and its lock are the owner's alone, whatever the umask."""
    before = os.umask(0)
    try:
        await journal.append([gap(1)])
    finally:
        os.umask(before)
    for name in ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"):
        assert path.with_name(name).stat().st_mode & 0o777 == 0o600, name


async def test_a_damaged_row_is_named(path: Path, journal: SqliteJournal) -> None:
    """Reading stops with the file's name and the number of the first row that is no record."""
    await journal.append([gap(1), gap(2), gap(3)])
    await journal.aclose()
    execute(path, """UPDATE records SET record = '{"type": "journal_gap", "at": "noon"}' WHERE number = 2""")
    again = SqliteJournal(path)
    with pytest.raises(JournalError, match=r"journal\.db: is damaged: record 2 cannot be read: .*at"):
        await again.read()
    assert await again.read_after(2, limit=5) == [(3, gap(3))]
    await again.aclose()


async def test_a_missing_row_is_named(path: Path, journal: SqliteJournal) -> None:
    """A hole in the numbers is damage, not silence."""
    await journal.append([gap(1), gap(2), gap(3)])
    await journal.aclose()
    execute(path, "DELETE FROM records WHERE number = 2")
    again = SqliteJournal(path)
    with pytest.raises(JournalError, match="record 2 is missing, the next one is 3"):
        await again.read()
    await again.aclose()


async def test_torn_pages_are_an_error_and_not_a_crash(path: Path, journal: SqliteJournal) -> None:
    """A file overwritten in the middle raises JournalError that names it."""
    await journal.append([gap(number, "x" * 500) for number in range(1, 200)])
    await journal.aclose()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    again = SqliteJournal(path)
    with pytest.raises(JournalError, match=r"journal\.db: "):
        await again.read()
    await again.aclose()


async def test_what_is_no_database_is_refused_and_kept(path: Path, journal: SqliteJournal) -> None:
    """Another file under the journal's name is left as it was."""
    path.write_text("notes of somebody, long enough to be taken for a header of a database file\n" * 50)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"journal\.db: file is not a database"):
        await journal.open()
    assert path.read_bytes() == before


async def test_another_programs_database_is_refused(path: Path, journal: SqliteJournal) -> None:
    """A SQLite file that is no journal is not written to."""
    execute(path, "CREATE TABLE customers (name)")
    with pytest.raises(JournalError, match="database of another program"):
        await journal.open()


async def test_a_newer_schema_is_refused(path: Path, journal: SqliteJournal) -> None:
    """A journal of a later version says so, and what to do."""
    await journal.append([gap(1)])
    await journal.aclose()
    execute(path, f"PRAGMA user_version = {table.SCHEMA + 1}")
    again = SqliteJournal(path)
    with pytest.raises(JournalError, match=r"newer version \(schema \d+, this one knows \d+\)"):
        await again.append([gap(2)])
    await again.aclose()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """A path that cannot exist is a JournalError with the path in it."""
    journal = SqliteJournal(tmp_path / "nowhere" / "journal.db")
    with pytest.raises(JournalError, match=r"nowhere/journal\.db: cannot be owned: No such file or directory"):
        await journal.open()
    await journal.aclose()


async def test_a_failed_open_may_be_tried_again(path: Path, journal: SqliteJournal) -> None:
    """Once the obstacle is gone the same journal opens."""
    path.mkdir()
    with pytest.raises(JournalError):
        await journal.open()
    path.rmdir()
    assert await journal.append([gap(1)]) == 1


async def limit_pages(journal: SqliteJournal, pages: int) -> None:
    await journal._call(lambda: journal._table.connection.execute(f"PRAGMA max_page_count={pages}"))


async def test_a_full_disk_is_an_error_that_passes(journal: SqliteJournal) -> None:
    """A batch that does not fit is not there at all, and when there is space again appending goes on without a gap."""
    await journal.append([gap(1)])
    await limit_pages(journal, 3)
    with pytest.raises(JournalError, match=r"journal\.db: database or disk is full"):
        await journal.append([gap(number, "x" * 2000) for number in range(2, 20)])
    assert await journal.read() == [gap(1)]
    await limit_pages(journal, 1_000_000)
    assert await journal.append([gap(2)]) == 2
    assert await journal.read() == [gap(1), gap(2)]


async def test_a_read_only_journal_is_an_error_that_passes(journal: SqliteJournal) -> None:
    """Writing is refused with the file's name, reading goes on, and so does writing afterwards."""
    await journal.append([gap(1)])
    await journal._call(lambda: journal._table.connection.execute("PRAGMA query_only=1"))
    with pytest.raises(JournalError, match=r"journal\.db: attempt to write a readonly database"):
        await journal.append([gap(2)])
    assert await journal.read() == [gap(1)]
    await journal._call(lambda: journal._table.connection.execute("PRAGMA query_only=0"))
    assert await journal.append([gap(2)]) == 2


async def test_somebody_elses_transaction_is_waited_for_and_then_reported(
    path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that holds the write lock makes appends fail, not hang, and they work again afterwards."""
    monkeypatch.setattr(table, "_LOCK_WAIT_S", 0.01)
    await journal.open()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="database is locked"):
        await journal.append([gap(1)])
    connection.execute("ROLLBACK")
    connection.close()
    assert await journal.append([gap(1)]) == 1


async def test_closing_joins_the_threads(path: Path) -> None:
    """No thread of the journal outlives `aclose`, and the log is folded into the file."""
    before = set(threading.enumerate())
    journal = SqliteJournal(path)
    await journal.append([gap(1)])
    assert set(threading.enumerate()) - before != set()
    await journal.aclose()
    assert {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("journal")} == set()
    assert not path.with_name("journal.db-wal").exists()


async def test_the_log_is_synced_within_the_group_commit(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle journal syncs its log once for all appends before, and then rests."""
    synced = threading.Event()
    calls: list[int] = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        synced.set()

    monkeypatch.setattr(table, "SYNC_S", 3600.0)
    monkeypatch.setattr(os, "fsync", fsync)
    await journal.append([gap(1)])
    await journal.append([gap(2)])
    left_s = await journal._call(journal._table.settle)
    assert left_s is not None
    assert 3000 < left_s <= 3600
    await journal._call(lambda: setattr(journal._table, "_sync_at", 0.0))
    assert await anyio.to_thread.run_sync(synced.wait, 10)
    assert len(calls) == 1
    assert await journal._call(journal._table.settle) is None


async def test_the_log_is_put_into_the_file_beside_the_appends(
    path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint waits for the disk, for tens of milliseconds: it is the syncing thread's, never an append's."""
    monkeypatch.setattr(table, "SYNC_S", 0.0)
    monkeypatch.setattr(table, "_LOG_BYTES", 200_000)
    statements: list[tuple[str, str]] = []
    connect = sqlite3.connect

    def watched(*arguments: Any, **more: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **more)
        thread = threading.current_thread().name
        connection.set_trace_callback(lambda statement: statements.append((thread, statement)))
        return connection

    monkeypatch.setattr(sqlite3, "connect", watched)
    sizes = []
    with anyio.fail_after(20):
        while path.stat().st_size < 500_000 if path.exists() else True:
            await journal.append([gap(number, "x" * 1000) for number in range(40)])
            sizes.append(Path(f"{path}-wal").stat().st_size)
    found = {thread for thread, statement in statements if "wal_checkpoint" in statement}
    assert found == {"journal-sync"}
    assert len(await journal.read()) == 40 * len(sizes)


async def test_closing_during_an_append_waits_for_it(path: Path) -> None:
    """What was asked for before the close is on record after it."""
    journal = SqliteJournal(path)
    disk = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal._call, disk.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(journal.append, [gap(1), gap(2)])
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(journal.aclose)
        await anyio.wait_all_tasks_blocked()
        disk.set()
    again = SqliteJournal(path)
    assert await again.read() == [gap(1), gap(2)]
    await again.aclose()


async def test_a_disk_that_never_answers_does_not_keep_its_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`aclose` gives up after a while, and the thread ends when the disk comes back."""
    monkeypatch.setattr(sqlite, "_CLOSE_S", 0.02)
    journal = SqliteJournal(path)
    disk = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal._call, disk.wait)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(10):
            await journal.aclose()
        disk.set()


@pytest.mark.parametrize("records", [1, 5, 64])
def test_an_append_is_four_statements_however_many_records(path: Path, records: int) -> None:
    """Each costs two turns of the interpreter lock, for which a busy program makes the writing thread wait."""
    written = table.RecordTable(path)
    written.open()
    inputs = [InputBatch(epoch=Epoch(1), first=1, inputs=(Ticked(at=Nanos(1), raised=False),))]
    written.append(["{}"])  # the first one looks for the last number
    statements: list[str] = []
    written.connection.set_trace_callback(statements.append)
    assert written.append(["{}"] * records, inputs) == 1 + records
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "INSERT", "INSERT", "COMMIT"]
    written.close()


def test_more_records_than_a_statement_takes_are_in_order(path: Path) -> None:
    """Numbers go on without gaps over the border, and all of them belong to one append."""
    written = table.RecordTable(path)
    written.open()
    assert written.append(["{}"] * 3) == 3
    assert written.append(["[]"] * 130) == 133
    rows = written.connection.execute("SELECT number, batch, record FROM records").fetchall()
    written.close()
    assert rows == [(n, 1, "{}") for n in range(1, 4)] + [(n, 4, "[]") for n in range(4, 134)]

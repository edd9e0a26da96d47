"""The journal's table in SQLite: synchronous, and all of it in one thread.

What survives what, exactly. A batch that `append` has returned from is in the write-ahead log, which is in the kernel's
hands: it survives a crash or kill -9 of the process at once. It survives loss of power once the log was synced, at the
latest `SYNC_S` after the append plus the time the disk takes (and at every checkpoint and close). After either, the
journal holds the batches up to some point, each whole, in order, and is never damaged (`synchronous=NORMAL` in WAL
mode: https://sqlite.org/pragma.html#pragma_synchronous).
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from controlplane.adapters.stores.inputs import INPUTS_MAX, InputTable
from controlplane.adapters.stores.read_only import READ_ONLY, connect_read_only
from controlplane.model.errors import JournalError
from controlplane.model.input import InputBatch
from controlplane.model.record import Record

SCHEMA = 2  # 2: inputs. A file of 1 is taken over
APPLICATION = 0x63706C6E  # "cpln", in the file's head: so that another program's database is never written to
SYNC_S = 1.0  # group commit against power loss: one sync serves all appends of a second
_LOG_BYTES = 4 * 1024 * 1024  # of the write-ahead log: then its pages are put into the file, beside the appends
_LOG_PAGES_MAX = 20_000  # where that does not happen an append does it, which then takes as long as the disk
_TIDY_S = 0.01  # between two removals; an append that comes meanwhile waits for one at most
_LOCK_WAIT_S = 1.0  # a person's sqlite3 shell may hold the file for a moment

_CREATE = """
CREATE TABLE records (
    number INTEGER PRIMARY KEY,  -- 1, 2, 3 and so on without gaps
    batch INTEGER NOT NULL,      -- number of the first record of the same append
    record TEXT NOT NULL         -- JSON, tagged by "type"
)
"""


_ROWS_MAX = 64  # of one statement; the connection keeps the statements of all sizes (128 is its default)


class RecordTable:
    """Numbered records in one SQLite file, and beside them what the engine was told, at most `inputs_max` of it."""

    def __init__(self, path: Path, *, inputs_max: int = INPUTS_MAX) -> None:
        self.path = path
        self.connection: sqlite3.Connection
        self.read_only = ""  # why nothing can be written
        self._inputs = InputTable(inputs_max)
        self._last: int | None = None  # number of the newest record; None: not known
        self._decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
        self._sync_at: float | None = None
        self._syncing: threading.Thread | None = None

    def open(self) -> None:
        """Connect, and create what is missing. Raises JournalError for a file that is not this version's journal."""
        with self._naming_file():
            try:
                # SQLite would create it for all to read; its -wal and -shm take over this file's mode
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except OSError as error:
                if error.errno not in READ_ONLY or not self.path.exists():
                    raise
                self.connection = connect_read_only(self.path)
                self.read_only = f"is read-only: {error.strerror}"
            else:
                self.connection = sqlite3.connect(self.path, timeout=_LOCK_WAIT_S, isolation_level=None)
                self.read_only = ""
        try:
            with self._naming_file():
                self._prepare()
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self) -> None:
        version, application = self._number("PRAGMA user_version"), self._number("PRAGMA application_id")
        fresh = not self._number("SELECT count(*) FROM sqlite_master")
        if not fresh and application != APPLICATION:
            raise JournalError(f"{self.path}: is a database of another program; name another journal")
        if version > SCHEMA:
            raise JournalError(
                f"{self.path}: was written by a newer version (schema {version}, this one knows {SCHEMA}); "
                "run that version, or name another journal"
            )
        if self.read_only:
            return
        mode = self.connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise JournalError(f"{self.path}: write-ahead logging does not work here ({mode}); use a local file system")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES_MAX}")
        if version < SCHEMA:
            with self._transaction():
                if fresh:
                    self.connection.execute(_CREATE)
                    self.connection.execute(f"PRAGMA application_id={APPLICATION}")
                self._inputs.create(self.connection)
                self.connection.execute(f"PRAGMA user_version={SCHEMA}")
        self._inputs.open(self.connection)

    def read_after(self, number: int, *, limit: int = -1) -> list[tuple[int, Record]]:
        """At most `limit` numbered records after `number`, -1: all. Raises JournalError that names the damaged row."""
        entries: list[tuple[int, Record]] = []
        last = max(0, number)
        rows = "SELECT number, record FROM records WHERE number > ? ORDER BY number LIMIT ?"
        try:
            for found, text in self.connection.execute(rows, (last, limit)):
                if found != last + 1:
                    raise self._damaged(last + 1, f"is missing, the next one is {found}")
                entries.append((found, self._decoder.decode(text)))
                last = found
        except (msgspec.MsgspecError, TypeError) as error:
            raise self._damaged(last + 1, f"cannot be read: {error}") from error
        except sqlite3.Error as error:
            raise self._damaged(last + 1, f"cannot be read: {error}") from error
        return entries

    def append(self, texts: Sequence[str], batches: Sequence[InputBatch] = ()) -> int:
        """One transaction for all of `texts` and `batches`; the answer is the last record's number."""
        if self.read_only:
            raise JournalError(f"{self.path}: {self.read_only}")
        with self._naming_file(), self._transaction():
            if self._last is None:  # after a commit that failed nobody knows what the file holds
                self._last = self._number("SELECT coalesce(max(number), 0) FROM records")
            first, self._last = self._last + 1, None
            self._insert(texts, first)
            if batches:
                self._inputs.append(self.connection, batches, after=first - 1, records=len(texts))
        self._last = first + len(texts) - 1
        if self._sync_at is None:
            self._sync_at = time.monotonic() + SYNC_S
        return self._last

    def _insert(self, texts: Sequence[str], first: int) -> None:
        """One statement for all: each gives the interpreter lock back twice and, in a busy program, gets it again only
        after a turn of its loop or a switch interval, on a busy machine a scheduler's turn later still."""
        for at in range(0, len(texts), _ROWS_MAX):
            numbered = list(enumerate(texts[at : at + _ROWS_MAX], first + at))
            rows = ", ".join(["(?, ?, ?)"] * len(numbered))
            self.connection.execute(
                f"INSERT INTO records VALUES {rows}",  # noqa: S608 - no value in it
                [value for number, text in numbered for value in (number, first, text)],
            )

    def settle(self) -> float | None:
        """Sync when it is due, or remove inputs that are too many; the answer is in how many seconds to ask again,
        None: all is done."""
        if self._inputs.too_many() and not self.read_only:
            with contextlib.suppress(sqlite3.Error), self._transaction():  # a full disk: the next append says so
                self._inputs.remove_some(self.connection)
            return _TIDY_S
        if self._sync_at is None:
            return None
        left_s = self._sync_at - time.monotonic()
        if left_s > 0:
            return left_s
        if self._syncing is not None and self._syncing.is_alive():
            return SYNC_S  # a disk slower than the interval: one sync at a time
        # In a thread of its own, because a sync may take long and the next append has a containment waiting for it.
        self._syncing = threading.Thread(target=self._sync, name="journal-sync", daemon=True)
        self._syncing.start()
        self._sync_at = None
        return None

    def close(self) -> None:
        """Checkpoint, sync and disconnect."""
        with self._naming_file():
            self.connection.close()
        if self._syncing is not None:
            self._syncing.join()

    def _sync(self) -> None:
        # A failed sync has no one to answer to; if the disk is really gone, the next append fails and says so.
        with contextlib.suppress(OSError, sqlite3.Error):
            log = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(log)
                size = os.fstat(log).st_size
            finally:
                os.close(log)
            if size > _LOG_BYTES:  # by a connection of this thread, which waits for the disk and holds up no append
                with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as other:
                    other.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _number(self, query: str) -> int:
        return int(self.connection.execute(query).fetchone()[0])

    def _damaged(self, number: int, what: str) -> JournalError:
        return JournalError(
            f"{self.path}: is damaged: record {number} {what}; "
            "restore the file from a backup, or move it away to begin with an empty journal"
        )

    @contextlib.contextmanager
    def _naming_file(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"{self.path}: {error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # on a full disk SQLite may have rolled back by itself
                self.connection.execute("ROLLBACK")
            raise

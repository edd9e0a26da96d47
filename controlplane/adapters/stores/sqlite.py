"""The journal of one process in a SQLite file. `table.py` says what survives which crash."""

import time
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec

from controlplane.adapters.stores.inputs import INPUTS_MAX
from controlplane.adapters.stores.lock import OwnerLock
from controlplane.adapters.stores.table import RecordTable
from controlplane.adapters.stores.worker import Worker
from controlplane.model.errors import JournalError
from controlplane.model.input import InputBatch
from controlplane.model.record import Record

T = TypeVar("T")

_REOPEN_S = 1.0  # between attempts to write to a file that was read-only when it was opened
_CLOSE_S = 5.0  # a disk that does not answer must not keep its process from ending


class SqliteJournal:
    """Records in the file at `path`, written by one thread that owns the connection, one transaction per append.

    Nothing is opened before the first use; `open()` makes that a moment of one's own choosing. One process owns the
    file at a time (`<path>.lock`); anybody may read it meanwhile, for example with the sqlite3 shell. A file that
    can be read and not written is read; appends fail until it can.
    """

    def __init__(self, path: str | PathLike[str], *, inputs_max: int = INPUTS_MAX) -> None:
        self.path = Path(path)
        self._lock = OwnerLock(Path(f"{self.path}.lock"), guarded=self.path)
        self._table = RecordTable(self.path, inputs_max=inputs_max)
        self._worker: Worker | None = None
        self._opened = False  # belongs to the thread
        self._reopen_at = 0.0
        self._closed = False

    async def open(self) -> None:
        """Own the file and prepare it; again is nothing. Raises JournalBusy, JournalError; may be tried again."""
        await self._call(lambda: None)

    async def read(self) -> list[Record]:
        """Everything on record, oldest first."""
        return [record for _, record in await self._call(lambda: self._table.read_after(0))]

    async def read_after(self, number: int, *, limit: int) -> list[tuple[int, Record]]:
        """At most `limit` numbered records after the one numbered `number`, oldest first."""
        return await self._call(lambda: self._table.read_after(number, limit=limit))

    async def append(self, records: Sequence[Record], inputs: Sequence[InputBatch] = ()) -> int:
        """Put all of `records` and `inputs` on record, or none; the answer is the last record's number."""
        return await self._call(lambda: self._append(records, inputs))

    async def aclose(self) -> None:
        """Give the file back. Idempotent; appends asked for before this are done first."""
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is None:
            return
        try:
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await worker.call(self._close)
        finally:
            worker.stop()

    async def _call(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise JournalError(f"{self.path}: the journal is closed")
        if self._worker is None:
            self._worker = Worker(f"journal {self.path.name}", settle=self._table.settle)
        return await self._worker.call(lambda: self._in_thread(work))

    def _append(self, records: Sequence[Record], inputs: Sequence[InputBatch]) -> int:
        if self._table.read_only and time.monotonic() >= self._reopen_at:
            self._reopen_at = time.monotonic() + _REOPEN_S
            self._reopen()
        return self._table.append([msgspec.json.encode(record).decode() for record in records], inputs)

    def _reopen(self) -> None:
        """Somebody may have made the file writable meanwhile."""
        self._table.close()
        self._lock.release()
        self._opened = False
        self._in_thread(lambda: None)

    def _in_thread(self, work: Callable[[], T]) -> T:
        if not self._opened:
            self._lock.take()
            try:
                self._table.open()
            except BaseException:
                self._lock.release()
                raise
            self._opened = True
        return work()

    def _close(self) -> None:
        try:
            if self._opened:
                self._table.close()
        finally:
            self._opened = False
            self._lock.release()

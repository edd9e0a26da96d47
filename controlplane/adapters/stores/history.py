"""A journal as it was written: what stands in the file, read by somebody who does not own it.

Nothing is written, and one transaction sees one moment of a file that its owner goes on writing.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from controlplane.adapters.stores.inputs import read_inputs
from controlplane.adapters.stores.read_only import connect_read_only
from controlplane.adapters.stores.table import APPLICATION, SCHEMA
from controlplane.model.errors import JournalError
from controlplane.model.input import Input, InputRow
from controlplane.model.record import EpochStarted, Record

_INPUTS_SINCE = 2  # the file schema that brought them


class Span(NamedTuple):
    """The records of one epoch, by number."""

    epoch: int
    first: int
    last: int


class History(AbstractContextManager["History"]):
    """The file at `path`. Raises JournalError for one that is no journal, or of a later version."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.schema = 0
        self._connection: sqlite3.Connection
        self._decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)

    def __enter__(self) -> Self:
        """Open it, and stay at this moment of it."""
        if not self.path.is_file():
            raise JournalError(f"{self.path}: there is no such file")
        try:
            self._connection = connect_read_only(self.path)
            self._connection.execute("BEGIN")
            application = self._connection.execute("PRAGMA application_id").fetchone()[0]
            self.schema = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: is no journal: {error}") from error
        if application != APPLICATION or self.schema > SCHEMA:
            self._connection.close()
            if application != APPLICATION:
                raise JournalError(f"{self.path}: is a database of another program")
            raise JournalError(
                f"{self.path}: was written by a newer version (schema {self.schema}, this one knows {SCHEMA})"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._connection.close()

    def epochs(self) -> list[Span]:
        """Every epoch that has records, oldest first."""
        query = "SELECT number, record FROM records WHERE record LIKE '%\"epoch_started\"%' ORDER BY number"
        starts = []
        for number, text in self._execute(query, ()):
            record = self._decode(number, text)
            if isinstance(record, EpochStarted):
                starts.append((number, int(record.epoch)))
        newest = self._execute("SELECT number, record FROM records ORDER BY number DESC LIMIT 1", ())
        lasts = [number - 1 for number, _ in starts[1:]] + [number for number, _ in newest]
        return [Span(epoch, first, last) for (first, epoch), last in zip(starts, lasts, strict=True)]

    def texts(self, span: Span) -> dict[int, str]:
        """The records of an epoch as they were written, by number."""
        return dict(self._execute("SELECT number, record FROM records WHERE number BETWEEN ? AND ?", span[1:]))

    def numbered(self) -> list[tuple[int, Record]]:
        """Every record with its number."""
        query = "SELECT number, record FROM records ORDER BY number"
        return [(number, self._decode(number, text)) for number, text in self._execute(query, ())]

    def records_before(self, number: int) -> Iterator[Record]:
        """Every record before the one numbered `number`."""
        for found, text in self._execute(
            "SELECT number, record FROM records WHERE number < ? ORDER BY number", (number,)
        ):
            yield self._decode(found, text)

    def inputs(self, epoch: int) -> Iterator[tuple[InputRow, list[Input]]]:
        """What the engine was told in `epoch`, batch by batch; nothing in files older than inputs."""
        if self.schema < _INPUTS_SINCE:
            return
        try:
            yield from read_inputs(self._connection, epoch)
        except (sqlite3.Error, msgspec.MsgspecError, zlib.error) as error:
            raise JournalError(f"{self.path}: inputs of epoch {epoch} cannot be read: {error}") from error

    def _decode(self, number: int, text: str) -> Record:
        try:
            return self._decoder.decode(text)
        except msgspec.MsgspecError as error:
            raise JournalError(f"{self.path}: record {number} cannot be read: {error}") from error

    def _execute(self, query: str, values: tuple[int, ...]) -> Iterator[tuple[int, str]]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot be read: {error}") from error

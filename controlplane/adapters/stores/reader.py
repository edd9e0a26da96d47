"""A journal's file read by somebody else than its owner: nothing is locked, nothing is written, the owner goes on."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from controlplane.model.errors import JournalError
from controlplane.model.record import Record


def read_records(path: str | Path, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[Record]:
    """The records in the journal at `path`, oldest first: those whose JSON text is `wanted`; others are not decoded.

    Raises JournalError when the file cannot be read, is no journal, or holds what this version does not know.
    """
    file = Path(path)
    if not file.is_file():
        raise JournalError(f"{path}: there is no such file; name the journal of a process ([journal] path)")
    decoder = msgspec.json.Decoder(Record)
    number = 0
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            for found, text in connection.execute("SELECT number, record FROM records ORDER BY number"):
                number = found
                if wanted(text):
                    yield decoder.decode(text)
    except sqlite3.Error as error:
        raise JournalError(f"{path}: cannot be read as a journal: {error}") from error
    except (msgspec.MsgspecError, TypeError) as error:
        raise JournalError(f"{path}: record {number} cannot be read: {error}") from error

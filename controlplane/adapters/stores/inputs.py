"""What the engine was told, in the journal's second table: one row per append, many inputs in it.

MessagePack, because it is written while a containment waits, and packed by zlib where nobody does. The bound is on the
number of inputs. Whole epochs make room, the oldest first, each from its end: a replay needs what it began with. When
the running epoch alone reaches the bound nothing more of it is kept.
"""

import sqlite3
import zlib
from collections.abc import Iterator, Sequence

import msgspec

from controlplane.model.input import Input, InputBatch, InputRow

INPUTS_MAX = 2_000_000
_PACKED_BYTES_MIN = 1_024
_HURRIED_BYTES_MIN = 65_536  # an epoch begins with its topology
_REMOVED_ROWS = 100  # at a time

CREATE = """
CREATE TABLE inputs (
    place INTEGER PRIMARY KEY,  -- epoch * 2^40 + first: one page to write and not two, while a containment waits
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,    -- number of the first input in this row, from 1 in each epoch, without gaps
    count INTEGER NOT NULL,
    after INTEGER NOT NULL,    -- number of the last record before those that these inputs caused
    records INTEGER NOT NULL,  -- how many they caused that went on record with them
    lost INTEGER NOT NULL,     -- how many more they caused that the journal did not take
    body BLOB NOT NULL         -- MessagePack, a list of inputs; where its first byte is 0x78, packed by zlib
)
"""


def _place(epoch: int, first: int) -> int:
    return (epoch << 40) + first


class InputTable:
    """Rows of one file, counted by epoch. Belongs to the thread of its connection."""

    def __init__(self, inputs_max: int) -> None:
        self._inputs_max = inputs_max
        self._counts: dict[int, int] = {}
        self._encoder = msgspec.msgpack.Encoder()

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the table."""
        connection.execute(CREATE)

    def open(self, connection: sqlite3.Connection) -> None:
        """Count what is there."""
        rows = connection.execute("SELECT epoch, sum(count) FROM inputs GROUP BY epoch ORDER BY epoch")
        self._counts = dict(rows.fetchall())

    def append(
        self, connection: sqlite3.Connection, batches: Sequence[InputBatch], *, after: int, records: int
    ) -> None:
        """Add `batches`; the last one caused the `records` records after the one numbered `after`."""
        for batch in batches:
            count = len(batch.inputs)
            if self._counts.get(batch.epoch, 0) + count > self._inputs_max:
                self._counts[batch.epoch] = self._inputs_max  # nothing after a gap is of use
                continue
            own = records if batch is batches[-1] else 0
            try:
                body = self._body(batch, hurry=records > 0)
            except (TypeError, ValueError, OverflowError):  # a value that was no signal's; the records matter more
                self._counts[batch.epoch] = self._inputs_max
                continue
            row = (_place(batch.epoch, batch.first), batch.epoch, batch.first, count, after, own, batch.lost, body)
            added = connection.execute("INSERT OR IGNORE INTO inputs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount
            self._counts[batch.epoch] = self._counts.get(batch.epoch, 0) + count * added

    def too_many(self) -> bool:
        """Whether an older epoch has to make room."""
        return len(self._counts) > 1 and sum(self._counts.values()) > self._inputs_max

    def remove_some(self, connection: sqlite3.Connection) -> None:
        """Remove a few rows of the oldest epoch, the newest of them first."""
        epoch = min(self._counts)
        rows = connection.execute(
            "SELECT place, count FROM inputs WHERE place < ? ORDER BY place DESC LIMIT ?",
            (_place(epoch + 1, 0), _REMOVED_ROWS),
        ).fetchall()
        if not rows:
            del self._counts[epoch]
            return
        connection.execute("DELETE FROM inputs WHERE place BETWEEN ? AND ?", (rows[-1][0], rows[0][0]))
        self._counts[epoch] -= sum(count for _, count in rows)

    def _body(self, batch: InputBatch, *, hurry: bool) -> bytes:
        body = self._encoder.encode(batch.inputs)
        bytes_min = _HURRIED_BYTES_MIN if hurry else _PACKED_BYTES_MIN
        return body if len(body) < bytes_min else zlib.compress(body, 1)


def read_inputs(connection: sqlite3.Connection, epoch: int) -> Iterator[tuple[InputRow, list[Input]]]:
    """Every row of `epoch` in order. Raises sqlite3.Error, msgspec.MsgspecError, zlib.error."""
    decoder: msgspec.msgpack.Decoder[list[Input]] = msgspec.msgpack.Decoder(list[Input])
    query = (
        "SELECT epoch, first, count, after, records, lost, body FROM inputs WHERE place BETWEEN ? AND ? ORDER BY place"
    )
    for *columns, body in connection.execute(query, (_place(epoch, 0), _place(epoch + 1, 0) - 1)):
        yield InputRow(*columns), decoder.decode(zlib.decompress(body) if body[:1] == b"\x78" else body)

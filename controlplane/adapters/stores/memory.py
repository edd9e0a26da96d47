"""The journal of a process that need not remember: a list."""

from collections.abc import Sequence

from controlplane.model.errors import JournalError
from controlplane.model.input import InputBatch
from controlplane.model.record import Record

RECORDS_MAX = 100_000  # about 50 MB; an incident writes some hundred records


class MemoryJournal:
    """Records in memory, the oldest forgotten beyond `records_max`.

    `store` is the list that holds them; a second journal over the same list continues it, which is a restart in tests.
    """

    def __init__(self, store: list[tuple[int, Record]] | None = None, *, records_max: int = RECORDS_MAX) -> None:
        if records_max < 1:
            raise ValueError(f"records_max is {records_max}; it must be 1 or more")
        self.store = store if store is not None else []
        self._records_max = records_max
        self._closed = False

    async def read(self) -> list[Record]:
        """Everything that is still held, oldest first."""
        self._check_open()
        return [record for _, record in self.store]

    async def read_after(self, number: int, *, limit: int) -> list[tuple[int, Record]]:
        """At most `limit` numbered records after the one numbered `number`, oldest first."""
        self._check_open()
        first = self.store[0][0] if self.store else 1
        begin = max(0, number + 1 - first)
        return self.store[begin : begin + limit]

    async def append(self, records: Sequence[Record], inputs: Sequence[InputBatch] = ()) -> int:
        """Hold all of `records`; the answer is the number of the last record held. No inputs: nobody can replay a list.

        Not a checkpoint: a command waits for this call, and yielding would put every ready task of the host before it.
        """
        del inputs
        self._check_open()
        last = self.store[-1][0] if self.store else 0
        self.store.extend(enumerate(records, last + 1))
        if len(self.store) > 2 * self._records_max:  # twice: so that the list is moved once per `records_max` records
            del self.store[: -self._records_max]
        return last + len(records)

    async def aclose(self) -> None:
        """Take no more records. Idempotent."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError("the journal is closed")

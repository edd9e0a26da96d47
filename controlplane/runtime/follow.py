"""Records as they are written, for those who look on: one shared tail in memory, and each follower a place in it.

A follower costs a number and no buffer. One that begins far back reads pages of the journal until it has reached the
tail; one that was there and falls off its old end is too slow, and told so by the end of its stream. It may follow
again from the last number it has seen.
"""

import bisect
from collections import deque
from collections.abc import Sequence

import anyio
import anyio.lowlevel
from anyio.abc import ObjectReceiveStream

from controlplane.model.record import Record
from controlplane.ports import Journal

TAIL_RECORDS = 10_000
_PAGE_RECORDS = 500


class Tail:
    """The newest numbered records. `floor` is the number before the oldest one held, None: nothing was written yet."""

    def __init__(self, *, records_max: int = TAIL_RECORDS) -> None:
        self._records_max = records_max
        self._entries: list[tuple[int, Record]] = []
        self.floor: int | None = None
        self.last_number = 0
        self.ended = False
        self.grown = anyio.Event()

    def extend(self, records: Sequence[Record], *, last: int) -> None:
        """Add what was just written; `last` is the last one's number."""
        first = last + 1 - len(records)
        if self.floor is None:
            self.floor = first - 1
        self._entries.extend(enumerate(records, first))
        if len(self._entries) >= 2 * self._records_max:  # so that the list is moved once per `records_max` records
            del self._entries[: -self._records_max]
            self.floor = self._entries[0][0] - 1
        self.last_number = last
        self._wake()

    def end(self) -> None:
        """Nothing will be written any more."""
        self.ended = True
        self._wake()

    def after(self, number: int) -> tuple[int, Record] | None:
        """The oldest entry held that is newer than `number`, or None."""
        at = bisect.bisect_right(self._entries, number, key=lambda entry: entry[0])
        return self._entries[at] if at < len(self._entries) else None

    def _wake(self) -> None:
        grown, self.grown = self.grown, anyio.Event()
        grown.set()


class Follower(ObjectReceiveStream[tuple[int, Record]]):
    """A stream of (number, record), also an async context manager; `after` -1: only what is new.

    Raises  JournalError when history cannot be read.
    """

    def __init__(self, tail: Tail, journal: Journal, after: int) -> None:
        self._tail, self._journal = tail, journal
        self._number = after if after >= 0 else tail.last_number or -1
        self._live = after < 0 and tail.last_number > 0
        self._page: deque[tuple[int, Record]] = deque()
        self._closed = False

    async def receive(self) -> tuple[int, Record]:
        """The next record, once there is one. Raises EndOfStream when the loop ends or this follower is too slow."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            entry = self._next() or await self._from_journal()
            if entry is not None:
                self._number = entry[0]
                return entry
            if self._tail.ended:
                raise anyio.EndOfStream
            if self._tail.after(self._number) is None:
                await self._tail.grown.wait()

    def take_nowait(self) -> tuple[int, Record] | None:
        """The next record, if it is at hand."""
        entry = None if self._closed else self._next()
        if entry is not None:
            self._number = entry[0]
        return entry

    def skip_to(self, number: int) -> None:
        """Leave out everything up to the record `number`: it came by another way."""
        while self._page and self._page[0][0] <= number:
            self._page.popleft()
        self._number = max(self._number, number)

    async def aclose(self) -> None:
        """Follow no longer."""
        self._closed = True

    def _next(self) -> tuple[int, Record] | None:
        if self._page:
            return self._page.popleft()
        floor = self._tail.floor
        if floor is None:
            return None
        if self._number < 0:  # followed from before the first write of this loop
            self._number = floor
        if self._number < floor:
            if self._live:
                raise anyio.EndOfStream
            return None
        self._live = True
        return self._tail.after(self._number)

    async def _from_journal(self) -> tuple[int, Record] | None:
        if self._number < 0 or self._live or self._tail.ended:
            return None
        self._page.extend(await self._journal.read_after(self._number, limit=_PAGE_RECORDS))
        if not self._page and self._tail.floor is not None:
            self._number = max(self._number, self._tail.floor)  # the journal no longer has what was asked for
        return self._page.popleft() if self._page else None

"""Records on their way to the journal, whose failure never stops a containment.

What a failing journal did not take is counted and not kept: orders have acted by then, and writing them later would put
the record after the act. The engine is told once that it fails and once that it works, and then records the gap. Two
things are no acts and are kept: that this epoch began, without which later times could not be read, and the inputs.
"""

import logging
from collections.abc import Sequence

import anyio

from controlplane.model.errors import JournalError
from controlplane.model.input import Input, InputBatch
from controlplane.model.record import EpochStarted, Record
from controlplane.model.signal import Unwritten
from controlplane.model.unit import Nanos, to_nanos
from controlplane.ports import Clock, Journal
from controlplane.runtime.follow import Tail
from controlplane.runtime.tape import Tape

logger = logging.getLogger(__name__)

_STUCK_PAUSE = 10  # time-outs; a journal that hangs costs containment at most about a tenth of the time


class Recorder:
    """The loop's side of the journal. `inputs`: what the engine was told goes on record, too."""

    def __init__(
        self, journal: Journal, tail: Tail, *, clock: Clock, append_timeout_s: float, inputs: bool = False
    ) -> None:
        self._journal, self._tail, self._clock = journal, tail, clock
        self._append_timeout_s = append_timeout_s
        self._tape = Tape(wanted=inputs)
        self._began: tuple[Record, ...] = ()  # that the epoch began, where the journal did not take it
        self._untold = 0
        self._stuck_until = Nanos(0)
        self.failure = ""
        self.written = 0
        self.lost = 0
        self.lag_ns = 0

    def note(self, given: Input) -> None:
        """The engine was told `given`; it goes on record with what follows from it."""
        self._tape.note(given)

    async def write(self, records: Sequence[Record]) -> list[Unwritten]:
        """What the engine must be told, if anything; `failure` says whether this went on record. Never raises."""
        if not records:
            return []
        batches = self._tape.take(records)
        began = self._clock.now()
        if began < self._stuck_until:
            return self._missed(records, batches, self.failure, began)
        reason = await self._append((*self._began, *records), batches)
        now = self._clock.now()
        if reason:
            return self._missed(records, batches, reason, now)
        self.lag_ns = now - began
        return self._works_again(now) if self.failure else []

    @property
    def flush_due(self) -> bool:
        """Whether inputs have waited long enough to go on record by themselves."""
        now = self._clock.now()
        return now >= self._stuck_until and self._tape.due(now)

    async def flush(self, *, all_of_them: bool = False) -> None:
        """Put inputs on record that caused no record and have waited long enough, or all of them. Never raises."""
        if not (self.flush_due or (all_of_them and self._clock.now() >= self._stuck_until)):
            return
        batches = self._tape.take()
        if batches and await self._append((), batches):
            self._tape.keep(batches, lost=0)

    async def _append(self, records: Sequence[Record], batches: list[InputBatch]) -> str:
        """Why it was not taken; empty: it is on record."""
        began = self._clock.now()
        try:
            with anyio.fail_after(self._append_timeout_s):
                append = self._journal.append
                last = await (append(records, batches) if batches else append(records))
        except TimeoutError:
            self._stuck_until = Nanos(began + _STUCK_PAUSE * to_nanos(self._append_timeout_s))
            return f"no answer within {self._append_timeout_s} s"
        except JournalError as error:
            return str(error)
        except Exception as error:
            logger.exception("the journal failed in a way it does not promise")
            return repr(error)
        if records:
            self._began = ()
            self.written += len(records)
            self._tail.extend(records, last=last)
        return ""

    def _missed(self, records: Sequence[Record], batches: list[InputBatch], reason: str, now: Nanos) -> list[Unwritten]:
        self._tape.keep(batches, lost=len(records))
        if isinstance(records[0], EpochStarted):
            self._began = (records[0],)
        self.lost += len(records)
        if self.failure:
            self._untold += len(records)
            return []
        logger.error("the journal does not take records, containment goes on without it: %s", reason)
        self.failure = reason
        return [Unwritten(at=now, records=len(records), reason=reason)]

    def _works_again(self, now: Nanos) -> list[Unwritten]:
        logger.warning("the journal takes records again")
        told = [Unwritten(at=now, records=self._untold, reason=self.failure)] if self._untold else []
        self.failure, self._untold = "", 0
        return [*told, Unwritten(at=now, records=0, reason="")]

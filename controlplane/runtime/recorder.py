"""Records on their way to the journal, whose failure never stops a containment.

What a failing journal did not take is counted and not kept: orders have acted by then, and writing them later would put
the record after the act. The engine is told once that it fails and once that it works, and then records the gap.
"""

import logging
from collections.abc import Sequence

import anyio

from controlplane.model.errors import JournalError
from controlplane.model.record import Record
from controlplane.model.signal import Unwritten
from controlplane.model.unit import Nanos, to_nanos
from controlplane.ports import Clock, Journal
from controlplane.runtime.follow import Tail

logger = logging.getLogger(__name__)

_STUCK_PAUSE = 10  # time-outs; a journal that hangs costs containment at most about a tenth of the time


class Recorder:
    """The loop's side of the journal."""

    def __init__(self, journal: Journal, tail: Tail, *, clock: Clock, append_timeout_s: float) -> None:
        self._journal, self._tail, self._clock = journal, tail, clock
        self._append_timeout_s = append_timeout_s
        self._untold = 0
        self._stuck_until = Nanos(0)
        self.failure = ""
        self.written = 0
        self.lost = 0
        self.lag_ns = 0

    async def write(self, records: Sequence[Record]) -> list[Unwritten]:
        """What the engine must be told, if anything; `failure` says whether this went on record. Never raises."""
        if not records:
            return []
        began = self._clock.now()
        if began < self._stuck_until:
            return self._missed(records, self.failure, began)
        try:
            with anyio.fail_after(self._append_timeout_s):
                last = await self._journal.append(records)
        except TimeoutError:
            self._stuck_until = Nanos(began + _STUCK_PAUSE * to_nanos(self._append_timeout_s))
            return self._missed(records, f"no answer within {self._append_timeout_s} s", self._clock.now())
        except JournalError as error:
            return self._missed(records, str(error), self._clock.now())
        except Exception as error:
            logger.exception("the journal failed in a way it does not promise")
            return self._missed(records, repr(error), self._clock.now())
        now = self._clock.now()
        self.lag_ns = now - began
        self.written += len(records)
        self._tail.extend(records, last=last)
        return self._works_again(now) if self.failure else []

    def _missed(self, records: Sequence[Record], reason: str, now: Nanos) -> list[Unwritten]:
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

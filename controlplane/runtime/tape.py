"""What the engine was told, on its way to the journal beside the records that it caused.

An input costs one value in a list; nothing is encoded and nobody is woken for it. Those that cause no record wait for
the next ones that do, or until the loop is awake anyway and the oldest has waited `FLUSH_NS`. A crash loses these, and
nothing that is on record depends on them.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from controlplane.model.input import Input, InputBatch
from controlplane.model.record import EpochStarted, Record
from controlplane.model.unit import SECOND, Epoch, Nanos

FLUSH_NS = SECOND
FLUSH_INPUTS = 2_000
FAILING_NS = 10 * SECOND  # between attempts while the journal does not take them
KEPT_INPUTS_MAX = 20_000  # for a journal that fails; then a gap, which the replay names


class Tape:
    """Numbered inputs of one epoch that are not yet on record. `wanted` false: none are kept."""

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted
        self._epoch = Epoch(0)
        self._number = 1  # of the next input
        self._fresh: list[Input] = []
        self._kept: deque[InputBatch] = deque()
        self._kept_inputs = 0

    def note(self, given: Input) -> None:
        """The engine was told `given`."""
        if self.wanted:
            self._fresh.append(given)

    def due(self, now: Nanos) -> bool:
        """Whether what is here has waited long enough to be worth an append of its own."""
        if not self._fresh:
            return False
        pause_ns = FAILING_NS if self._kept else FLUSH_NS
        return len(self._fresh) >= FLUSH_INPUTS or now - self._fresh[0].at >= pause_ns

    def take(self, records: Sequence[Record] = ()) -> list[InputBatch]:
        """What goes on record with `records`: what an append before did not take, and one batch of what is new."""
        if records and isinstance(records[0], EpochStarted):
            self._epoch = records[0].epoch
        batches, self._kept, self._kept_inputs = list(self._kept), deque(), 0
        if self._fresh:
            batches.append(InputBatch(epoch=self._epoch, first=self._number, inputs=tuple(self._fresh)))
            self._number += len(self._fresh)
            self._fresh = []
        return batches

    def keep(self, batches: Sequence[InputBatch], *, lost: int) -> None:
        """The journal did not take `batches`, nor the `lost` records of the last one. What came first is kept: a replay
        needs every input before."""
        for batch in batches:
            if lost and batch is batches[-1]:
                batch = msgspec.structs.replace(batch, lost=lost)
            if self._kept_inputs + len(batch.inputs) <= KEPT_INPUTS_MAX:
                self._kept.append(batch)
                self._kept_inputs += len(batch.inputs)
            else:
                self._kept_inputs = KEPT_INPUTS_MAX  # from the first gap on nothing is of use

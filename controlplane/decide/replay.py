"""Was it really so: the inputs on record once more through a fresh engine, its records compared byte for byte.

Each epoch stands alone, as it did then: a new engine of the recorded setup, restored from the records before it, told
the recorded inputs at the recorded times. What a replay cannot cover it names and does not guess.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from controlplane.decide.engine import Engine
from controlplane.model.errors import JournalError
from controlplane.model.input import Began, Input, InputRow, Setup, Stepped, Ticked
from controlplane.model.outcome import Outcome
from controlplane.model.record import EpochStarted, Record
from controlplane.model.unit import Nanos


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that came out otherwise. `recorded` and `came_out` are JSON, or empty: there is none."""

    record: int
    input: int
    at: Nanos
    told: str
    recorded: str
    came_out: str
    reason: str


class EpochReplay(msgspec.Struct, kw_only=True):
    """What one epoch's replay covered, and found."""

    epoch: int
    setup: Setup | None = None
    began_at: Nanos = Nanos(0)
    began_wall_ns: int = 0
    ended_at: Nanos = Nanos(0)  # of the last input that was replayed
    inputs: int = 0
    records: int = 0  # compared, and equal
    records_lost: int = 0  # came out, and the journal had not taken them: nothing to compare with
    records_left: int = 0  # on record, and not covered
    stopped: str = ""  # why it does not cover the whole epoch
    difference: Difference | None = None


def replay(
    epoch: int,
    *,
    before: Iterable[Record],
    recorded: Mapping[int, str],
    rows: Iterable[tuple[InputRow, Sequence[Input]]],
) -> EpochReplay:
    """Replay one epoch.

    before    every record before the epoch began
    recorded  the epoch's own records by number, as they stand on record
    rows      its inputs in order
    """
    run = _Run(epoch, before, recorded)
    try:
        for row, inputs in rows:
            if not run.follow(row, inputs):
                break
    except JournalError as error:  # of `rows`: what came before is no less true
        run.stop(str(error))
    return run.result()


class _Run:
    def __init__(self, epoch: int, before: Iterable[Record], recorded: Mapping[int, str]) -> None:
        self._before, self._recorded = before, recorded
        self._found = EpochReplay(epoch=epoch)
        self._engine: Engine | None = None
        self._next_input = 1
        self._next_record = min(recorded, default=1)
        self._late: list[tuple[int, Nanos, str, str]] = []  # that the epoch began, put on record later than it did

    def follow(self, row: InputRow, inputs: Sequence[Input]) -> bool:
        """Tell the engine what one row holds, and compare; False: no further."""
        if row.first != self._next_input:
            self._found.stopped = f"inputs {self._next_input} to {row.first - 1} are missing"
            return False
        came_out = list(self._late)
        for number, one in enumerate(inputs, row.first):
            outcome, raised = self._tell(one)
            if raised != one.raised:
                reason = "the engine broke over this input" if raised else "the engine had broken over this input"
                return self._differ(row.after + 1, (number, one.at, _told(one), ""), "", reason)
            for record in outcome.records:
                came_out.append((number, one.at, _told(one), _text(record)))
                if isinstance(record, EpochStarted) and row.lost:
                    self._late = came_out[-1:]
            self._found.ended_at = one.at
            self._found.inputs += 1
        self._next_input += len(inputs)
        if row.lost:
            self._found.records_lost += row.lost
            return True
        if came_out or row.records:
            self._late = []
            return self._compare(row, came_out)
        return True

    def _compare(self, row: InputRow, came_out: list[tuple[int, Nanos, str, str]]) -> bool:
        if row.after + 1 != self._next_record:
            reason = "it is on record, and nothing that the engine was told caused it"
            here = came_out[0] if came_out else (row.first, Nanos(0), "", "")
            return self._differ(self._next_record, (*here[:3], ""), self._recorded.get(self._next_record, ""), reason)
        for index in range(max(row.records, len(came_out))):
            number = row.after + 1 + index
            recorded = self._recorded.get(number, "") if index < row.records else ""
            here = came_out[index] if index < len(came_out) else (self._next_input - 1, self._found.ended_at, "", "")
            if recorded != here[3]:
                return self._differ(number, here, recorded, "the record came out otherwise")
            self._found.records += 1
        self._next_record = row.after + row.records + 1
        return True

    def _tell(self, one: Input) -> tuple[Outcome, bool]:
        if isinstance(one, Began):
            setup = self._found.setup = one.setup
            self._found.began_at, self._found.began_wall_ns = one.at, one.wall_ns
            self._engine = Engine(
                setup.topology, setup.policy, setup.graph, playbooks=setup.playbooks, people=setup.people
            )
            self._engine.restore(self._before)
            return self._engine.start(one.at, boot=one.boot, wall_ns=one.wall_ns), False
        assert self._engine is not None, "the first input of an epoch is that it began"
        try:
            return self._engine.tick(one.at) if isinstance(one, Ticked) else self._engine.step(
                one.signal, one.at
            ), False
        except Exception:  # as the loop does: the engine goes on with what it had changed by then
            return Outcome(), True

    def _differ(self, number: int, here: tuple[int, Nanos, str, str], recorded: str, reason: str) -> bool:
        given, at, told, came_out = here
        self._found.difference = Difference(
            record=number, input=given, at=at, told=told, recorded=recorded, came_out=came_out, reason=reason
        )
        return False

    def stop(self, reason: str) -> None:
        """What follows cannot be covered."""
        self._found.stopped = reason

    def result(self) -> EpochReplay:
        """What was found."""
        found = self._found
        found.records_left = sum(number >= self._next_record for number in self._recorded)
        if found.difference is None and not found.stopped:
            if not found.inputs:
                found.stopped = "its inputs are not on record"
            elif found.records_left:
                found.stopped = f"its inputs end before record {self._next_record}"
        return found


def differing(setup: Setup, *, program: str, schema: str) -> Iterator[str]:
    """In what the program that wrote an epoch is another one than this."""
    if setup.program != program:
        yield f"it was written by version {setup.program}, this is {program}"
    if setup.schema != schema:
        yield f"its values have another shape (schema {setup.schema}, this version's is {schema})"


def _text(record: Record) -> str:
    return msgspec.json.encode(record).decode()


def _told(one: Input) -> str:
    if isinstance(one, Stepped):
        return msgspec.json.encode(one.signal).decode()
    return "that time had passed" if isinstance(one, Ticked) else "that the epoch began"

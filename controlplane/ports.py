"""The sockets in the wall: what the loops need from the world, as Protocols and nothing else.

Every implementation of a port passes the same suite in `tests/contract/`.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from controlplane.model.command import Command
from controlplane.model.input import InputBatch
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.record import Record
from controlplane.model.signal import Signal, Target
from controlplane.model.unit import Nanos


class Clock(Protocol):
    """Time as an argument's source."""

    def now(self) -> Nanos:
        """CLOCK_MONOTONIC, nanoseconds."""

    def wall_ns(self) -> int:
        """Unix time in nanoseconds, for people only: it may step."""

    def boot(self) -> str:
        """Identity of this boot: monotonic times of two boots do not compare."""


class Engine(Protocol):
    """What the loop asks; its state is folded already when it answers. `decide.engine.Engine` is the only real one."""

    def restore(self, records: Iterable[Record]) -> None:
        """Fold what is on record. Before `start`, once."""

    def start(self, now: Nanos, *, boot: str, wall_ns: int) -> Outcome:
        """Begin a new epoch; orders still in force come as commands again."""

    def step(self, signal: Signal, now: Nanos) -> Outcome:
        """What follows from one signal."""

    def tick(self, now: Nanos) -> Outcome:
        """What follows from time alone; asked at `wake_at`."""


class Journal(Protocol):
    """An ordered, durable list of records, numbered 1, 2, 3 and so on."""

    async def read(self) -> list[Record]:
        """Everything on record, oldest first. Raises JournalError on a damaged file; never returns half a batch."""

    async def read_after(self, number: int, *, limit: int) -> list[tuple[int, Record]]:
        """At most `limit` numbered records after the one numbered `number`, oldest first; empty: there is none yet."""

    async def append(self, records: Sequence[Record], inputs: Sequence[InputBatch] = ()) -> int:
        """Put all of `records` and `inputs` on record, or none; the answer is the last record's number. On return they
        survive a crash of the process. A batch of inputs whose epoch and first number are on record already is not
        written again. Raises JournalError, after which the journal is still usable. Cancelled, it is all or none, too.
        """

    async def aclose(self) -> None:
        """Give the journal back to others. Idempotent."""


class DataPlane(Protocol):
    """Something that steers traffic. It keeps order itself (`adapters.fence`): what was sent first may come last."""

    async def apply(self, command: Command) -> None:
        """Put `command` in force; twice is once. Raises ActuationError: `StaleEpoch` for one of an older epoch,
        `StaleCommand` for one that a later one about the same has overtaken."""


class Deployer(Protocol):
    """Somebody who can bring the version before back."""

    async def roll_back(self, command: Command) -> tuple[bool, str]:
        """Carry out the `RollBack` that `command` orders: whether it is done, and why not. Called once for a command;
        bounded in time; never raises but for cancellation."""


class SignalSource(Protocol):
    """Something that has facts to tell."""

    def drain(self) -> list[Signal]:
        """Facts since the last call, oldest first. Never blocks."""

    def sample(self) -> list[Signal]:
        """Counts of what is under observation since the last call, as `Sampled` signals. Never blocks."""


class CallJudge(Protocol):
    """Somebody who judges calls that a proxy made as if they had been made here, by the same sequential tests."""

    def ended(self, target: Target, outcome: int, latency_ns: int) -> None:
        """A call to that endpoint ended so (`_native.guard`: SUCCESS to STALLED), `latency_ns` after it began. What the
        control plane itself caused is never told. A target that nobody declared is as good as not told."""

    def relayed(self, caller: str, callee: str) -> None:
        """`caller` answered with a failure that was `callee`'s."""

    def asked(self, *, failed: bool, latency_ns: int) -> None:
        """A user's request was answered."""

    def shed(self) -> None:
        """A user's request was not let in, by order."""

    def stall_ns(self, service: str) -> int:
        """How long an answer of `service` may be awaited before the call is overdue."""


class GroupNotifier(Protocol):
    """Somebody who is told by name: what belongs together comes together."""

    async def notify_group(self, notices: Sequence[Notice]) -> None:
        """Deliver all of `notices`, of one group, oldest first. Raises NotifyError, which says whether they may be
        delivered yet; a second delivery carries the same ids. Containment never waits for it."""


class Notifier(Protocol):
    """Somebody who is told."""

    async def notify(self, notice: Notice) -> None:
        """Deliver, or raise: it is tried again, later each time. Containment never waits for it."""

"""What was decided, on its way into effect: on record, then acted on, then told.

The loop goes on deciding what is urgent meanwhile, and nothing else: the thread that writes needs the interpreter, too.
What is decided while one group of decisions is written gathers in the next, which goes on record in one append and not
before the group in front of it has acted: the order of effects is the order of decisions, and no command acts before
its records are there. docs/decisions/0026-decisions-are-carried-out-beside-deciding.md.
"""

from collections.abc import Iterable
from typing import Protocol

import anyio

from controlplane.model.command import Command
from controlplane.model.errors import ControlPlaneError, JournalError
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.record import Record
from controlplane.model.signal import Acted, Signal
from controlplane.model.unit import MILLISECOND, Nanos
from controlplane.ports import Clock
from controlplane.runtime.actuation import Actuation
from controlplane.runtime.inbox import Errand
from controlplane.runtime.recorder import Recorder
from controlplane.runtime.statistics import Stopwatch

STEPS_MAX = 64  # decided and not yet being written; then the loop waits
GATHER_NS = 2 * MILLISECOND  # from the first decision of a group until it is carried out, however much more waits


class Hearer(Protocol):
    """The loop: what follows from effects comes back to it."""

    def hear(self, answers: Iterable[Signal]) -> None:
        """Data planes or the journal have answered."""

    def tell(self, notice: Notice) -> None:
        """Everything before `notice` has happened: people may know."""

    def rested(self) -> None:
        """Everything that had gathered has been carried out."""


class Group:
    """What was decided together."""

    def __init__(self) -> None:
        self.steps = 0
        self.since = Nanos(0)
        self.records: list[Record] = []
        self.decided: list[tuple[Command, Nanos]] = []
        self.notices: list[Notice] = []
        self.errands: list[tuple[Errand, bool]] = []  # with whether the engine has decided on it
        self.journaled: Nanos | None = None
        self.failure = ""

    def add(self, outcome: Outcome, *, decided: Nanos) -> None:
        """Append the effects of one decision."""
        self.records += outcome.records
        self.decided += [(command, decided) for command in outcome.commands]
        self.notices += outcome.notices

    @property
    def pressing(self) -> bool:
        """Whether it acts, or somebody waits for it."""
        return bool(self.decided or self.errands)

    def settle(self) -> None:
        """Everything is in force: let those go on who wait for it, or fail."""
        for errand, decided in self.errands:
            if not decided:
                errand.settle(ControlPlaneError("the engine failed on this order; the log has the traceback"))
            elif self.failure:
                errand.settle(JournalError(f"the order is in force, but not on record: {self.failure}"))
            else:
                errand.settle()


class Effects:
    """Carries groups out, one after the other, in a task of its own. `open` is the group that gathers; `busy`:
    something is being carried out, or about to be."""

    def __init__(
        self, recorder: Recorder, actuation: Actuation, *, clock: Clock, loop: Hearer, linger_ns: int = 0
    ) -> None:
        self._linger_ns = linger_ns
        self.open = Group()
        self.commands = self.failed = 0
        self.stopwatch = Stopwatch()
        self._recorder, self._actuation, self._clock, self._loop = recorder, actuation, clock, loop
        self._unsettled: list[Group] = []
        self._arrived = anyio.Event()
        self._taken = anyio.Event()
        self._rested = anyio.Event()
        self.busy = self._begun = self._stopped = False

    def add(self, outcome: Outcome | None) -> None:
        """What the engine has decided is to be carried out; None: it failed, and whoever waits is told so."""
        now = self._clock.now()
        if not self.open.steps:
            self.open.since = now
        self.open.steps += 1
        if outcome is not None:
            self.open.add(outcome, decided=now)

    @property
    def full(self) -> bool:
        """Whether nothing more may be decided for now."""
        return self.open.steps >= STEPS_MAX

    @property
    def due_at(self) -> Nanos | None:
        """When what has gathered is to be carried out: at once, if it is pressing; None: there is nothing."""
        if not self.open.steps:
            return None
        return Nanos(self.open.since + (0 if self._begun or self.open.pressing else self._linger_ns))

    def begin(self) -> None:
        """What has gathered is to be carried out as soon as what is before it has been."""
        if self.open.steps:
            self.busy = self._begun = True
            self._arrived.set()

    def begin_if_due(self, *, gather_ns: int = 0) -> None:
        """The same, if it is due, and has been for `gather_ns`."""
        if self.full or self._due(gather_ns):
            self.begin()

    def _due(self, gather_ns: int = 0) -> bool:
        at = self.due_at
        return at is not None and self._clock.now() - at >= gather_ns

    def rest(self) -> None:
        """There is nothing to do: inputs that have waited long enough may go on record."""
        if self._recorder.flush_due:
            self._arrived.set()

    async def wait_room(self) -> None:
        """Return when the group that gathers is a new one."""
        await self._taken.wait()

    async def wait_idle(self) -> None:
        """Return when everything that was decided has been carried out, as far as data planes answer in time."""
        while self.open.steps or self.busy:
            await self._rested.wait()

    def stop(self) -> None:
        """Nothing more will be decided: end `run` when everything has been carried out."""
        self._begun = self._stopped = True
        self._arrived.set()

    async def run(self) -> None:
        """Work until `stop`, not until cancelled: what was decided is carried out, and time-outs bound that."""
        with anyio.CancelScope(shield=True):
            while self.open.steps or not self._stopped:
                await self._arrived.wait()
                self._arrived = anyio.Event()
                while self._due():
                    self.busy, self._begun = True, self._stopped
                    group, self.open = self.open, Group()
                    taken, self._taken = self._taken, anyio.Event()
                    taken.set()
                    await self._carry_out(group)
                self.busy = False
                self._loop.rested()
                rested, self._rested = self._rested, anyio.Event()
                rested.set()
                await self._recorder.flush()

    def fail(self, failure: ControlPlaneError) -> None:
        """Nobody will answer those who still wait: a data plane has not."""
        for group in (*self._unsettled, self.open):
            for errand, _ in group.errands:
                errand.settle(failure)

    async def _carry_out(self, group: Group) -> None:
        self._unsettled.append(group)
        if answers := await self._recorder.write(group.records):
            self._loop.hear(answers)
        group.failure = self._recorder.failure
        group.journaled = None if group.failure else self._clock.now()
        if group.decided:
            commands = [command for command, _ in group.decided]
            await self._actuation.apply(commands, lambda acts: self._applied(group, acts.answers))
        else:
            self._settle(group)
        for notice in group.notices:
            self._loop.tell(notice)

    def _applied(self, group: Group, answers: list[Acted]) -> None:
        """Every data plane has answered, maybe long after others were asked for more."""
        for (command, decided), answer in zip(group.decided, answers, strict=True):
            self.stopwatch.record(command, decided=decided, journaled=group.journaled, applied=answer.at)
        self.commands += len(answers)
        self.failed += sum(not answer.ok for answer in answers)
        self._loop.hear(answers)
        self._settle(group)

    def _settle(self, group: Group) -> None:
        self._unsettled.remove(group)
        group.settle()

"""The deliberate loop: it wakes on an event or at the time the engine named, and carries out what the engine answers.

    ring, inbox or wake_at -> engine -> journal -> data planes -> answers back into the engine -> notices

Nothing polls. One task decides, so that the engine sees one signal after the other. What waits is decided together and
goes on record in one append (fifty faults at once cost one, not fifty), and then acts: no command before its records.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from controlplane.from_thread import Soon, soon
from controlplane.model.command import Command
from controlplane.model.errors import ControlPlaneError, JournalError
from controlplane.model.input import Began, Setup, Stepped, Ticked
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.record import Record
from controlplane.model.signal import Acted, Signal, Told
from controlplane.model.unit import MILLISECOND, SECOND, Nanos
from controlplane.ports import Clock, DataPlane, Engine, Journal, Notifier, SignalSource
from controlplane.runtime.actuation import Actuation
from controlplane.runtime.follow import Follower, Tail
from controlplane.runtime.herald import Herald
from controlplane.runtime.inbox import Errand, Inbox
from controlplane.runtime.recorder import Recorder
from controlplane.runtime.statistics import LoopStatistics, Stopwatch, latency

__all__ = ["ControlLoop", "LoopStatistics"]

logger = logging.getLogger(__name__)

_GROUP_STEPS_MAX = 64  # decided before the first of them acts; then the host's other tasks get their turn
_GROUP_NS = MILLISECOND
_ENGINE_ERROR_PAUSE = SECOND  # before a tick that failed is tried again


class ControlLoop:
    """Runs one engine on the event loop that calls `run`. The journal belongs to whoever made it, who also closes it.

    `apply_timeout_s` cuts off a data plane that hangs, `append_timeout_s` a journal that does. `setup` is what `engine`
    was made of: with it, everything the engine is told goes on record, so that it can be replayed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        journal: Journal,
        data_planes: Sequence[DataPlane] = (),
        sources: Sequence[SignalSource] = (),
        notifiers: Sequence[Notifier] = (),
        inbox_max: int = 10_000,
        apply_timeout_s: float = 2.0,
        append_timeout_s: float = 1.0,
        setup: Setup | None = None,
    ) -> None:
        self._engine, self._clock, self._journal = engine, clock, journal
        self._sources = tuple(sources)
        self._tail = Tail()
        self._setup = setup
        self._recorder = Recorder(
            journal, self._tail, clock=clock, append_timeout_s=append_timeout_s, inputs=setup is not None
        )
        self._actuation = Actuation(data_planes, clock=clock, apply_timeout_s=apply_timeout_s)
        self._herald = Herald(notifiers, clock=clock, tell_engine=self._told)
        self._inbox = Inbox(signals_max=inbox_max)
        self._stopwatch = Stopwatch()
        self._wake = anyio.Event()
        self._rung = self._rung_by_thread = False
        self._soon: Soon | None = None
        self._began = self._ended = False
        self._wake_at: Nanos | None = None
        self._steps = self._engine_errors = self._source_errors = 0
        self._commands = self._commands_failed = self._notices = 0
        self._errands: set[Errand] = set()  # decided, and not yet applied everywhere

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Decide and act until cancelled; `started()` once the journal is folded and orders in force are applied again.

        Raises  JournalError when the journal cannot be read, and whatever the engine raises over its content: a plane
                that would begin without its memory must not begin. After that, nothing but cancellation.
        """
        if self._began:
            raise RuntimeError("a control loop runs once; make a new one over the same journal")
        self._began = True
        self._soon = soon()
        try:
            self._engine.restore(await self._journal.read())
            outcome = self._begin_epoch()
            async with anyio.create_task_group() as tasks:
                self._actuation.start(tasks)
                try:
                    await self._carry_out_start(outcome)
                    await self._decide_waiting()
                    self._herald.start(tasks)
                    task_status.started()
                    while True:
                        await self._turn()
                finally:
                    self._actuation.stop()
        finally:
            self._ended = True
            self._tail.end()
            self._fail_errands()
            with anyio.CancelScope(shield=True):
                await self._recorder.flush(all_of_them=True)

    def ring(self) -> None:
        """Say that sources have facts. For the loop's own thread; costs two attributes, however often it rings."""
        self._rung = True
        self._wake.set()

    def ring_threadsafe(self) -> None:
        """`ring` for every other thread; rings that come before the loop has woken are one."""
        if self._rung_by_thread or self._soon is None:
            self._rung = True  # before `run`, which looks at the sources first
            return
        self._rung_by_thread = True
        self._soon(self._ring_from_thread)

    def submit_nowait(self, signal: Signal) -> None:
        """Have `signal` decided soon. Raises anyio.WouldBlock when the inbox is full: nothing was taken."""
        self._inbox.put_nowait(signal)
        self._wake.set()

    async def execute(self, signal: Signal) -> None:
        """Have `signal` decided before all others; return when its outcome is on record and applied.

        Raises  JournalError when it was applied, but the journal did not take it; ControlPlaneError when the engine
                failed on it or the loop has ended. A sender that is cancelled meanwhile has not taken its order back.
        """
        if self._ended:
            raise ControlPlaneError("the control loop has ended")
        errand = Errand(signal)
        self._inbox.put_errand(errand)
        self._wake.set()
        await errand.wait_settled()

    def follow(self, after: int = -1) -> Follower:
        """Records and their numbers, from the one after number `after` on; 0: all, -1: only new ones."""
        return Follower(self._tail, self._journal, after)

    def statistics(self) -> LoopStatistics:
        """Totals and latencies so far."""
        return LoopStatistics(
            steps=self._steps,
            records=self._recorder.written,
            lost=self._recorder.lost,
            last_number=self._tail.last_number,
            journal_lag_ns=self._recorder.lag_ns,
            journal_ok=not self._recorder.failure,
            commands=self._commands,
            commands_failed=self._commands_failed,
            inbox=len(self._inbox),
            degraded=tuple(self._degraded()),
            inbox_refused=self._inbox.refused,
            engine_errors=self._engine_errors,
            source_errors=self._source_errors,
            notices=self._notices,
            notices_failed=self._herald.failed,
            notices_dropped=self._herald.dropped,
            decided=latency(self._stopwatch.decided),
            journaled=latency(self._stopwatch.journaled),
            applied=latency(self._stopwatch.applied),
        )

    def _begin_epoch(self) -> Outcome:
        now, boot, wall_ns = self._clock.now(), self._clock.boot(), self._clock.wall_ns()
        outcome = self._engine.start(now, boot=boot, wall_ns=wall_ns)
        if self._setup is not None:
            self._recorder.note(Began(at=now, boot=boot, wall_ns=wall_ns, setup=self._setup))
        for command in outcome.commands:  # ordered again: what decided was answered before this start
            self._stopwatch.answered(command)
        return outcome

    async def _carry_out_start(self, outcome: Outcome) -> None:
        group = _Group(self._clock)
        self._add(group, outcome)
        await self._carry_out(group)

    def _degraded(self) -> Iterator[str]:
        if self._recorder.failure:
            yield f"the journal does not take records: {self._recorder.failure}"
        for name in self._actuation.stalled:
            yield f"the data plane {name} does not answer"
        for name in self._herald.failing:
            yield f"the notifier {name} does not deliver"
        if self._inbox.is_full:
            yield "the inbox is full: signals from outside are refused"

    async def _turn(self) -> None:
        self._wake = anyio.Event()  # before looking: a ring while we look must not be slept through
        self._drain_sources()
        await self._decide_waiting()
        if self._wake_at is not None and self._clock.now() >= self._wake_at:
            self._ask_sources(lambda source: source.sample())
            await self._tick()
        elif not self._inbox:
            await self._recorder.flush()
            await self._wait()
            return
        await anyio.lowlevel.checkpoint()

    async def _wait(self) -> None:
        """Sleep until rung, submitted to, or wake_at. Whole milliseconds, rounded up: uvloop's timers know no less and
        would fire early, again and again."""
        delay_s = math.inf
        if self._wake_at is not None:
            delay_s = math.ceil((self._wake_at - self._clock.now()) / MILLISECOND) / 1000
        with anyio.move_on_after(delay_s):
            await self._wake.wait()

    async def _decide_waiting(self) -> None:
        """One group after the other: the answers to the first are decided before anybody else gets a turn."""
        steps = 0
        while steps < _GROUP_STEPS_MAX:
            group = _Group(self._clock)
            while not group.full():
                if self._rung:
                    self._drain_sources()
                waiting = self._inbox.take()
                if waiting is None:
                    break
                self._decide(waiting, group)
            if not group.steps:
                return
            await self._carry_out(group)
            steps += group.steps

    def _decide(self, waiting: Errand | Signal, group: "_Group") -> None:
        signal = waiting.signal if isinstance(waiting, Errand) else waiting
        outcome = self._asked(lambda now: self._engine.step(signal, now), signal)
        group.steps += 1
        if outcome is not None:
            self._add(group, outcome)
        if isinstance(waiting, Errand):
            self._errands.add(waiting)
            group.errands.append((waiting, outcome is not None))

    def _drain_sources(self) -> None:
        self._rung = False  # before asking: a ring meanwhile asks again
        self._ask_sources(lambda source: source.drain())

    def _ask_sources(self, ask: Callable[[SignalSource], list[Signal]]) -> None:
        for source in self._sources:
            try:
                self._inbox.put_facts(ask(source))
            except Exception:
                self._source_errors += 1
                logger.exception("%s failed to tell what it has seen", type(source).__name__)

    async def _tick(self) -> None:
        """Samples first, and no flood from outside between them and the tick, which is due."""
        group = _Group(self._clock)
        while (waiting := self._inbox.take_own()) is not None:
            self._decide(waiting, group)
        now = self._clock.now()
        outcome = self._asked(self._engine.tick, None)
        if outcome is None:
            self._wake_at = Nanos(now + _ENGINE_ERROR_PAUSE)
        else:
            self._add(group, outcome)
            if self._wake_at is not None and self._wake_at <= now:  # an engine that never rests must not spin its host
                self._wake_at = Nanos(now + MILLISECOND)
        await self._carry_out(group)

    def _asked(self, ask: Callable[[Nanos], Outcome], signal: Signal | None) -> Outcome | None:
        """Its answer, or None where it raised: a mistake of ours must not take the host's process with it."""
        self._steps += 1
        now = self._clock.now()
        raised = False
        try:
            return ask(now)
        except Exception:
            raised = True
            self._engine_errors += 1
            logger.exception("the engine failed; the loop goes on with the next signal")
            return None
        finally:
            told = Ticked(at=now, raised=raised) if signal is None else Stepped(at=now, signal=signal, raised=raised)
            self._recorder.note(told)

    def _add(self, group: "_Group", outcome: Outcome) -> None:
        self._wake_at = outcome.wake_at
        group.add(outcome, decided=self._clock.now())

    async def _carry_out(self, group: "_Group") -> None:
        """Effects in their order. A shutdown waits for the last of them, which the time-outs bound."""
        with anyio.CancelScope(shield=True):
            self._inbox.put_answers(await self._recorder.write(group.records))
            group.on_record(self._clock.now(), failure=self._recorder.failure)
            if group.commands:
                await self._actuation.apply(group.commands, lambda acts: self._applied(group, acts.answers))
            group.left = True
            if not group.commands or group.applied:
                self._settle(group)
        for notice in group.notices:
            self._notices += 1
            self._herald.tell(notice)

    def _applied(self, group: "_Group", answers: list[Acted]) -> None:
        """Every data plane has answered, maybe long after the loop went on."""
        for (command, decided), answer in zip(group.decided, answers, strict=True):
            self._stopwatch.record(command, decided=decided, journaled=group.journaled, applied=answer.at)
        self._commands += len(answers)
        self._commands_failed += sum(not answer.ok for answer in answers)
        self._inbox.put_answers(answers)
        group.applied = True
        if group.left:  # else the loop waits, and settles when it goes on
            self._wake.set()
            self._settle(group)

    def _settle(self, group: "_Group") -> None:
        for errand, decided in group.errands:
            self._errands.discard(errand)
            if not decided:
                errand.settle(ControlPlaneError("the engine failed on this order; the log has the traceback"))
            elif group.failure:
                errand.settle(JournalError(f"the order is in force, but not on record: {group.failure}"))
            else:
                errand.settle()

    def _fail_errands(self) -> None:
        ended = ControlPlaneError("the control loop has ended")
        while self._errands:
            self._errands.pop().settle(ended)
        self._inbox.fail_errands(ended)

    def _told(self, signal: Told) -> None:
        self._inbox.put_facts([signal])
        self._wake.set()

    def _ring_from_thread(self) -> None:
        self._rung_by_thread = False
        self.ring()


class _Group:
    """What was decided together, on its way into effect."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._until = clock, clock.now() + _GROUP_NS
        self.steps = 0
        self.records: list[Record] = []
        self.decided: list[tuple[Command, Nanos]] = []
        self.notices: list[Notice] = []
        self.errands: list[tuple[Errand, bool]] = []  # with whether the engine has decided on it
        self.journaled: Nanos | None = None
        self.failure = ""
        self.applied = self.left = False  # by every data plane; by the loop, which waited long enough

    @property
    def commands(self) -> list[Command]:
        """In the order in which they were decided."""
        return [command for command, _ in self.decided]

    def full(self) -> bool:
        """Whether what was decided must not wait for more."""
        return self.steps >= _GROUP_STEPS_MAX or (self.steps > 0 and self._clock.now() >= self._until)

    def add(self, outcome: Outcome, *, decided: Nanos) -> None:
        """Append the effects of one decision."""
        self.records += outcome.records
        self.decided += [(command, decided) for command in outcome.commands]
        self.notices += outcome.notices

    def on_record(self, now: Nanos, *, failure: str) -> None:
        """The journal has answered."""
        self.journaled, self.failure = (None, failure) if failure else (now, "")

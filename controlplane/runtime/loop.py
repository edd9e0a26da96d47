"""The deliberate loop: it wakes on an event or at the time the engine named, and carries out what the engine answers.

    ring, inbox or wake_at -> engine -> journal -> data planes -> answers back into the engine -> notices

Nothing polls. One task does all of it, so that the engine sees one signal after the other and effects keep their order.
"""

import logging
import math
from collections.abc import Callable, Sequence

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from controlplane.from_thread import Soon, soon
from controlplane.model.errors import ControlPlaneError, JournalError
from controlplane.model.outcome import Outcome
from controlplane.model.signal import Signal
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

_STEPS_PER_TURN = 32  # about a millisecond of decisions; then the host's other tasks get their turn
_ENGINE_ERROR_PAUSE = SECOND  # before a tick that failed is tried again


class ControlLoop:
    """Runs one engine on the event loop that calls `run`. The journal belongs to whoever made it, who also closes it.

    `apply_timeout_s` cuts off a data plane that hangs, `append_timeout_s` a journal that does.
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
    ) -> None:
        self._engine, self._clock, self._journal = engine, clock, journal
        self._sources = tuple(sources)
        self._tail = Tail()
        self._recorder = Recorder(journal, self._tail, clock=clock, append_timeout_s=append_timeout_s)
        self._actuation = Actuation(data_planes, clock=clock, apply_timeout_s=apply_timeout_s)
        self._herald = Herald(notifiers)
        self._inbox = Inbox(signals_max=inbox_max)
        self._stopwatch = Stopwatch()
        self._wake = anyio.Event()
        self._rung = self._rung_by_thread = False
        self._soon: Soon | None = None
        self._began = self._ended = False
        self._wake_at: Nanos | None = None
        self._steps = self._engine_errors = self._source_errors = 0
        self._commands = self._commands_failed = self._notices = 0

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
            now = self._clock.now()
            outcome = self._engine.start(now, boot=self._clock.boot(), wall_ns=self._clock.wall_ns())
            for command in outcome.commands:  # ordered again: what decided was answered before this start
                self._stopwatch.answered(command)
            await self._carry_out(outcome)
            await self._decide_waiting()
            async with anyio.create_task_group() as tasks:
                self._herald.start(tasks)
                task_status.started()
                while True:
                    await self._turn()
        finally:
            self._ended = True
            self._tail.end()
            self._herald.close()
            self._inbox.fail_errands(ControlPlaneError("the control loop has ended"))

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

    async def _turn(self) -> None:
        self._wake = anyio.Event()  # before looking: a ring while we look must not be slept through
        self._drain_sources()
        await self._decide_waiting()
        if self._wake_at is not None and self._clock.now() >= self._wake_at:
            self._ask_sources(lambda source: source.sample())
            while (waiting := self._inbox.take_own()) is not None:  # and no flood from outside: the tick is due
                await self._decide(waiting)
            await self._tick()
        elif not self._inbox:
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
        for _ in range(_STEPS_PER_TURN):
            if self._rung:
                self._drain_sources()
            waiting = self._inbox.take()
            if waiting is None:
                return
            await self._decide(waiting)

    async def _decide(self, waiting: Errand | Signal) -> None:
        if isinstance(waiting, Errand):
            await self._run_errand(waiting)
        else:
            await self._step(waiting)

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

    async def _run_errand(self, errand: Errand) -> None:
        try:
            decided = await self._step(errand.signal)
        except BaseException:  # asyncio's own Task.cancel knows no shield; the sender must not wait for ever
            errand.settle(ControlPlaneError("the control loop has ended"))
            raise
        if not decided:
            errand.settle(ControlPlaneError("the engine failed on this order; the log has the traceback"))
        elif self._recorder.failure:
            errand.settle(JournalError(f"the order is in force, but not on record: {self._recorder.failure}"))
        else:
            errand.settle()

    async def _step(self, signal: Signal) -> bool:
        now = self._clock.now()
        outcome = self._asked(lambda: self._engine.step(signal, now))
        if outcome is not None:
            await self._carry_out(outcome)
        return outcome is not None

    async def _tick(self) -> None:
        now = self._clock.now()
        outcome = self._asked(lambda: self._engine.tick(now))
        if outcome is None:
            self._wake_at = Nanos(now + _ENGINE_ERROR_PAUSE)
            return
        await self._carry_out(outcome)
        if self._wake_at is not None and self._wake_at <= now:  # an engine that never rests must not spin its host
            self._wake_at = Nanos(now + MILLISECOND)

    def _asked(self, ask: Callable[[], Outcome]) -> Outcome | None:
        self._steps += 1
        try:
            return ask()
        except Exception:  # a mistake of ours must not take the host's process with it
            self._engine_errors += 1
            logger.exception("the engine failed; the loop goes on with the next signal")
            return None

    async def _carry_out(self, outcome: Outcome) -> None:
        """Effects in their order. A shutdown waits for the last of them, which the time-outs bound."""
        self._wake_at = outcome.wake_at
        decided = self._clock.now()
        with anyio.CancelScope(shield=True):
            self._inbox.put_answers(await self._recorder.write(outcome.records))
            if outcome.commands:
                journaled = None if self._recorder.failure else self._clock.now()
                acted = await self._actuation.apply(outcome.commands)
                self._stopwatch.record(
                    outcome.commands, decided=decided, journaled=journaled, applied=self._clock.now()
                )
                self._inbox.put_answers(acted)
                self._commands += len(acted)
                self._commands_failed += sum(not answer.ok for answer in acted)
        for notice in outcome.notices:
            self._notices += 1
            self._herald.tell(notice)

    def _ring_from_thread(self) -> None:
        self._rung_by_thread = False
        self.ring()

"""The deliberate loop: it wakes on an event or at the time the engine named, and carries out what the engine answers.

    ring, inbox or wake_at -> engine -> journal -> data planes -> answers back into the engine -> notices

Nothing polls. One task decides, so that the engine sees one signal after the other, and another (`effect`) carries out:
what is decided while it writes goes on record together, in one append (fifty faults at once cost a few, not fifty).
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from controlplane.from_thread import Soon, soon
from controlplane.model.errors import ControlPlaneError
from controlplane.model.input import Began, Setup, Stepped, Ticked
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.signal import Signal, Told
from controlplane.model.unit import MILLISECOND, SECOND, Nanos, to_nanos
from controlplane.ports import Clock, DataPlane, Engine, Journal, Notifier, SignalSource
from controlplane.runtime.actuation import Actuation
from controlplane.runtime.channel import Channel
from controlplane.runtime.effect import GATHER_NS, Effects
from controlplane.runtime.follow import Follower, Tail
from controlplane.runtime.herald import Herald
from controlplane.runtime.inbox import Errand, Inbox
from controlplane.runtime.recorder import Recorder
from controlplane.runtime.statistics import LoopStatistics, latency

__all__ = ["ControlLoop", "LoopStatistics"]

logger = logging.getLogger(__name__)

_TURN_NS = MILLISECOND  # of deciding; then the host's other tasks get their turn
_LATE_NS = 20 * MILLISECOND  # so long a tick waits for what is being carried out
_SAMPLES_NS = 200 * MILLISECOND  # and so long for the samples that came before it
_START_TURNS_MAX = 8  # of deciding what follows from the start, before it counts as done
_ENGINE_ERROR_PAUSE = SECOND  # before a tick that failed is tried again


class ControlLoop:
    """Runs one engine on the event loop that calls `run`. The journal belongs to whoever made it, who also closes it.

    Of the data planes, those `at_once` wait for nothing when they apply (guards in this process), and nobody for them.
    `apply_timeout_s` cuts off a data plane that hangs, `append_timeout_s` a journal that does.
    Records for whose sake nothing acts, and nobody waits, go on record within `linger_s`, together. `setup` is what
    `engine` was made of: with it, everything the engine is told goes on record, so that it can be replayed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        journal: Journal,
        data_planes: Sequence[DataPlane] = (),
        at_once: Sequence[DataPlane] = (),
        sources: Sequence[SignalSource] = (),
        notifiers: Sequence[Notifier] = (),
        channels: Sequence[Channel] = (),
        standing: Callable[[str], Sequence[Notice]] = lambda _: (),
        inbox_max: int = 10_000,
        apply_timeout_s: float = 2.0,
        append_timeout_s: float = 1.0,
        linger_s: float = 0.0,
        setup: Setup | None = None,
    ) -> None:
        self._engine, self._clock, self._journal = engine, clock, journal
        self._sources = tuple(sources)
        self._tail = Tail()
        self._setup = setup
        self._recorder = Recorder(
            journal, self._tail, clock=clock, append_timeout_s=append_timeout_s, inputs=setup is not None
        )
        self._actuation = Actuation(data_planes, clock=clock, apply_timeout_s=apply_timeout_s, at_once=at_once)
        self._herald = Herald(notifiers, clock=clock, tell_engine=self._told, channels=channels, standing=standing)
        self._effects = Effects(self._recorder, self._actuation, clock=clock, loop=self, linger_ns=to_nanos(linger_s))
        self._inbox = Inbox(signals_max=inbox_max)
        self._wake = anyio.Event()
        self._rung = self._rung_by_thread = False
        self._soon: Soon | None = None
        self._began = self._ended = False
        self._wake_at: Nanos | None = None
        self._sampled_at: Nanos | None = None  # since when a tick is due; its samples may still be being decided
        self._due_at = Nanos(0)
        self._steps = self._engine_errors = self._source_errors = 0
        self._notices = 0

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
                tasks.start_soon(self._effects.run)
                try:
                    self._add(outcome)
                    await self._carried_out()
                    for _ in range(_START_TURNS_MAX):  # what follows from it
                        if self._inbox:
                            await self._decide_waiting()
                            await self._carried_out()
                    self._herald.start(tasks)
                    task_status.started()
                    while True:
                        await self._turn()
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._carried_out()
                        self._decide_own()  # the answers to it
                        await self._carried_out()
                    self._effects.stop()
                    self._actuation.stop()
        finally:
            self._ended = True
            self._tail.end()
            ended = ControlPlaneError("the control loop has ended")
            self._effects.fail(ended)
            self._inbox.fail_errands(ended)
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
            commands=self._effects.commands,
            commands_failed=self._effects.failed,
            inbox=len(self._inbox),
            degraded=tuple(self._degraded()),
            inbox_refused=self._inbox.refused,
            engine_errors=self._engine_errors,
            source_errors=self._source_errors,
            notices=self._notices,
            notices_failed=self._herald.failed,
            notices_dropped=self._herald.dropped,
            decided=latency(self._effects.stopwatch.decided),
            journaled=latency(self._effects.stopwatch.journaled),
            applied=latency(self._effects.stopwatch.applied),
        )

    def _begin_epoch(self) -> Outcome:
        now, boot, wall_ns = self._clock.now(), self._clock.boot(), self._clock.wall_ns()
        outcome = self._engine.start(now, boot=boot, wall_ns=wall_ns)
        if self._setup is not None:
            self._recorder.note(Began(at=now, boot=boot, wall_ns=wall_ns, setup=self._setup))
        for command in outcome.commands:  # ordered again: what decided was answered before this start
            self._effects.stopwatch.answered(command)
        return outcome

    async def _carried_out(self) -> None:
        """Return when everything decided so far is in force."""
        self._effects.begin()
        await self._effects.wait_idle()

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
        more = await self._decide_waiting()
        if self._sampled_at is not None or self._tick_due():
            more = self._approach_tick() or more
        if not more:
            self._effects.rest()
            await self._wait()
            return
        await anyio.lowlevel.checkpoint()

    def _tick_due(self) -> bool:
        """A tick takes milliseconds: what is being carried out goes first, unless that would put it off too long."""
        if self._wake_at is None:
            return False
        late = self._clock.now() - self._wake_at
        return late >= (_LATE_NS if self._effects.busy or self._effects.open.pressing else 0)

    async def _wait(self) -> None:
        """Sleep until rung, submitted to, or wake_at. Whole milliseconds, rounded up: uvloop's timers know no less and
        would fire early, again and again."""
        delay_s = math.inf
        ends = self._wake_at, None if self._effects.busy else self._effects.due_at
        if times := [at for at in ends if at is not None]:
            delay_s = max(1, math.ceil((min(times) - self._clock.now()) / MILLISECOND)) / 1000
        with anyio.move_on_after(delay_s):
            await self._wake.wait()

    async def _decide_waiting(self) -> bool:
        """What waits, the most urgent first, for a turn; whether more of it waits. It is carried out when all is
        decided that somebody waits for, or when it has gathered for long enough."""
        if self._effects.full:
            await self._effects.wait_room()
        until = self._clock.now() + _TURN_NS
        while not self._effects.full:
            if self._rung:
                self._drain_sources()
            waiting = self._inbox.take_urgent() if self._effects.busy else self._inbox.take()
            if waiting is None:
                self._effects.begin_if_due()
                waiting = None if self._effects.busy else self._inbox.take_count()
            if waiting is None:
                return False
            self._decide(waiting)
            if self._clock.now() >= until:
                break
        self._effects.begin_if_due(gather_ns=GATHER_NS)
        return True

    def _decide(self, waiting: Errand | Signal) -> None:
        signal = waiting.signal if isinstance(waiting, Errand) else waiting
        outcome = self._asked(lambda now: self._engine.step(signal, now), signal)
        self._add(outcome)
        if isinstance(waiting, Errand):
            self._effects.open.errands.append((waiting, outcome is not None))

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

    def _decide_own(self) -> None:
        while (waiting := self._inbox.take_own()) is not None:
            self._decide(waiting)

    def _approach_tick(self) -> bool:
        """Samples first, and no flood from outside between them and the tick, which is due. There may be thousands of
        them: they are decided in turns of the loop, and those that find no turn in time after the tick. False: it waits
        for what is being carried out."""
        now = self._clock.now()
        if self._sampled_at is None:
            self._sampled_at, self._due_at = now, self._wake_at or now
            self._ask_sources(lambda source: source.sample())
        while now - self._sampled_at < _SAMPLES_NS and (waiting := self._inbox.take_own()) is not None:
            self._decide(waiting)
            if self._effects.full or self._clock.now() - now >= _TURN_NS:
                self._effects.begin_if_due(gather_ns=GATHER_NS)
                return True
            if self._rung:
                self._drain_sources()
        if self._effects.open.pressing:
            self._effects.begin()
        if self._effects.busy and now - self._due_at < _LATE_NS:
            return False
        self._sampled_at = None
        self._tick()
        return True

    def _tick(self) -> None:
        now = self._clock.now()
        outcome = self._asked(self._engine.tick, None)
        self._add(outcome)
        if outcome is None:
            self._wake_at = Nanos(now + _ENGINE_ERROR_PAUSE)
        elif self._wake_at is not None and self._wake_at <= now:  # an engine that never rests must not spin its host
            self._wake_at = Nanos(now + MILLISECOND)
        self._effects.begin()

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

    def _add(self, outcome: Outcome | None) -> None:
        if outcome is not None:
            self._wake_at = outcome.wake_at
        self._effects.add(outcome)

    def hear(self, answers: Iterable[Signal]) -> None:
        """What follows from effects is decided soon."""
        self._inbox.put_answers(answers)
        self._wake.set()

    def rested(self) -> None:
        """Everything that had gathered has been carried out: what is less urgent may be decided."""
        self._wake.set()

    def tell(self, notice: Notice) -> None:
        """Have `notice` delivered."""
        self._notices += 1
        self._herald.tell(notice)

    def _told(self, signal: Told) -> None:
        self._inbox.put_counts([signal])
        self._wake.set()

    def _ring_from_thread(self) -> None:
        self._rung_by_thread = False
        self.ring()

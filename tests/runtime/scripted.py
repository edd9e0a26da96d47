"""A tiny engine and witnesses for tests of the loop: everything that happens is one line in one list."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import anyio

from controlplane.model.command import Command, Eject
from controlplane.model.input import InputBatch
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.record import JournalGap, Record
from controlplane.model.signal import Acted, FellBack, Signal, Target, Unwritten
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos
from controlplane.ports import Clock, Notifier
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import MemoryJournal, RecordingDataPlane, ScriptedSource, VirtualClock


def fact(service: str, count: int = 1) -> FellBack:
    """Some signal with a name."""
    return FellBack(at=Nanos(0), service=service, count=count)


def record(text: str) -> Record:
    """Some record with a text."""
    return JournalGap(at=Nanos(0), records=1, reason=text)


def command(name: str, *, epoch: int = 1, signal_at: int = 0) -> Command:
    """Some command with a name."""
    return Command(
        id=CommandId(name),
        epoch=Epoch(epoch),
        incident=IncidentId("i1"),
        target=Target("orders", name),
        intent=Eject(),
        lease_until=Nanos(10**12),
        signal_at=Nanos(signal_at),
    )


def notice(text: str) -> Notice:
    """Some notice with a text."""
    return Notice(text, None, "info", text, Nanos(0))


def name(signal: Signal) -> str:
    """A signal in few words."""
    match signal:
        case FellBack():
            return signal.service
        case Acted():
            return f"acted {signal.command} {'ok' if signal.ok else signal.reason}"
        case Unwritten():
            return f"unwritten {signal.records} {signal.reason}".rstrip()
        case _:
            return type(signal).__name__


class ScriptedEngine:
    """Answers from `on`, by the signal's name; an answer may be an exception."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.restored: list[Record] = []
        self.on: dict[str, Outcome | Exception] = {}
        self.begin = Outcome()
        self.on_tick: Callable[[Nanos], Outcome] = lambda now: Outcome()
        self.ticked_at: list[Nanos] = []

    def restore(self, records: Iterable[Record]) -> None:
        self.restored.extend(records)

    def start(self, now: Nanos, *, boot: str, wall_ns: int) -> Outcome:
        self.log.append(f"start {boot}")
        return self.begin

    def step(self, signal: Signal, now: Nanos) -> Outcome:
        self.log.append(f"step {name(signal)}")
        answer = self.on.get(name(signal), Outcome())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tick(self, now: Nanos) -> Outcome:
        self.ticked_at.append(now)
        self.log.append("tick")
        return self.on_tick(now)


class WitnessJournal(MemoryJournal):
    """A journal that tells when it was asked, and fails or hangs when told to."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.failure: Exception | None = None
        self.gate: anyio.Event | None = None

    async def append(self, records: Sequence[Record], inputs: Sequence[InputBatch] = ()) -> int:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            self.log.append("append fails")
            raise self.failure
        texts = [entry.reason for entry in records if isinstance(entry, JournalGap)]
        self.log.append(f"append {' '.join(texts)}")
        return await super().append(records, inputs)


class World:
    """One loop with everything around it scripted."""

    def __init__(self, *, clock: Clock | None = None, notifiers: Sequence[Notifier] = (), inbox_max: int = 10) -> None:
        self.log: list[str] = []
        self.engine = ScriptedEngine(self.log)
        self.journal = WitnessJournal(self.log)
        self.data_plane = RecordingDataPlane(self._meet)
        self.meeting: dict[str, Callable[[], object]] = {}
        self.source = ScriptedSource()
        self.clock = clock or VirtualClock()
        self.notifiers = notifiers
        self.inbox_max = inbox_max
        self.loop = self.make_loop()

    def make_loop(self, **more: float) -> ControlLoop:
        self.loop = ControlLoop(
            self.engine,
            clock=self.clock,
            journal=self.journal,
            data_planes=[self.data_plane],
            sources=[self.source],
            notifiers=self.notifiers,
            inbox_max=self.inbox_max,
            **more,
        )
        return self.loop

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ControlLoop]:
        """The loop, started, and cancelled at the end."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.loop.run)
            try:
                yield self.loop
            finally:
                tasks.cancel_scope.cancel()

    async def _meet(self, order: Command) -> None:
        self.log.append(f"apply {order.id}")
        meeting = self.meeting.get(order.id)
        if meeting is not None:
            answer = meeting()
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, anyio.Event):
                await answer.wait()

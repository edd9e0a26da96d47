"""What waits to be decided, in the order in which it deserves an answer."""

from collections import deque
from collections.abc import Iterable

import anyio

from controlplane.model.errors import ControlPlaneError
from controlplane.model.signal import EdgeSampled, Sampled, Signal

COUNTS = (EdgeSampled, Sampled)  # they say how much, not that something is wrong


class Errand:
    """A signal whose sender waits until its outcome is journaled and applied."""

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self._done = anyio.Event()
        self._failure: ControlPlaneError | None = None

    def settle(self, failure: ControlPlaneError | None = None) -> None:
        """Let the sender go on, or fail."""
        self._failure = failure
        self._done.set()

    async def wait_settled(self) -> None:
        """Return when it is done. Raises what `settle` was given."""
        await self._done.wait()
        if self._failure is not None:
            raise self._failure


class Inbox:
    """Five queues, first to last: people's orders (a freeze must not wait), facts of the sources, answers of data
    planes and the journal, signals from outside, which alone can be a flood and alone are bounded here (senders of
    errands wait, and sources bound their own), and last what only counts, which no verdict waits behind."""

    def __init__(self, *, signals_max: int) -> None:
        self._signals_max = signals_max
        self._errands: deque[Errand] = deque()
        self._answers: deque[Signal] = deque()
        self._facts: deque[Signal] = deque()
        self._signals: deque[Signal] = deque()
        self._counts: deque[Signal] = deque()
        self.refused = 0

    def __len__(self) -> int:
        own = len(self._errands) + len(self._facts) + len(self._answers) + len(self._counts)
        return own + len(self._signals)

    @property
    def is_full(self) -> bool:
        """Whether the next signal from outside would be refused."""
        return len(self._signals) >= self._signals_max

    def put_errand(self, errand: Errand) -> None:
        """Queue what somebody waits for."""
        self._errands.append(errand)

    def put_answers(self, answers: Iterable[Signal]) -> None:
        """Queue what follows from acts of the loop itself."""
        self._answers.extend(answers)

    def put_facts(self, facts: Iterable[Signal]) -> None:
        """Queue what a source has drained or sampled."""
        for fact in facts:
            (self._counts if isinstance(fact, COUNTS) else self._facts).append(fact)

    def put_counts(self, counts: Iterable[Signal]) -> None:
        """Queue what nobody waits for."""
        self._counts.extend(counts)

    def put_nowait(self, signal: Signal) -> None:
        """Queue a signal from outside. Raises anyio.WouldBlock, and counts, when the queue is full."""
        if len(self._signals) >= self._signals_max:
            self.refused += 1
            raise anyio.WouldBlock
        self._signals.append(signal)

    def take(self) -> Errand | Signal | None:
        """What to decide next, of what somebody waits for; None: nothing."""
        return self._first(self._errands, self._facts, self._answers, self._signals)

    def take_urgent(self) -> Errand | Signal | None:
        """The same while something is being carried out: orders and facts, which alone do not wait for that."""
        return self._first(self._errands, self._facts)

    def take_count(self) -> Signal | None:
        """What to decide when nobody waits for anything; None: nothing."""
        return self._counts.popleft() if self._counts else None

    def take_own(self) -> Errand | Signal | None:
        """What to decide next, signals from outside apart."""
        return self._first(self._errands, self._facts, self._answers, self._counts)

    def _first(self, *queues: "deque[Errand] | deque[Signal]") -> Errand | Signal | None:
        return next((queue.popleft() for queue in queues if queue), None)

    def fail_errands(self, failure: ControlPlaneError) -> None:
        """Nobody will decide what waits here."""
        while self._errands:
            self._errands.popleft().settle(failure)

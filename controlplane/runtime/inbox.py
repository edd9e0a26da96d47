"""What waits to be decided, in the order in which it deserves an answer."""

from collections import deque
from collections.abc import Iterable

import anyio

from controlplane.model.errors import ControlPlaneError
from controlplane.model.signal import Signal


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
    """Four queues, first to last: people's orders (a freeze must not wait), answers of data planes and the journal,
    facts of the sources, and signals from outside, which alone can be a flood and alone are bounded here; senders of
    errands wait, and sources bound their own."""

    def __init__(self, *, signals_max: int) -> None:
        self._signals_max = signals_max
        self._errands: deque[Errand] = deque()
        self._answers: deque[Signal] = deque()
        self._facts: deque[Signal] = deque()
        self._signals: deque[Signal] = deque()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._errands) + len(self._answers) + len(self._facts) + len(self._signals)

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
        """Queue what a source has drained."""
        self._facts.extend(facts)

    def put_nowait(self, signal: Signal) -> None:
        """Queue a signal from outside. Raises anyio.WouldBlock, and counts, when the queue is full."""
        if len(self._signals) >= self._signals_max:
            self.refused += 1
            raise anyio.WouldBlock
        self._signals.append(signal)

    def take(self) -> Errand | Signal | None:
        """What to decide next, None: nothing."""
        own = self.take_own()
        return own if own is not None or not self._signals else self._signals.popleft()

    def take_own(self) -> Errand | Signal | None:
        """What to decide next, signals from outside apart."""
        if self._errands:
            return self._errands.popleft()
        if self._answers:
            return self._answers.popleft()
        return self._facts.popleft() if self._facts else None

    def fail_errands(self, failure: ControlPlaneError) -> None:
        """Nobody will decide what waits here."""
        while self._errands:
            self._errands.popleft().settle(failure)

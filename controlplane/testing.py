"""For tests of programs that embed the library: time, traffic and a journal that do what they are told.

clock = VirtualClock()
journal = MemoryJournal()
data_plane = RecordingDataPlane()
notifier = RecordingNotifier()
source = ScriptedSource()
"""

from collections.abc import Awaitable, Callable

import anyio

from controlplane.adapters.fence import Fence
from controlplane.adapters.stores.memory import MemoryJournal
from controlplane.model.command import Command
from controlplane.model.notice import Notice
from controlplane.model.signal import Signal, Target
from controlplane.model.unit import SECOND, Nanos, to_nanos

__all__ = ["Fence", "MemoryJournal", "RecordingDataPlane", "RecordingNotifier", "ScriptedSource", "VirtualClock"]


class VirtualClock:
    """A clock that stands still outside an event loop, moves with the loop's own time inside it, and jumps when told.

    Under trio's `MockClock(autojump_threshold=0)` the loop's time is virtual, so an hour passes in no time:

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    """

    def __init__(self, *, now: int = SECOND, wall_ns: int = 1_700_000_000 * SECOND, boot: str = "boot") -> None:
        self._base, self._wall_base, self._boot = now, wall_ns - now, boot
        self._loop_began_s: float | None = None
        self._loop_ns = Nanos(0)

    def now(self) -> Nanos:
        """Virtual nanoseconds."""
        self._look_at_loop()
        return Nanos(self._base + self._loop_ns)

    def wall_ns(self) -> int:
        """Virtual Unix time, which steps only in `step_wall`."""
        return self._wall_base + self.now()

    def boot(self) -> str:
        """The boot named at construction or by `reboot`."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Jump ahead. Whoever sleeps on the event loop is not woken by this."""
        self._base += to_nanos(seconds)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock, ahead or back; the monotonic clock knows nothing of it."""
        self._wall_base += to_nanos(seconds)

    def reboot(self, boot: str, *, now: int = SECOND) -> None:
        """Start the monotonic clock again as after a boot; the wall clock goes on."""
        back = self.now() - now
        self._base -= back
        self._wall_base += back
        self._boot = boot

    def _look_at_loop(self) -> None:
        try:
            time_s = anyio.current_time()
        except RuntimeError:  # no loop runs here: time stands still
            return
        if self._loop_began_s is None:
            self._loop_began_s = time_s
        elapsed_ns = to_nanos(time_s - self._loop_began_s)
        if elapsed_ns < self._loop_ns:  # another loop, whose time began anew
            self._base += self._loop_ns
            self._loop_began_s, elapsed_ns = time_s, Nanos(0)
        self._loop_ns = elapsed_ns


class RecordingDataPlane:
    """A data plane that remembers every command, keeps their order, and fails when told to.

    `meet` sees each command before it is taken: let it raise what the data plane should raise, or wait, as a slow
    proxy does. What was overtaken while it waited is refused, as every data plane must.
    """

    def __init__(self, meet: Callable[[Command], Awaitable[None]] | None = None) -> None:
        self.applied: list[Command] = []
        self.in_force: dict[Target, Command] = {}
        self._meet = meet
        self._fence = Fence()

    async def apply(self, command: Command) -> None:
        """Take `command`. Raises StaleEpoch, StaleCommand, or whatever `meet` raises."""
        self._fence.check(command)
        if self._meet is not None:
            await self._meet(command)
            self._fence.check(command)  # again: somebody else may have been faster
        self._fence.note(command)
        self.applied.append(command)
        self.in_force[command.target] = command


class RecordingNotifier:
    """A notifier that remembers what it delivered, and fails or hangs when told to.

    `meet` sees each notice before it is delivered: let it raise, or sleep for ever.
    """

    def __init__(self, meet: Callable[[Notice], Awaitable[None]] | None = None) -> None:
        self.delivered: list[Notice] = []
        self.asked = 0
        self._meet = meet

    async def notify(self, notice: Notice) -> None:
        """Deliver `notice`. Raises whatever `meet` raises."""
        self.asked += 1
        if self._meet is not None:
            await self._meet(notice)
        self.delivered.append(notice)


class ScriptedSource:
    """A signal source that says what it is told: facts once, samples at every `sample()` until they are replaced."""

    def __init__(self, *signals: Signal) -> None:
        self.facts: list[Signal] = list(signals)
        self.samples: list[Signal] = []
        self.sampled = 0

    def tell(self, *signals: Signal) -> None:
        """Have facts for the next `drain`; ring the loop afterwards."""
        self.facts.extend(signals)

    def drain(self) -> list[Signal]:
        """Facts told since the last call."""
        facts, self.facts = self.facts, []
        return facts

    def sample(self) -> list[Signal]:
        """`samples`, and counts how often it was asked in `sampled`."""
        self.sampled += 1
        return list(self.samples)

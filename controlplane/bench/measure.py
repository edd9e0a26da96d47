"""Timing that survives a busy machine: everything that is compared runs in turns, and the quickest turn counts.

A slice is many statements in one compiled loop. In every round each subject has one slice, right after the others', so
that a noisy second falls on all of them. The minimum over the rounds is the cost: noise only ever adds. What an empty
loop takes is subtracted, and the collector is off, because its pauses belong to whoever made the garbage before.
"""

import asyncio
import gc
import statistics
from collections.abc import Mapping, Sequence

import msgspec

from controlplane.bench.subject import FLOOR, LOOP, NotBuilt, NotInstalled, Slice, Subject, compiled

SLICE_NS = 4_000_000  # long against a timer tick (about 50 ns) and an interrupt, short against a scheduler's turn
SLICE_QUICK_NS = 1_500_000
ROUNDS = 30  # short and many: each subject, and the empty loop, must meet the processor's quick moments
ROUNDS_QUICK = 7
COUNT_MIN = 10


class Reading(msgspec.Struct, frozen=True):
    """ns per statement; `spread_ns`: how much more the middle round took, the measure of doubt. `why`: no reading."""

    ns: float = 0.0
    spread_ns: float = 0.0
    why: str = ""


class Pace(msgspec.Struct, frozen=True):
    """How long to measure."""

    slice_ns: int = SLICE_NS
    rounds: int = ROUNDS


QUICK = Pace(SLICE_QUICK_NS, ROUNDS_QUICK)


class _Runner:
    """One subject under way: its slice, how many statements a slice holds, and what the rounds took."""

    def __init__(self, subject: Subject, loop: asyncio.AbstractEventLoop, pace: Pace) -> None:
        self.calls = subject.calls
        self.took: list[float] = []
        self.why = ""
        self.count = COUNT_MIN
        try:
            self.slice: Slice = compiled(subject, loop)
            while (took := self.slice(self.count)) < pace.slice_ns / 4:
                self.count *= 4 if took < pace.slice_ns / 16 else 2
            self.count = max(COUNT_MIN, round(self.count * pace.slice_ns / took))
        except (NotBuilt, NotInstalled) as error:
            self.why = str(error)
        except Exception as error:  # a peer may break in any way it likes: that is its line of the report
            self.why = broken(error)

    def turn(self) -> None:
        """One slice."""
        if self.why:
            return
        try:
            self.took.append(self.slice(self.count) / self.count)
        except Exception as error:
            self.why = broken(error)

    def reading(self, loop_ns: float, floor_ns: float) -> Reading:
        if self.why:
            return Reading(why=self.why)
        less = loop_ns + self.calls * floor_ns
        best = min(self.took)
        return Reading(max(best - less, 0.0), statistics.median(self.took) - best)


def broken(error: BaseException) -> str:
    """One line of what went wrong."""
    return f"broken: {type(error).__name__}: {error}".splitlines()[0][:160]


def measure(subjects: Sequence[Subject], pace: Pace) -> tuple[Reading, Mapping[str, Reading]]:
    """The floor, and each subject's reading by its label, all from the same rounds."""
    loop = asyncio.new_event_loop()
    collecting = gc.isenabled()
    try:
        runners = {subject.label: _Runner(subject, loop, pace) for subject in (LOOP, FLOOR, *subjects)}
        gc.collect()
        gc.disable()
        loop_alone, floor_alone = runners.pop(LOOP.label), runners.pop(FLOOR.label)
        for _ in range(pace.rounds):
            for runner in runners.values() or (floor_alone,):  # what all ratios rest on has a turn beside every subject
                loop_alone.turn()
                floor_alone.turn()
                runner.turn()
    finally:
        if collecting:
            gc.enable()
        _end(loop)
    nothing = loop_alone.reading(0.0, 0.0).ns
    floor = floor_alone.reading(nothing, 0.0)
    return floor, {label: runner.reading(nothing, floor.ns) for label, runner in runners.items()}


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Close the loop and whatever a peer left in it."""

    async def rest() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    loop.run_until_complete(rest())
    loop.close()

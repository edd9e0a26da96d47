"""What each edge did since it was told last, for the dependency graph: about once a second, and only under traffic.

The first call after a quiet second starts a timer, which wakes the loop often enough to tell a few edges each time,
until a second passes without a call; an idle process sleeps on. Nothing is counted here that the guards do not count
already.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio

from controlplane._native.guard import Guard
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.adapters.gateway.tally import EntryCounts
from controlplane.model.signal import EdgeSampled
from controlplane.model.unit import MILLISECOND, Nanos

BEAT_S: Final = 1.0
SAMPLES_MAX: Final = 8  # told in one go, a quarter of a millisecond: nobody waits longer for an answer
LOOKS_MAX: Final = 32  # of edges in one go, most of which are quiet
DUE_NS: Final = 900 * MILLISECOND  # since the last sample: a beat that comes a little early finds something to tell


class LatencySums:
    """Number and sum of the latencies a guard has recorded since the last look: middles of buckets, right to 1 %."""

    __slots__ = ("_calls", "_guard", "_ns")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._calls, self._ns = guard.latency_sum()

    def take(self) -> tuple[int, int]:
        """(calls, nanoseconds); the next look begins here."""
        calls, ns = self._guard.latency_sum()
        since, since_ns = calls - self._calls, (ns - self._ns) % (1 << 64)
        self._calls, self._ns = calls, ns
        if since < 0 or since_ns >= 1 << 63:  # somebody reset the histogram: what it holds now is what is new
            return calls, ns
        return since, since_ns


class EdgeTally:
    """The calls of this process, or of all of its host, to one service.

    The guard counts attempts; a logical call is one that is no retry. Latencies are those of successful attempts.
    """

    def __init__(self, caller: str, service: ServiceGuard, now: int) -> None:
        self._caller, self._callee, self._guard = caller, service.name, service.guard
        self._latency = LatencySums(self._guard)
        self._base, self._since = self._guard.describe(), now

    def moved(self) -> bool:
        """Whether anything has been counted since."""
        return self._guard.describe()["calls"] != self._base["calls"]

    def sample(self, at: Nanos) -> EdgeSampled | None:
        """What happened since the last sample; None: nothing."""
        now, base = self._guard.describe(), self._base
        attempts = now["calls"] - base["calls"]
        if attempts <= 0:
            return None
        timed, latency_ns = self._latency.take()
        window_ns, self._base, self._since = at - self._since, now, at
        return EdgeSampled(
            at=at,
            caller=self._caller,
            callee=self._callee,
            window_ns=max(1, window_ns),
            calls=max(0, attempts - (now["retries"] - base["retries"])),
            attempts=attempts,
            failures=min(attempts, max(0, now["failures"] - base["failures"])),
            timed=timed,
            client_latency_ns=latency_ns if timed else None,
            in_flight=now["in_flight"],
            source="gateway",
        )


class ArrivalTally:
    """What users asked of this process: calls to the entry by nobody who is named."""

    def __init__(self, entry: str, counts: EntryCounts, now: int) -> None:
        self._entry, self._counts = entry, counts
        self._base, self._since = counts.now(), now

    def sample(self, at: Nanos) -> EdgeSampled | None:
        """What happened since the last sample; None: nothing."""
        now, base = self._counts.now(), self._base
        requests, failed = now[0] - base[0], now[1] - base[1]
        if requests <= 0 or not self._entry:
            return None
        window_ns, self._base, self._since = at - self._since, now, at
        return EdgeSampled(
            at=at,
            caller="",
            callee=self._entry,
            window_ns=max(1, window_ns),
            calls=requests,
            failures=min(requests, max(0, failed)),
            source="gateway",
        )


class _Turn:
    __slots__ = ("due", "tally")

    def __init__(self, due: int, tally: EdgeTally | ArrivalTally) -> None:
        self.due, self.tally = due, tally


class EdgeTallies:
    """Those of all edges, each told about once a second, and only a few at a time: the loop that asks has verdicts to
    answer, too."""

    def __init__(self, entry: str, services: list[ServiceGuard], counts: EntryCounts, now: int) -> None:
        self._edges = [EdgeTally(entry, service, now) for service in services] if entry else []
        tallies: list[EdgeTally | ArrivalTally] = [*self._edges, ArrivalTally(entry, counts, now)]
        self._turns = deque(_Turn(now + DUE_NS, tally) for tally in tallies)
        self._beat_s = BEAT_S / -(-len(tallies) // SAMPLES_MAX)
        self._resting: anyio.Event | None = None
        self._called = self._beaten = False

    def traffic(self) -> None:
        """Calls are made: start beating, unless it beats already."""
        self._called = True
        if self._resting is not None:
            self._resting.set()

    def look(self) -> None:
        """`traffic`, if calls were made that nobody settled here: those of other processes of this host."""
        if self._resting is not None and not self._resting.is_set() and self.moved():
            self._resting.set()

    def moved(self) -> bool:
        """Whether there is something to tell."""
        return any(edge.moved() for edge in self._edges)

    def sample_of_beat(self, at: Nanos) -> list[EdgeSampled]:
        """`sample`, once for each beat: a loop that is awake for something else has better to do."""
        if not self._beaten:
            return []
        self._beaten = False
        return self.sample(at)

    def sample(self, at: Nanos) -> list[EdgeSampled]:
        """What happened on edges of which it is time to tell and that did anything: at most SAMPLES_MAX of them, those
        first that were not looked at for longest."""
        found: list[EdgeSampled] = []
        for _ in range(min(len(self._turns), LOOKS_MAX)):
            turn = self._turns[0]
            self._turns.rotate(-1)
            if at >= turn.due and (sample := turn.tally.sample(at)) is not None:
                turn.due = at + DUE_NS
                found.append(sample)
                if len(found) == SAMPLES_MAX:
                    break
        return found

    async def beat(self, ring: Callable[[], None]) -> None:
        """`ring` while calls are made, often enough that every edge is told of once a second, until cancelled. Rests
        without a timer in between."""
        try:
            while True:
                self._resting = anyio.Event()
                await self._resting.wait()
                await anyio.sleep(BEAT_S)  # the calls of the first second are told together
                while self._goes_on():
                    for _ in range(round(BEAT_S / self._beat_s)):
                        self._beaten = True
                        ring()
                        await anyio.sleep(self._beat_s)
        finally:
            self._resting = None

    def _goes_on(self) -> bool:
        called, self._called = self._called, False
        return called or self.moved()

"""What is expected to happen, and does not: heartbeats that are missing, traffic that stopped.

Nothing polls: `due_at` is when the next silence would be one, None while nothing is expected. A silence moves no
traffic by itself: it is told. docs/concepts/detection.md.
"""

from typing import Final, NamedTuple

import msgspec

from controlplane.decide.detection.silence import Arrivals, heartbeat_nats, silent_nats
from controlplane.model.signal import EdgeSampled, Heartbeat, Target
from controlplane.model.unit import SECOND, Nanos

FALSE_ALARM: Final = 1e-6
EDGES_MAX: Final = 10_000  # names come from outside: the one unheard longest makes room
BEATS_MAX: Final = 10_000
OVERSLEPT_NS: Final = SECOND  # who looks this late was asleep itself, and what it missed may be waiting at its door
MISSED_NS_MAX: Final = 600 * SECOND  # a beat that stays away so long is not expected any more
LIMIT_NATS: Final = silent_nats(FALSE_ALARM)


class Stopped(NamedTuple):
    """Traffic of an edge that was heard of about once in `gap_ns` lately, and has not been for `silent_ns`."""

    caller: str
    callee: str
    gap_ns: int
    silent_ns: int


class Missed(NamedTuple):
    """A beat that is missing; `news`: it was not told before."""

    target: Target
    every_ns: int
    silent_ns: int
    news: bool


class _Beat(msgspec.Struct):
    at: Nanos
    every_ns: int
    told: bool = False

    def silent_at(self) -> int:
        """When enough beats are missing to be no chance."""
        beats = 1
        while heartbeat_nats(beats * self.every_ns, self.every_ns) < LIMIT_NATS:
            beats += 1
        return self.at + beats * self.every_ns


class Expected:
    """Edges and senders of heartbeats, and when each would be silent."""

    def __init__(self) -> None:
        self.due_at: Nanos | None = None
        self._edges: dict[tuple[str, str], Arrivals] = {}
        self._beats: dict[Target, _Beat] = {}

    def heard(self, sample: EdgeSampled) -> None:
        """Calls were made. A sample counts as one arrival, however many it holds: whoever counts pauses, too."""
        if sample.calls <= 0:
            return
        key = sample.caller, sample.callee
        arrivals = self._edges.pop(key, None) or Arrivals()
        if len(self._edges) >= EDGES_MAX:
            del self._edges[next(iter(self._edges))]
        self._edges[key] = arrivals
        arrivals.arrived(sample.at, FALSE_ALARM)
        self._soon(arrivals.silent_at_ns(FALSE_ALARM))

    def beat(self, signal: Heartbeat) -> bool:
        """Whether a beat is back that was told missing."""
        before = self._beats.get(signal.target)
        if signal.every_ns <= 0:
            self._beats.pop(signal.target, None)
        elif before is not None or len(self._beats) < BEATS_MAX:
            beat = _Beat(max(signal.at, before.at) if before is not None else signal.at, signal.every_ns)
            self._beats[signal.target] = beat
            self._soon(beat.silent_at())
        return before is not None and before.told

    def silent(self, now: Nanos) -> tuple[list[Missed], list[Stopped]]:
        """What is missing at `now`: beats for as long as they are, edges once; then they are learned anew."""
        if self.due_at is None or now < self.due_at:
            return [], []
        if now - self.due_at > OVERSLEPT_NS:
            self._slept(now - self.due_at)
        missed, stopped = self._missed(now), self._stopped(now)
        self._reckon(now)
        return missed, stopped

    def _missed(self, now: Nanos) -> list[Missed]:
        found = []
        for target, beat in list(self._beats.items()):
            if now < beat.silent_at():
                continue
            found.append(Missed(target, beat.every_ns, now - beat.at, not beat.told))
            beat.told = True
            if now - beat.at > max(MISSED_NS_MAX, beat.silent_at() - beat.at):
                del self._beats[target]
        return found

    def _stopped(self, now: Nanos) -> list[Stopped]:
        found = []
        for (caller, callee), arrivals in list(self._edges.items()):
            silent_at = arrivals.silent_at_ns(FALSE_ALARM)
            if silent_at is not None and now >= silent_at:
                found.append(Stopped(caller, callee, round(arrivals.mean_ns), now - arrivals.last_ns))
                del self._edges[caller, callee]
        return found

    def _slept(self, by_ns: int) -> None:
        """One more beat, or mean gap, is waited for."""
        for beat in self._beats.values():
            if not beat.told:
                beat.at = Nanos(beat.at + by_ns + beat.every_ns)
        for arrivals in self._edges.values():
            arrivals.last_ns += by_ns + round(arrivals.mean_ns)

    def _soon(self, at: int | None) -> None:
        if at is not None:
            self.due_at = Nanos(at if self.due_at is None else min(at, self.due_at))

    def _reckon(self, now: Nanos) -> None:
        """A beat that was told missing is looked at again every second, so that what is open about it stays open."""
        self.due_at = None
        for beat in self._beats.values():
            self._soon(now + SECOND if beat.told else beat.silent_at())
        for arrivals in self._edges.values():
            self._soon(arrivals.silent_at_ns(FALSE_ALARM))

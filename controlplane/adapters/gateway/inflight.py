"""Attempts in flight: who waits on which endpoint, since when, and which of them may be sent again elsewhere.

An attempt is in flight from its permit to the answer's head. Beyond that the answer belongs to the program, which may
read a body for as long as it likes; nothing here watches it.
"""

from collections.abc import Callable, Iterator
from typing import Final

import anyio

from controlplane._native.guard import Permit
from controlplane.adapters.gateway.service import ServiceGuard

# What makes one call late makes late all that wait with it, as a pause of the replica does. So of the calls that are
# overdue on an endpoint one is told at a time, and the next one so much later, if it is still unanswered then.
STALL_APART_S: Final = 0.025


class Attempt:
    """One attempt in flight. Its stall is counted from `since` (loop time); `relief` is the permit that replaces it."""

    __slots__ = ("lane", "permit", "redrivable", "relief", "scope", "since")

    def __init__(self, lane: "Lane", permit: Permit, scope: anyio.CancelScope, now: float, *, redrivable: bool) -> None:
        self.lane, self.permit, self.scope, self.redrivable = lane, permit, scope, redrivable
        self.since = now
        self.relief: Permit | None = None

    def give_up(self) -> None:
        """`relief` goes in its place."""
        self.scope.cancel()


class Lane:
    """The attempts in flight on one endpoint, each set oldest first: those awaited and those known to be overdue."""

    __slots__ = ("_ended_before", "apart_until", "awaited", "ended", "endpoint", "overdue", "service")

    def __init__(self, service: ServiceGuard, endpoint: int) -> None:
        self.service, self.endpoint = service, endpoint
        self.awaited: dict[Attempt, None] = {}
        self.overdue: dict[Attempt, None] = {}
        self.apart_until = float("-inf")
        self.ended = self._ended_before = 0  # attempts: in all, and when the first of those overdue was told

    @property
    def answers(self) -> bool:
        """Whether something has ended here since the first overdue attempt was told: it is late, and not hung."""
        return bool(self.overdue) and self.ended > self._ended_before

    def due(self) -> float:
        """Loop time at which its oldest awaited attempt is told to have stalled; infinity without one."""
        if not self.awaited:
            return float("inf")
        return max(next(iter(self.awaited)).since + self.service.stall_s, self.apart_until)

    def recount(self, now: float) -> None:
        """Count every awaited stall from `now`: how long it took until now is unknown."""
        for attempt in self.awaited:
            attempt.since = now

    def stalled(self, now: float) -> Attempt | None:
        """Move the oldest that is overdue at `now` aside and return it; None when none is to be told now."""
        if not self.awaited or now < self.apart_until:
            return None  # as `due` says, in the order that is cheap twenty times a second
        if next(iter(self.awaited)).since + self.service.stall_s > now:
            return None
        self.service.await_as_usual()  # it is asked seldom, and answers may take longer by now: everybody's
        if self.due() > now:
            return None
        attempt = next(iter(self.awaited))
        del self.awaited[attempt]
        if not self.overdue:
            self._ended_before = self.ended
        self.overdue[attempt] = None
        self.apart_until = now + STALL_APART_S
        return attempt


class InFlight:
    """All attempts in flight of one plane, on one event loop: `total` now, `redriven` since the start.

    `entered` is told the time at which a new attempt stalls.
    """

    def __init__(self, entered: Callable[[float], None]) -> None:
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._entered = entered
        self.total = 0
        self.redriven = 0

    def enter(
        self, service: ServiceGuard, permit: Permit, scope: anyio.CancelScope, now: float, *, redrivable: bool
    ) -> Attempt:
        """Put an attempt in flight."""
        attempt = Attempt(self.lane(service, permit.endpoint), permit, scope, now, redrivable=redrivable)
        self.put(attempt)
        return attempt

    def lane(self, service: ServiceGuard, endpoint: int) -> Lane:
        """The attempts in flight there."""
        key = (service.name, endpoint)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(service, endpoint)
        return lane

    def put(self, attempt: Attempt) -> None:
        """`enter`, for an attempt that is made already."""
        lane = attempt.lane
        lane.awaited[attempt] = None
        self.total += 1
        self._entered(attempt.since + lane.service.stall_s)

    def leave(self, attempt: Attempt) -> None:
        """It was answered, failed or was given up."""
        lane = attempt.lane
        lane.ended += 1
        self.total -= 1
        if attempt in lane.awaited:
            del lane.awaited[attempt]
        else:
            lane.overdue.pop(attempt, None)

    def lanes(self) -> Iterator[Lane]:
        """Every endpoint that was ever called."""
        return iter(self._lanes.values())

    def answers(self, service: ServiceGuard, endpoint: int) -> bool:
        """See `Lane.answers`."""
        lane = self._lanes.get((service.name, endpoint))
        return lane is not None and lane.answers

    def redrive(self, service: ServiceGuard, endpoint: int) -> int:
        """Send what is in flight on `endpoint` again elsewhere, oldest first; returns how many were.

        The new permit is taken before the old attempt is given up: where nothing else is usable, the slow answer that
        may still come is better than none.
        """
        lane = self._lanes.get((service.name, endpoint))
        if lane is None:
            return 0
        moved = 0
        for attempt in (*lane.overdue, *lane.awaited):
            if not attempt.redrivable or attempt.relief is not None:
                continue
            relief = service.guard.try_redrive(endpoint)
            if not isinstance(relief, Permit):
                break
            attempt.relief = relief
            attempt.give_up()
            moved += 1
        self.redriven += moved
        return moved

"""Calls that do not come back, found by counting: HAProxy logs a call when it is answered, and not before.

    awaited(t) = given to the server since it last had nothing to do - answered since, by the log

Of the calls that were awaited at t0, at least awaited(t0) - answered(t0..t) are awaited still, and older than t - t0,
whichever they are. The bound is exact, and needs no list of them. A log that loses lines would make it grow; so no more
are ever awaited than HAProxy itself has in flight there, and it begins anew whenever that is none.
"""

from collections import deque
from typing import Final

LOOKS_MAX: Final = 256  # kept of each server; the oldest says nothing that a later one does not once it is told


class StallCount:
    """The calls that one server owes an answer. Each is told as overdue once."""

    def __init__(self) -> None:
        self._given_base: int | None = None  # given before we began to count
        self._started = 0
        self._answered = 0
        self._told = 0
        self._looks: deque[tuple[int, int, int]] = deque(maxlen=LOOKS_MAX)  # time, awaited, answered until then

    def answered(self) -> None:
        """The log told of one more."""
        self._answered += 1

    def look(self, now: int, *, started: int, in_flight: int, stall_ns: int) -> int:
        """How long the oldest one has waited at least, if one more is overdue than was told, else 0.

        Counters as HAProxy has them. One call is told at a time, for what made one late made its neighbours late.
        """
        anew = self._given_base is None or started < self._started  # first seen, or a reload
        self._started = started
        if self._given_base is None or anew or in_flight == 0:
            self._given_base, self._answered, self._told = max(0, started - in_flight), 0, 0
            self._looks.clear()
        awaited = min(in_flight, max(0, started - self._given_base - self._answered))
        overdue, waited_ns = 0, 0
        for at, owed, answered in self._looks:
            if now - at < stall_ns:
                break
            left = min(awaited, owed - (self._answered - answered))
            if left > overdue:
                overdue, waited_ns = left, now - at
        self._looks.append((now, awaited, self._answered))
        self._told = min(self._told, overdue)
        if overdue <= self._told:
            return 0
        self._told += 1
        return waited_ns

"""Retry storms: edges on which far more is sent than was asked for, and entries at which tries again arrive.

A retry budget of 20 % sends 1.2 times what was asked. From half as much again on, somebody's retries feed a failure,
whether or not anybody knows capacities to reckon R with. Detection needs counts only: of attempts and calls by whoever
tells of the edge, and of requests that say they are retries, from however far up.
"""

from collections import deque

import msgspec

from controlplane.model.signal import EdgeSampled, EntrySampled
from controlplane.model.unit import SECOND, Nanos

WINDOW_NS = 3 * SECOND
RATIO = 1.5  # sends for each call from which it is a storm
CALM_RATIO = 1.2  # below it, it is over: what the default retry budget allows
EXTRA = 30  # sends too many within the window: fewer are a few unlucky requests
EDGES_MAX = 1000  # watched at a time; callers' names come from outside

Edge = tuple[str, str]
"""(caller, callee). The caller is empty where requests themselves say that they are retries."""


class Storm(msgspec.Struct, frozen=True):
    """What was sent on `edge` within the window, and how many calls that was for; not `told`: nobody says any more."""

    edge: Edge
    calls: int
    sends: int
    told: bool = True

    @property
    def text(self) -> str:
        """In words."""
        caller, callee = self.edge
        if not self.told:
            return f"{caller or 'requests'} -> {callee}: nobody tells of it any more"
        if not caller:
            share = 100 * (self.sends - self.calls) // max(1, self.sends)
            return f"{share} % of the requests to {callee} are retries of somebody above"
        return f"{caller} -> {callee}: {self.sends / max(1, self.calls):.1f} sends for each call"


class Storms:
    """The edges on which more is sent than was asked for, and since when that is a storm."""

    def __init__(self) -> None:
        self._seen: dict[Edge, deque[tuple[Nanos, int, int]]] = {}
        self.raging: dict[Edge, Storm] = {}

    def edge(self, sample: EdgeSampled) -> tuple[Storm | None, Storm | None]:
        """(a storm that has begun, one that has ended) by what an edge tells."""
        sends = sample.calls if sample.attempts is None else sample.attempts
        return self._add((sample.caller, sample.callee), sample.at, sample.calls, sends) if sample.caller else _NOTHING

    def entry(self, sample: EntrySampled, name: str) -> tuple[Storm | None, Storm | None]:
        """The same by users' requests that are retries."""
        return self._add(("", name), sample.at, sample.requests - sample.retries, sample.requests)

    def lapse(self, now: Nanos) -> list[Storm]:
        """Those that have ended because nobody tells of their edge any more."""
        ended = [edge for edge in self.raging if not self._sums(edge, now)[1]]
        self._seen = {edge: rows for edge, rows in self._seen.items() if rows and rows[-1][0] > now - WINDOW_NS}
        return [msgspec.structs.replace(self.raging.pop(edge), told=False) for edge in ended]

    @property
    def due_at(self) -> Nanos | None:
        """When the first storm ends if nobody tells of it until then; None: there is none."""
        return min((Nanos(self._seen[edge][-1][0] + WINDOW_NS) for edge in self.raging), default=None)

    def _add(self, edge: Edge, at: Nanos, calls: int, sends: int) -> tuple[Storm | None, Storm | None]:
        rows = self._seen.get(edge)
        if rows is None:
            if sends <= calls:
                return _NOTHING  # nearly always: nothing is tried again, and nothing is kept
            if len(self._seen) >= EDGES_MAX:
                self.lapse(at)
            if len(self._seen) >= EDGES_MAX:
                return _NOTHING
            rows = self._seen[edge] = deque()
        rows.append((at, calls, sends))
        calls, sends = self._sums(edge, at)
        storm = Storm(edge, calls, sends)
        if edge not in self.raging:
            if sends - calls >= EXTRA and sends >= RATIO * calls:
                self.raging[edge] = storm
                return storm, None
        elif sends < CALM_RATIO * calls:
            del self.raging[edge], self._seen[edge]
            return None, storm
        return _NOTHING

    def _sums(self, edge: Edge, now: Nanos) -> tuple[int, int]:
        rows = self._seen.get(edge)
        if rows is None:
            return 0, 0
        while rows and rows[0][0] <= now - WINDOW_NS:
            rows.popleft()
        return sum(row[1] for row in rows), sum(row[2] for row in rows)


_NOTHING: tuple[None, None] = (None, None)

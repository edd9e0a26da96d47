"""Counters as they are told become what was counted since: whatever the temporality, and over restarts of who counts.

A cumulative counter that was never heard of says nothing by itself: how much of it is old, nobody knows. All of it is
news where it began after we did, or where its sender has told all it has before, without it, and tells of nothing
like it: so the first failures of an edge are not lost. A counter that begins again (a later start, or a value that
fell) counts from zero. What is told twice counts once.
"""

from collections.abc import Hashable
from typing import Final, NamedTuple

import msgspec

from controlplane.adapters.ingest.point import CUMULATIVE, Point
from controlplane.model.unit import SECOND, Nanos

SERIES_MAX: Final = 65_536  # of all senders together, about 400 bytes each
STALE_NS: Final = 3600 * SECOND  # longer unheard a series is forgotten
WINDOW_NS_MAX: Final = 600 * SECOND  # of one step; more is a silence in between, and says nothing about now

Key = tuple[Hashable, int]
"""Who sends, and the series."""


class Step(NamedTuple):
    """What was counted over the last `window_ns`."""

    value: float
    sum_s: float
    window_ns: int


class _Known(NamedTuple):
    start_ns: int
    at_ns: int
    value: float
    sum_s: float
    heard_at: Nanos
    changed_at: Nanos


class _Sender(msgspec.Struct):
    """Who sends. `turn`: the last request with points of it, heard `heard_at`, the one before at `before_at`.
    `told_all`: the request by which it had told all it has. `whole`: none of its series was left out or forgotten."""

    turn: int
    heard_at: Nanos
    before_at: Nanos
    told_all: int | None = None
    whole: bool = True


Kind = tuple[Hashable, int, str, str, bool]
"""Sender, metric, both ends, failed: series that are alike"""


class SeriesTable:
    """What every series told last. `began_wall_ns` is when this process began to listen."""

    def __init__(self, began_wall_ns: int, *, series_max: int = SERIES_MAX) -> None:
        self.without_place = 0
        self._began_wall_ns, self._series_max = began_wall_ns, series_max
        self._known: dict[Key, _Known] = {}
        self._senders: dict[Hashable, _Sender] = {}
        self._kinds: set[Kind] = set()
        self._turn, self._complete = 0, False

    def __len__(self) -> int:
        return len(self._known)

    def begin(self, *, complete: bool) -> None:
        """The points that follow come together. `complete`: they are all that their senders have."""
        self._turn += 1
        self._complete = complete

    def step(self, sender: Hashable, point: Point, now: Nanos) -> Step | None:
        """What `point` adds to what `sender` told of its series; None: nothing, or nothing that can be known."""
        key = sender, point.series
        before = self._known.get(key)
        if point.ended:
            self._known.pop(key, None)
            return None
        if before is not None and point.at_ns and point.at_ns <= before.at_ns:
            return None  # sent again, or overtaken on the way
        who = self._sender(sender, now)
        if before is None and len(self._known) >= self._series_max:
            self.without_place += 1
            who.whole = False
            return None
        if who.told_all is None and (before is not None or self._complete):
            who.told_all = self._turn  # it begins again with what we know, or told everything at once
        if point.temporality == CUMULATIVE:
            kind = sender, point.metric, point.client, point.server, point.failed
            value, sum_s, window_ns = self._since(before, who, kind, point, now)
            self._remember(kind)
        else:
            value, sum_s = point.value, point.sum_s
            window_ns = point.at_ns - point.start_ns if point.start_ns else 0
        changed_at = now if before is None or value > 0 else before.changed_at
        self._known[key] = _Known(point.start_ns, point.at_ns, point.value, point.sum_s, now, changed_at)
        return Step(value, max(sum_s, 0.0), max(1, min(window_ns, WINDOW_NS_MAX))) if value > 0 else None

    def _remember(self, kind: Kind) -> None:
        if kind not in self._kinds and len(self._kinds) >= 2 * self._series_max:
            self._kinds.clear()  # invented names: from here on nothing is new of anybody
            for who in self._senders.values():
                who.whole = False
        self._kinds.add(kind)

    def _sender(self, name: Hashable, now: Nanos) -> _Sender:
        who = self._senders.get(name)
        if who is None:
            who = self._senders[name] = _Sender(self._turn, now, now)
            if len(self._senders) > self._series_max:
                del self._senders[next(iter(self._senders))]
        elif who.turn != self._turn:
            who.turn, who.before_at, who.heard_at = self._turn, who.heard_at, now
        return who

    def _since(
        self, before: _Known | None, who: _Sender, kind: Kind, point: Point, now: Nanos
    ) -> tuple[float, float, int]:
        """(value, sum, window) of a cumulative point."""
        if before is None:
            if point.start_ns >= self._began_wall_ns:
                return point.value, point.sum_s, point.at_ns - point.start_ns
            told_all = who.told_all is not None and who.told_all < self._turn
            if told_all and who.whole and kind not in self._kinds:
                return point.value, point.sum_s, now - who.before_at
            return 0.0, 0.0, 0
        window_ns = now - before.changed_at
        if point.start_ns > before.start_ns or point.value < before.value:
            return point.value, point.sum_s, window_ns
        return point.value - before.value, point.sum_s - before.sum_s, window_ns

    def forget_stale(self, now: Nanos) -> None:
        """Make room: what was not heard of for STALE_NS will hardly be missed."""
        for key in [key for key, known in self._known.items() if now - known.heard_at > STALE_NS]:
            del self._known[key]
            if (who := self._senders.get(key[0])) is not None:
                who.whole = False  # should it come back, it is not new
        gone = {name for name, who in self._senders.items() if now - who.heard_at > STALE_NS}
        if gone:
            self._senders = {name: who for name, who in self._senders.items() if name not in gone}
            self._kinds = {kind for kind in self._kinds if kind[0] not in gone}

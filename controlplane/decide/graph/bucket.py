"""What edges did, in buckets of time: a bounded list of them, of which those of an incident never teach what is normal.

Buckets lie on a grid of `width_ns`, and exist only where something was heard: without traffic none are made, so that
with little of it they reach back further. An incident that begins cuts the bucket it begins in, so that its first one
holds nothing from before (or next to nothing, where others run already), and one that ends does so again.

When the list is full, one goes for each that comes: first those of past incidents, which teach nothing; then, while an
incident runs and half of the list is its own, the oldest of that half; else the oldest. So an incident may last and
what was normal before it stays known.
"""

import numpy as np
from numpy.typing import NDArray

from controlplane.model.unit import SECOND, Nanos

# words of an edge in a bucket; `model.signal.EdgeSampled` says what each is
CALLS, FAILURES, ATTEMPTS, COUNTED, TIMED, CLIENT_NS, SERVED, SERVER_NS, HEARD_NS = range(9)
WORDS = 9  # COUNTED: calls whose attempts are known; SERVED: attempts in SERVER_NS; HEARD_NS: time covered by samples

EDGES_MIN = 16  # room that the smallest bucket is made with; it doubles
HOLD_NS_MAX = Nanos(3_600 * SECOND)  # what has lasted an hour is what the graph is like now
CUTS = 64  # in the width of a bucket, at most, by incidents that begin while others run: fifty at once cut it once


class Bucket:
    """From `start` up to `end`, and what each edge did then: `words` are (edges, WORDS), `view` the same, flat."""

    __slots__ = ("end", "held", "start", "view", "words")

    def __init__(self, start: int, end: int, edges: int, *, held: bool) -> None:
        self.start, self.end, self.held = start, end, held
        self._take(np.zeros((max(EDGES_MIN, edges), WORDS), dtype=np.int64))

    def make_room(self, edge: int) -> None:
        """Have room for `edge`."""
        wider = np.zeros((max(edge + 1, 2 * len(self.words)), WORDS), dtype=np.int64)
        wider[: len(self.words)] = self.words
        self._take(wider)

    def forget(self, edge: int) -> None:
        """`edge` will be another one."""
        if edge < len(self.words):
            self.words[edge] = 0

    def _take(self, words: NDArray[np.int64]) -> None:
        self.words, self.view = words, words.reshape(-1).data


class Buckets:
    """At most `buckets_max` of them, oldest first."""

    def __init__(self, width_ns: int, buckets_max: int) -> None:
        self.width_ns, self._buckets_max = width_ns, buckets_max
        self.all: list[Bucket] = []
        self.edges = 0  # so many are known: a new bucket has room for them, and an eighth more
        self._held: dict[str, Nanos] = {}
        self._whole = True  # none has gone yet: the first one begins where what is known begins

    def incident_at(self, now: int) -> Nanos | None:
        """When the oldest incident began that runs `now`, and has not become what is usual; None without."""
        return min((since for since in self._held.values() if now - since < HOLD_NS_MAX), default=None)

    def open(self, at: int, since: int) -> Bucket | None:
        """The bucket of a sample from `since` to `at`; None: it is older than all that are kept."""
        if not self.all or at >= self.all[-1].end:
            grid = at - at % self.width_ns
            begins = self.all[-1].end if self.all else min(since, at)  # before the first sample nothing is known
            return self._append(max(grid, begins), grid + self.width_ns, at)
        return next((bucket for bucket in reversed(self.all) if bucket.start <= at < bucket.end), None)

    def reach(self, since: int) -> None:
        """Something is known since then: before the very first bucket, that one begins earlier, as far as it may."""
        if self._whole and self.all and since < (first := self.all[0]).start:
            first.start = max(since, first.start - first.start % self.width_ns)

    def hold(self, service: str, since: Nanos) -> None:
        """From `since` on an incident of `service` runs. Again for the same one: the earlier time counts."""
        since = min(since, self._held.get(service, since))
        self._held[service] = since
        newest = self.all[-1] if self.all else None
        if newest is None or not newest.held or since - newest.start >= self.width_ns // CUTS:
            self._cut(since)
        for bucket in self.all:
            bucket.held = bucket.held or bucket.end > since

    def release(self, service: str, at: Nanos) -> None:
        """It is over; where no other runs, what comes from now on is normal again."""
        if self._held.pop(service, None) is not None and not self._held:
            self._cut(at)
            if self.all and self.all[-1].start >= at:
                self.all[-1].held = False

    def held(self) -> dict[str, Nanos]:
        """Services with an incident that runs, and since when."""
        return dict(self._held)

    def _append(self, start: int, end: int, at: int) -> Bucket:
        if len(self.all) >= self._buckets_max:
            self.all.remove(self._surplus(at))
            self._whole = False
        bucket = Bucket(start, end, self.edges + self.edges // 8, held=self.incident_at(at) is not None)
        self.all.append(bucket)
        return bucket

    def _surplus(self, now: int) -> Bucket:
        since = self.incident_at(now)
        past = (bucket for bucket in self.all if bucket.held and (since is None or bucket.end <= since))
        if (one := next(past, None)) is not None:
            return one
        own = [bucket for bucket in self.all if since is not None and bucket.end > since]
        return own[0] if 2 * len(own) >= self._buckets_max else self.all[0]

    def _cut(self, at: int) -> None:
        """End the newest bucket `at`, if that lies inside it."""
        newest = self.all[-1] if self.all else None
        if newest is None or not newest.start < at < newest.end:
            return
        end, newest.end = newest.end, at
        self._append(at, end, at)

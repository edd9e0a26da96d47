"""An endpoint that is gray, slow without an error, beside siblings that are not: too slow to keep, too fast to stall.

Every answer feeds the compiled detector's latency bank, a row for each endpoint. A verdict there says that an endpoint
has changed; on a shared machine that is no ground to act: a neighbour, a collector, a burst move latency too. So it
opens a look, which counts only what comes after it, and every endpoint in units of its own normal latency: stable
differences between replicas are none, and nobody is odd when all move. Gray is what by then

    has been found changed a second time, by sums that began at zero, for CONFIRM_NS at least,
    is the odd one among its siblings by `late_outliers`, none of which was found twice as slow meanwhile,
    and has a median GRAY_FACTOR times its own, and theirs, and `gray_excess_s` above theirs.

Whatever else a look sees is a drift, which is told and never acted on. Rows are this process's own, in an arena too:
what another process sees is no evidence here. What an endpoint that is starved of calls does is found accordingly late.
docs/concepts/detection.md.
"""

from typing import Final, NamedTuple

import numpy as np

from controlplane._native.detector import LATE, Detector
from controlplane.decide.detection.outlier import Counts, late_outliers
from controlplane.model.unit import MILLISECOND, SECOND

FALSE_ALARM: Final = 1e-6
CONFIRM_NS: Final = 2 * SECOND  # what ends sooner was a pause
LOOK_NS: Final = 1_800 * SECOND  # a look at a trickle ends undecided
TELL_EVERY_NS: Final = 600 * SECOND  # a drift that stays is told so often
CHECK_CALLS: Final = 16  # calls of the endpoint before the first test; each later one needs twice as many
CHECKS: Final = 9  # tests in one look, which share its dial
LEARNED_MIN: Final = 512  # answers before an endpoint's normal latency is known
GRAY_FACTOR: Final = 2
BINS_AN_OCTAVE: Final = 4
BINS: Final = 104  # the detector's: a quarter of an octave each, from 1 us
LOWEST_OCTAVE: Final = 10
SHIFT: Final = 48  # the bin of an endpoint's own median, in a look


class Finding(NamedTuple):
    """What a look found: `gray`, or else a drift. `calls` answers, of which `late` were later than GRAY_FACTOR medians.
    `alone`: no sibling was found to move."""

    endpoint: int
    gray: bool
    calls: int
    late: int
    factor: float
    alone: bool


class GrayWatch:
    """The latencies of the endpoints of one service, each against its past and against its siblings'."""

    def __init__(self, endpoints: int, *, excess_ns: int = 10 * MILLISECOND) -> None:
        self.excess_ns = excess_ns
        self._endpoints = endpoints
        self._detector = Detector(endpoints, false_alarm=FALSE_ALARM)
        self._observe = self._detector.observe
        self._look: _Look | None = None
        self._told_at = -TELL_EVERY_NS

    def observe(self, endpoint: int, latency_ns: int, now: int) -> Finding | None:
        """Take in an answer that was no failure, of a call that anybody might have made: no probe."""
        verdict = self._observe(endpoint, False, latency_ns)
        if self._look is None and verdict < LATE:
            return None
        return self._seen(endpoint, latency_ns, verdict, now)

    def clear(self, endpoint: int) -> None:
        """Drop what is held against an endpoint that is, or was, held back; what is normal there stays."""
        self._detector.clear(endpoint)
        if self._look is not None and self._look.endpoint == endpoint:
            self._look = None

    def _seen(self, endpoint: int, latency_ns: int, verdict: int, now: int) -> Finding | None:
        look = self._look
        if look is None:
            self._look = _Look(endpoint, now, [self._median_bin(row) for row in range(self._endpoints)])
            return None
        look.count(endpoint, latency_ns)
        if verdict >= LATE:
            look.verdict(endpoint, verdict - LATE)
        if endpoint != look.endpoint or not look.due(now):
            return None
        gray = look.judge(self.excess_ns)
        if gray is not None or look.over(now):
            self._look = None
        if gray is not None or not look.again or now - self._told_at < TELL_EVERY_NS:
            return gray
        self._told_at = now
        return look.finding(gray=False)

    def _median_bin(self, row: int) -> int:
        """Where half of the answers learned lie; -1: too few to know."""
        learned = np.array([calls for calls, *_ in self._detector.latency(row)])
        if learned.sum() < LEARNED_MIN:
            return -1
        return int(np.searchsorted(learned.cumsum(), learned.sum() / 2))


class _Look:
    """What one endpoint and its siblings did since the endpoint was found changed."""

    def __init__(self, endpoint: int, now: int, medians: list[int]) -> None:
        self.endpoint, self._since, self._medians = endpoint, now, medians
        self.again = 0
        self._moved: set[int] = set()
        self._counts = np.zeros((len(medians), BINS), dtype=np.int64)
        self._calls, self._checks, self._check_at = 0, 0, CHECK_CALLS

    def count(self, endpoint: int, latency_ns: int) -> None:
        self._counts[endpoint, _bin(latency_ns)] += 1
        self._calls += endpoint == self.endpoint

    def verdict(self, endpoint: int, size: int) -> None:
        if endpoint == self.endpoint:
            self.again += 1
        elif size:
            self._moved.add(endpoint)

    def due(self, now: int) -> bool:
        age = now - self._since
        return age >= CONFIRM_NS and (self._calls >= self._check_at or age >= LOOK_NS)

    def over(self, now: int) -> bool:
        """Whether the look ends, undecided; else it is due again when it has twice as many calls."""
        self._checks += 1
        self._check_at = 2 * self._calls
        return self._checks >= CHECKS or now - self._since >= LOOK_NS

    def judge(self, excess_ns: int) -> Finding | None:
        """The endpoint, if it is gray."""
        if not self.again or self._moved or self._medians[self.endpoint] < 0:
            return None
        known = [row for row, median in enumerate(self._medians) if median >= 0]
        scaled = np.array([_moved_to(self._counts[row], SHIFT - self._medians[row]) for row in known])
        here = known.index(self.endpoint)
        if here not in late_outliers(scaled, VALUES_NS, FALSE_ALARM / CHECKS):
            return None
        own = _median_ns(self._counts[self.endpoint])
        others = _median_ns(np.delete(self._counts, self.endpoint, axis=0).sum(axis=0))
        changed = _median_ns(np.delete(scaled, here, axis=0).sum(axis=0))
        apart = own >= GRAY_FACTOR * others and own - others >= excess_ns
        grown = _median_ns(scaled[here]) >= GRAY_FACTOR * max(changed, float(VALUES_NS[SHIFT]))
        return self.finding(gray=True) if apart and grown else None

    def finding(self, *, gray: bool) -> Finding:
        counts, normal = self._counts[self.endpoint], max(0, self._medians[self.endpoint])
        late = int(counts[normal + BINS_AN_OCTAVE :].sum())
        factor = _median_ns(counts) / _middle_ns(normal)
        return Finding(self.endpoint, gray, int(counts.sum()), late, factor, not self._moved)


VALUES_NS: Final = np.array(
    [(4 + index % 4) << (LOWEST_OCTAVE - 2 + index // 4) for index in range(BINS)], dtype=np.int64
)
"""The lowest latency of each bin."""


def _bin(latency_ns: int) -> int:
    """The detector's own bin of a latency: a quarter of an octave."""
    octave = latency_ns.bit_length() - 1
    if octave < LOWEST_OCTAVE:
        return 0
    return min(BINS - 1, (octave - LOWEST_OCTAVE) * 4 + (latency_ns >> (octave - 2) & 3))


def _moved_to(counts: Counts, by: int) -> Counts:
    """`counts`, each `by` bins further; what is beyond an end is in the last bin there."""
    at = np.clip(np.arange(BINS) + by, 0, BINS - 1)
    return np.bincount(at, weights=counts, minlength=BINS).astype(np.int64)


def _middle_ns(index: int) -> float:
    return float(VALUES_NS[index] + VALUES_NS[min(index + 1, BINS - 1)]) / 2


def _median_ns(counts: Counts) -> float:
    """By straight lines within a bin; 0 without any calls."""
    rising = counts.cumsum()
    half = float(rising[-1]) / 2
    if not half:
        return 0.0
    at = int(np.searchsorted(rising, half))
    low, high = float(VALUES_NS[at]), float(VALUES_NS[min(at + 1, BINS - 1)])
    return low + (high - low) * (half - float(rising[at] - counts[at])) / float(counts[at])

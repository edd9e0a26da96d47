"""What is normal on an edge, learned from healthy traffic: a p99 and a share of failures that follow slowly and are
not taught by an incident.

A window counts when it holds at least WINDOW_CALLS_MIN successful calls. The learned p99 then moves STEP_SHARE of the
way to the window's, of which no more than twice the learned one is believed: five bad windows in a row cannot make a
tenfold latency normal. Windows seen while anything about the service is suspect are thrown away, but for one case:
calls go well, and most of them take longer. That may be an incident or the new normal, and nobody here can tell. So it
is learned at a creep, CREEP_PER_S: an incident of minutes teaches little, and a change for good is accepted in the end.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controlplane.model.policy import GuardPolicy
from controlplane.model.unit import to_nanos

FAILURE_SHARE_FLOOR: Final = 0.01  # a guard believes no less: evidence.h
PRIOR_CALLS: Final = 256  # before anything is learned, so many calls failed at the floor
MEMORY_CALLS: Final = 16_384
BELIEVED_FAILURES: Final = 2  # of a window no more failures are believed than this and twice the expected
WINDOW_CALLS_MIN: Final = 50  # below this the p99 is the maximum of too few
STEP_SHARE: Final = 0.2  # about eleven windows (seconds, under load) to follow nine tenths of a change
BELIEVED_MAX: Final = 2
SLOW_FACTOR: Final = 3  # beyond three p99 an answer is slow: a share of them is then no matter of chance
STALL_FACTOR: Final = 4
CREEP_PER_S: Final = 1.01  # doubled in 70 s of suspicion; what was learned too much is unlearned within seconds
CREEP_S_MAX: Final = 60.0  # a window that was open for longer counts as one of so long
LOAD_UP: Final = 0.2  # of the way to what is in flight, once a second; of that no more than twice the usual is believed
LOAD_DOWN: Final = 0.02  # slowly: usual is how many there are at a busy moment, not on average
SUSPECT_SHARE: Final = 3  # evidence of a third of its threshold makes a window suspect


def learned_p99_ns(learned_ns: int, window_ns: int) -> int:
    """The p99 to believe in after a window whose p99 was `window_ns`; `learned_ns` is 0 before the first."""
    if learned_ns <= 0:
        return window_ns
    believed = min(window_ns, BELIEVED_MAX * learned_ns)
    return max(1, learned_ns + round(STEP_SHARE * (believed - learned_ns)))


def crept_p99_ns(learned_ns: int, window_ns: int, median_ns: int, elapsed_s: float) -> int:
    """The p99 to believe in after a suspect window, closed `elapsed_s` after the one before, in which calls went well.

    Only as far as the window's median bears it: one slow endpoint among others teaches nothing.
    """
    if learned_ns <= 0:
        return 0
    crept_ns = round(learned_ns * math.pow(CREEP_PER_S, min(elapsed_s, CREEP_S_MAX)))
    return max(learned_ns, min(window_ns, SLOW_FACTOR * median_ns, crept_ns))


def slow_ns(policy: GuardPolicy, learned_ns: int) -> int:
    """From which latency on a call is slow; 0: unknown, so none is."""
    if policy.slow_s:
        return to_nanos(policy.slow_s)
    return max(to_nanos(policy.stall_min_s), SLOW_FACTOR * learned_ns) if learned_ns else 0


def stall_ns(policy: GuardPolicy, learned_ns: int, typical_ns: int = 0) -> int:
    """How long an answer may be awaited before the call counts as stalled.

    `typical_ns` is the median of what is answered now, by whichever endpoint: where all of them have become slow, an
    answer that takes as long as the others is not overdue, however short the learned p99.
    """
    if policy.stall_s:
        return to_nanos(policy.stall_s)
    attempt = to_nanos(policy.attempt_timeout_s)
    if not learned_ns:
        return attempt
    return min(attempt, max(to_nanos(policy.stall_min_s), STALL_FACTOR * max(learned_ns, typical_ns)))


class FailureShare:
    """The share of calls that fail when all is well, learned from windows in which nothing was suspect.

    What an incident brings is in windows that are thrown away; what creeps is believed only so fast: see
    docs/concepts/detection.md.
    """

    def __init__(self, read: Callable[[], tuple[int, int]]) -> None:
        self._read = read
        self._seen = read()
        self._calls = self._failures = 0.0

    @property
    def share(self) -> float:
        """The share to believe in."""
        return (self._failures + FAILURE_SHARE_FLOOR * PRIOR_CALLS) / (self._calls + PRIOR_CALLS)

    def usual(self) -> bool:
        """Whether the window so far holds no more failures than would be believed of it."""
        now = self._read()
        calls, failures = now[0] - self._seen[0], now[1] - self._seen[1]
        return failures <= BELIEVED_FAILURES + 2 * self.share * calls

    def take(self) -> None:
        """Learn from the window, which ends here."""
        now = self._read()
        calls, failures = now[0] - self._seen[0], now[1] - self._seen[1]
        believed = min(failures, BELIEVED_FAILURES + 2 * self.share * calls)
        keep = min(1.0, MEMORY_CALLS / (self._calls + calls)) if calls > 0 else 1.0
        self._calls, self._failures = keep * (self._calls + calls), keep * (self._failures + believed)
        self._seen = now

    def discard(self) -> None:
        """End the window without learning from it."""
        self._seen = self._read()


class LatencyWindow:
    """The successful calls between two looks at a histogram that goes on counting for others.

    `median_ns` is that of the last window taken.
    """

    def __init__(self, read: Callable[[], tuple[memoryview, int, int, int]]) -> None:
        self._read = read
        counts, lowest_ns, _, digits = read()
        self._seen = np.array(counts, dtype=np.int64)
        self.median_ns = 0
        self._values = upper_bounds(len(self._seen), lowest_ns, digits)

    def take(self, *, calls_min: int = WINDOW_CALLS_MIN) -> int | None:
        """The p99 of the window, which ends here; None leaves it open: it holds fewer than `calls_min` calls."""
        now = np.array(self._read()[0], dtype=np.int64)
        window = now - self._seen
        if window.min() < 0:  # somebody reset the histogram: what it holds now is the window
            window = now
        total = int(window.sum())
        if total < calls_min:
            return None
        self._seen = now
        ranks = (-(-total // 2), -(-total * 99 // 100))
        self.median_ns, p99_ns = (int(self._values[at]) for at in np.searchsorted(np.cumsum(window), ranks))
        return p99_ns


class UsualLoad:
    """How many calls are in flight to a service at a busy moment, learned while nothing is suspect; 0: not known."""

    def __init__(self) -> None:
        self.calls = 0.0
        self._rests_until = 0

    def rest(self, until_ns: int) -> None:
        """Until then somebody waits for the queue to go: what it is meanwhile must not become usual."""
        self._rests_until = until_ns

    def learn(self, in_flight: int, now: int) -> None:
        """One look, about a second after the one before."""
        if now < self._rests_until:
            return
        if not self.calls:
            self.calls = float(max(1, in_flight))
            return
        believed = min(in_flight, BELIEVED_MAX * self.calls)
        self.calls += (LOAD_UP if believed > self.calls else LOAD_DOWN) * (believed - self.calls)
        self.calls = max(1.0, self.calls)


def upper_bounds(length: int, lowest: int, digits: int) -> NDArray[np.int64]:
    """The highest value counted in each bucket.

    Source  HdrHistogram's layout; checked against the `hdrhistogram` package.
    """
    unit = max(0, lowest.bit_length() - 1)
    half = 1 << ((2 * 10**digits - 1).bit_length() - 1)  # of the sub-buckets, the next power of two above 2 x 10^digits
    index = np.arange(length, dtype=np.int64)
    bucket = np.maximum(index // half - 1, 0)
    position = np.where(index < half, index, index % half + half)
    bounds: NDArray[np.int64] = ((position + 1) << (bucket + unit)) - 1
    return bounds

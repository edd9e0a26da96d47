"""The detector again, slow and plain: floats, numpy and lists where the kernel has packed words."""

import math

import numpy as np
from numpy.typing import NDArray

from controlplane._native.detector import FACTORS, FAILING, LATE, bank

BINS = 104
EDGES = np.array([math.log(2.0 ** (10 + b // 4) * (1 + b % 4 / 4)) for b in range(BINS + 1)])


def latency_bin(ns: int) -> int:
    """The last bin whose lower edge is not above `ns`."""
    return min(max(0, sum(2 ** (10 + b // 4) * (4 + b % 4) <= 4 * ns for b in range(BINS)) - 1), BINS - 1)


def latency_steps(counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """The three increments of each bin, from the learned counts: a matrix for the smoothing, one for each shift."""
    calls = counts.sum()
    apart = np.abs(np.arange(BINS)[:, None] - np.arange(BINS)[None, :])
    law = (counts + 32 * (0.7**apart @ counts) * (0.3 / 1.7) / calls) / (calls + 32)
    steps = []
    for factor in FACTORS:
        low, high = EDGES[:-1, None] - math.log(factor), EDGES[1:, None] - math.log(factor)
        high[-1] = np.inf
        shared = np.clip(np.minimum(high, EDGES[None, 1:]) - np.maximum(low, EDGES[None, :-1]), 0, None)
        moved = (shared / np.diff(EDGES)[None, :]) @ law
        with np.errstate(divide="ignore"):
            steps.append(np.clip(np.floor(1000 * (np.log(moved / law) - 16 / calls)), -30_000, 8_000))
    return np.array(steps, dtype=np.int64).T


class Row:
    """One row, call by call."""

    def __init__(self, false_alarm: float) -> None:
        self.false_alarm = false_alarm
        self.failing, self.late = [0, 0, 0], [0, 0, 0]
        self.window, self.window_bins, self.suspect = [0, 0], [0] * BINS, False
        self.calls = self.failures = 0.0
        self.bins = [0] * BINS  # in 256ths, as whole numbers: forgetting rounds
        self.windows = self.rejected = 0
        self.steps, self.late_limit = np.zeros((BINS, 3), np.int64), 65535
        self.refresh()

    def refresh(self) -> None:
        """What follows from what was learned."""
        share = (self.failures / 256 + 2.56) / (self.calls / 256 + 256)
        self.share, self.failed, self.passed, self.limits = bank(share, self.false_alarm)
        counts = np.array(self.bins) / 256
        if counts.sum() >= 512:
            self.steps = latency_steps(counts)
            young = max(0.0, 2 * math.log(16384 / counts.sum()))
            self.late_limit = min(65535, math.ceil(1000 * (math.log(6 / self.false_alarm) + young)))

    def observe(self, failed: bool, latency_ns: int) -> int:
        """The verdict after one more call."""
        verdict = self.weigh(self.failing, self.failed if failed else self.passed, self.limits)
        late = 0
        if not failed and latency_ns >= 0:
            index = latency_bin(latency_ns)
            self.window_bins[index] += 1
            late = self.weigh(self.late, tuple(int(step) for step in self.steps[index]), (self.late_limit,) * 3)
        self.window = [self.window[0] + 1, self.window[1] + failed]
        if self.window[0] >= 256:
            self.close()
        return FAILING + verdict - 1 if verdict else LATE + late - 1 if late else 0

    def weigh(self, sums: list[int], step: tuple[int, ...], limits: tuple[int, ...]) -> int:
        """Move the sums; 1 + the greatest change that has reached its limit."""
        before = list(sums)
        sums[:] = [min(max(0, each + by), 65535) for each, by in zip(sums, step, strict=True)]
        if sums == before:
            return 0
        crossed = [j + 1 for j in range(3) if sums[j] >= limits[j]]
        if crossed or any(6 * each >= 4 * limit for each, limit in zip(sums, limits, strict=True)):
            self.suspect = True
        if crossed:
            sums[:] = [0, 0, 0]
        return max(crossed, default=0)

    def close(self) -> None:
        """A full window is learned, thrown away, or waits for what is suspected."""
        calls, failures = self.window
        suspect = self.suspect or calls >= 1024
        pairs = [*zip(self.failing, self.limits, strict=True), *((each, self.late_limit) for each in self.late)]
        if not suspect and any(6 * each >= 2 * limit for each, limit in pairs):
            return
        if suspect:
            self.rejected += 1
        else:
            self.learn(calls, failures)
        self.window, self.window_bins, self.suspect = [0, 0], [0] * BINS, False

    def learn(self, calls: int, failures: int) -> None:
        """Take in an accepted window."""
        full = self.calls >= 256 * 256 * 64
        believed = min(failures * 256, int(256 * (2 + 2 * self.share * calls)))
        if full:
            self.calls -= self.calls // 64
            self.failures -= self.failures // 64
            self.bins = [each - each // 64 for each in self.bins]
        self.calls += calls * 256
        self.failures += believed
        self.bins = [each + 256 * new for each, new in zip(self.bins, self.window_bins, strict=True)]
        if full:
            self.windows += 1
            if (self.windows - 1) % 4:
                return
        self.refresh()

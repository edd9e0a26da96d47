"""How many calls it takes to find a change, beside the least that any test needs and the textbook's tests.

A life is a detector that has learned from healthy calls. A trial lets it see healthy calls, changes the service at a
random call, and counts the calls from the change to the verdict, the deciding one included. The bound is Lorden's
(1971): no test with one false alarm in 1 / alpha calls finds every change in fewer than ln(1 / alpha) / D calls on
average, D being what one call tells at most: the divergence of the laws after and before, of the very latencies and
not of our bins.
"""

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane._native.detector import Detector
from controlplane.bench import rivals
from controlplane.bench.result import Result
from controlplane.bench.run_length import false_alarms

FALSE_ALARM = 1e-6
BASE_SHARE = 0.001
MEDIAN_NS, SIGMA = 20e6, 0.5  # a lognormal latency whose p99 is 3.2 medians
P99 = 2.3263478740408408  # quantile of the standard normal
LEARNED_CALLS = 20_000
RUN_IN_CALLS = (256, 1_280)
CALLS_MAX = 5_000
BOUND_FACTOR, BOUND_CALLS = 1.3, 1.0  # promised: at most so many bounds, and one call more


class Shift(msgspec.Struct, frozen=True):
    """What changes: the share of calls that fail, or by what factor answers take longer."""

    name: str
    share: float = BASE_SHARE
    factor: float = 1.0

    @property
    def bound(self) -> float:
        """Lorden's, in calls."""
        if self.factor != 1:
            divergence = math.log(self.factor) ** 2 / (2 * SIGMA**2)
        else:
            passed = (1 - self.share) * math.log((1 - self.share) / (1 - BASE_SHARE)) if self.share < 1 else 0.0
            divergence = self.share * math.log(self.share / BASE_SHARE) + passed
        return math.log(1 / FALSE_ALARM) / divergence

    @property
    def failing(self) -> tuple[float, float]:
        """Before and after, what a test sees that knows only good and bad: here slow is bad, beyond the healthy p99."""
        if self.factor == 1:
            return BASE_SHARE, self.share
        return 0.01, 0.5 * math.erfc((P99 - math.log(self.factor) / SIGMA) / math.sqrt(2))


SHIFTS = (
    *(Shift(f"detection.failures_{percent}", share=percent / 100) for percent in (5, 20, 50, 100)),
    *(Shift(f"detection.latency_x{factor:g}", factor=factor) for factor in (1.5, 2.0, 5.0)),
)


class Delay(msgspec.Struct, frozen=True):
    """Mean calls to the verdict on one shift, with its standard error; rivals by name."""

    shift: Shift
    calls: float
    error: float
    rivals: dict[str, float]

    @property
    def limit(self) -> float:
        """What is promised."""
        return BOUND_FACTOR * self.shift.bound + BOUND_CALLS

    @property
    def missed(self) -> list[str]:
        """Promises that do not hold."""
        name = self.shift.name
        found = [f"{name}: {self.calls:.1f} calls, at most {self.limit:.1f}"] if self.calls > self.limit else []
        faster = [rival for rival, calls in self.rivals.items() if calls < self.calls]
        return found + [
            f"{name}: {rival} needs {self.rivals[rival]:.1f} calls, ours {self.calls:.1f}" for rival in faster
        ]

    def result(self) -> Result:
        """As it goes into the file."""
        best = min(self.rivals, key=lambda name: self.rivals[name])
        return Result(
            self.shift.name,
            self.calls,
            "calls",
            rival=best,
            rival_value=self.rivals[best],
            peer_ratio=self.rivals[best] / self.calls,
            bound=self.shift.bound,
            rivals=self.rivals,
        )


def traffic(
    rng: np.random.Generator, calls: int, shift: Shift | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Results and latencies of so many calls, healthy or after the shift."""
    share, factor = (shift.share, shift.factor) if shift else (BASE_SHARE, 1.0)
    latency = np.exp(SIGMA * rng.standard_normal(calls)) * (MEDIAN_NS * factor)
    return (rng.random(calls) < share).astype(np.uint8), latency.astype(np.int64)


def lives(count: int, rng: np.random.Generator) -> list[Detector]:
    """Detectors that have learned, each from calls of its own."""
    born = [Detector(1, false_alarm=FALSE_ALARM) for _ in range(count)]
    for detector in born:
        _healthy(detector, rng, LEARNED_CALLS)
    return born


def _healthy(detector: Detector, rng: np.random.Generator, calls: int) -> None:
    """Healthy calls up to a time without a verdict; a false alarm begins them again."""
    while detector.observe_many(0, *traffic(rng, calls))[0] >= 0:
        detector.clear(0)


def delays(detectors: Sequence[Detector], shift: Shift, trials: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Calls to the verdict, one by one."""
    found = np.empty(trials, np.int64)
    for trial in range(trials):
        detector = detectors[trial % len(detectors)]
        detector.clear(0)
        _healthy(detector, rng, int(rng.integers(*RUN_IN_CALLS)))
        at, _ = detector.observe_many(0, *traffic(rng, CALLS_MAX, shift))
        found[trial] = at + 1 if at >= 0 else CALLS_MAX
    return found


def measure(*, lives_count: int = 16, trials: int = 4_000, rival_trials: int = 1_000, seed: int = 1) -> Iterator[Delay]:
    """Every shift: ours and the rivals."""
    rng = np.random.default_rng(seed)
    detectors = lives(lives_count, rng)
    for shift in SHIFTS:
        found = delays(detectors, shift, trials, rng)
        before, after = shift.failing
        beside = {
            f"{rivals.CONSECUTIVE} in a row": rivals.consecutive(after),
            f"{rivals.WINDOW_SHARE:.0%} of the last {rivals.WINDOW_CALLS}": rivals.ratio_in_window(
                before, after, rival_trials, rng
            ),
            "success-rate outlier": rivals.success_rate_outlier(before, after, rival_trials, rng),
        }
        yield Delay(shift, float(found.mean()), float(found.std() / math.sqrt(trials)), beside)


def exact_false_alarms(detector: Detector, *, base: float = BASE_SHARE) -> float:
    """False alarms a call of this detector, as it has learned, on the true healthy law: those of its six sums."""
    told = msgspec.convert(detector.describe(0), _Told)
    alarms = [
        false_alarms((up, down), (base, 1 - base), limit, unit=unit)
        for up, down, limit, unit in zip(
            told.failed_mnat, told.passed_mnat, told.failing_limits_mnat, (2, 5, 10), strict=True
        )
    ]
    steps = np.array([row[1:] for row in detector.latency(0)])
    for j, limit in enumerate(told.late_limits_mnat):
        alarms.append(false_alarms(steps[:, j].tolist(), _law().tolist(), limit, unit=20))
    return sum(alarms)


class _Told(msgspec.Struct):
    failed_mnat: tuple[int, int, int]
    passed_mnat: tuple[int, int, int]
    failing_limits_mnat: tuple[int, int, int]
    late_limits_mnat: tuple[int, int, int]


def _law() -> NDArray[np.float64]:
    """The true chance of each latency bin."""
    bins = 104
    edges = [2.0 ** (10 + b // 4) * (1 + b % 4 / 4) for b in range(1, bins)]
    below = [0.5 * math.erfc(-math.log(edge / MEDIAN_NS) / SIGMA / math.sqrt(2)) for edge in edges]
    return np.diff(np.array([0.0, *below, 1.0]))

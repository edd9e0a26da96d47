"""Sequential detection on evidence that others collected: probes, reports of other gateways.

The same test as the native detector's, in the same numbers, which are taken from it: a bank of three CUSUMs on the
share of failures and one on the share of slow answers, for three sizes of change, against the base rate that was
learned of this target while nothing was suspected. What comes from outside is coarser than our own calls, so a base
rate below FAILURE_FLOOR is not believed: two stray failures among probes must not look like a thing that never happens.
docs/concepts/detection.md derives it.
"""

import math

import msgspec

from controlplane._native.detector import bank
from controlplane.model.signal import Cause, Target

FALSE_ALARM = 1e-6  # one in a million observations
THRESHOLD_NATS = math.log(1 / FALSE_ALARM)
FAILURE_FLOOR, SLOW_FLOOR = 0.01, 0.02
PRIOR_CALLS, PRIOR_SHARE = 256.0, 0.01  # before anything is learned, so many calls failed so often
WINDOW_CALLS = 256
MEMORY_WINDOWS = 64
BELIEVED_BAD = 2.0  # of a window no more bad calls are believed than this and twice the expected
UNCLEAN, SUSPECT = 1 / 3, 2 / 3  # of a limit: no proof that the fault is local; not to be learned from
BATCH_MAX = 100  # one report moves the test by at most so many calls: a hostile or stale sum must not decide alone


CLEAR = (0.0, 0.0, 0.0)  # nothing is held against the target


def _nearest(sums: tuple[float, float, float], limits: tuple[float, ...]) -> float:
    return max(sums[0] / limits[0], sums[1] / limits[1], sums[2] / limits[2])


class Share(msgspec.Struct):
    """The running test of one share: three sums in thousandths of a nat, and the base rate that they are against."""

    floor: float
    sums: tuple[float, float, float] = CLEAR
    learned_calls: float = 0.0
    learned_bad: float = 0.0
    window_bad: float = 0.0

    @property
    def base(self) -> float:
        """The share that is normal here."""
        learned = (self.learned_bad + PRIOR_SHARE * PRIOR_CALLS) / (self.learned_calls + PRIOR_CALLS)
        return max(self.floor, learned)

    def reached(self) -> float:
        """How near the nearest sum is to its limit; 1: a verdict."""
        if self.sums == CLEAR:
            return 0.0
        _, _, _, limits = bank(self.base, FALSE_ALARM)
        return _nearest(self.sums, limits)

    def weigh(self, bad: float, good: float) -> float:
        """Take in a batch whose order is unknown, successes first: the order that accuses least on the way up."""
        _, failed, passed, limits = bank(self.base, FALSE_ALARM)
        a, b, c = (
            max(0.0, each + good * down) + bad * up for each, up, down in zip(self.sums, failed, passed, strict=True)
        )
        self.sums = (a, b, c)
        self.window_bad += bad
        return _nearest(self.sums, limits)

    def learn(self, calls: float) -> None:
        """Take in the window."""
        believed = min(self.window_bad, BELIEVED_BAD + 2 * self.base * calls)
        if self.learned_calls >= WINDOW_CALLS * MEMORY_WINDOWS:
            self.learned_calls -= self.learned_calls / MEMORY_WINDOWS
            self.learned_bad -= self.learned_bad / MEMORY_WINDOWS
        self.learned_calls += calls
        self.learned_bad += believed


class Cusum(msgspec.Struct):
    """The running test of one target. `calls` and `failures` are the evidence since it last stood at zero."""

    failing: Share = msgspec.field(default_factory=lambda: Share(FAILURE_FLOOR))
    slow: Share = msgspec.field(default_factory=lambda: Share(SLOW_FLOOR))
    calls: int = 0
    failures: int = 0
    window_calls: float = 0.0
    suspect: bool = False

    def clean(self) -> bool:
        """Whether there is too little evidence to suspect this target."""
        return self.failing.reached() < UNCLEAN and self.slow.reached() < UNCLEAN

    def reset(self) -> None:
        """Begin again, after a verdict: it must be earned anew, and what led to it is not learned."""
        self.failing.sums = self.slow.sums = CLEAR
        self.calls = self.failures = 0
        self._begin_window()

    def observe(self, calls: int, failures: int, slow: int) -> Cause | None:
        """The verdict after `calls` more observations, of which `failures` failed and `slow` were slow; None: go on."""
        scale = min(1.0, BATCH_MAX / calls) if calls else 0.0
        failing = self.failing.weigh(failures * scale, (calls - failures) * scale)
        late = self.slow.weigh(slow * scale, max(0.0, (calls - failures - slow) * scale))
        if failing == 0.0 and late == 0.0:
            self.calls = self.failures = 0
        else:
            self.calls += calls
            self.failures += failures
        self._learn(calls * scale, max(failing, late))
        if failing >= 1.0:
            return Cause.ERRORS
        return Cause.SLOW if late >= 1.0 else None

    def _learn(self, calls: float, reached: float) -> None:
        """Learn from a window that is full and ends unsuspected; throw away one that was suspect."""
        self.window_calls += calls
        self.suspect = self.suspect or reached >= SUSPECT
        if self.window_calls < WINDOW_CALLS:
            return
        if self.suspect or self.window_calls >= 4 * WINDOW_CALLS:
            self._begin_window()
        elif reached < UNCLEAN:
            self.failing.learn(self.window_calls)
            self.slow.learn(self.window_calls)
            self._begin_window()

    def _begin_window(self) -> None:
        self.window_calls = self.failing.window_bad = self.slow.window_bad = 0.0
        self.suspect = False


class Detector:
    """All targets that are judged on evidence from outside."""

    def __init__(self) -> None:
        self._tests: dict[Target, Cusum] = {}
        self._seen: set[Target] = set()  # since they were last forgotten

    def observe(self, target: Target, calls: int, failures: int, slow: int) -> tuple[Cause, Cusum] | None:
        """A verdict and its evidence (a copy; the test starts again), or None."""
        test = self._tests.setdefault(target, Cusum())
        self._seen.add(target)
        cause = test.observe(calls, failures, slow)
        if cause is None:
            return None
        evidence = msgspec.structs.replace(
            test, failing=msgspec.structs.replace(test.failing), slow=msgspec.structs.replace(test.slow)
        )
        test.reset()
        return cause, evidence

    def clean(self, target: Target) -> bool:
        """Whether `target` is known and unsuspected. Unknown is not clean: nobody may lean on it."""
        return target in self._seen and self._tests[target].clean()

    def suspects(self, target: Target) -> bool:
        """Whether there is any evidence against `target` now."""
        return target in self._tests and self._tests[target].calls > 0

    def forget(self, target: Target) -> None:
        """Drop what was held against `target`: it has recovered. What is normal there stays."""
        if target in self._seen:
            self._seen.remove(target)
            self._tests[target].reset()

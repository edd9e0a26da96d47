"""Sequential detection on evidence that others collected: probes, reports of other gateways.

The same test as the native guard's, in the same numbers: Wald's log-likelihood ratio for a Bernoulli share, reset at
zero (CUSUM). One observation of a failure adds ln(p1/p0), one success adds ln((1-p1)/(1-p0)), with p0 the share that is
healthy and p1 the share worth acting on. docs/concepts/detection.md derives it.
"""

import math

import msgspec

from controlplane.model.signal import Cause, Target

FAILURE_P0, FAILURE_P1 = 0.01, 0.25
SLOW_P0, SLOW_P1 = 0.02, 0.50
THRESHOLD_NATS = math.log(1e6)  # one false alarm in a million observations at p0
UNCLEAN_NATS = THRESHOLD_NATS / 3  # a sibling with this much evidence is no proof that the fault is local
BATCH_MAX = 100  # one report moves the test by at most so many calls: a hostile or stale sum must not decide alone


class Cusum(msgspec.Struct):
    """The running test of one target. `calls` and `failures` are the evidence since it last stood at zero."""

    failure_nats: float = 0.0
    slow_nats: float = 0.0
    calls: int = 0
    failures: int = 0

    def clean(self) -> bool:
        """Whether there is too little evidence to suspect this target."""
        return self.failure_nats < UNCLEAN_NATS and self.slow_nats < UNCLEAN_NATS

    def reset(self) -> None:
        """Begin again, after a verdict: it must be earned anew."""
        self.failure_nats = self.slow_nats = 0.0
        self.calls = self.failures = 0

    def observe(self, calls: int, failures: int, slow: int) -> Cause | None:
        """The verdict after `calls` more observations, of which `failures` failed and `slow` were slow; None: go on."""
        scale = min(1.0, BATCH_MAX / calls) if calls else 0.0
        bad, late, good = failures * scale, slow * scale, (calls - failures) * scale
        in_time = max(0.0, (calls - failures - slow) * scale)
        self.failure_nats = _moved(self.failure_nats, bad, good, FAILURE_P0, FAILURE_P1)
        self.slow_nats = _moved(self.slow_nats, late, in_time, SLOW_P0, SLOW_P1)
        if self.failure_nats == 0.0 and self.slow_nats == 0.0:
            self.calls = self.failures = 0
        else:
            self.calls += calls
            self.failures += failures
        if self.failure_nats >= THRESHOLD_NATS:
            return Cause.ERRORS
        return Cause.SLOW if self.slow_nats >= THRESHOLD_NATS else None


def _moved(nats: float, bad: float, good: float, p0: float, p1: float) -> float:
    """CUSUM after a batch whose order is unknown: successes first, the order that accuses least on the way up."""
    return max(0.0, nats + good * math.log((1 - p1) / (1 - p0))) + bad * math.log(p1 / p0)


class Detector:
    """All targets that are judged on evidence from outside."""

    def __init__(self) -> None:
        self._tests: dict[Target, Cusum] = {}

    def observe(self, target: Target, calls: int, failures: int, slow: int) -> tuple[Cause, Cusum] | None:
        """A verdict and its evidence (a copy; the test starts again), or None."""
        test = self._tests.setdefault(target, Cusum())
        cause = test.observe(calls, failures, slow)
        if cause is None:
            return None
        evidence = msgspec.structs.replace(test)
        test.reset()
        return cause, evidence

    def clean(self, target: Target) -> bool:
        """Whether `target` is known and unsuspected. Unknown is not clean: nobody may lean on it."""
        test = self._tests.get(target)
        return test is not None and test.clean()

    def forget(self, target: Target) -> None:
        """Drop what was held against `target`: it has recovered."""
        self._tests.pop(target, None)

"""A sequential test of two versions on the same traffic in the same time: is the new one worse?

In each window, and within each group of endpoints that are alike (a zone, a priority), the new version served a share w
of the calls, and `bad` of all calls went badly, `worse` of them at the new version. Had both the same chance of going
badly, whatever it was, `worse` would be hypergeometric given the rest; so what moves both alike cancels. The evidence
for "its odds are theta times as high" grows by worse ln(theta) - bad ln(1 + w (theta - 1)): by Hoeffding (1963, theorem
4) that denominator is no less than the hypergeometric mean, so the product is a supermartingale under "no worse", and
by Ville's inequality ever passes 1/alpha with a chance of alpha at most, however long and often one looks.
docs/concepts/versions.md has the derivation and what the bound does not cover.
"""

import math
from typing import Final

import msgspec

THETAS: Final = (2.0, 4.0, 16.0)  # how much worse: evidence is averaged over them
ALPHA: Final = 1e-6  # false findings for each deploy, errors and slowness together
WINDOW_NATS_MAX: Final = 5.0  # calls of one moment are not independent: no single one may decide
BAD_WINDOWS_MIN: Final = 3
CALLS_MIN: Final = 30  # of the new version
EXCESS_MIN: Final = 0.01  # of its calls: less is not worth a roll-back, however sure
RATIO_MIN: Final = 2.0
TERMS: Final = len(THETAS)


class Stratum(msgspec.Struct, frozen=True):
    """One window in one group: calls of the new and of the old version, and those that went badly."""

    new_calls: int
    new_bad: int
    old_calls: int
    old_bad: int


class Evidence(msgspec.Struct):
    """The sums of one test since it began."""

    nats: list[float] = msgspec.field(default_factory=lambda: [0.0] * TERMS)
    new_calls: int = 0
    new_bad: int = 0
    old_calls: int = 0
    old_bad: int = 0
    bad_windows: int = 0

    def add(self, strata: list[Stratum]) -> None:
        """One window more. What has only one of both versions says nothing."""
        both = [one for one in strata if one.new_calls and one.old_calls]
        for at, theta in enumerate(THETAS):
            self.nats[at] += min(WINDOW_NATS_MAX, sum(increment(one, theta) for one in both))
        for one in both:
            self.new_calls += one.new_calls
            self.new_bad += one.new_bad
            self.old_calls += one.old_calls
            self.old_bad += one.old_bad
        self.bad_windows += any(one.new_bad for one in both)

    @property
    def value(self) -> float:
        """ln of the mean over THETAS of e to the sums: what is compared with ln(1/alpha)."""
        top = max(self.nats)
        return top + math.log(sum(math.exp(each - top) for each in self.nats) / TERMS)

    def rejects(self, test: int) -> bool:
        """Whether the new version is worse, by the `test`-th test since it came (from 1), and it matters."""
        if self.new_calls < CALLS_MIN or not self.old_calls or self.bad_windows < BAD_WINDOWS_MIN:
            return False
        new, old = self.new_bad / self.new_calls, self.old_bad / self.old_calls
        return self.value >= threshold(test) and worse(new, old)


def increment(one: Stratum, theta: float) -> float:
    """What one window adds for that theta, in nats."""
    share = one.new_calls / (one.new_calls + one.old_calls)
    return one.new_bad * math.log(theta) - (one.new_bad + one.old_bad) * math.log1p(share * (theta - 1))


def worse(new: float, old: float) -> bool:
    """Whether a share that goes badly is so much higher that it matters."""
    return new - old >= EXCESS_MIN and new >= RATIO_MIN * old


def threshold(test: int) -> float:
    """In nats. Two statistics, and tests one after the other share ALPHA: the k-th gets 1 / (k (k + 1)) of it."""
    return math.log(2 / ALPHA) + math.log(test * (test + 1))

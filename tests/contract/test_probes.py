"""The conformance probes: our guard holds each of them, and each of them catches a breaker that breaks it."""

import time
from collections.abc import Callable

import pytest

from controlplane.bench.conformance import breaker, limiter
from controlplane.bench.conformance.ours import GuardBreaker, GuardLimiter
from controlplane.bench.conformance.subject import (
    FAILURES,
    LIMIT,
    OPEN_S,
    WINDOW_S,
    Breaker,
    Call,
    Finding,
    Limiter,
    Verdict,
    stepped_wall_clock,
)


class _NaiveCall(Call):
    """A call that reports to its breaker, whatever has become of that since."""

    def __init__(self, breaker: "Naive") -> None:
        self._breaker = breaker

    def success(self) -> None:
        self._breaker.settle(failed=False)

    def failure(self) -> None:
        self._breaker.settle(failed=True)

    def cancel(self) -> None:
        self._breaker.settle(failed=self._breaker.cancelled_fails)


class Naive(Breaker):
    """The breaker of a first attempt: a count and a time on the wall, no quota, no generations."""

    cancelled_fails = False

    def __init__(self) -> None:
        self.failures, self.opened = 0, 0.0

    def admit(self) -> Call | None:
        return None if self.opened and time.time() < self.opened + OPEN_S else _NaiveCall(self)

    def settle(self, *, failed: bool) -> None:
        """A result, of whichever call."""
        if not failed:
            self.failures, self.opened = 0, 0.0
            return
        self.failures += 1
        if self.failures >= FAILURES:
            self.opened = time.time()

    def nested(self, inner: Breaker) -> bool:
        assert inner.admit() is None
        self.settle(failed=True)
        return True

    def retune(self) -> bool:
        self.failures, self.opened = 0, 0.0
        return True


class Jealous(GuardBreaker):
    """A guard whose probe, once out, is waited for longer than anybody watches."""

    def __init__(self) -> None:
        super().__init__(probe_timeout_ns=10**15)


@pytest.mark.parametrize("name", breaker.PROBES)
def test_our_guard_holds_every_probe_of_breakers(name: str) -> None:
    """Stampede, stale results, cancelled and lost probes, its own refusals, retune."""
    assert breaker.PROBES[name](GuardBreaker).verdict is Verdict.HOLDS


def test_our_guard_lets_exactly_its_quota_through() -> None:
    """Of a hundred callers at the moment of the lapse, one, or as many as the policy says."""
    assert breaker.stampede(GuardBreaker).seen == "1 of 100 reach it"

    class Three(GuardBreaker):
        """Three probes at a time."""

        probes_max = 3

        def __init__(self) -> None:
            super().__init__(probes_max=3)

    assert breaker.stampede(Three) == Finding(Verdict.HOLDS, "3 of 100 reach it")


@pytest.mark.parametrize(
    ("probe", "make"),
    [
        (breaker.stampede, Naive),
        (breaker.stale_success, Naive),
        (breaker.stale_failure, Naive),
        (breaker.cancelled_probe, Naive),
        (breaker.lost_probe, Jealous),
        (breaker.refusals_as_evidence, Naive),
        (breaker.retune, Naive),
    ],
    ids=lambda one: one.__name__,
)
def test_every_probe_catches_who_breaks_it(probe: Callable[[breaker.Make], Finding], make: breaker.Make) -> None:
    """A probe that everybody passes would say nothing."""
    assert probe(make).verdict is Verdict.FAILS


def test_a_clock_that_is_set_moves_the_naive_and_not_our_guard() -> None:
    """In both directions, told apart in words; afterwards the clock is the real one again."""
    assert breaker.clock_step(GuardBreaker, ("controlplane",)).verdict is Verdict.HOLDS
    seen = breaker.clock_step(Naive, ("tests",)).seen
    assert seen == "lapses at once when set forth, stays open an hour when set back"
    real = time.time
    with stepped_wall_clock(3600.0, ()):
        assert time.time() - real() > 3590
    assert time.time is real


def test_our_rate_limit_keeps_its_promise_in_every_window() -> None:
    """A burst of half and a rate of half never exceed the limit, and the limit is nearly reached."""
    finding = limiter.burst(GuardLimiter)
    assert finding.verdict is Verdict.HOLDS
    assert int(finding.seen.split()[0]) >= LIMIT * 3 // 4


def test_our_rate_limit_keeps_what_was_taken_when_retuned_and_when_the_clock_is_set() -> None:
    """Neither gives a second burst."""
    assert limiter.retune(GuardLimiter).verdict is Verdict.HOLDS
    assert limiter.clock_step(GuardLimiter, ("controlplane",)).verdict is Verdict.HOLDS


class Windows(Limiter):
    """A fixed window on the wall clock that remembers few keys and forgets all when retuned."""

    keyed = True

    def __init__(self) -> None:
        self.taken: dict[tuple[str, int], int] = {}

    def admit(self, key: str = "a") -> bool:
        window = (key, int(time.time() / WINDOW_S))
        if len(self.taken) > 1_000:
            self.taken.pop(next(iter(self.taken)))
        self.taken[window] = self.taken.get(window, 0) + 1
        return self.taken[window] <= LIMIT

    def retune(self) -> bool:
        self.taken.clear()
        return True


@pytest.mark.parametrize("probe", [limiter.burst, limiter.key_flood, limiter.retune], ids=lambda one: one.__name__)
def test_every_probe_of_limiters_catches_who_breaks_it(probe: Callable[[limiter.Make], Finding]) -> None:
    """Twice the limit across a border, a denied key that is forgotten, a retune that refills."""
    assert probe(Windows).verdict is Verdict.FAILS


def test_the_busiest_window_is_counted_as_by_hand() -> None:
    """Half open: what lies a whole window later is not in it."""
    assert limiter.busiest([0.0, 0.1, 0.5, 1.0, 1.05], 1.0) == 4
    assert limiter.busiest([0.0, 1.0, 2.0], 1.0) == 1
    assert limiter.busiest([], 1.0) == 0

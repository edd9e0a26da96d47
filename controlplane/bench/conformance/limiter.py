"""The probes of limiters: what a window really sees, what a set clock does, what a flood of keys does."""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from controlplane.bench.conformance.subject import (
    LIMIT,
    WINDOW_S,
    Finding,
    Limiter,
    Verdict,
    found,
    stepped_wall_clock,
)

Make = Callable[[], Limiter]

HOUR_S = 3600.0
WINDOWS = 1.2
STEPS = 3  # beginnings of the burst within a window: a border is hit wherever it lies
SLACK_S = 0.002  # between the limiter's reading of its clock and ours
OTHER_KEYS = 5_000
NO_KEYS = Finding(Verdict.UNASKED, "no keys")


def exhaust(limiter: Limiter, key: str = "a") -> int:
    """Take until it refuses; how many that were."""
    for taken in range(LIMIT * 10):
        if not limiter.admit(key):
            return taken
    return LIMIT * 10


def busiest(times: Sequence[float], window_s: float) -> int:
    """Most of `times` (ascending) that lie in any half-open window of that length."""
    return max((bisect_left(times, first + window_s) - at for at, first in enumerate(times)), default=0)


def burst(make: Make) -> Finding:
    """Quiet, then as many calls as it admits, for a few windows: the most that any window saw, against its promise."""
    most = 0
    for step in range(STEPS):
        limiter = make()
        first = limiter.admit()  # starts a window where there are windows; then the burst meets its end
        assert first
        time.sleep(WINDOW_S * step / STEPS)
        times, end = [], time.monotonic() + WINDOW_S * WINDOWS
        while (now := time.monotonic()) < end:
            if limiter.admit():
                times.append(now)
            else:
                time.sleep(WINDOW_S / LIMIT / 20)
        most = max(most, busiest(times, WINDOW_S - SLACK_S))
    return found(most <= limiter.promise, f"{most} in a window, promised {limiter.promise}")


def clock_step(make: Make, packages: tuple[str, ...]) -> Finding:
    """The wall clock is set while nothing is left: does the limit refill in its own time, no sooner and no later?"""
    forth, back = make(), make()
    exhaust(forth)
    with stepped_wall_clock(HOUR_S, packages):
        early = exhaust(forth)
    exhaust(back)
    with stepped_wall_clock(-HOUR_S, packages):
        time.sleep(WINDOW_S * 1.1)
        late = exhaust(back)
    words = ["refills at once when set forth"] if early > LIMIT // 4 else []
    words += ["refuses for an hour when set back"] if late < LIMIT // 4 else []
    return found(not words, ", ".join(words) or "changes nothing")


def key_flood(make: Make) -> Finding:
    """A key that is denied stays denied while thousands of others come."""
    limiter = make()
    if not limiter.keyed:
        return NO_KEYS
    fresh = exhaust(limiter, "denied")
    begins = time.monotonic()
    for number in range(OTHER_KEYS):
        limiter.admit(f"key-{number}")
        if number % 50 == 49 and time.monotonic() - begins > WINDOW_S / 4:
            # what refilled in so long is taken, so that only forgetting can admit more
            begins = time.monotonic()
            exhaust(limiter, "denied")
    again = exhaust(limiter, "denied")
    denied = again < fresh // 2  # less than half: a little refills while the others come
    return found(denied, "stays denied" if denied else f"is forgotten: admits {again} again")


def retune(make: Make) -> Finding:
    """The rate is halved while nothing is left: is what was taken still taken?"""
    limiter = make()
    exhaust(limiter)
    if not limiter.retune():
        return Finding(Verdict.UNASKED, "no way to")
    again = exhaust(limiter)
    return found(again <= LIMIT // 4, "keeps what was taken" if again <= LIMIT // 4 else f"admits {again} again")


PROBES: dict[str, Callable[[Make], Finding]] = {"burst": burst, "key flood": key_flood, "retune": retune}

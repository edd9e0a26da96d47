"""The probes of breakers. Each makes one breaker with `make`, brings it to the moment, and says what it saw."""

import time
from collections.abc import Callable

from controlplane.bench.conformance.subject import (
    FAILURES,
    LAPSED_S,
    OPEN_S,
    Breaker,
    Call,
    Finding,
    Verdict,
    found,
    stepped_wall_clock,
)

CALLERS = 100
HOUR_S = 3600.0
REFUSALS = 50
ROUNDS_TO_OPEN_MAX = 200
WATCHED_S = 25 * OPEN_S  # a time-out that counts as a failure, and the doubled open time after it, fit in several times

Make = Callable[[], Breaker]


class NeverOpened(Exception):
    """The breaker did not open on consecutive failures: nothing can be probed."""


class NotAdmitted(Exception):
    """A call was kept waiting or refused where the probe needs it: the moment cannot be made with this breaker."""


def trip(breaker: Breaker) -> None:
    """Fail until it refuses."""
    for _ in range(ROUNDS_TO_OPEN_MAX):
        call = breaker.admit()
        if call is None:
            return
        call.failure()
    raise NeverOpened(f"{ROUNDS_TO_OPEN_MAX} failures did not open it")


def lapse(seconds: float = LAPSED_S) -> None:
    """Let an open time run out."""
    time.sleep(seconds)


def begun(breaker: Breaker) -> Call:
    """A call that must be admitted here."""
    call = breaker.admit()
    if call is None:
        raise NotAdmitted("calls wait for each other")
    return call


def wait_admitted(breaker: Breaker) -> bool:
    """Whether a call is admitted within WATCHED_S, at whatever moment. The same patience for everybody."""
    end = time.monotonic() + WATCHED_S
    while time.monotonic() < end:
        if (call := breaker.admit()) is not None:
            call.cancel()
            return True
        time.sleep(OPEN_S / 10)
    return False


def is_half_open(breaker: Breaker) -> bool:
    """Whether one failure is enough to have the next call refused. Spends a call."""
    begun(breaker).failure()
    after = breaker.admit()
    if after is None:
        return True
    after.cancel()
    return False


def stampede(make: Make) -> Finding:
    """An open breaker lapses, the backend is still sick, 100 callers are waiting: how many reach it."""
    breaker = make()
    trip(breaker)
    lapse()
    calls = [breaker.admit() for _ in range(CALLERS)]
    reached = [call for call in calls if call is not None]
    for call in reached:
        call.failure()
    return found(1 <= len(reached) <= breaker.probes_max, f"{len(reached)} of {CALLERS} reach it")


def stale_success(make: Make) -> Finding:
    """A call from before the trip ends well after it: is the breaker still open, and then still half open?"""
    breaker = make()
    first, second = begun(breaker), begun(breaker)
    trip(breaker)
    first.success()
    after = breaker.admit()
    if after is not None:
        return found(False, "closes an open breaker")
    lapse()
    probe = begun(breaker)
    second.success()
    probe.failure()
    after = breaker.admit()
    if after is None:
        return found(True, "changes nothing")
    return found(False, "closes a half-open breaker")


def stale_failure(make: Make) -> Finding:
    """Calls from before the trip fail after the recovery: is the breaker still closed?"""
    breaker = make()
    old = [begun(breaker) for _ in range(FAILURES * 2)]
    trip(breaker)
    lapse()
    for _ in range(20):  # successes enough for every breaker's taste
        probe = breaker.admit()
        if probe is None:
            return found(False, "did not close on success")
        probe.success()
    for call in old:
        call.failure()
    after = breaker.admit()
    if after is None:
        return found(False, "opens a recovered breaker")
    after.cancel()
    return found(True, "changes nothing")


def cancelled_probe(make: Make) -> Finding:
    """The caller of the probe goes away: is the slot given back, and does the breaker stay half open?"""
    breaker = make()
    if not breaker.cancellable:
        return Finding(Verdict.UNASKED, "plain functions only")
    trip(breaker)
    lapse()
    begun(breaker).cancel()
    after = breaker.admit()
    if after is None:
        returned = wait_admitted(breaker)
        return found(False, "counts as a failure" if returned else f"slot is lost (watched {WATCHED_S:g} s)")
    after.cancel()
    return found(True, "slot is given back") if is_half_open(breaker) else found(False, "closes the breaker")


def lost_probe(make: Make) -> Finding:
    """The probe never returns: does the breaker ever admit another call?"""
    breaker = make()
    trip(breaker)
    lapse()
    probe = begun(breaker)
    other = breaker.admit()
    if other is not None:
        other.cancel()
        probe.cancel()
        return found(True, "others go at once: there is no quota")
    if wait_admitted(breaker):
        return found(True, "others go after a time-out")
    return found(False, f"blocks all others (watched {WATCHED_S:g} s)")


def clock_step(make: Make, packages: tuple[str, ...]) -> Finding:
    """The wall clock is set, an hour forth or back, while it is open: does it lapse in its own time?"""
    forth, back = make(), make()
    trip(forth)
    with stepped_wall_clock(HOUR_S, packages):
        early = forth.admit()
    trip(back)
    with stepped_wall_clock(-HOUR_S, packages):
        lapse()
        late = back.admit()
    for call in (early, late):
        if call is not None:
            call.cancel()
    if early is None and late is not None:
        return found(True, "changes nothing")
    words = ["lapses at once when set forth"] if early is not None else []
    words += ["stays open an hour when set back"] if late is None else []
    return found(False, ", ".join(words))


def refusals_as_evidence(make: Make) -> Finding:
    """Its own refusals must not keep it open; by default, those of a breaker below must not open the one above."""
    breaker = make()
    trip(breaker)
    begins = time.monotonic()
    while time.monotonic() < begins + LAPSED_S * 1.5:
        if (call := breaker.admit()) is not None:
            call.cancel()
            break
        time.sleep(OPEN_S / REFUSALS)
    else:
        return found(False, "refusing keeps it open")
    outer, inner = make(), make()
    trip(inner)
    for _ in range(FAILURES * 2):
        if not outer.nested(inner):
            return found(True, "its own: no; of one below: not asked")
    after = outer.admit()
    if after is None:
        return found(False, "an open breaker below opens it")
    after.cancel()
    return found(True, "no")


def retune(make: Make) -> Finding:
    """The open time is changed while it is open: does it stay open?"""
    breaker = make()
    trip(breaker)
    if not breaker.retune():
        return Finding(Verdict.UNASKED, "no way to")
    after = breaker.admit()
    if after is None:
        return found(True, "stays open")
    after.cancel()
    return found(False, "closes")


PROBES: dict[str, Callable[[Make], Finding]] = {
    "stampede": stampede,
    "stale success": stale_success,
    "stale failure": stale_failure,
    "cancelled probe": cancelled_probe,
    "lost probe": lost_probe,
    "refusals as evidence": refusals_as_evidence,
    "retune": retune,
}

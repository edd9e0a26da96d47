"""Our guard as the probes see it: as a breaker, and as a limiter."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from controlplane._native.guard import ERROR, Guard, Permit, Refused
from controlplane.bench.conformance.subject import FAILURES, LIMIT, OPEN_S, WINDOW_S, Breaker, Call, Limiter
from controlplane.bench.subject import part

OPEN_NS = int(OPEN_S * 1e9)
INTERVAL_NS = int(WINDOW_S * 1e9) // LIMIT


class _Permitted(Call):
    """A permit of ours, settled as the probe says."""

    def __init__(self, permit: Permit) -> None:
        self._permit = permit

    def success(self) -> None:
        self._permit.success()

    def failure(self) -> None:
        self._permit.failure(ERROR)

    def cancel(self) -> None:
        self._permit.cancel()


class GuardBreaker(Breaker):
    """Our guard with its breaker alone; `changes` go into its policy."""

    def __init__(self, **changes: int) -> None:
        policy = {
            "breaker_consecutive": FAILURES,
            "open_ns": OPEN_NS,
            "probe_successes": 1,
            "probe_timeout_ns": OPEN_NS,
            "failure_percent": 0,
            **changes,
        }
        self.guard = Guard(seed=1, name="probed", **policy)  # type: ignore[arg-type]

    def admit(self) -> Call | None:
        answer = self.guard.try_acquire()
        return _Permitted(answer) if isinstance(answer, Permit) else None

    def nested(self, inner: Breaker) -> bool:
        assert isinstance(inner, GuardBreaker)
        with suppress(Refused), self.guard.acquire(), inner.guard.acquire():
            raise AssertionError("the inner guard let the call through")
        return True

    def retune(self) -> bool:
        self.guard.retune(open_ns=OPEN_NS * 10)
        return True


class GuardLimiter(Limiter):
    """Our guard with its rate limit alone: a burst of half, refilled at the rate that keeps every window.

    GCRA admits at most burst + window / interval calls in any window: half and half make the limit.
    """

    def __init__(self) -> None:
        self.guard = Guard(name="probed", rate_interval_ns=INTERVAL_NS * 2, rate_burst=LIMIT // 2)

    def admit(self, key: str = "a") -> bool:  # noqa: ARG002  a guard keeps no keys
        answer = self.guard.try_acquire()
        if not isinstance(answer, Permit):
            return False
        answer.success()
        return True

    def retune(self) -> bool:
        self.guard.retune(rate_interval_ns=INTERVAL_NS * 4)
        return True


class KeyedLimiter(Limiter):
    """Our keyed rate limiter. Raises NotBuilt where this build has none."""

    keyed = True

    def __init__(self) -> None:
        made = part("limiter", "KeyedRateLimiter")
        self.limiter: Any = made(INTERVAL_NS * 2, LIMIT // 2, slots=1024)

    def admit(self, key: str = "a") -> bool:
        return bool(self.limiter.try_acquire(key))

    def retune(self) -> bool:
        self.limiter.retune(INTERVAL_NS * 4, LIMIT // 2)
        return True


BREAKER: Callable[[], Breaker] = GuardBreaker
LIMITER: Callable[[], Limiter] = GuardLimiter
KEYED_LIMITER: Callable[[], Limiter] = KeyedLimiter

"""Python's libraries as the probes see them, configured to the same thresholds. Imports happen when one is made."""

from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

from controlplane.bench.conformance import ours
from controlplane.bench.conformance.pybreaker import Pybreaker
from controlplane.bench.conformance.subject import FAILURES, LIMIT, OPEN_S, WINDOW_S, Breaker, Limiter, Wrapped

Subject = TypeVar("Subject", Breaker, Limiter)
Body = Callable[[], Awaitable[None]]
Guarded = Callable[[], Coroutine[None, None, None]]
HALF = LIMIT // 2  # of a token bucket: as much burst and as much rate keep every window within the limit


class Rival(msgspec.Struct, Generic[Subject], frozen=True):
    """A library: distribution, what it is called, its Python packages (for the wall clock), and how to make one.

    `notes`: how it was configured, where that needs saying.
    """

    library: str
    make: Callable[[], Subject]
    packages: tuple[str, ...]
    notes: str = ""


def _circuitbreaker() -> Breaker:
    from circuitbreaker import CircuitBreaker, CircuitBreakerError

    breaker = CircuitBreaker(failure_threshold=FAILURES, recovery_timeout=OPEN_S, name="probed")
    return Wrapped(breaker, (CircuitBreakerError,))


def _hyx() -> Breaker:
    from hyx.circuitbreaker import consecutive_breaker
    from hyx.circuitbreaker.exceptions import BreakerFailing

    breaker = consecutive_breaker(failure_threshold=FAILURES, recovery_time_secs=OPEN_S, recovery_threshold=1)
    return Wrapped(breaker, (BreakerFailing,))


def _purgatory() -> Breaker:
    from purgatory import AsyncCircuitBreakerFactory
    from purgatory.domain.model import OpenedState

    factory = AsyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=OPEN_S)

    def wrap(body: Body) -> Guarded:
        async def guarded() -> None:
            async with await factory.get_breaker("probed"):
                await body()

        return guarded

    return Wrapped(wrap, (OpenedState,))


class _Aiobreaker(Wrapped):
    def __init__(self) -> None:
        from aiobreaker import CircuitBreaker, CircuitBreakerError

        self.breaker = CircuitBreaker(fail_max=FAILURES, timeout_duration=timedelta(seconds=OPEN_S))

        def wrap(body: Body) -> Guarded:
            async def guarded() -> None:
                await self.breaker.call_async(body)

            return guarded

        super().__init__(wrap, (CircuitBreakerError,))

    def retune(self) -> bool:
        self.breaker.timeout_duration = timedelta(seconds=OPEN_S * 10)
        return True


def _pyresilience() -> Breaker:
    from pyresilience import CircuitBreakerConfig, CircuitOpenError, resilient

    config = CircuitBreakerConfig(failure_threshold=FAILURES, recovery_timeout=OPEN_S, success_threshold=1)
    guard = resilient(circuit_breaker=config)
    return Wrapped(guard, (CircuitOpenError,))


def _interlock() -> Breaker:
    from interlock import CircuitBreaker, CircuitOpenError, Config

    config = Config(
        failure_rate_threshold=0.5,
        minimum_number_of_calls=FAILURES,
        window_size=FAILURES * 2,
        wait_duration_in_open=OPEN_S,
        permitted_calls_in_half_open=1,
        max_concurrent_probes=1,
    )
    return Wrapped(CircuitBreaker(name="probed", config=config), (CircuitOpenError,))


BREAKERS: tuple[Rival[Breaker], ...] = (
    Rival("controlplane", ours.BREAKER, ("controlplane",)),
    Rival("aiobreaker", _Aiobreaker, ("aiobreaker",)),
    Rival("circuitbreaker", _circuitbreaker, ("circuitbreaker",)),
    Rival("hyx", _hyx, ("hyx",)),
    Rival("interlock-cb", _interlock, ("interlock",), "half of the last 10 calls, at least 5; one probe at a time"),
    Rival("purgatory", _purgatory, ("purgatory",)),
    Rival("pybreaker", Pybreaker, ("pybreaker",), "guards plain functions, one at a time: the others wait"),
    Rival("pyresilience", _pyresilience, ("pyresilience",)),
)


class _Asked(Limiter):
    """A limiter that answers a function of the key."""

    def __init__(self, ask: Callable[[str], object], *, promise: int = LIMIT, keyed: bool = False) -> None:
        self._ask, self.promise, self.keyed = ask, promise, keyed

    def admit(self, key: str = "a") -> bool:
        return bool(self._ask(key))


def _aiolimiter() -> Limiter:
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(LIMIT, WINDOW_S)

    def ask(_: str) -> bool:  # it waits rather than refuses, so it is asked first whether it would
        return limiter.has_capacity() and _at_once(limiter.acquire())

    return _Asked(ask)


def _at_once(coroutine: Coroutine[None, None, object], *refusals: type[Exception]) -> bool:
    """Run a coroutine that waits for nothing. False: it raised one of `refusals`."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    except refusals:
        return False
    raise AssertionError("a decision was to be made at once")


def _hyx_limiter() -> Limiter:
    from hyx.ratelimit import TokenBucketLimiter
    from hyx.ratelimit.exceptions import RateLimitExceeded

    limiter = TokenBucketLimiter(max_executions=HALF, per_time_secs=WINDOW_S, bucket_size=HALF)
    return _Asked(lambda _: _at_once(limiter.acquire(), RateLimitExceeded))


def _limits(strategy: str) -> Callable[[], Limiter]:
    def make() -> Limiter:
        from limits import RateLimitItemPerSecond, storage, strategies

        limiter = getattr(strategies, strategy)(storage.MemoryStorage())
        item = RateLimitItemPerSecond(LIMIT)
        return _Asked(lambda key: limiter.hit(item, key), keyed=True)

    return make


def _throttled() -> Limiter:
    from throttled import RateLimiterType, Throttled, per_sec, store

    limiter = Throttled(using=RateLimiterType.GCRA.value, quota=per_sec(HALF, burst=HALF), store=store.MemoryStore())
    return _Asked(lambda key: not limiter.limit(key).limited, keyed=True)


def _pyrate() -> Limiter:
    from pyrate_limiter import GCRA, Duration, Limiter, Rate, StateBucket

    limiter = Limiter(StateBucket([Rate(HALF, Duration.SECOND, burst=HALF)], algorithm=GCRA()))
    return _Asked(lambda key: limiter.try_acquire(key, blocking=False))


def _pyresilience_limiter() -> Limiter:
    from pyresilience import RateLimiter, RateLimiterConfig

    limiter = RateLimiter(RateLimiterConfig(max_calls=LIMIT, period=WINDOW_S))
    return _Asked(lambda _: limiter.acquire())


def _rust() -> Limiter:
    from rust_py_rate_limit import RateLimiter

    limiter = RateLimiter(limit=LIMIT, window_seconds=int(WINDOW_S))
    return _Asked(limiter.allow, keyed=True)


HALVES = "half as burst, half as rate"
LIMITERS: tuple[Rival[Limiter], ...] = (
    Rival("controlplane", ours.LIMITER, ("controlplane",), HALVES),
    Rival("controlplane", ours.KEYED_LIMITER, ("controlplane",), f"keyed, {HALVES}"),
    Rival("aiolimiter", _aiolimiter, ("aiolimiter",), "as documented: so many per period"),
    Rival("hyx", _hyx_limiter, ("hyx",), HALVES),
    Rival("limits", _limits("FixedWindowRateLimiter"), ("limits",), "fixed window"),
    Rival("limits", _limits("MovingWindowRateLimiter"), ("limits",), "moving window"),
    Rival("pyrate-limiter", _pyrate, ("pyrate_limiter",), f"GCRA, {HALVES}"),
    Rival("pyresilience", _pyresilience_limiter, ("pyresilience",), "as documented: so many per period"),
    Rival("rust-py-rate-limit", _rust, (), "fixed window"),
    Rival("throttled-py", _throttled, ("throttled",), f"GCRA, {HALVES}, its default store"),
)

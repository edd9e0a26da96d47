"""Python's libraries at the same work, each in the cheapest way its documentation offers.

Rates are so high that nothing is ever refused, so that what is compared is the decision. Where a library refuses by
raising, catching it is part of its price: that is how its user learns of the refusal.
"""

from collections.abc import Callable
from datetime import timedelta

from controlplane.bench.subject import Names, Subject, empty

MANY = 1_000_000_000
HOUR_S = 3600


class Sick(Exception):
    """What a sick backend raises."""


def fail() -> None:
    """The call of a sick backend."""
    raise Sick


async def fail_async() -> None:
    """The same, awaited."""
    raise Sick


async def answer() -> None:
    """The call of a healthy backend."""


def _hyx_limiter() -> Names:
    from hyx.ratelimit import TokenBucketLimiter

    return {"limiter": TokenBucketLimiter(max_executions=MANY, per_time_secs=1)}


def _aiolimiter() -> Names:
    from aiolimiter import AsyncLimiter

    return {"limiter": AsyncLimiter(MANY, 1)}


def _limits() -> Names:
    from limits import RateLimitItemPerSecond, storage, strategies

    return {
        "limiter": strategies.FixedWindowRateLimiter(storage.MemoryStorage()),
        "item": RateLimitItemPerSecond(MANY),
        "key": "tenant-42",
    }


def _throttled() -> Names:
    from throttled import RateLimiterType, Throttled, per_sec, store

    using = RateLimiterType.GCRA.value
    return {
        "limiter": Throttled(using=using, quota=per_sec(MANY, burst=MANY), store=store.MemoryStore()),
        "key": "tenant-42",
    }


def _pyrate() -> Names:
    from pyrate_limiter import GCRA, Duration, Limiter, Rate, StateBucket

    return {"limiter": Limiter(StateBucket([Rate(MANY, Duration.SECOND)], algorithm=GCRA())), "key": "tenant-42"}


def _pyresilience_limiter() -> Names:
    from pyresilience import RateLimiter, RateLimiterConfig

    return {"limiter": RateLimiter(RateLimiterConfig(max_calls=MANY, period=1.0))}


def _rust() -> Names:
    from rust_py_rate_limit import RateLimiter

    return {"limiter": RateLimiter(limit=MANY, window_seconds=1), "key": "tenant-42"}


_KEYED = (
    Subject("limits", "limiter.hit(item, key)", _limits, "limits"),
    Subject("throttled-py", "limiter.limit(key)", _throttled, "throttled-py"),
    Subject("pyrate-limiter", "limiter.try_acquire(key, blocking=False)", _pyrate, "pyrate-limiter"),
    Subject("rust-py-rate-limit", "limiter.allow(key)", _rust, "rust-py-rate-limit", native=True),
)
LIMITERS = (
    Subject("hyx", "await limiter.acquire()", _hyx_limiter, "hyx", looped=True),
    Subject("aiolimiter", "await limiter.acquire()", _aiolimiter, "aiolimiter", looped=True),
    Subject("pyresilience", "limiter.acquire()", _pyresilience_limiter, "pyresilience"),
    *_KEYED,
)
KEYED_LIMITERS = _KEYED


def _purgatory() -> object:
    from purgatory import SyncCircuitBreakerFactory

    return SyncCircuitBreakerFactory(default_threshold=5, default_ttl=HOUR_S).get_breaker("orders")


def _circuitbreaker() -> Callable[..., object]:
    from circuitbreaker import CircuitBreaker

    made: Callable[..., object] = CircuitBreaker(failure_threshold=5, recovery_timeout=HOUR_S, name="bench")
    return made


def _circuitbreaker_call() -> Names:
    return {"call": _circuitbreaker()(empty)}


def _pybreaker() -> Names:
    from pybreaker import CircuitBreaker

    return {"breaker": CircuitBreaker(fail_max=5, reset_timeout=HOUR_S), "empty": empty, "fail": fail}


def _aiobreaker() -> Names:
    from aiobreaker import CircuitBreaker

    breaker = CircuitBreaker(fail_max=5, timeout_duration=timedelta(hours=1))
    return {"breaker": breaker, "empty": empty, "fail": fail}


def _hyx_breaker() -> Names:
    from hyx.circuitbreaker import consecutive_breaker

    breaker = consecutive_breaker(failure_threshold=5, recovery_time_secs=HOUR_S)
    return {"breaker": breaker, "call": breaker(answer), "fail": breaker(fail_async)}


def _pyresilience_breaker(**config: float) -> Names:
    from pyresilience import CircuitBreakerConfig, resilient

    guarded = resilient(circuit_breaker=CircuitBreakerConfig(recovery_timeout=HOUR_S, **config))
    return {"call": guarded(empty), "fail": guarded(fail)}


def _interlock() -> Names:
    from interlock import CircuitBreaker, Config

    config = Config(window_size=100, minimum_number_of_calls=20, slow_call_duration_threshold=1.0)
    return {"breaker": CircuitBreaker(name="orders", config=config), "empty": empty}


BREAKERS = (
    Subject("purgatory", "with breaker:\n    pass", lambda: {"breaker": _purgatory()}, "purgatory"),
    Subject("circuitbreaker", "call()", _circuitbreaker_call, "circuitbreaker", calls=1),
    Subject("aiobreaker", "breaker.call(empty)", _aiobreaker, "aiobreaker", calls=1),
    Subject("pybreaker", "breaker.call(empty)", _pybreaker, "pybreaker", calls=1),
    Subject("hyx", "async with breaker:\n    pass", _hyx_breaker, "hyx", looped=True),
    Subject("pyresilience", "call()", _pyresilience_breaker, "pyresilience", calls=1),
)
WITH_BREAKERS = (BREAKERS[0],)
WINDOWS = (
    Subject(
        "pyresilience",
        "call()",
        lambda: _pyresilience_breaker(sliding_window_size=100, minimum_calls=20, slow_call_duration=1.0),
        "pyresilience",
        calls=1,
    ),
    Subject("interlock-cb", "breaker.call(empty)", _interlock, "interlock-cb", calls=1),
)

CAUGHT = "try:\n    {call}\nexcept Exception:\n    pass"


def _tripped(setup: Callable[[], Names], fail_by: Callable[[Names], object]) -> Callable[[], Names]:
    """The peer after so many failures that it refuses."""

    def trip() -> Names:
        names = setup()
        for _ in range(10):
            try:
                fail_by(names)
            except Exception:  # noqa: S112  the failures are the point
                continue
        return names

    return trip


def _by_call(names: Names) -> object:
    return names["breaker"].call(fail)  # type: ignore[attr-defined]


def _by_with(names: Names) -> None:
    with names["breaker"]:  # type: ignore[attr-defined]
        raise Sick


def _by_fail(names: Names) -> object:
    return names["fail"]()  # type: ignore[operator]


def _by_await(names: Names) -> None:
    names["fail"]().send(None)  # type: ignore[operator]


def _refused(
    label: str, call: str, setup: Callable[[], Names], fail_by: Callable[[Names], object], *, looped: bool = False
) -> Subject:
    return Subject(label, CAUGHT.format(call=call), _tripped(setup, fail_by), label, looped=looped)


def _circuitbreaker_failing() -> Names:
    return {"call": _circuitbreaker()(fail)}


REFUSALS = (
    _refused("circuitbreaker", "call()", _circuitbreaker_failing, lambda names: names["call"]()),  # type: ignore[operator]
    _refused("pybreaker", "breaker.call(empty)", _pybreaker, _by_call),
    _refused("aiobreaker", "breaker.call(empty)", _aiobreaker, _by_call),
    _refused("purgatory", "with breaker: pass", lambda: {"breaker": _purgatory()}, _by_with),
    _refused("pyresilience", "fail()", _pyresilience_breaker, _by_fail),
    _refused("hyx", "await call()", _hyx_breaker, _by_await, looped=True),
)


def _semaphore() -> Names:
    import asyncio

    return {"slots": asyncio.Semaphore(100)}


def _hyx_bulkhead() -> Names:
    from hyx.bulkhead import bulkhead

    return {"slots": bulkhead(max_concurrency=100, max_capacity=100)}


def _pyresilience_bulkhead() -> Names:
    from pyresilience import BulkheadConfig, resilient

    return {"call": resilient(bulkhead=BulkheadConfig(max_concurrent=100))(empty)}


ASYNC_SLOTS = (
    Subject("asyncio.Semaphore", "async with slots:\n    pass", _semaphore, looped=True),
    Subject("hyx bulkhead", "async with slots:\n    pass", _hyx_bulkhead, "hyx", looped=True),
)
SLOTS = (
    *ASYNC_SLOTS,
    Subject("pyresilience", "call()", _pyresilience_bulkhead, "pyresilience", calls=1),
)


def _pyresilience_budget() -> Names:
    from pyresilience import RetryBudget, RetryBudgetConfig

    return {"budget": RetryBudget(RetryBudgetConfig(max_retries=MANY, refill_rate=1e9))}


def _pyresilience_retry() -> Names:
    from pyresilience import RetryConfig, resilient

    return {"call": resilient(retry=RetryConfig(max_attempts=3))(empty)}


def _tenacity() -> Names:
    from tenacity import retry, stop_after_attempt

    return {"call": retry(stop=stop_after_attempt(3))(empty)}


def _stamina() -> Names:
    from stamina import retry

    return {"call": retry(on=Exception, attempts=3)(empty)}


RETRY_BUDGETS = (Subject("pyresilience", "budget.acquire()", _pyresilience_budget, "pyresilience"),)
RETRIES = (
    Subject("pyresilience", "call()", _pyresilience_retry, "pyresilience", calls=1),
    Subject("tenacity", "call()", _tenacity, "tenacity", calls=1),
    Subject("stamina", "call()", _stamina, "stamina", calls=1),
)


def _hdrhistogram() -> Names:
    from hdrh.histogram import HdrHistogram

    return {"histogram": HdrHistogram(1_000, 60_000_000_000, 2)}


HISTOGRAMS = (Subject("hdrhistogram", "histogram.record_value(1234567)", _hdrhistogram, "hdrhistogram"),)

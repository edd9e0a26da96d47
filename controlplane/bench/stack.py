"""Four policies together, as Python has them: rate limit, breaker, concurrency, retry around an empty function.

One comes whole (pyresilience); the other is put together by hand of the cheapest single pieces, with the retry as the
plain loop that one writes oneself. Neither records latency, chooses an endpoint or has a retry budget; ours does.
"""

from controlplane.bench.subject import Names, Subject, empty

MANY = 1_000_000_000


def _four() -> dict[str, object]:
    from pyresilience import BulkheadConfig, CircuitBreakerConfig, RateLimiterConfig, RetryConfig

    return {
        "retry": RetryConfig(max_attempts=3),
        "circuit_breaker": CircuitBreakerConfig(sliding_window_size=100, minimum_calls=20, slow_call_duration=1.0),
        "bulkhead": BulkheadConfig(max_concurrent=100),
        "rate_limiter": RateLimiterConfig(max_calls=MANY, period=1.0),
    }


def pyresilience_four() -> Names:
    """An empty function under all four of pyresilience's policies."""
    from pyresilience import resilient

    return {"call": resilient(**_four())(empty)}


def _pyresilience_four_async() -> Names:
    from pyresilience import resilient

    async def answer() -> None:
        """The protected call."""

    return {"call": resilient(**_four())(answer)}


def _by_hand() -> Names:
    import asyncio

    from hyx.ratelimit import TokenBucketLimiter
    from purgatory import SyncCircuitBreakerFactory

    return {
        "limiter": TokenBucketLimiter(max_executions=MANY, per_time_secs=1),
        "breaker": SyncCircuitBreakerFactory(default_threshold=5).get_breaker("orders"),
        "slots": asyncio.Semaphore(100),
        "empty": empty,
        "attempts": (1, 2, 3),
    }


# hyx's limiter without its context manager: the rival is to be the cheapest that can be had
BY_HAND = """\
for _attempt in attempts:
    try:
        await limiter.acquire()
        async with slots:
            with breaker:
                empty()
        break
    except Exception:
        continue
"""

WHOLE = Subject("pyresilience, four policies", "call()", pyresilience_four, "pyresilience", calls=1)
PIECES = Subject("hyx + purgatory + Semaphore + loop", BY_HAND, _by_hand, "hyx purgatory", looped=True, calls=1)
WHOLE_ASYNC = Subject(
    "pyresilience, four policies, async", "await call()", _pyresilience_four_async, "pyresilience", looped=True
)
STACKS = (WHOLE, PIECES)
ASYNC_STACKS = (WHOLE_ASYNC, PIECES)

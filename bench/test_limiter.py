"""What a limiter's decision costs, beside an empty Python function in the same run. Subtract nothing: ratios count."""

import mmap
from collections.abc import Callable
from typing import Any

import pytest

from controlplane._native.limiter import KeyedRateLimiter, RateLimiter

Bench = Callable[..., Any]
ALWAYS = (1, 1_000_000)  # terms that admit every call


def run(benchmark: Bench, call: Callable[..., object], *arguments: object) -> None:
    """Many calls a round: one alone is shorter than the timer's resolution."""
    benchmark.pedantic(call, args=arguments, rounds=60, iterations=20_000, warmup_rounds=3)  # type: ignore[attr-defined]


def memory_for(words: int) -> memoryview:
    """Zeroed words, as a mapping gives them."""
    return memoryview(mmap.mmap(-1, 8 * words)).cast("q")


def empty() -> None:
    """The floor."""


@pytest.mark.benchmark(group="a limiter's decision")
def test_limit_floor(benchmark: Bench) -> None:
    """An empty Python function."""
    run(benchmark, empty)


@pytest.mark.benchmark(group="a limiter's decision")
@pytest.mark.parametrize("shared", [False, True])
def test_limit_unkeyed(benchmark: Bench, shared: bool) -> None:
    """One limit, admitted; in private or shared memory."""
    run(benchmark, RateLimiter(*ALWAYS, memory=memory_for(RateLimiter.words()) if shared else None).try_acquire)


@pytest.mark.benchmark(group="a limiter's decision")
@pytest.mark.parametrize("shared", [False, True])
def test_limit_keyed(benchmark: Bench, shared: bool) -> None:
    """One key of a table, admitted; in private or shared memory."""
    memory = memory_for(KeyedRateLimiter.words(65_536)) if shared else None
    run(benchmark, KeyedRateLimiter(*ALWAYS, slots=65_536, memory=memory).try_acquire, "user:1234")


@pytest.mark.benchmark(group="a limiter's decision")
def test_limit_refused(benchmark: Bench) -> None:
    """One limit that has nothing left."""
    limiter = RateLimiter(10**15, 1)
    limiter.try_acquire()
    run(benchmark, limiter.try_acquire)

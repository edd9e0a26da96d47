"""What a guarded call costs, beside its floor (an empty Python function) and its rivals, in the same run.

Each `round` is one call as an application makes it: admission, endpoint choice, settlement. Subtract `test_floor`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from controlplane._native import guard as native
from controlplane._native.guard import ERROR, Guard, Permit
from controlplane._native.histogram import Histogram

SECOND = 1_000_000_000
FUSED: dict[str, int] = {
    "rate_interval_ns": 1,
    "rate_burst": 1_000_000,
    "concurrency_max": 100,
    "breaker_consecutive": 5,
    "slow_percent": 50,
    "slow_ns": SECOND,
}

Bench = Callable[..., Any]


def run(benchmark: Bench, call: Callable[[], object]) -> None:
    """Many calls a round: one alone is shorter than the timer's resolution."""
    benchmark.pedantic(call, rounds=60, iterations=20_000, warmup_rounds=3)  # type: ignore[attr-defined]


def empty() -> None:
    """The floor."""


@pytest.mark.benchmark(group="a guarded call")
def test_floor(benchmark: Bench) -> None:
    """An empty Python function: what any wrapper costs at least."""
    run(benchmark, empty)


@pytest.mark.benchmark(group="a guarded call")
def test_rival_semaphore(benchmark: Bench) -> None:
    """Doing much less: an uncontended asyncio.Semaphore, the acquisition driven by hand."""
    semaphore = asyncio.Semaphore(100)

    def call() -> None:
        try:
            semaphore.acquire().send(None)
        except StopIteration:
            semaphore.release()

    run(benchmark, call)


@pytest.mark.benchmark(group="a guarded call")
def test_clock(benchmark: Bench) -> None:
    """The native clock alone, boxed: a guarded call reads it twice, unboxed."""
    run(benchmark, native.now_ns)


def guarded(guard: Guard) -> Callable[[], None]:
    """One successful call."""

    def call() -> None:
        guard.try_acquire().success()  # type: ignore[union-attr]

    return call


@pytest.mark.benchmark(group="a guarded call")
def test_success_unconfigured(benchmark: Bench) -> None:
    """No endpoints, no limits: breaker window, latency histogram and totals only."""
    run(benchmark, guarded(Guard()))


@pytest.mark.benchmark(group="a guarded call")
@pytest.mark.parametrize("endpoints", [1, 3, 100])
def test_success_fused(benchmark: Bench, endpoints: int) -> None:
    """Every part on: rate, concurrency, breaker, slow calls, endpoint choice and evidence."""
    run(benchmark, guarded(Guard(endpoints=endpoints, **FUSED)))


@pytest.mark.benchmark(group="a guarded call")
def test_success_fused_under_containment(benchmark: Bench) -> None:
    """The slow way of the choice: one of three endpoints is ejected, another one ramps up."""
    guard = Guard(endpoints=3, **FUSED)
    guard.eject(0, 1_000 * SECOND, 0)
    guard.weigh(1, 10, 1_000 * SECOND)
    run(benchmark, guarded(guard))


@pytest.mark.benchmark(group="a guarded call")
def test_success_fused_answered(benchmark: Bench) -> None:
    """With the head of the answer marked: a third reading of the clock."""
    guard = Guard(endpoints=3, **FUSED)

    def call() -> None:
        permit = guard.try_acquire()
        permit.answered()  # type: ignore[union-attr]
        permit.success()  # type: ignore[union-attr]

    run(benchmark, call)


@pytest.mark.benchmark(group="a guarded call")
def test_failure_fused(benchmark: Bench) -> None:
    """A failure, with every reflex off, so that none of them ends the run."""
    policy = FUSED | {"breaker_consecutive": 0, "slow_percent": 0}
    guard = Guard(endpoints=3, failure_percent=0, endpoint_consecutive=0, endpoint_evidence_mnat=0, **policy)

    def call() -> None:
        guard.try_acquire().failure(ERROR)  # type: ignore[union-attr]

    run(benchmark, call)


@pytest.mark.benchmark(group="a refusal")
@pytest.mark.parametrize("why", ["open", "rate", "concurrency"])
def test_refusal(benchmark: Bench, why: str) -> None:
    """The answer of an open breaker, an exhausted rate, a full limit: a value, no exception."""
    guard = Guard(endpoints=3, rate_interval_ns=1_000 * SECOND if why == "rate" else 0, concurrency_max=1)
    held = guard.try_acquire()
    assert isinstance(held, Permit)
    if why == "rate":
        held.success()
    if why == "open":
        guard.isolate(1_000 * SECOND, 0)
    assert guard.try_acquire().part == why  # type: ignore[union-attr]
    run(benchmark, guard.try_acquire)


@pytest.mark.benchmark(group="a latency recorded")
def test_histogram_record(benchmark: Bench) -> None:
    """Ours, 1 us to 60 s, two digits."""
    histogram = Histogram(1_000, 60 * SECOND, 2)
    run(benchmark, lambda: histogram.record(1_234_567))


@pytest.mark.benchmark(group="a latency recorded")
def test_rival_hdrhistogram_record(benchmark: Bench) -> None:
    """The `hdrhistogram` package, the same shape."""
    histogram = HdrHistogram(1_000, 60 * SECOND, 2)
    run(benchmark, lambda: histogram.record_value(1_234_567))

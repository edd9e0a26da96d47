"""Our figures: each part alone, the fused guard, refusals. Adding one is adding an entry here."""

import mmap
import random
from collections.abc import Callable

from controlplane._native.guard import ERROR, Guard
from controlplane._native.histogram import Histogram
from controlplane.bench import peers, stack
from controlplane.bench.entry import Entry, Target
from controlplane.bench.subject import Names, Subject, empty, part

SECOND_NS = 1_000_000_000
FAR_NS = 100_000 * SECOND_NS  # an order that outlasts every run
WORKERS = 4
FUSED: dict[str, int] = {
    "rate_interval_ns": 1,  # a rate that nothing here exceeds: what is timed is the decision, not the waiting
    # a second's worth: of two processes, one that the scheduler stops between reading the clock and taking its token
    # comes back with an old time, and a limit whose whole burst is shorter than that pause refuses it
    "rate_burst": SECOND_NS,
    "concurrency_max": 100,
    "breaker_consecutive": 5,
    "slow_percent": 50,
    "slow_ns": SECOND_NS,
}
BARE = {"retry_percent": 0, "retry_floor_per_s": 0}
CALL = "guard.try_acquire().success()"


def memory(words: int) -> memoryview:
    """Memory that processes could share: the pages behind an arena's file, without the file."""
    return memoryview(mmap.mmap(-1, -(-words * 8 // 4096) * 4096)).cast("q")


def guard(**policy: int) -> Callable[[], Names]:
    """A guard of that policy, in private memory."""
    return lambda: {"guard": Guard(**policy)}  # type: ignore[arg-type]


def shared(endpoints: int, **policy: int) -> Callable[[], Names]:
    """The same guard in memory that processes could share."""
    return lambda: {
        "guard": Guard(endpoints=endpoints, memory=memory(Guard.words(endpoints, WORKERS)), workers=WORKERS, **policy)  # type: ignore[arg-type]
    }


def _limiter(*, arena: bool = False) -> Names:
    made = part("limiter", "RateLimiter")
    if not arena:
        return {"limiter": made(1, SECOND_NS)}
    words: int = made.words()  # type: ignore[attr-defined]
    return {"limiter": made(1, SECOND_NS, memory=memory(words))}


def _keyed() -> Names:
    return {"limiter": part("limiter", "KeyedRateLimiter")(1, SECOND_NS, slots=4096), "key": "tenant-42"}


def _balancer(count: int) -> Callable[[], Names]:
    return lambda: {"balancer": part("balancer", "Balancer")([(1, 0, 0)] * count, seed=1)}


def _choice_by_hand(count: int) -> Callable[[], Names]:
    """Two choices in Python, with loads in a list: what one writes oneself."""
    return lambda: {"draw": random.Random(1).randrange, "loads": [0] * count, "count": count}


def _refusing(why: str) -> Names:
    refused = Guard(concurrency_max=1, rate_interval_ns=FAR_NS // 1000 if why == "rate" else 0)
    held = refused.try_acquire()
    if why == "open":
        refused.isolate(FAR_NS // 1000, 0)
    if why == "rate":
        held.success()  # type: ignore[union-attr]
    assert refused.try_acquire().part == why, why  # type: ignore[union-attr]
    return {"guard": refused, "held": held}


def _failing() -> Names:
    policy = FUSED | {"breaker_consecutive": 0, "slow_percent": 0, "failure_percent": 0}
    return {"guard": Guard(endpoint_consecutive=0, endpoint_evidence_mnat=0, **policy), "error": ERROR}  # type: ignore[arg-type]


CHOICE = "a, b = draw(count), draw(count)\nloads[a if loads[a] <= loads[b] else b]"


def _ours(statement: str, setup: Callable[[], Names], *, looped: bool = False, calls: int = 0) -> Subject:
    return Subject("ours", statement, setup, looped=looped, calls=calls)


def _retry() -> Names:
    return {"guard": Guard(retry_percent=100, retry_floor_per_s=1_000_000)}


ENTRIES: tuple[Entry, ...] = (
    Entry(
        "guard.fused",
        _ours(CALL, guard(endpoints=1, **FUSED)),
        (stack.WHOLE,),
        Target(floor_max=7, python_min=30),
    ),
    # the same beside single pieces put together by hand, which do less: no window, no slow calls, no record, no budget
    Entry("guard.fused_by_pieces", _ours(CALL, guard(endpoints=1, **FUSED)), (stack.PIECES,)),
    Entry(
        "guard.async",
        _ours("async with guard.acquire():\n    pass", guard(endpoints=1, **FUSED), looped=True),
        (*stack.ASYNC_STACKS, *peers.ASYNC_SLOTS),
        Target(floor_max=12),
    ),
    Entry("guard.with", _ours("with guard.acquire():\n    pass", guard(endpoints=1, **FUSED)), peers.WITH_BREAKERS),
    Entry("guard.fused16", _ours(CALL, guard(endpoints=16, **FUSED)), stack.STACKS),
    Entry("guard.failure", _ours("guard.try_acquire().failure(error)", _failing)),
    Entry("guard.private_unconfigured", _ours(CALL, guard())),
    Entry(
        "guard.shared",
        _ours(CALL, shared(1, **FUSED)),
        (Subject("private memory", CALL, guard(endpoints=1, **FUSED)),),
    ),
    Entry(
        "limit.unkeyed",
        _ours("limiter.try_acquire()", _limiter),
        peers.LIMITERS,
        Target(floor_max=2.5, python_min=10, native_min=2),
    ),
    Entry(
        "limit.keyed",
        _ours("limiter.try_acquire(key)", _keyed),
        peers.KEYED_LIMITERS,
        Target(floor_max=4, python_min=10, native_min=2),
    ),
    Entry(
        "arena.limit",
        _ours("limiter.try_acquire()", lambda: _limiter(arena=True)),
        (Subject("private memory", "limiter.try_acquire()", _limiter),),
        Target(rival_max=1.3),
    ),
    Entry("breaker.success", _ours(CALL, guard(breaker_consecutive=5, failure_percent=0, **BARE)), peers.BREAKERS),
    Entry("breaker.window", _ours(CALL, guard(slow_percent=50, slow_ns=SECOND_NS, **BARE)), peers.WINDOWS),
    Entry(
        "breaker.refuse",
        _ours("guard.try_acquire()", lambda: _refusing("open")),
        peers.REFUSALS,
        Target(floor_max=2),
    ),
    Entry("rate.refuse", _ours("guard.try_acquire()", lambda: _refusing("rate"))),
    Entry("concurrency.refuse", _ours("guard.try_acquire()", lambda: _refusing("concurrency"))),
    Entry("concurrency", _ours(CALL, guard(concurrency_max=100, **BARE)), peers.SLOTS),
    Entry("retry.budget", _ours("guard.try_again(-1).success()", _retry), peers.RETRY_BUDGETS),
    Entry(
        "retry.unneeded",
        _ours("with guard.acquire():\n    empty()", lambda: {"guard": Guard(), "empty": empty}, calls=1),
        peers.RETRIES,
    ),
    Entry(
        "histogram.record",
        _ours("histogram.record(1234567)", lambda: {"histogram": Histogram(1_000, 60 * SECOND_NS, 2)}),
        peers.HISTOGRAMS,
        Target(floor_max=1.2, python_min=40),
    ),
    Entry(
        "guard.observe",
        _ours("guard.observe(1, 0, 3_000_000)", guard(endpoints=3, slow_ns=SECOND_NS)),
        (Subject("a call made here", CALL, guard(endpoints=3, slow_ns=SECOND_NS)),),
        Target(floor_max=12),
    ),
    Entry(
        "detector.observe",
        _ours("detector.observe(0, False, 20_000_000)", lambda: {"detector": part("detector", "Detector")(1)}),
        (),
        Target(floor_max=4),
    ),
    Entry(
        "balancer.pick16",
        _ours("balancer.pick()", _balancer(16)),
        (Subject("two choices in Python", CHOICE, _choice_by_hand(16)),),
        Target(floor_max=2.5),
    ),
    Entry(
        "balancer.pick4096",
        _ours("balancer.pick()", _balancer(4096)),
        (Subject("two choices in Python", CHOICE, _choice_by_hand(4096)),),
        Target(floor_max=3),
    ),
)

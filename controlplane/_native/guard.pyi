"""One fused guard for the calls to one service: admission, endpoint choice, evidence, reflexes."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, final

from typing_extensions import Buffer

# why a call was refused: Refusal.reason
RATE: Final = 1  # the rate limit has no token
CONCURRENCY: Final = 2  # as many calls as allowed are in flight
OPEN: Final = 3  # the breaker is open, or the service is isolated
PROBING: Final = 4  # half open, and every probe slot is taken
RETRY_BUDGET: Final = 5  # a retry beyond the budget
NO_ENDPOINT: Final = 6  # every endpoint is ejected
WEIGHT: Final = 7  # the service is offered only a share of its calls
SHED: Final = 8  # there is room, but it is kept for more important calls
DEADLINE: Final = 9  # a typical call takes longer than this one has left
CLOSED: Final = 10  # by order: what guards the service has failed, and nothing is let through meanwhile
REASONS: Final[tuple[str, ...]]  # index: reason; "", "rate", "concurrency", ...

# what a call is for, the most important first: try_acquire_for(priority, ...)
CRITICAL: Final = 0
DEFAULT: Final = 1
SHEDDABLE: Final = 2

# how a call failed: Permit.failure(kind)
ERROR: Final = 1  # an answer that says failure, or no connection
TIMEOUT: Final = 2
OVERLOAD: Final = 3  # 429 or 503 by the callee's own choice

# how a call that was only observed ended: one of these, or of those above
SUCCESS: Final = 0
STALLED: Final = 4  # it has not, and is overdue

# what Guard.observe answers, as a sum
OBSERVED: Final = 1  # a state has changed that the control loop should look at
OBSERVED_PROBE: Final = 2  # it was the probe of a half-open edge or of an endpoint on probation

# kinds of rows in the event ring; of trips, a: cause, b: calls, c: failures, d: since when (0: not known)
ENDPOINT_TRIPPED: Final = 1  # the endpoint is ejected by reflex when enforced
ENDPOINT_CAPPED: Final = 2  # evidence was there, a cap or its siblings' state forbade it
ENDPOINT_PROBE_PASSED: Final = 3
ENDPOINT_PROBE_FAILED: Final = 4
EDGE_OPENED: Final = 5  # the breaker opened (or would have, in observe mode)
EDGE_PROBE_PASSED: Final = 6
EDGE_PROBE_FAILED: Final = 7
EFFECTIVE: Final = 8  # a: time of the deciding signal, b: part; t: first call that was treated differently
LEASE_LAPSED: Final = 9  # an order expired by itself; a: part

# side orders: which part of what is ordered about an edge; 0 in rows: none of them, but the order about its traffic
PART_FAIL_OVER: Final = 1
PART_CAP_RETRIES: Final = 2
PART_SHED: Final = 3
PART_TIGHTEN: Final = 4
PART_CLOSE: Final = 5
PART_HARDEN: Final = 6
PARTS: Final[tuple[str, ...]]  # index: part; "", "fail_over", "cap_retries", ...

# causes, in ENDPOINT_* and EDGE_OPENED rows
BY_CONSECUTIVE: Final = 1
BY_ERRORS: Final = 2
BY_SLOW: Final = 3
BY_STALLED: Final = 4
BY_OVERLOAD: Final = 5  # time-outs, stalls and 429/503 make up most of the evidence

EVENT_WORDS: Final = 8  # words of a row: seq, kind, endpoint (-1: the edge), t_ns, a, b, c, d
EVENTS_MAX: Final = 256  # rows in the ring; the oldest are overwritten, and `drain` tells how many were lost

# endpoint states, in Guard.endpoint()["state"]
HEALTHY: Final = 0
EJECTED: Final = 1
PROBATION: Final = 2

POLICY: Final[tuple[tuple[str, int, int, int], ...]]  # fields of a policy: name, default, lowest, highest

def now_ns() -> int:
    """The native clock: CLOCK_MONOTONIC, unless a test has replaced it."""

def set_test_clock(now_ns: int, /) -> None:
    """Tests only: from now on the native clock stands at `now_ns`; -1 gives the real one back."""

def test_clock() -> object:
    """Simulation only: a capsule of the int64 that `set_test_clock` sets, for native code that sets it often."""

class ByGuard:
    """Marks exceptions that guards raise: they say nothing about the service, and are no evidence."""

class Refused(ByGuard, Exception):
    """A guarded call was not made. `part` refused it; trying again makes sense after `retry_after_s` (0: unknown)."""

    service: str
    part: str
    retry_after_s: float
    def __init__(self, service: str, part: str, retry_after_s: float = 0.0) -> None: ...

@final
class Given:
    """An awaitable that is done: what `async with` awaits costs no coroutine."""

    def __await__(self) -> Iterator[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __next__(self) -> Any: ...

@final
class Refusal:
    """A falsy answer of `try_acquire`: which part refused, and when trying again makes sense."""

    @property
    def reason(self) -> int: ...
    @property
    def part(self) -> str: ...
    @property
    def retry_after_ns(self) -> int:
        """0 when it depends on other calls and not on time."""
    def __bool__(self) -> bool: ...

@final
class Permit:
    """A truthy answer of `try_acquire`: the right to make one call. Settle it once; later settlements do nothing.

    Every settlement returns 0, or 1 when it changed a state that the control loop should look at, or when an admission
    since the last 1 wrote a row. A permit that is dropped unsettled counts as cancelled.
    """

    @property
    def endpoint(self) -> int:
        """Index of the endpoint to call, -1 when the guard has none."""
    @property
    def start_ns(self) -> int: ...
    @property
    def latency_ns(self) -> int:
        """From the start until the head of the answer was here; until now, while it is not."""
    @property
    def probe(self) -> bool:
        """True when this call is the probe of a half-open edge or of an endpoint on probation."""
    def answered(self) -> None:
        """The head of the answer is here: latency ends now and not at the settlement. Only the first one counts."""
    def success(self) -> int: ...
    def failure(self, kind: int, /) -> int: ...
    def cancel(self) -> int:
        """Neither success nor failure; the slot (and the probe's) is given back."""
    def relayed(self) -> int:
        """The answer passes on the failure of somebody further down: cancelled, and evidence against the endpoint only
        where its siblings succeed."""
    def stalled(self) -> int:
        """The call is overdue and still running: a failure, once, and evidence against its endpoint. To the edge
        it counts when it ends, and as it ends; a success teaches latency then."""
    # As the body of `with` or `async with` it is settled by what comes out: nothing is success, TimeoutError a
    # time-out, any other Exception a failure; cancellation and refusals of other guards (ByGuard) are no evidence.
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def __aenter__(self) -> Awaitable[Self]: ...
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Awaitable[None]: ...
    def __bool__(self) -> bool: ...

@final
class Guard:
    """Admission and evidence for calls to one service, by this process or, over shared `memory`, by all of a host.

    memory   None: private. Else a writable buffer of at least `Guard.words(endpoints, workers)` int64, at a multiple
             of 64 bytes, that begins with zeros or holds a guard of the same geometry; its policy then stays in force.
    worker   the place of this process among `workers`; no two processes may use one at a time. Two attach at once only
             under a lock of their own.
    sites    (weight, priority, locality) of each endpoint; by default all are equal. local  the caller's own locality.
             See docs/concepts/endpoint-choice.md.
    name     what refusals say was called. ring  called when a result that came by `with` changed a state.
    Raises   ValueError when a number is negative or out of its range, naming the argument and its bounds, or when the
             memory holds something else; TypeError for a field that no policy has.
    """

    name: str
    ring: Callable[[], object] | None

    def __new__(
        cls,
        *,
        endpoints: int = 0,
        sites: Iterable[Sequence[int]] | None = None,
        local: int | None = None,
        seed: int = 1,
        memory: Buffer | None = None,
        worker: int = 0,
        workers: int = 1,
        name: str = "guarded call",
        rate_interval_ns: int = 0,
        rate_burst: int = 1,
        concurrency_max: int = 0,
        concurrency_min: int = 1,
        concurrency_adapts: int = 0,
        breaker_consecutive: int = 0,
        window_ns: int = 10_000_000_000,
        window_calls_min: int = 20,
        failure_percent: int = 50,
        slow_percent: int = 0,
        slow_ns: int = 0,
        open_ns: int = 5_000_000_000,
        open_max_ns: int = 300_000_000_000,
        probes_max: int = 1,
        probe_successes: int = 3,
        probe_timeout_ns: int = 10_000_000_000,
        endpoint_consecutive: int = 5,
        endpoint_evidence_mnat: int = 13_800,
        eject_ns: int = 5_000_000_000,
        eject_max_ns: int = 300_000_000_000,
        ejected_percent_max: int = 10,
        retry_percent: int = 20,
        retry_floor_per_s: int = 3,
        overprovision_percent: int = 140,
        panic_percent: int = 0,
        slow_start_ns: int = 0,
        reserve_percent: int = 0,
        enforced: int = 1,
        enforced_percent: int = 100,
    ) -> Self: ...
    @staticmethod
    def words(endpoints: int, workers: int, /) -> int:
        """How many int64 a guard of that geometry needs."""
    @property
    def buffer(self) -> memoryview:
        """The int64 words in which everything above lives, read-only. Layout: the head of guard.pyx."""
    def try_acquire(self) -> Permit | Refusal: ...
    def try_acquire_for(self, priority: int, deadline_ns: int | None, /) -> Permit | Refusal:
        """`try_acquire` for a call of that priority, which must end at `deadline_ns` (None: whenever). Each priority
        leaves `reserve_percent` of every limit to each higher one (SHED); a call with less time left than a typical one
        takes is refused (DEADLINE), but for ten a second that find out whether that is still so."""
    def acquire(self) -> Permit:
        """`try_acquire` for `with guard.acquire():` and `async with guard.acquire():`. Raises Refused."""
    def try_again(self, avoid: int, /) -> Permit | Refusal:
        """A retry: drawn from the retry budget, not to endpoint `avoid` while another one is usable (-1: avoid none),
        and never the probe of an endpoint on probation."""
    def try_redrive(self, avoid: int, /) -> Permit | Refusal:
        """The second life of a call that was in flight on an endpoint when it was ejected: not drawn from the retry
        budget (at most one per call, and only for calls that were admitted already), never to `avoid`; refused when
        no other endpoint is usable."""

    def observe(self, endpoint: int, outcome: int, latency_ns: int, /) -> int:
        """A call that somebody else's proxy made has ended so (SUCCESS to STALLED), `latency_ns` after it began. It is
        evidence as a call made here is, with the same reflexes. What began before its endpoint, or the edge, came into
        its present state says nothing about that; on probation it is the probe, if none is out. Nothing in flight is
        counted, and what adapts to that learns nothing. Endpoint -1 where the guard has none. Returns OBSERVED..."""

    # Orders of the control plane. Every one expires by itself after lease_ns; while only observing they are ignored.
    # signal_ns: time of the deciding result, told again in the EFFECTIVE row; 0: unknown, and no such row is written.
    # Raise ValueError, IndexError or TypeError for what is out of range, and change nothing then.
    def eject(self, endpoint: int, lease_ns: int, signal_ns: int, /) -> None:
        """Ignored where no other endpoint is healthy: the last one is never taken, not even by order."""
    def probe(self, endpoint: int, lease_ns: int, /) -> None:
        """Endpoint -1: the edge. Ignored for the last healthy endpoint."""
    def weigh(self, endpoint: int, percent: int, lease_ns: int, /) -> None:
        """Endpoint -1: the edge."""
    def isolate(self, lease_ns: int, signal_ns: int, /) -> None: ...
    def limit(self, concurrency: int, lease_ns: int, signal_ns: int, /) -> None:
        """No retries, and at most so many calls at a time to begin with: the limit grows by one for each full round of
        answers while it binds, and is halved by a time-out, a stall or a 429/503; at one, a pause follows each of
        those. The same number again only renews the lease. No retry and no second life is admitted."""
    # Side orders: about the edge, each beside whatever else is in force. The same one again only renews its lease.
    def fail_over(self, percent: int, lease_ns: int, signal_ns: int, /) -> None:
        """`percent` (1 to 100) of what the first priority gets goes to the next ones, as far as these have room
        (docs/concepts/endpoint-choice.md). What finds no room stays; `describe()["failed_over"]` is what moves."""
    def cap_retries(self, percent: int, lease_ns: int, signal_ns: int, /) -> None:
        """Retries and second lives together are at most `percent` of the calls made from now on, and within the retry
        budget besides; 0: none (RETRY_BUDGET)."""
    def shed(self, keep_priority: int, percent: int, lease_ns: int, signal_ns: int, /) -> None:
        """Of the calls less important than `keep_priority` (CRITICAL or DEFAULT), exactly `percent` (1 to 100) of any
        hundred in a row of one worker are refused (SHED). Their retries are not, once they were admitted."""
    def tighten(self, deadline_ns: int, lease_ns: int, signal_ns: int, percent: int = 100, /) -> None:
        """`percent` of the calls may take `deadline_ns` at most; whoever makes a call asks `deadline_ns()` and keeps to
        it. Nothing is refused for it."""
    def close(self, percent: int, lease_ns: int, signal_ns: int, /) -> None:
        """`percent` (1 to 100) of all calls, retries and second lives included, are refused (CLOSED): what guards the
        service has failed. No call is exempt, whatever `enforced_percent` says."""
    def harden(self, percent: int, lease_ns: int, signal_ns: int, /) -> None:
        """`percent` (1 to 100) of the calls to sensitive routes are to meet stricter limits; whoever serves them asks
        `door()`. Nothing is refused for it here."""
    def door(self) -> int:
        """What the next call meets that needs no permit: 1 a closed door, 2 an open and hardened one, 0 neither. Takes
        nothing."""
    def deadline_ns(self) -> int:
        """How long the call that is about to be made may take, by order; 0: as long as its own deadline says."""
    def restore_part(self, endpoint: int, part: int, /) -> None:
        """Take back one side order (PART_...) and nothing else. Endpoint: -1, the edge; others have none."""
    def restore(self, endpoint: int, /) -> None:
        """Take back every order and reflex about `endpoint` (-1: the edge, with its side orders) and clear its
        evidence."""
    def enforce(self, on: int, /) -> None:
        """0: observe only; what is in force is taken back. Evidence is collected and events are written, but nothing is
        refused, ejected or limited, and endpoints are chosen uniformly at random. From 0 to 1, evidence
        starts at zero."""
    def retune(self, **changes: int) -> None:
        """Put other values of policy fields in force: at once, for all processes, with calls in flight. What was
        counted stays counted: the window is carried over to a new width, the rate keeps what was taken. `enforced` is
        a matter of `enforce`. Fields that are not given stay as they are: of two processes that change different ones
        at once, both get theirs. Raises as the constructor does, and then changes nothing."""
    def policy(self) -> dict[str, int]:
        """The policy in force, by field."""
    def reclaim(self, worker: int, /) -> None:
        """The process of `worker` is gone: what it had in flight has ended, its probes are for others. Idempotent."""
    def leave(self) -> None:
        """Go on alone, with a private copy of the words as they are; permits given out before settle nothing any more.
        For a process that gives its place up (its arena closes, or it is the child of a fork)."""
    @property
    def is_shared(self) -> bool:
        """Whether the words are in `memory` that was passed in."""
    def set_slow_ns(self, slow_ns: int, /) -> None:
        """What counts as a slow call from now on; 0: none does. Evidence so far is kept."""
    def set_failure_ppm(self, failure_ppm: int, /) -> None:
        """How many of a million calls fail here when all is well: what failures are weighed against from now on.

        Less than 10,000 (1 %) is not believed; the next value of a table is taken. Evidence so far is kept.
        """

    # reading
    def drain(self, out: memoryview, /) -> int:
        """Move the oldest unread event rows into `out` (int64, rows * EVENT_WORDS, C order); returns their number."""
    @property
    def events_lost(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    def is_open(self) -> bool:
        """True when a call now would be refused by breaker or isolation."""
    def may_retry(self) -> bool:
        """Whether a retry now would be within the retry budget and what orders allow. Takes nothing."""
    def is_ejected(self, endpoint: int, /) -> bool: ...
    def is_kept(self, endpoint: int, /) -> bool:
        """True when it was condemned in the last second and stays, by a cap or a floor, while another one serves well:
        a call that fails there deserves its second life, as if the endpoint were out."""
    def endpoint(self, endpoint: int, /) -> dict[str, int]:
        """state, weight (percent), ramp (percent, slow start), in_flight, calls, failures, slow (totals), consecutive,
        evidence_mnat, trickle_evidence_mnat, slow_evidence_mnat, ejections, until_ns, ewma_ns, began_ns (when the
        evidence against it last stood at zero; 0: it does)."""
    def describe(self) -> dict[str, int]:
        """Totals and state of the edge: calls, failures, slow, refused, cancelled, retries, in_flight, open, probing,
        window_calls, window_failures, window_slow, weight, limit, enforced, slow_ns, shadowed (calls that went although
        a part would have refused them), typical_ns (median latency, about), concurrency (calls that may be in flight by
        policy, or as far as the service bears; 0: any number), retries_left and retries_max (of the retry budget),
        retries_suspended (1 while endpoints fail together), and the side orders: fail_over (percent; 0: none),
        failed_over (percent of the calls that have moved), retry_cap (percent; -1: none),
        shed (percent; 0: none), shed_keep (priority; -1: none), deadline_ns (0: none), closed and hardened (percent;
        0: none)."""
    def refusals(self) -> dict[str, int]:
        """How many calls each part has refused."""
    def shadow_refusals(self) -> dict[str, int]:
        """How many calls each part would have refused, had it been enforced for them."""
    def latency_counts(self) -> tuple[memoryview, int, int, int]:
        """(counts, lowest_ns, highest_ns, significant_digits) of the HDR histogram of successful calls' latency."""
    def latency_sum(self) -> tuple[int, int]:
        """(successful calls, nanoseconds they took together modulo 2**64), by the middles of the buckets."""
    def latency_quantile_ns(self, permille: int, /) -> int:
        """The latency that `permille` / 1000 of the successful calls stayed at or under; 0 without any."""
    def latency_reset(self) -> None: ...

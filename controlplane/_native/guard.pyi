"""One fused guard for the calls to one service: admission, endpoint choice, evidence, reflexes."""

from typing import Final, Self, final

# why a call was refused: Refusal.reason
RATE: Final = 1  # the rate limit has no token
CONCURRENCY: Final = 2  # as many calls as allowed are in flight
OPEN: Final = 3  # the breaker is open, or the service is isolated
PROBING: Final = 4  # half open, and every probe slot is taken
RETRY_BUDGET: Final = 5  # a retry beyond the budget
NO_ENDPOINT: Final = 6  # every endpoint is ejected
WEIGHT: Final = 7  # the service is offered only a share of its calls
REASONS: Final[tuple[str, ...]]  # index: reason; "", "rate", "concurrency", ...

# how a call failed: Permit.failure(kind)
ERROR: Final = 1  # an answer that says failure, or no connection
TIMEOUT: Final = 2
OVERLOAD: Final = 3  # 429 or 503 by the callee's own choice

# kinds of rows in the event ring
ENDPOINT_TRIPPED: Final = 1  # a: cause, b: calls, c: failures; the endpoint is ejected by reflex when enforced
ENDPOINT_CAPPED: Final = (
    2  # a: cause, b: calls, c: failures; evidence was there, a cap or its siblings' state forbade it
)
ENDPOINT_PROBE_PASSED: Final = 3
ENDPOINT_PROBE_FAILED: Final = 4
EDGE_OPENED: Final = 5  # a: cause, b: calls, c: failures; the breaker opened (or would have, in observe mode)
EDGE_PROBE_PASSED: Final = 6
EDGE_PROBE_FAILED: Final = 7
EFFECTIVE: Final = 8  # a: time of the deciding signal; t: first admission that was treated differently
LEASE_LAPSED: Final = 9  # an order expired by itself

# causes, in ENDPOINT_* and EDGE_OPENED rows
BY_CONSECUTIVE: Final = 1
BY_ERRORS: Final = 2
BY_SLOW: Final = 3
BY_STALLED: Final = 4
BY_OVERLOAD: Final = 5  # time-outs, stalls and 429/503 make up most of the evidence

EVENT_WORDS: Final = 7  # words of a row: seq, kind, endpoint (-1: the edge), t_ns, a, b, c
EVENTS_MAX: Final = 256  # rows in the ring; the oldest are overwritten, and `drain` tells how many were lost

# endpoint states, in Guard.endpoint()["state"]
HEALTHY: Final = 0
EJECTED: Final = 1
PROBATION: Final = 2

def now_ns() -> int:
    """The native clock: CLOCK_MONOTONIC, unless a test has replaced it."""

def set_test_clock(now_ns: int, /) -> None:
    """Tests only: from now on the native clock stands at `now_ns`; -1 gives the real one back."""

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
    def probe(self) -> bool:
        """True when this call is the probe of a half-open edge or of an endpoint on probation."""
    def answered(self) -> None:
        """The head of the answer is here: latency ends now and not at the settlement. Only the first one counts."""
    def success(self) -> int: ...
    def failure(self, kind: int, /) -> int: ...
    def cancel(self) -> int:
        """Neither success nor failure; the slot (and the probe's) is given back."""
    def stalled(self) -> int:
        """The call is overdue and still running: counts once as a failure against its endpoint; its later end counts as
        nothing more than the release of its slot."""
    def __bool__(self) -> bool: ...

@final
class Guard:
    """Admission and evidence for the calls of this process to one service.

    Raises  ValueError when a number is negative or out of its range, naming the argument and its bounds.
    """

    def __new__(
        cls,
        *,
        endpoints: int = 0,
        seed: int = 1,
        rate_interval_ns: int = 0,
        rate_burst: int = 1,
        concurrency_max: int = 0,
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
        enforced: int = 1,
    ) -> Self: ...
    @property
    def buffer(self) -> memoryview:
        """The int64 words in which everything above lives, read-only. Layout: the head of guard.pyx."""
    def try_acquire(self) -> Permit | Refusal: ...
    def try_again(self, avoid: int, /) -> Permit | Refusal:
        """A retry: drawn from the retry budget, not to endpoint `avoid` while another one is usable (-1: avoid none),
        and never the probe of an endpoint on probation."""
    def try_redrive(self, avoid: int, /) -> Permit | Refusal:
        """The second life of a call that was in flight on an endpoint when it was ejected: not drawn from the retry
        budget (at most one per call, and only for calls that were admitted already), never to `avoid`; refused when
        no other endpoint is usable."""

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
    def restore(self, endpoint: int, /) -> None:
        """Take back every order and reflex about `endpoint` (-1: the edge) and clear its evidence."""
    def enforce(self, on: int, /) -> None:
        """0: observe only; what is in force is taken back. Evidence is collected and events are written, but nothing is
        refused, ejected or limited, and endpoints are chosen uniformly at random. From 0 to 1, evidence
        starts at zero."""
    def set_slow_ns(self, slow_ns: int, /) -> None:
        """What counts as a slow call from now on; 0: none does. Evidence so far is kept."""

    # reading
    def drain(self, out: memoryview, /) -> int:
        """Move the oldest unread event rows into `out` (int64, rows * EVENT_WORDS, C order); returns their number."""
    @property
    def events_lost(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    def is_open(self) -> bool:
        """True when a call now would be refused by breaker or isolation."""
    def is_ejected(self, endpoint: int, /) -> bool: ...
    def endpoint(self, endpoint: int, /) -> dict[str, int]:
        """state, weight (percent), in_flight, calls, failures, slow (totals), consecutive, evidence_mnat,
        slow_evidence_mnat, ejections, until_ns, ewma_ns."""
    def describe(self) -> dict[str, int]:
        """Totals and state of the edge: calls, failures, slow, refused, cancelled, retries, in_flight, open, probing,
        window_calls, window_failures, window_slow, weight, limit, enforced, slow_ns."""
    def latency_counts(self) -> tuple[memoryview, int, int, int]:
        """(counts, lowest_ns, highest_ns, significant_digits) of the HDR histogram of successful calls' latency."""
    def latency_quantile_ns(self, permille: int, /) -> int:
        """The latency that `permille` / 1000 of the successful calls stayed at or under; 0 without any."""
    def latency_reset(self) -> None: ...

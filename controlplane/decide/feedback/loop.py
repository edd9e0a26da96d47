"""Whether a failure feeds itself: retries turn failures into load, and load into failures.

One turn of the loop (docs/concepts/reproduction-number.md): failure shares decide how often callers try again, that
decides what every service is offered, that decides how full its queue is and so how much of it fails. The reproduction
number R is the spectral radius of that map's Jacobian, and the verdict is where the map settles from a failed state.
"""

from typing import Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane._native.feedback import FeedbackLoop

Floats = NDArray[np.float64]
Indices = NDArray[np.int32] | NDArray[np.int64]

# Where nobody knows better: a tenth of a second's wait at 1,000 requests a second, and a queue that outlasts it. The
# page shows what other values change.
PATIENCE = 100.0
QUEUE = 1000.0

STUCK_SHARE = 0.05  # failing share from which a service has not recovered
BISECTIONS = 24  # of the way from healthy to failed, to find the point from which it goes up, not down
POINTS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of that way at which R is taken besides

CALLS_MAX = 1e9  # for one request: more than the core takes is a figure that cannot be, and no reason to stop


class Loop:
    """The load-failure loop over a call graph in CSR form, row = caller, column = callee. It never changes.

    Shapes  indptr (n + 1,), indices (E,); base, capacity, patience, queue (n,); calls, attempts, budget, need (E,).
            A number stands for all.
    Units   base      requests per second that reach a service from outside of the graph.
            capacity  requests per second that it completes at most; inf: no limit of its own, as users have none.
            calls     calls per request of the caller, before retries.
            attempts  of one call at most; 1: no retry.
            budget    retries per call at most, on average: 0.2 for a retry budget of 20 %; inf: there is none.
            need      share of the caller's requests that fail with the call; 0: a fallback answers.
            patience  requests ahead of an arrival at which its caller will have left: capacity x time-out.
            queue     requests that may be there, waiting or served; more are refused at once.
    Raises  ValueError that names the argument and its value: NaN, below 0, capacity 0, attempts 1.5.
    Source  docs/concepts/reproduction-number.md, "the loop".
    """

    __slots__ = (
        "attempts",
        "base",
        "budget",
        "calls",
        "capacity",
        "core",
        "indices",
        "indptr",
        "need",
        "patience",
        "queue",
    )

    def __init__(
        self,
        indptr: Indices,
        indices: Indices,
        *,
        base: ArrayLike,
        capacity: ArrayLike,
        calls: ArrayLike,
        attempts: ArrayLike,
        budget: ArrayLike = np.inf,
        need: ArrayLike = 1.0,
        patience: ArrayLike = PATIENCE,
        queue: ArrayLike = QUEUE,
    ) -> None:
        self.indptr, self.indices = indptr, indices
        self.core = FeedbackLoop(indptr, indices, base, capacity, calls, attempts, budget, need, patience, queue)
        services, edges = len(indptr) - 1, len(indices)
        self.base, self.capacity = _all(base, services), _all(capacity, services)
        self.patience, self.queue = _all(patience, services), _all(queue, services)
        self.calls, self.attempts = _all(calls, edges), _all(attempts, edges)
        self.budget, self.need = _all(budget, edges), _all(need, edges)

    def replace(
        self,
        *,
        base: ArrayLike | None = None,
        capacity: ArrayLike | None = None,
        attempts: ArrayLike | None = None,
    ) -> Self:
        """The same loop but for what is named."""
        return type(self)(
            self.indptr,
            self.indices,
            base=self.base if base is None else base,
            capacity=self.capacity if capacity is None else capacity,
            calls=self.calls,
            attempts=self.attempts if attempts is None else attempts,
            budget=self.budget,
            need=self.need,
            patience=self.patience,
            queue=self.queue,
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a failed state once nothing but the loop itself holds it.

    reproduction_number  R at its worst on the way from the healthy to the failed state.
    metastable           some service stays failed that would be healthy, had it not failed once.
    clears               no service stays failed. Neither this nor metastable: too much load in any case.
    stuck                (n,) which services stay failed.
    failure, load        (n,) where the loop settles: share of requests, and requests per second.
    utilisation          (n,) load over capacity when nothing fails.
    amplification        (n,) load when every call fails and nothing is refused, over load when nothing fails: n^d for n
                         attempts in each of d layers. Times utilisation it is the number to show: over 1, it may stick.
    """

    reproduction_number: float
    metastable: bool
    clears: bool
    stuck: NDArray[np.bool_]
    failure: Floats
    load: Floats
    utilisation: Floats
    amplification: Floats


def reproduction_number(loop: Loop, failure: ArrayLike | None = None) -> float:
    """R at an operating point: failing requests that each failing request causes, by one turn of the loop.

    Shapes  failure (n,): share of each service's requests that fail; None: where the loop settles by itself.
    Source  docs/concepts/reproduction-number.md, equation 6. To six digits; under 0.001 it is a bound.
    """
    at = loop.core.settle(np.zeros(len(loop.base)))[0] if failure is None else failure
    return loop.core.radius(at)[0]


def verdict(loop: Loop, failed: ArrayLike | None = None) -> Verdict:
    """Whether the state `failed` clears when the trigger is gone. `failed` None: every service fails altogether."""
    nothing = np.zeros(len(loop.base))
    healthy, _, _ = loop.core.settle(nothing)
    start = np.ones(len(loop.base)) if failed is None else np.asarray(failed, dtype=np.float64)
    failure, load, _ = loop.core.settle(start)
    stuck = failure > STUCK_SHARE
    quiet, storm = loop.core.loads(nothing), loop.core.storm()
    return Verdict(
        reproduction_number=_worst(loop, healthy, start, failure),
        metastable=bool(np.any(stuck & (healthy <= STUCK_SHARE))),
        clears=not np.any(stuck),
        stuck=stuck,
        failure=failure,
        load=load,
        utilisation=quiet / loop.capacity,
        amplification=np.divide(storm, quiet, out=np.ones(len(quiet)), where=quiet > 0.0),
    )


def from_telemetry(
    indptr: Indices,
    indices: Indices,
    *,
    requests: ArrayLike,
    utilisation: ArrayLike,
    edge_requests: ArrayLike,
    attempts: ArrayLike,
    budget: ArrayLike = np.inf,
    need: ArrayLike = 1.0,
    patience: ArrayLike = PATIENCE,
    queue: ArrayLike = QUEUE,
) -> Loop | None:
    """The loop of what was measured in normal operation; None where something is unknown that R depends on.

    Shapes  as Loop's. requests (n,) and edge_requests (E,) per second; utilisation (n,), 0 to 1; NaN: unknown.
    Raises  ValueError that names the argument: below 0, infinite, or of another size.

    A service's utilisation matters where retries can bring load, so where nothing retries, none of them does. A
    utilisation of 0, or of a service without requests, tells no capacity: it is unknown, too.
    """
    start, callee = np.asarray(indptr, dtype=np.int64), np.asarray(indices, dtype=np.int64)
    seen = _measured("requests", requests, len(start) - 1)
    share = _measured("utilisation", utilisation, len(start) - 1)
    on_edge, tries = _measured("edge_requests", edge_requests, len(callee)), _all(attempts, len(callee))
    if np.isnan(seen).any() or np.isnan(on_edge).any() or np.isnan(tries).any():
        return None
    caller = np.repeat(np.arange(len(seen)), np.diff(start))
    by_request = np.divide(on_edge, seen[caller], out=np.zeros(len(callee)), where=seen[caller] > 0.0)
    known = (share > 0.0) & (seen > 0.0)
    if np.any(_below_retries(caller, callee, (tries > 1.0) & (on_edge > 0.0), on_edge > 0.0, len(seen)) & ~known):
        return None
    return Loop(
        indptr,
        indices,
        base=np.maximum(0.0, seen - np.bincount(callee, weights=on_edge, minlength=len(seen))),
        capacity=np.divide(seen, share, out=np.full(len(seen), np.inf), where=known),
        calls=np.minimum(by_request, CALLS_MAX),
        attempts=tries,
        budget=budget,
        need=need,
        patience=patience,
        queue=queue,
    )


def _worst(loop: Loop, healthy: Floats, failed: Floats, settled: Floats) -> float:
    """The largest R at both ends of the way back from `failed`, at points on it, and where it turns from up to down.

    Between two states of rest the mean Jacobian takes their difference to itself, so somewhere R is 1 or more: what was
    seen of the state may lie above both, so where there are two, the way is that between them.
    """
    top = settled if float(np.max(settled - healthy, initial=0.0)) > STUCK_SHARE else failed
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2.0
        at = healthy + middle * (top - healthy)
        rises = float(np.sum(loop.core.turn(at) - at)) > 0.0
        low, high = (low, middle) if rises else (middle, high)
    points = [healthy + t * (top - healthy) for t in (0.0, *POINTS, high)]
    return max(loop.core.radius(np.clip(at, 0.0, 1.0))[0] for at in (*points, failed))


def _below_retries(
    caller: NDArray[np.int64],
    callee: NDArray[np.int64],
    retried: NDArray[np.bool_],
    used: NDArray[np.bool_],
    services: int,
) -> NDArray[np.bool_]:
    """The services that retries can bring load to: callees of retried edges, and all below them."""
    reached = np.zeros(services, dtype=np.bool_)
    reached[callee[retried]] = True
    while True:
        new = used & reached[caller] & ~reached[callee]
        if not new.any():
            return reached
        reached[callee[new]] = True


def _measured(name: str, value: ArrayLike, size: int) -> Floats:
    array = _all(value, size)
    if array.shape != (size,) or np.any((array < 0.0) | np.isinf(array)):
        raise ValueError(f"{name} must be {size} numbers of at least 0, NaN where nothing is known")
    return array


def _all(value: ArrayLike, size: int) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    return np.full(size, array) if array.ndim == 0 else array

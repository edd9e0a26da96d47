"""Whether a failure feeds itself: retries turn failures into load, and load into failures.

One generation of the loop, docs/concepts/reproduction-number.md equations 1 to 5: failure shares decide how often callers
try again, that decides what every service is offered, that decides how full its queue is and so how much of it fails.
The reproduction number is the spectral radius of that map's Jacobian; the verdict is where the map settles.
"""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int32] | NDArray[np.int64]

PATIENCE = (
    100.0  # requests ahead in the queue at which callers have given up, where nobody knows; page, "what is assumed"
)
QUEUE = 1000.0  # requests that may wait, where nobody knows: more than patience, so overload makes answers late
ATTEMPTS_MAX = 100
STUCK_SHARE = 0.05  # failing share of a service that has not recovered
SETTLED = 1e-10  # the map has settled when no failure share moves by more
GENERATIONS_MAX = 1000
RADIUS_TOLERANCE = 1e-9  # relative change of R at which its power iteration ends
ITERATIONS_MAX = 500


class Loop:
    """The load-failure loop over a call graph in CSR form, row = caller, column = callee.

    Shapes  indptr (n + 1,), indices (E,); base, capacity, patience, queue (n,); calls, attempts, budget, need (E,).
    Units   base, capacity  requests per second: what arrives from outside the graph, and what a service completes at most.
            calls           calls per request of the caller, before retries; attempts: per call at most, whole, 1: no retry.
            budget          retries per call at most, on average (a retry budget of 20 % is 0.2); inf: none.
            need            share of the caller's requests that fail when the call fails; 0: there is a fallback.
            patience        requests ahead of an arrival at which its caller will have given up: capacity x time-out.
            queue           requests that may wait; more are refused at once.
    Raises  ValueError that names the argument: shapes that disagree, NaN, below its bounds, capacity 0.
    """

    __slots__ = (
        "attempts", "base", "budget", "calls", "capacity", "indices", "indptr", "need", "patience", "queue",
    )  # fmt: skip

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
        self.indptr, self.indices = _structure(indptr, indices)
        services, edges = len(self.indptr) - 1, len(self.indices)
        self.base = _checked("base", base, services, low=0.0)
        self.capacity = _checked("capacity", capacity, services, low=0.0, open_below=True, infinite=True)
        self.calls = _checked("calls", calls, edges, low=0.0)
        self.attempts = _checked("attempts", attempts, edges, low=1.0, high=ATTEMPTS_MAX)
        if np.any(self.attempts != np.floor(self.attempts)):
            raise ValueError("attempts must be whole numbers: how often a call is made at most")
        self.budget = _checked("budget", budget, edges, low=0.0, infinite=True)
        self.need = _checked("need", need, edges, low=0.0, high=1.0)
        self.patience = _checked("patience", patience, services, low=1.0)
        self.queue = _checked("queue", queue, services, low=1.0)

    @property
    def callers(self) -> NDArray[np.int64]:
        """The caller of each edge."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def with_attempts(self, attempts: ArrayLike) -> "Loop":
        """The same loop with other attempts."""
        return Loop(
            self.indptr, self.indices, base=self.base, capacity=self.capacity, calls=self.calls, attempts=attempts,
            budget=self.budget, need=self.need, patience=self.patience, queue=self.queue,
        )  # fmt: skip


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a failed state once its trigger is gone.

    Shapes  arrays (n,).
    Units   load in requests per second; failure, stuck as shares of a service's requests; utilisation and amplification
            as factors: capacity taken when nothing fails; load when everything fails over load when nothing does.
    """

    reproduction_number: float
    metastable: bool
    """Some service stays failed, though it would be healthy had it not failed once."""
    clears: bool
    """No service stays failed; False with `metastable` False: the load is too much for it in any case."""
    stuck: NDArray[np.bool_]
    failure: Floats
    load: Floats
    utilisation: Floats
    amplification: Floats


def reproduction_number(loop: Loop, failure: ArrayLike | None = None) -> float:
    """R at an operating point: how many further failing requests each failing request causes, by one turn of the loop.

    Shapes  failure (n,): share of each service's requests that fail; None: where the loop settles when nothing has failed.
    """
    at = settle(loop, np.zeros(len(loop.base))) if failure is None else _failure(loop, failure)
    vector = np.ones(len(at))
    radius = 0.0
    for _ in range(ITERATIONS_MAX):
        after = _derivative(loop, at, vector)
        norm = float(np.max(after, initial=0.0))
        if norm == 0.0 or abs(norm - radius) <= RADIUS_TOLERANCE * norm:
            return norm
        radius, vector = norm, after / norm
    return radius


def verdict(loop: Loop, failed: ArrayLike | None = None) -> Verdict:
    """Whether the state `failed` clears when nothing but the loop itself holds it; None: everything has failed."""
    services = len(loop.base)
    start = np.ones(services) if failed is None else _failure(loop, failed)
    healthy = settle(loop, np.zeros(services))
    failure = settle(loop, start)
    stuck = failure > STUCK_SHARE
    quiet, storm = loads(loop, np.zeros(services)), _unshielded(loop)
    return Verdict(
        reproduction_number=reproduction_number(loop, start),
        metastable=bool(np.any(stuck & (healthy <= STUCK_SHARE))),
        clears=not np.any(stuck),
        stuck=stuck,
        failure=failure,
        load=loads(loop, failure),
        utilisation=quiet / loop.capacity,
        amplification=np.divide(storm, quiet, out=np.ones(services), where=quiet > 0),
    )


def settle(loop: Loop, failure: Floats) -> Floats:
    """Where the loop comes to rest from `failure`."""
    for _ in range(GENERATIONS_MAX):
        after = generation(loop, failure)
        if np.max(np.abs(after - failure), initial=0.0) <= SETTLED:
            return after
        failure = after
    return failure


def loads(loop: Loop, failure: Floats) -> Floats:
    """What every service is offered, in requests per second, when `failure` fails: equation 2."""
    tries, _, _, _ = _tries(loop, failure)
    load = loop.base
    for _ in range(GENERATIONS_MAX):
        served = load * (1.0 - _overflow(loop, load)[1])
        after = loop.base + _down(loop, served[loop.callers] * loop.calls * tries)
        if np.array_equal(after, load):
            break
        load = after
    return load


def generation(loop: Loop, failure: Floats) -> Floats:
    """The failure shares one turn of the loop later: equations 2 to 4."""
    overflow = _overflow(loop, loads(loop, failure))[0]
    after = overflow
    for _ in range(GENERATIONS_MAX):
        kept = np.log1p(-loop.need * _tries(loop, after)[2])
        new = 1.0 - (1.0 - overflow) * np.exp(_up(loop, np.maximum(loop.calls, 1.0) * kept))
        if np.array_equal(new, after):
            break
        after = new
    return after


def _overflow(loop: Loop, load: Floats) -> tuple[Floats, Floats]:
    """(share that fails by the service's own queue, share refused because it is full): equation 1."""
    with np.errstate(divide="ignore"):
        log = np.log(load / loop.capacity)
    useful, places = np.minimum(loop.patience, loop.queue), loop.queue + 1.0
    return _ahead(log, useful, places), _ahead(log, loop.queue, places)


def _ahead(log: Floats, least: Floats, places: Floats) -> Floats:
    """P(an arrival finds `least` or more ahead) where at most `places` - 1 wait and `log` is ln(load / capacity)."""
    near = np.abs(log * places) < 1e-9
    safe = np.where(near | ~np.isfinite(log), 1.0, log)
    below = np.minimum(safe, 0.0)
    above = np.maximum(safe, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.exp(least * below) * np.expm1((places - least) * below) / np.expm1(places * below)
        high = np.expm1((least - places) * above) / np.expm1(-places * above)
    share = np.where(safe < 0.0, low, high)
    return np.where(near, 1.0 - least / places, np.where(np.isneginf(log), 0.0, share))


def _tries(loop: Loop, failure: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Per edge: expected attempts and their slope, share of calls that fail for good and its slope: equation 3."""
    failing = failure[loop.indices]
    tries, slope = np.ones(len(failing)), np.zeros(len(failing))
    for left in range(int(np.max(loop.attempts, initial=1.0)) - 1, 0, -1):
        on = loop.attempts > left
        tries, slope = (
            np.where(on & (left < loop.attempts), 1.0 + failing * tries, tries),
            np.where(on, tries + failing * slope, slope),
        )
    held = tries > 1.0 + loop.budget
    tries, slope = np.where(held, 1.0 + loop.budget, tries), np.where(held, 0.0, slope)
    lost = np.clip(1.0 - tries * (1.0 - failing), 0.0, 1.0)
    return tries, slope, lost, tries - slope * (1.0 - failing)


def _derivative(loop: Loop, failure: Floats, vector: Floats) -> Floats:
    """The Jacobian of `generation` at `failure`, times `vector`: equation 5."""
    tries, slope, _, _ = _tries(loop, failure)
    load = loads(loop, failure)
    overflow, refused = _overflow(loop, load)
    step = 1e-6
    rise = (_overflow(loop, load * (1 + step))[0] - _overflow(loop, load * (1 - step))[0]) / np.where(
        load > 0, 2 * step * load, 1.0
    )
    served = load * (1.0 - refused)
    served_rise = (
        load * (1 + step) * (1 - _overflow(loop, load * (1 + step))[1])
        - load * (1 - step) * (1 - _overflow(loop, load * (1 - step))[1])
    ) / np.where(load > 0, 2 * step * load, 1.0)
    rows, source = loop.callers, np.zeros(len(load))
    source = _down(loop, served[rows] * loop.calls * slope * vector[loop.indices])
    more = source
    for _ in range(GENERATIONS_MAX):
        after = source + _down(loop, (served_rise * more)[rows] * loop.calls * tries)
        if np.array_equal(after, more):
            break
        more = after
    failing = generation(loop, failure)
    _, _, lost, lost_rise = _tries(loop, failing)
    power = np.maximum(loop.calls, 1.0)
    log_rise = power * loop.need * lost_rise / np.maximum(1.0 - loop.need * lost, 1e-300)
    own = (1.0 - failing) / np.maximum(1.0 - overflow, 1e-300) * rise * more
    worse = own
    for _ in range(GENERATIONS_MAX):
        after = own + (1.0 - failing) * _up(loop, log_rise * worse[loop.indices])
        if np.array_equal(after, worse):
            break
        worse = after
    return worse


def _unshielded(loop: Loop) -> Floats:
    """What every service is offered when every call fails and nothing is refused: base x n^d, (1 + b)^d with a budget."""
    tries = _tries(loop, np.ones(len(loop.base)))[0]
    load = loop.base
    for _ in range(GENERATIONS_MAX):
        after = loop.base + _down(loop, load[loop.callers] * loop.calls * tries)
        if np.array_equal(after, load):
            break
        load = after
    return load


def _down(loop: Loop, edge: Floats) -> Floats:
    return np.bincount(loop.indices, weights=edge, minlength=len(loop.base))


def _up(loop: Loop, edge: Floats) -> Floats:
    return np.bincount(loop.callers, weights=edge, minlength=len(loop.base))


def _failure(loop: Loop, failure: ArrayLike) -> Floats:
    return _checked("failure", failure, len(loop.base), low=0.0, high=1.0)


def _checked(name: str, value: ArrayLike, size: int, *, low: float, high: float = np.inf, **kind: bool) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0:
        array = np.full(size, float(array))
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), not {array.shape}")
    bad = np.isnan(array) | (array < low) | (array > high)
    if kind.get("open_below"):
        bad |= array == low
    if not kind.get("infinite"):
        bad |= np.isinf(array)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name}[{at}] is {array[at]}; it must be a number from {low} to {high}")
    return np.ascontiguousarray(array)


def _structure(indptr: Indices, indices: Indices) -> tuple[Indices, Indices]:
    start, columns = np.asarray(indptr), np.asarray(indices)
    if start.ndim != 1 or len(start) < 1 or start.dtype.kind != "i":
        raise ValueError("indptr must be a vector of whole numbers, one more than there are services")
    if columns.ndim != 1 or columns.dtype.kind != "i":
        raise ValueError("indices must be a vector of whole numbers, one per edge")
    if start[0] != 0 or start[-1] != len(columns) or np.any(np.diff(start) < 0):
        raise ValueError(f"indptr must rise from 0 to the number of edges, {len(columns)}")
    if len(columns) and (columns.min() < 0 or columns.max() >= len(start) - 1):
        raise ValueError(f"indices must name services, 0 to {len(start) - 2}")
    return start, columns

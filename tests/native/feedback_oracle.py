"""The load-failure loop written down slowly: equations 1 to 4 of docs/concepts/reproduction-number.md.

No derivative is taken here; tests take differences of this.
"""

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.feedback.loop import Loop

Floats = NDArray[np.float64]
AGREE = 1e-14
SWEEPS_MAX = 5000


def ahead(ratio: float, least: float, places: float) -> float:
    """P(an arrival finds `least` or more there): the sum of ratio^k over those states, over that of all."""
    if ratio <= 0.0:
        return 0.0
    if ratio == 1.0:
        return (places - least) / places
    if ratio > 1.0:  # the same, in powers that do not overflow
        return (1.0 - ratio ** (least - places)) / (1.0 - ratio**-places)
    return (ratio**least - ratio**places) / (1.0 - ratio**places)


def tries(attempts: float, budget: float, failing: float) -> float:
    """Expected attempts of a call."""
    return min(sum(failing**k for k in range(int(attempts))), 1.0 + budget)


def edges(loop: Loop) -> list[tuple[int, int, int]]:
    """(edge, caller, callee)."""
    callers = np.repeat(np.arange(len(loop.base)), np.diff(loop.indptr))
    return [(e, int(callers[e]), int(loop.indices[e])) for e in range(len(callers))]


def loads(loop: Loop, failing: Floats) -> Floats:
    """Requests per second that every service is offered."""
    load = loop.base.copy()
    for _ in range(SWEEPS_MAX):
        after = loop.base.copy()
        for e, u, v in edges(loop):
            refused = ahead(load[u] / loop.capacity[u], loop.queue[u], loop.queue[u] + 1.0)
            after[v] += load[u] * (1.0 - refused) * loop.calls[e] * tries(loop.attempts[e], loop.budget[e], failing[v])
        if np.all(np.abs(after - load) <= AGREE * np.maximum(1.0, after)):
            return after
        load = after
    return load


def turn(loop: Loop, failing: Floats) -> Floats:
    """The failure shares one turn later."""
    load = loads(loop, failing)
    useful = np.minimum(loop.patience, loop.queue)
    own = np.array([ahead(load[v] / loop.capacity[v], useful[v], loop.queue[v] + 1.0) for v in range(len(load))])
    now = own.copy()
    for _ in range(SWEEPS_MAX):
        kept = 1.0 - own
        for e, u, v in edges(loop):
            lost = 1.0 - tries(loop.attempts[e], loop.budget[e], now[v]) * (1.0 - now[v])
            kept[u] *= (1.0 - loop.need[e] * lost) ** max(1.0, loop.calls[e])
        if np.all(np.abs(1.0 - kept - now) <= AGREE):
            return 1.0 - kept
        now = 1.0 - kept
    return now


def jacobian(loop: Loop, failing: Floats, step: float = 1e-5) -> Floats:
    """Differences of the loop's own turn, fourth order."""
    columns = []
    for v in range(len(failing)):
        by = np.zeros(len(failing))
        by[v] = step
        near = loop.core.turn(failing + by) - loop.core.turn(failing - by)
        far = loop.core.turn(failing + 2 * by) - loop.core.turn(failing - 2 * by)
        columns.append((8.0 * near - far) / (12.0 * step))
    return np.column_stack(columns)


def dense(loop: Loop, failing: Floats) -> Floats:
    """The Jacobian the kernel applies, written out."""
    return np.column_stack([loop.core.derivative(failing, column) for column in np.eye(len(failing))])


def single(values: Floats) -> Floats:
    """Numbers that single precision holds exactly, as the kernel keeps what edges do."""
    return values.astype(np.float32).astype(np.float64)


def draw(seed: int, *, circles: bool = False) -> tuple[Loop, Floats]:
    """A small loop and a failed state, of services numbered in any order; calls may go in circles."""
    random = np.random.default_rng(seed)
    services = int(random.integers(2, 9))
    pairs = {(int(a), int(b)) for a, b in random.integers(services, size=(2 * services, 2)) if a < b or circles}
    pairs |= {(0, services - 1)}
    place = random.permutation(services)
    rows = sorted((int(place[a]), int(place[b])) for a, b in pairs)
    caller, callee = np.array(rows, dtype=np.int64).T
    size = len(rows)
    loop = Loop(
        np.concatenate([[0], np.cumsum(np.bincount(caller, minlength=services))]),
        callee,
        base=random.uniform(0.0, 100.0, services),
        capacity=np.where(random.random(services) < 0.1, np.inf, random.uniform(50.0, 300.0, services)),
        calls=single(random.uniform(0.0, 0.3 if circles else 1.7, size)),
        attempts=random.integers(1, 5, size),
        budget=np.where(random.random(size) < 0.3, random.uniform(0.0, 0.5, size), np.inf),
        need=np.where(random.random(size) < 0.2, 0.0, single(random.uniform(0.2, 1.0, size))),
        patience=random.uniform(1.0, 60.0, services),
        queue=random.uniform(1.0, 200.0, services),
    )
    return loop, random.uniform(0.01, 0.99, services)

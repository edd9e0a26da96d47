"""A backlog is a second trigger: what waited in a full queue comes out as fast as the service can.

For as long as that takes its callees get more than their usual load, and where that fills a queue beyond what callers
wait for, they begin to fail although nothing was wrong with them. docs/concepts/reproduction-number.md, "the backlog".
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane.decide.feedback.loop import Floats, Loop

LAYERS_MAX = 100
SHUT = 1e-9  # of its capacity: a service that answers nothing in time


def after_backlog(loop: Loop, failed: ArrayLike, backlog: ArrayLike) -> Floats:
    """The failed state that `failed` has become when its backlog is drained; start the verdict from it.

    Shapes  failed (n,) shares; backlog (n,) requests that wait in each service's queue as the trigger ends.
    Raises  ValueError that names the argument, for a share out of 0 to 1 or a backlog below 0 or NaN.
    """
    waiting = np.asarray(backlog, dtype=np.float64)
    if waiting.shape != loop.base.shape or not np.all(waiting >= 0.0):
        raise ValueError(f"backlog must be {len(loop.base)} numbers of at least 0")
    start = np.array(failed, dtype=np.float64)
    load = loop.core.loads(start)
    room = np.where(np.isfinite(loop.capacity), loop.capacity - load, 0.0)
    drains = (waiting > 0.0) & (room > 0.0)
    if not drains.any():
        return start
    seconds = np.divide(waiting, room, out=np.zeros(len(load)), where=drains)
    surge = loop.replace(base=loop.base + np.where(drains, room, 0.0)).core.loads(start)
    gained = np.maximum(0.0, surge - loop.capacity) * _lasting(loop, seconds)
    useful = np.minimum(loop.patience, loop.queue)
    tripped = (gained > 0.0) & (waiting + gained >= useful) & ~drains
    if not tripped.any():
        return start
    refusing = loop.queue <= loop.patience
    excess = 1.0 - np.divide(loop.capacity, surge, out=np.ones(len(load)), where=tripped)
    start[tripped] = np.maximum(start, np.where(refusing, excess, 1.0))[tripped]
    shut = loop.replace(capacity=np.where(tripped & ~refusing, loop.capacity * SHUT, loop.capacity))
    return np.maximum(start, shut.core.turn(start))  # who needs them fails, too


def _lasting(loop: Loop, seconds: Floats) -> Floats:
    """For how long a surge comes by to each service: the longest of those above it."""
    callee: NDArray[np.int64] = np.asarray(loop.indices, dtype=np.int64)
    caller = np.repeat(np.arange(len(seconds)), np.diff(loop.indptr))
    longest = seconds.copy()
    for _ in range(LAYERS_MAX):
        before = longest.copy()
        np.maximum.at(longest, callee, before[caller])
        if np.array_equal(before, longest):
            break
    return longest

"""Retry containment: the fewest edges whose retries to stop so that a failure no longer feeds itself.

Stopped retries cost little: the calls that a retry would have saved. So as few edges as suffice are chosen, and it is
said when none do. Greedy, by what an edge's retries cost the services that have too much load; then each choice is
undone that the later ones have made needless; of thousands of edges, several at a time.
Source: docs/concepts/reproduction-number.md, "which retries to stop".
"""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane.decide.feedback.loop import Floats, Loop, Verdict, verdict

EXCESS_MIN = 0.01  # of capacity: services that are just full do not outweigh all others
STEPS = 1000  # of more retrying edges than these, so many at a time are stopped that it takes no more steps
SWEEPS_MAX = 100  # layers of calls through which a retry's load is followed


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """Which edges to take the retries from: positions in the loop's CSR arrays, the costliest first.

    enough  False: not even stopping all of them clears it; then `edges` is empty, for it would cost and not help.
    before  the verdict as it is; after: as it will be.
    """

    edges: NDArray[np.int64]
    enough: bool
    before: Verdict
    after: Verdict


def contain_retries(loop: Loop, failed: ArrayLike | None = None) -> Retries:
    """The edges whose retries to stop, so that R < 1 on the way and the state `failed` clears. None: all has failed."""
    before = verdict(loop, failed)
    nothing = np.zeros(0, dtype=np.int64)
    if not feeds_itself(before):
        return Retries(edges=nothing, enough=True, before=before, after=before)
    if feeds_itself(verdict(loop.replace(attempts=1.0), failed)):
        return Retries(edges=nothing, enough=False, before=before, after=before)
    attempts, chosen, after = loop.attempts.copy(), [], before
    step = 1 + int(np.sum(attempts > 1.0)) // STEPS  # one by one, where they are few
    while feeds_itself(after):
        edges = _costliest(loop, attempts, after, failed)[:step]
        attempts[edges] = 1.0
        chosen += edges.tolist()
        after = verdict(loop.replace(attempts=attempts), failed)
    blocks = [chosen[at : at + step] for at in range(0, len(chosen), step)]
    singles = [[edge] for edge in blocks[-1]] if step > 1 else []
    for edges in (*reversed(singles), *reversed(blocks[:-1])):
        attempts[edges] = loop.attempts[edges]
        without = verdict(loop.replace(attempts=attempts), failed)
        if feeds_itself(without):
            attempts[edges] = 1.0
        else:
            chosen = [edge for edge in chosen if edge not in edges]
            after = without
    return Retries(edges=np.array(chosen, dtype=np.int64), enough=True, before=before, after=after)


def feeds_itself(found: Verdict) -> bool:
    """Whether the failed state stays, or a failure on its way back causes more than one other."""
    return not found.clears or found.reproduction_number >= 1.0


def _costliest(loop: Loop, attempts: Floats, now: Verdict, failed: ArrayLike | None) -> NDArray[np.int64]:
    """One retrying edge per callee, by the load it brings to where there is too much, through all layers below."""
    services, callee = len(loop.base), np.asarray(loop.indices)
    caller = np.repeat(np.arange(services), np.diff(loop.indptr))
    start = np.ones(services) if failed is None else np.asarray(failed, dtype=np.float64)
    failing = start if now.clears else now.failure
    tries = _tries(attempts, loop.budget, failing[callee])
    load = loop.replace(attempts=attempts).core.loads(failing)
    full = load / loop.capacity
    over = full >= min(1.0, float(np.max(full, initial=0.0)))
    worth = np.where(over & (full > 0.0), 1.0 / (loop.capacity * np.maximum(full - 1.0, EXCESS_MIN)), 0.0)
    passed = loop.calls * tries
    total = worth
    for _ in range(SWEEPS_MAX):  # what a request more costs: here, and by the calls it makes where there is room for it
        below = np.bincount(caller, weights=passed * total[callee], minlength=services)
        after = worth + np.where(full < 1.0, below, 0.0)
        if np.allclose(after, total, rtol=1e-9, atol=0.0):
            break
        total = after
    costs = np.minimum(load, loop.capacity)[caller] * loop.calls * (tries - 1.0) * total[callee]
    order = np.argsort(-np.where(attempts > 1.0, costs, -1.0), kind="stable")
    order = order[: int(np.sum(attempts > 1.0))]
    first = np.unique(callee[order], return_index=True)[1]
    best: NDArray[np.int64] = order[np.sort(first)].astype(np.int64)
    return best  # one per callee: after it, its others cost less than they seem to now


def _tries(attempts: Floats, budget: Floats, failing: Floats) -> Floats:
    """Expected attempts per call while its callee fails so: equation 3."""
    certain = failing >= 1.0
    by_chance = (1.0 - failing**attempts) / np.where(certain, 1.0, 1.0 - failing)
    return np.minimum(np.where(certain, attempts, by_chance), 1.0 + budget)

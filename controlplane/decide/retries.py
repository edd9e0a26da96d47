"""Retry containment: the fewest edges whose retries to stop so that a failure no longer feeds itself.

Stopped retries cost little: the calls that a retry would have saved. So as few edges as suffice are chosen, and it is
said when none do. docs/concepts/reproduction-number.md, "containment".
"""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane.decide.feedback import Loop, Verdict, verdict


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """Which edges to take the retries from, as CSR positions of the loop's graph, in the order they were chosen.

    `enough` False: not even all of them suffice; then `edges` is empty, for stopping them would not clear it.
    """

    edges: NDArray[np.int64]
    enough: bool
    before: Verdict
    after: Verdict


def contain_retries(loop: Loop, failed: ArrayLike | None = None) -> Retries:
    """The edges of `loop` whose retries to stop, so that R < 1 and the state `failed` clears; see Retries."""
    before = verdict(loop, failed)
    nothing = np.zeros(0, dtype=np.int64)
    if not holds(before):
        return Retries(edges=nothing, enough=True, before=before, after=before)
    if holds(verdict(loop.replace(attempts=1.0), failed)):
        return Retries(edges=nothing, enough=False, before=before, after=before)
    caller = np.repeat(np.arange(len(loop.base)), np.diff(loop.indptr))
    attempts, chosen, after = loop.attempts.copy(), [], before
    while holds(after):
        costs = loop.calls * np.minimum(attempts - 1.0, loop.budget) * after.load[caller]
        edge = int(np.argmax(np.where(attempts > 1.0, costs, -1.0)))
        attempts[edge] = 1.0
        chosen.append(edge)
        after = verdict(loop.replace(attempts=attempts), failed)
    return Retries(edges=np.array(chosen, dtype=np.int64), enough=True, before=before, after=after)


def holds(found: Verdict) -> bool:
    """Whether the failure feeds itself: it would stay, or each failing request causes more than one other."""
    return found.metastable or found.reproduction_number >= 1.0

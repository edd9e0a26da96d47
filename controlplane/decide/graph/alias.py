"""Names that mean another service: a load balancer in front of a service is not a second culprit.

An undeclared service that calls exactly one other, as often as it is called, with the same failures and hardly any time
of its own, is a name for that other one. As soon as it fails or loses calls by itself it stands for itself again.
"""

from collections.abc import Callable, Container, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.graph.bucket import CALLS, CLIENT_NS, FAILURES, TIMED
from controlplane.decide.graph.register import Register
from controlplane.model.graph import Alias

RELAYED_CALLS_MIN = 100  # fewer are equal by chance too easily
APART = 0.02  # by which share two counts of the same calls may differ: they are not read at one instant
APART_NOW = 0.10  # in the newest buckets, where that instant weighs more
OWN_TIME = 0.10  # share of the time that a relay may take for itself

Sums = Callable[[Sequence[int]], NDArray[np.int64]]
"""Given edges, what each of them counted: (edges, WORDS)."""


def relays(register: Register, names: Iterable[str], sums: Sums, newest: Sums, declared: Container[str]) -> list[Alias]:
    """Those of `names` that merely relay to one other service, by name; `sums` over all buckets, `newest` of late."""
    found = []
    for name in sorted(names):
        out = register.out.get(name)
        if not name or name in declared or out is None or len(out) != 1:
            continue
        into = register.into.get(name)
        ((callee, edge),) = out.items()
        if into is None or callee in into:
            continue
        ends = [*into.values(), edge]
        if _same(sums(ends), APART, RELAYED_CALLS_MIN) and _same(newest(ends), APART_NOW, 0):
            found.append(Alias(name, callee, "inferred"))
    return found


def _same(counts: NDArray[np.int64], apart: float, calls_min: int) -> bool:
    """Whether what goes in (all rows but the last) comes out (the last): calls, failures and, where known, time."""
    one, other = counts[:-1].sum(axis=0), counts[-1]
    calls = int(one[CALLS])
    if calls < calls_min or abs(calls - int(other[CALLS])) > apart * calls:
        return False
    if abs(int(one[FAILURES]) - int(other[FAILURES])) > apart * calls:
        return False
    if not one[TIMED] or not other[TIMED]:
        return True
    return bool(one[CLIENT_NS] / one[TIMED] * (1 - OWN_TIME) <= other[CLIENT_NS] / other[TIMED])

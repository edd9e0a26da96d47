"""Names that mean another service: a load balancer in front of a service is not a second culprit.

An undeclared service that calls exactly one other, as often as it is called, with the same failures and hardly any time
of its own, is a name for that other one. As soon as it fails or loses calls by itself it stands for itself again.
"""

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.graph.bucket import CALLS, CLIENT_NS, FAILURES, TIMED
from controlplane.decide.graph.register import OUTSIDE, Register
from controlplane.model.graph import Alias

RELAYED_CALLS_MIN = 100  # fewer are equal by chance too easily
APART = 0.02  # by which share two counts of the same calls may differ: they are not read at one instant
APART_NOW = 0.10  # in the newest buckets, where that instant weighs more
OWN_TIME = 0.10  # share of the time that a relay may take for itself

Sums = NDArray[np.int64]


def relays(register: Register, sums: Sums, newest: Sums, declared: set[str]) -> list[Alias]:
    """Services that merely relay to one other, by name. Shapes  `sums` over all buckets, `newest`: (edges, WORDS)."""
    onward: dict[int, list[int]] = {}
    inward: dict[int, list[int]] = {}
    for edge in register.edges.values():
        onward.setdefault(register.caller[edge], []).append(edge)
        inward.setdefault(register.callee[edge], []).append(edge)
    found = []
    for name, number in sorted(register.number.items()):
        out, into = onward.get(number, []), inward.get(number, [])
        if name in declared or number == OUTSIDE or len(out) != 1 or not into:
            continue
        if register.callee[out[0]] == number or register.callee[out[0]] in {register.caller[edge] for edge in into}:
            continue
        if _same(sums, into, out[0], APART, RELAYED_CALLS_MIN) and _same(newest, into, out[0], APART_NOW, 0):
            found.append(Alias(name, register.names[register.callee[out[0]]], "inferred"))
    return found


def _same(sums: Sums, into: list[int], out: int, apart: float, calls_min: int) -> bool:
    """Whether what goes in comes out: calls, failures and, where it is known, time."""
    one, other = sums[into].sum(axis=0), sums[out]
    calls = int(one[CALLS])
    if calls < calls_min or abs(calls - int(other[CALLS])) > apart * calls:
        return False
    if abs(int(one[FAILURES]) - int(other[FAILURES])) > apart * calls:
        return False
    if not one[TIMED] or not other[TIMED]:
        return True
    return bool(one[CLIENT_NS] / one[TIMED] * (1 - OWN_TIME) <= other[CLIENT_NS] / other[TIMED])

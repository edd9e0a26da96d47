"""The exact rate of false alarms of one CUSUM on a lattice (Brook and Evans 1972), with nothing but numpy.

The sum is a Markov chain on the multiples of `unit` below its limit. What is left of it after many calls without a
verdict settles to a law of its own; the share that then crosses at each call is the rate, and 1 / rate the mean number
of calls to a false alarm. Increments are rounded so that the rate is never told too small.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CALLS_MAX = 4_000
SETTLED = 1e-4  # relative change of the rate in CHECK_CALLS
CHECK_CALLS = 100


def false_alarms(increments: Sequence[int], chances: Sequence[float], limit: int, *, unit: int = 10) -> float:
    """False alarms a call of a sum with these increments (mnat) at these chances, once it has settled."""
    states = max(1, -(-limit // unit))
    moves: dict[int, float] = {}
    for increment, chance in zip(increments, chances, strict=True):
        if chance > 0:
            step = math.ceil(increment / unit)
            moves[step] = moves.get(step, 0.0) + chance
    law = np.zeros(states)
    law[0] = 1.0
    rate = before = 0.0
    for call in range(1, CALLS_MAX + 1):
        law, rate = _after(law, moves)
        if call % CHECK_CALLS == 0:
            if abs(rate - before) <= SETTLED * rate:
                break
            before = rate
    return rate


def _after(law: NDArray[np.float64], moves: dict[int, float]) -> tuple[NDArray[np.float64], float]:
    """The law one call later, given no verdict; and the chance of one."""
    states, crossed = len(law), 0.0
    after = np.zeros(states)
    for step, chance in moves.items():
        if step >= states:
            crossed += chance
        elif step > 0:
            after[step:] += chance * law[: states - step]
            crossed += chance * float(law[states - step :].sum())
        else:
            down = min(-step, states)
            after[: states - down] += chance * law[down:]
            after[0] += chance * float(law[:down].sum())
    return after / max(1.0 - crossed, 1e-300), crossed

"""The incident's neighbourhood out of a whole call graph: what lies between the origin and the protected entries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.choose import Rule, choose
from controlplane.model.plan import Choice
from controlplane.model.situation import HORIZON_S, Retries, Situation

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


def plan_for(
    names: Sequence[str],
    indptr: Ints,
    indices: Ints,
    *,
    origin: int,
    failing: float | None,
    traffic: Floats,
    requests: Floats,
    entries: Sequence[int] = (),
    slow: float | None = None,
    soft: NDArray[np.bool_] | None = None,
    blast: Floats | None = None,
    impact_s: Floats | None = None,
    retries: Retries | None = None,
    changed: str = "",
    capacity: float | None = None,
    horizon_s: float = HORIZON_S,
    forbidden: Rule | None = None,
) -> Choice:
    """The containment for a failure at `origin`: the same choice for a recording and for the live graph.

    Shapes  rows of the CSR graph are callers: names, requests, blast, impact_s (n,); traffic, soft (E,) in CSR order.
    Units   traffic and requests per second; failing, slow and blast are shares; impact_s in seconds. NaN: unknown.
    """
    assert len(indptr) == len(names) + 1
    assert len(indices) == len(traffic)
    del failing, requests, entries, slow, soft, blast, impact_s, retries, changed, capacity
    return choose(Situation(origin=names[origin], horizon_s=horizon_s), forbidden=forbidden)

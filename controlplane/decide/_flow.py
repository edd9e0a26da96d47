"""Blame flow in numpy. `share_of_blame` is the only door: the native `blame_flow` can stand behind it."""

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.window import Floats

ROUNDS_MAX = 200
LEFT_MIN = 1e-9


def share_of_blame(
    edges: NDArray[np.int64], *, excess: Floats, edge_excess: Floats, local: Floats, source: Floats
) -> tuple[Floats, float]:
    """(share of each service, unexplained): what arrives stays in proportion to a service's own excess, and goes on
    along its calls in proportion to theirs. Semantics of `decide.propagation.blame_flow`.
    """
    services = len(excess)
    total = float(source.sum())
    share = np.zeros(services)
    if total <= 0:
        return share, 0.0
    callers, callees = edges[:, 0], edges[:, 1]
    out = np.bincount(callers, weights=edge_excess, minlength=services)
    own = np.maximum(local, excess - out)
    whole = own + out
    keep = np.where(whole > 0, own / np.where(whole > 0, whole, 1.0), 0.0)
    part = np.where(whole[callers] > 0, edge_excess / np.where(whole[callers] > 0, whole[callers], 1.0), 0.0)
    arriving = source / total
    for _ in range(ROUNDS_MAX):
        share += arriving * keep
        arriving = np.bincount(callees, weights=arriving[callers] * part, minlength=services).astype(np.float64)
        if arriving.sum() < LEFT_MIN:
            break
    return share, max(0.0, 1.0 - float(share.sum()))

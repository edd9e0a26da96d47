"""What is normal, and by how much something exceeds it: robust, so that a few bad buckets teach nothing.

    centre = median of the normal buckets
    bound  = centre + BOUND_SPREADS * max(1.4826 * MAD, floor)

1.4826 MAD is the standard deviation of a normal distribution; unlike one, it is not moved by the tenth of buckets that
an earlier incident left behind. The floor keeps a signal that never varied from making every ripple an excess.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAD_TO_SIGMA = 1.4826  # of a normal distribution
BOUND_SPREADS = 3.0
BUCKETS_MIN = 3  # fewer known normal buckets say nothing about what is normal


def median(values: Floats) -> Floats:
    """The median of each column of `values` (T, k), NaN where nothing is known. A tenth of numpy.nanmedian's time."""
    ordered = np.sort(values, axis=0)  # what is not known comes last
    known = np.isfinite(values).sum(axis=0)
    columns = np.arange(values.shape[1])
    middle = np.full(values.shape[1], np.nan)
    there = known > 0
    if there.any():
        low, high = ordered[(known - 1)[there] // 2, columns[there]], ordered[known[there] // 2, columns[there]]
        middle[there] = (low + high) / 2.0
    return middle


def robust(normal: Floats, *, floor: float | Floats) -> tuple[Floats, Floats]:
    """(centre, bound) of each column of `normal`; NaN where fewer than BUCKETS_MIN buckets are known.

    Shapes  normal: (T, k), NaN where nothing is known; floor: a number or (k,); both results (k,).
    Units   those of `normal`.
    Source  docs/concepts/blame.md, equation 1.
    """
    known = np.isfinite(normal).sum(axis=0) >= BUCKETS_MIN
    centre = median(normal)
    spread = MAD_TO_SIGMA * median(np.abs(normal - centre))
    bound = centre + BOUND_SPREADS * np.maximum(spread, floor)
    return np.where(known, centre, np.nan), np.where(known, bound, np.nan)

"""What is normal, and by how much something exceeds it: robust, so that a few bad buckets teach nothing.

    centre = median of the normal buckets
    bound  = centre + BOUND_SPREADS * max(1.4826 * MAD, floor)

1.4826 MAD is the standard deviation of a normal distribution; unlike one, it is not moved by the tenth of buckets that
an earlier incident left behind. The floor keeps a signal that never varied from making every ripple an excess.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAD_TO_SIGMA = 1.4826  # of a normal distribution
BOUND_SPREADS = 3.0
BUCKETS_MIN = 3  # fewer known normal buckets say nothing about what is normal


def robust(normal: Floats, *, floor: float | Floats) -> tuple[Floats, Floats]:
    """(centre, bound) of each column of `normal`; NaN where fewer than BUCKETS_MIN buckets are known.

    Shapes  normal: (T, k), NaN where nothing is known; floor: a number or (k,); both results (k,).
    Units   those of `normal`.
    Source  docs/concepts/blame.md, equation 1.
    """
    known = np.isfinite(normal).sum(axis=0) >= BUCKETS_MIN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without data are NaN, and meant to be
        centre = np.nanmedian(normal, axis=0)
        spread = MAD_TO_SIGMA * np.nanmedian(np.abs(normal - centre), axis=0)
    bound = centre + BOUND_SPREADS * np.maximum(spread, floor)
    return np.where(known, centre, np.nan), np.where(known, bound, np.nan)

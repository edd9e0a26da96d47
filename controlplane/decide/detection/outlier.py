"""Which endpoints of a service behave unlike their siblings: no baseline is needed, and nobody is one when all move.

Each endpoint is compared with all others pooled. What tells them apart is the likelihood ratio of "two shares" against
"one share" (the G statistic, halved): under one share its chance to exceed g is below exp(-g), so the limit is
ln(tests / false_alarm), all tests together. A difference must also matter: what many calls prove can be too small to
act on.
"""

import math

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Figures = NDArray[np.float64]

SHARE_APART_MIN = 0.05  # as the smallest change that the detector looks for
FACTOR_MIN = 1.5
MARKS = (0.5, 0.9)  # quantiles of the siblings' latency, beyond which answers are counted
OUTLIERS_MAX = 0.5  # of the endpoints; if more than these differ, they are not the odd ones


def late_outliers(counts: Counts, values_ns: Counts, false_alarm: float) -> list[int]:
    """Endpoints that answer more slowly than their siblings, by index; failures are not looked at.

    Shapes  counts: (endpoints, bins), successful calls by latency; values_ns: (bins,), rising.
    Raises  ValueError when the shapes disagree.
    """
    endpoints, bins = counts.shape
    if values_ns.shape != (bins,):
        raise ValueError(f"values_ns must have the shape ({bins},), not {values_ns.shape}")
    siblings = counts.sum(axis=0)[None, :] - counts
    calls, others = counts.sum(axis=1), siblings.sum(axis=1)
    found = np.zeros(endpoints, bool)
    for mark in MARKS:
        at = _quantile_bin(siblings, mark)
        beyond = np.arange(bins)[None, :] > at[:, None]
        nats, apart = _apart(calls, (counts * beyond).sum(axis=1), others, (siblings * beyond).sum(axis=1))
        found |= (nats >= math.log(endpoints * len(MARKS) / false_alarm)) & (apart >= SHARE_APART_MIN)
    matters = values_ns[_quantile_bin(counts, 0.5)] >= FACTOR_MIN * values_ns[_quantile_bin(siblings, 0.5)]
    return _odd(found & matters)


def _apart(
    calls: Counts, bad: Counts, others: Counts, others_bad: Counts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nats that tell each endpoint's share from its siblings', and how much it is higher; 0 where one has no calls."""
    known = (calls > 0) & (others > 0)
    own = np.divide(bad, calls, out=np.zeros(len(calls)), where=known)
    rest = np.divide(others_bad, others, out=np.zeros(len(calls)), where=known)
    both = np.divide(bad + others_bad, calls + others, out=np.zeros(len(calls)), where=known)
    nats = calls * _divergence(own, both) + others * _divergence(rest, both)
    return np.where(known & (own > rest), nats, 0.0), np.where(known, own - rest, 0.0)


def _divergence(share: Figures, against: Figures) -> Figures:
    """Kullback-Leibler, of two shares; 0 ln 0 is 0, and `against` is 0 or 1 only where `share` is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(share > 0, share * np.log(share / against), 0.0)
        other = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - against)), 0.0)
    return np.asarray(one + other)


def _quantile_bin(counts: Counts, quantile: float) -> NDArray[np.intp]:
    """The bin that holds the quantile, of each row; the first one where a row is empty."""
    rising = counts.cumsum(axis=1)
    return np.asarray((rising < quantile * rising[:, -1:]).sum(axis=1).clip(max=counts.shape[1] - 1))


def _odd(found: NDArray[np.bool_]) -> list[int]:
    if found.sum() > OUTLIERS_MAX * len(found):
        return []
    return [int(index) for index in np.flatnonzero(found)]

"""By how much a signal exceeds normal operation while the incident lasts, and how surprising that is.

The incident's buckets are taken together, weighed by their requests. Two figures come out for each column, because two
questions are asked of it:

    surprise = (seen - centre) / ((bound - centre) * caution)      is it real?       1 is the bound
    mass     = requests * (seen - bound)                           how much is it?   seconds or failures, never below 0

`caution` widens the bound where little is known: few normal buckets (a spread estimated from n of them has the tails of
Student's t, not of a normal distribution) and fewer requests in the incident than usual (their mean varies more).
"""

import msgspec
import numpy as np

from controlplane.decide.analysis.baseline import Floats, median, robust

LATENCY_FLOOR = 0.05  # of the median: a service that varies less than this is still allowed to
ERROR_FLOOR = 0.002  # of requests
COUNT_SPREADS = 3.0  # standard deviations of a count of failures
UNCOUNTED = 1.5  # of how many requests a share is one is not known: of a quiet service's, it varies as it likes
SEVERAL = 3  # buckets from which most of them must exceed: one spike among several is no incident
SMALL_SAMPLE = 5.0  # 1 + 5 / n: Student's t over the normal distribution at a tail of 1e-4, within 10 % from n = 6


class Excess(msgspec.Struct, frozen=True):
    """One signal of k columns: what is normal, what the incident showed, its surprise and its mass.

    Shapes  all (k,). NaN: nothing is known; `surprise` and `mass` are 0 there.
    Units   centre, bound, seen: the signal's; requests: a count; mass: the signal's times requests.
    """

    centre: Floats
    bound: Floats
    seen: Floats
    requests: Floats
    surprise: Floats
    mass: Floats


def excess(values: Floats, incident_at: int, *, requests: Floats, floor: Floats | float) -> Excess:
    """Judge `values` (T, k), weighed by `requests` (T, k, no NaN); `floor`, (k,) or a number, in the signal's unit."""
    normal, incident = values[:incident_at], values[incident_at:]
    known = np.isfinite(normal)
    centre, bound = robust(normal, floor=np.nan_to_num(floor))
    weights = np.where(np.isfinite(incident), requests[incident_at:], 0.0)
    total = weights.sum(axis=0)
    seen = np.where(weights > 0, incident * weights, 0.0).sum(axis=0) / np.where(total > 0, total, np.nan)
    per_bucket = total / np.maximum(1, (weights > 0).sum(axis=0))
    usual = np.nan_to_num(median(np.where(known, requests[:incident_at], np.nan)))
    thin = np.sqrt(np.maximum(1.0, usual / np.where(per_bucket > 0, per_bucket, np.inf)))
    caution = (1.0 + SMALL_SAMPLE / np.maximum(1, known.sum(axis=0))) * thin
    allowed = np.where(bound > centre, bound - centre, np.nan) * caution
    typical = np.where(np.isfinite(incident).sum(axis=0) >= SEVERAL, median(incident), seen)
    surprise = np.nan_to_num((np.fmin(seen, typical) - centre) / allowed)
    mass = np.nan_to_num(np.maximum(0.0, seen - bound) * total)
    return Excess(centre, bound, seen, total, surprise, np.where(surprise > 1.0, mass, 0.0))


def failures(ratio: Floats, incident_at: int, *, requests: Floats, counted: bool) -> Excess:
    """As `excess`, of error shares; one failing request of a quiet service is no surprise, however large its share.

    `counted`: the requests are counts, not the weights that stand in for them.
    """
    found = excess(ratio, incident_at, requests=requests, floor=ERROR_FLOOR)
    if not counted:
        surprise = found.surprise / UNCOUNTED
        return Excess(
            found.centre, found.bound, found.seen, found.requests, surprise, np.where(surprise > 1.0, found.mass, 0.0)
        )
    expected = np.nan_to_num(found.centre) * found.requests
    failing = np.nan_to_num(found.seen) * found.requests
    by_count = (failing - expected) / (COUNT_SPREADS * np.sqrt(expected + 1.0))
    surprise = np.minimum(found.surprise, by_count)
    mass = np.where(surprise > 1.0, found.mass, 0.0)
    return Excess(found.centre, found.bound, found.seen, found.requests, surprise, mass)


def latencies(values: Floats, incident_at: int, *, requests: Floats) -> Excess:
    """As `excess`, of mean times in seconds."""
    return excess(values, incident_at, requests=requests, floor=LATENCY_FLOOR * median(values[:incident_at]))


def filled(requests: Floats | None, incident_at: int, shape: tuple[int, int]) -> Floats:
    """Requests without gaps: unknown ones are the column's normal median; without any count a bucket weighs 1."""
    if requests is None:
        return np.ones(shape)
    usual = median(requests[:incident_at])
    every = float(median(usual[:, None])[0]) if usual.size else 1.0
    usual = np.where(np.isfinite(usual), usual, every if np.isfinite(every) else 1.0)
    return np.where(np.isfinite(requests), requests, usual)

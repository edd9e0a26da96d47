"""The textbook tests for a failing endpoint, as their systems describe them, in calls.

None of them knows slow answers. So that they are not left out where nothing fails, a slow answer is a failure to them:
one beyond the p99 of healthy traffic, which they are told exactly.
"""

import numpy as np
from numpy.typing import NDArray

CONSECUTIVE = 5  # Envoy's consecutive_5xx
WINDOW_CALLS, WINDOW_SHARE = 20, 0.5  # a sliding window of calls, half of which failed
HOSTS = 10  # Envoy's success-rate outlier asks for at least 5 that had 100 requests in the interval
STDEVS = 1.9  # its success_rate_stdev_factor
INTERVAL_CALLS = 1_000  # of each host: 100 requests a second at the default interval of 10 s
CALLS_MAX = 20_000  # a rival that has not found the change by then is said to need so many
SWEEPS_MAX = 30


def consecutive(share: float) -> float:
    """Mean calls until so many in a row have failed: exact."""
    if share >= 1:
        return CONSECUTIVE
    return float((1 - share**CONSECUTIVE) / ((1 - share) * share**CONSECUTIVE))


def ratio_in_window(base: float, share: float, trials: int, rng: np.random.Generator) -> float:
    """Mean calls until half of the last so many failed, after a window of healthy calls; at most CALLS_MAX."""
    window = rng.random((trials, WINDOW_CALLS)) < base
    failed = window.sum(axis=1)
    delays = np.full(trials, CALLS_MAX)
    going = np.ones(trials, bool)
    for call in range(CALLS_MAX):
        slot = call % WINDOW_CALLS
        result = rng.random(trials) < share
        failed += result.astype(int) - window[:, slot]
        window[:, slot] = result
        found = going & (failed >= WINDOW_SHARE * WINDOW_CALLS)
        delays[found] = call + 1
        going &= ~found
        if not going.any():
            break
    return float(delays.mean())


def success_rate_outlier(base: float, share: float, trials: int, rng: np.random.Generator) -> float:
    """Mean calls to the first sweep that ejects the host, whose change came at a random call of an interval."""
    at = rng.integers(0, INTERVAL_CALLS, trials)  # healthy calls before the change in its interval
    delays = np.full(trials, INTERVAL_CALLS * SWEEPS_MAX)
    going = np.ones(trials, bool)
    for sweep in range(SWEEPS_MAX):
        bad = INTERVAL_CALLS - at if sweep == 0 else np.full(trials, INTERVAL_CALLS)
        failures = rng.binomial(INTERVAL_CALLS - bad, base) + rng.binomial(bad, share)
        found = going & _ejected(failures, base, rng)
        delays[found] = (INTERVAL_CALLS * (sweep + 1) - at)[found]
        going &= ~found
        if not going.any():
            break
    return float(delays.mean())


def success_rate_false_alarms(base: float, sweeps: int, rng: np.random.Generator) -> float:
    """How often a call of a healthy host leads to its ejection all the same."""
    healthy = rng.binomial(INTERVAL_CALLS, base, sweeps)
    return float(_ejected(healthy, base, rng).mean() / INTERVAL_CALLS)


def _ejected(failures: NDArray[np.int64], base: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    others = rng.binomial(INTERVAL_CALLS, base, (len(failures), HOSTS - 1))
    rates = 1 - np.column_stack([failures, others]) / INTERVAL_CALLS
    ejected: NDArray[np.bool_] = rates[:, 0] < rates.mean(axis=1) - STDEVS * rates.std(axis=1)
    return ejected

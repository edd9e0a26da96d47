"""Ours against the best textbook policy of the same worlds: medians, their ratio with its confidence, how often worse.

`ratio` is that of the two medians over worlds, the reading of "so many times lower in the median" that is compared with
what was promised. The median of each world's own ratio and the ratio of the sums stand beside it: where most worlds end
alike under every policy the first is 1, and a few great losses decide the other.

The best policy is chosen after the fact for each class and each measure, the one with the lowest median: nobody could
have known which one to install, so it is a harder rival than any real one.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.bench.campaign.run import OURS, Run

RESAMPLES: Final = 2_000
CONFIDENCE: Final = 0.95
LEAST: Final[Mapping[str, float]] = {"failed": 1.0, "slow": 1.0, "blast_services": 1.0, "blast_seconds": 1.0}
"""What a median counts as at least where it is divided: one request, one service, one second. No ratio is infinite."""
PLAIN: Final = "plain"  # protects nothing: what it loses above the bound is what could be avoided
NOISE_SHARE: Final = 0.001
"""Of a world's requests: so many fail by chance in any of them, and two runs of one world draw differently. Up to that
there is no difference."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One measure over some worlds. `ratio`: best over ours, so above 1 we are better; `low`, `high`: its confidence.

    worse   share of worlds in which ours is worse than the best policy by more than chance.
    paired  median over worlds of each world's own ratio, beside the ratio of the medians.
    summed  ratio of the sums over all worlds.
    bound   median of what somebody loses who knows the fault at once; None where nobody computed it.
    at_most best over `bound`: the ratio that nobody can exceed.
    spared  of what the best policy loses above the bound, over all worlds, the share that ours does not lose; below 0
            where ours loses more. None where there is nothing above it.
    avoided, best_avoided  of what `plain` loses above that bound, over all worlds, the share that ours, and the policy
            that is best by that measure, do not lose. None where `plain` did not run or loses no more than the bound.
    """

    measure: str
    worlds: int
    ours: float
    best: str
    best_value: float
    ratio: float
    low: float
    high: float
    worse: float
    worst_seeds: tuple[int, ...]
    rivals: dict[str, float]
    paired: float
    summed: float
    bound: float | None = None
    at_most: float | None = None
    spared: float | None = None
    avoided: float | None = None
    best_avoided: float | None = None


def compare(runs: Sequence[Run], measure: str) -> Comparison | None:
    """Of every world in which ours and all rivals ran; None where there is none."""
    seeds, values = _paired(runs, measure)
    if OURS not in values or len(values) < 2 or not seeds:
        return None
    ours = values.pop(OURS)
    medians = {name: float(np.median(column)) for name, column in values.items()}
    best = min(medians, key=lambda name: (medians[name], float(values[name].mean()), name))
    rival, least = values[best], LEAST[measure]
    picks = np.random.default_rng(1).integers(0, len(seeds), (RESAMPLES, len(seeds)))
    ratios = _ratio(np.median(rival[picks], axis=1), np.median(ours[picks], axis=1), least)
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ratios, [edge, 1 - edge])
    excess = ours - rival - _noise(runs, seeds, measure)
    worse = excess > 0
    order = np.argsort(-excess, kind="stable")
    bounds = _bounds(runs, seeds) if measure == "failed" else None
    return Comparison(
        measure=measure,
        worlds=len(seeds),
        ours=float(np.median(ours)),
        best=best,
        best_value=medians[best],
        ratio=float(_ratio(np.array([medians[best]]), np.array([np.median(ours)]), least)[0]),
        low=float(low),
        high=float(high),
        worse=float(worse.mean()),
        worst_seeds=tuple(seeds[at] for at in order[:5] if worse[at]),
        rivals=medians,
        paired=float(np.median(_ratio(rival, ours, least))),
        summed=float(_ratio(rival.sum(keepdims=True), ours.sum(keepdims=True), least)[0]),
        bound=None if bounds is None else float(np.median(bounds)),
        at_most=None if bounds is None else float(np.maximum(medians[best], least) / max(np.median(bounds), least)),
        spared=None if bounds is None else _spared(rival, bounds, ours),
        avoided=None if bounds is None else _avoided(values, bounds, ours),
        best_avoided=None if bounds is None else _best_avoided(values, bounds),
    )


def _bounds(runs: Sequence[Run], seeds: Sequence[int]) -> NDArray[np.float64]:
    """That of each world, in their order."""
    bounds = {run.seed: run.bound for run in runs}
    return np.array([bounds[seed] for seed in seeds])


def _avoided(
    rivals: Mapping[str, NDArray[np.float64]], bounds: NDArray[np.float64], lost: NDArray[np.float64]
) -> float | None:
    """Of what `plain` loses above the bound, the share that is not lost; below 0 where it is worse than `plain`."""
    return _spared(rivals[PLAIN], bounds, lost) if PLAIN in rivals else None


def _spared(rival: NDArray[np.float64], bounds: NDArray[np.float64], lost: NDArray[np.float64]) -> float | None:
    """Of what `rival` loses above the bound, the share that is not lost; None where it is a request a world or less."""
    avoidable = float((rival - bounds).sum())
    return float((rival - lost).sum()) / avoidable if avoidable > len(bounds) * LEAST["failed"] else None


def _best_avoided(rivals: Mapping[str, NDArray[np.float64]], bounds: NDArray[np.float64]) -> float | None:
    found = [share for lost in rivals.values() if (share := _avoided(rivals, bounds, lost)) is not None]
    return max(found, default=None)


def _paired(runs: Sequence[Run], measure: str) -> tuple[list[int], dict[str, NDArray[np.float64]]]:
    """Seeds of the worlds in which every policy ran, and each policy's values in their order."""
    table: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for run in runs:
        table[run.seed][run.policy] = run.measure(measure)
    policies = sorted({run.policy for run in runs})
    seeds = sorted(seed for seed, row in table.items() if len(row) == len(policies))
    return seeds, {name: np.array([table[seed][name] for seed in seeds]) for name in policies}


def _ratio(best: NDArray[np.float64], ours: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """With nothing on either side there is no difference: 1."""
    return np.maximum(best, least) / np.maximum(ours, least)


def _noise(runs: Sequence[Run], seeds: Sequence[int], measure: str) -> NDArray[np.float64]:
    """By how much a world's two runs may differ by chance alone."""
    if measure not in ("failed", "slow"):
        return np.ones(len(seeds))  # one second or one service more
    requests = {run.seed: run.requests for run in runs}
    return np.array([max(5.0, NOISE_SHARE * requests[seed]) for seed in seeds])

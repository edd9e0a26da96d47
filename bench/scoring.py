"""What attribution is scored by, and what is done to windows before: less signals, fewer buckets, healthy parts."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from controlplane.decide.analysis.window import Floats, Window
from controlplane.model.analysis import Analysis
from controlplane.model.recording import EdgeSignal, ServiceSignal

BEFORE_S, AFTER_S = 120.0, 360.0  # around an incident nothing counts as healthy: faults outlast what is written down
SUMMED = ("requests", "error_logs")


def hit(answer: Analysis, services: Sequence[str], truth: Sequence[str], first: int) -> float:
    """The chance that one of `truth` is among the `first`, equal scores in random order; not listed is zero."""
    scores = {origin.service: origin.score for origin in answer.origins}
    best = max(scores.get(name, 0.0) for name in truth)
    higher = sum(score > best + 1e-9 for score in scores.values())
    equal = sum(abs(scores.get(name, 0.0) - best) <= 1e-9 for name in services)
    return min(1.0, max(0.0, (first - higher) / max(1, equal)))


def without(window: Window, part: str) -> Window:
    """`window` without edge signals, without a service signal, or without knowing where users saw it."""
    if part == "edge":
        return msgspec.structs.replace(window, edge={})
    if part == "entry":
        return msgspec.structs.replace(window, entry=None, metric=None)
    return msgspec.structs.replace(window, service={k: v for k, v in window.service.items() if k != part})


def skewed(window: Window) -> Window:
    """Each service's requests counted at a rate of its own, 1 to 100 %: masses can then not be compared."""
    rates = 10 ** _random(window).uniform(-2, 0, len(window.services))
    counted = np.round(window.service["requests"] * rates)
    requests = np.where(counted > 0, counted, np.nan)
    return msgspec.structs.replace(window, service={**window.service, "requests": requests})


def incomplete(window: Window, share: float) -> Window:
    """A call graph that lacks this share of its calls."""
    kept = _random(window).random(len(window.edges)) >= share
    edge = {name: values[:, kept] for name, values in window.edge.items()}
    return msgspec.structs.replace(window, edges=window.edges[kept], edge=edge)


def _random(window: Window) -> np.random.Generator:
    return np.random.default_rng(1000 * len(window.edges) + window.incident_at)


def merged(window: Window, size: int) -> Window:
    """`size` buckets into one, on both sides of the incident's beginning apart."""
    at = window.incident_at
    length = len(next(iter((*window.service.values(), *window.edge.values()))))
    cuts = [(start, min(start + size, at)) for start in range(0, at, size)]
    normal = len(cuts)
    cuts += [(start, min(start + size, length)) for start in range(at, length, size)]
    service: dict[ServiceSignal, Floats] = {
        name: _merge(values, name, window.service.get("requests"), cuts) for name, values in window.service.items()
    }
    edge: dict[EdgeSignal, Floats] = {
        name: _merge(values, name, window.edge.get("requests"), cuts) for name, values in window.edge.items()
    }
    return msgspec.structs.replace(
        window, bucket_s=window.bucket_s * size, incident_at=normal, service=service, edge=edge, time_s=None
    )


def _merge(values: Floats, name: str, requests: Floats | None, cuts: list[tuple[int, int]]) -> Floats:
    weigh = requests if requests is not None and requests.shape == values.shape and name != "saturation" else None
    rows = []
    for start, end in cuts:
        known = np.isfinite(values[start:end])
        weights = known.astype(np.float64)
        if name not in SUMMED and weigh is not None:
            weights = np.where(known, np.nan_to_num(weigh[start:end]), 0.0)
        total = np.where(known, values[start:end] * weights, 0.0).sum(axis=0)
        divisor = 1.0 if name in SUMMED else weights.sum(axis=0)
        rows.append(np.where((weights.sum(axis=0) > 0), total / np.where(divisor > 0, divisor, 1.0), np.nan))
    return np.array(rows)


def healthy(window: Window, incidents_s: Floats) -> Iterator[Window]:
    """Runs of normal buckets, each as if it were the incident, the rest of the normal ones as what is normal.

    Buckets near one of `incidents_s`, the times of all incidents known, are left out. Runs are as long as the incident,
    of buckets of which the same kinds of signal are known.
    """
    at = window.incident_at
    length = len(next(iter((*window.service.values(), *window.edge.values())))) - at
    if window.time_s is not None and len(incidents_s):
        apart = window.time_s[:at, None] - incidents_s[None, :]
        calm = ~((apart >= -BEFORE_S) & (apart <= AFTER_S)).any(axis=1)
    else:
        calm = np.ones(at, bool)
    kinds = np.array([[np.isfinite(v[row]).any() for v in window.service.values()] for row in range(at)])
    for kind in np.unique(kinds, axis=0):
        rows = np.flatnonzero(calm & (kinds == kind).all(axis=1)) if kind.any() else np.empty(0, np.int64)
        for start in range(0, len(rows) - length + 1, length):
            chosen = rows[start : start + length]
            order = np.r_[np.setdiff1d(np.arange(at), chosen), chosen]
            yield msgspec.structs.replace(
                window,
                incident_at=at - length,
                service={name: values[order] for name, values in window.service.items()},
                edge={name: values[order] for name, values in window.edge.items()},
                time_s=None,
            )

"""A window's call graph in CSR form, with the figures that foresight and planning need.

A recording may name a pair twice, or a service that calls itself: here each pair is one edge, and what a
service does to itself is its own doing.
"""

from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.baseline import median
from controlplane.decide.analysis.local import service_requests
from controlplane.decide.analysis.window import Floats, Window
from controlplane.decide.propagation.callgraph import CallGraph

COUNTED_MIN = 0.05  # attempts per call beyond a whole number that make it one more
GROWN_MIN = 1.2  # calls per request grown by less than this are no retries: what requests need varies, too
CHANCE_SPREADS = 4.0  # deviations of a count by which it must have grown besides
ATTEMPTS_MAX = 20  # of one call: more than any client makes


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What is usual on the graph, and what changed.

    Shapes  place (edges of the window,): CSR position, -1 for a service that calls itself. requests, utilisation (N,);
            traffic, calls, fraction, attempts, soft (E,) in CSR order.
    Units   requests, traffic: per second, in normal operation. calls: calls per request of the caller; fraction: share
            of the caller's requests that need the callee. attempts: of one call at most, as far as any showed.
    NaN     unknown.
    """

    graph: CallGraph
    place: NDArray[np.int64]
    requests: Floats
    utilisation: Floats
    traffic: Floats
    calls: Floats
    attempts: Floats
    soft: NDArray[np.bool_]

    @property
    def fraction(self) -> Floats:
        """Share of the caller's requests that need the callee; a call that is made at all is needed by some."""
        return np.clip(np.nan_to_num(self.calls, nan=1.0), 0.0, 1.0)

    @classmethod
    def of(cls, window: Window) -> Self:
        """The figures of `window`."""
        services, at = len(window.services), window.incident_at
        graph, place = merged(services, window.edges)
        counted = "requests" in window.service or "requests" in window.edge
        asked = median(service_requests(window)[:at]) if counted else np.full(services, np.nan)
        heat = window.service.get("saturation")
        usual = _calls(window, graph, place, asked, slice(None, at))
        return cls(
            graph=graph,
            place=place,
            requests=asked / window.bucket_s,
            utilisation=median(heat[:at]) if heat is not None else np.full(services, np.nan),
            traffic=usual * asked[graph.callers] / window.bucket_s,
            calls=usual,
            attempts=_attempts(window, graph, place, usual),
            soft=summed(graph, place, window.soft.astype(float)) > 0 if window.soft is not None else _none(graph),
        )


def merged(services: int, edges: NDArray[np.int64]) -> tuple[CallGraph, NDArray[np.int64]]:
    """The graph of `edges` (k, 2), each pair once, and where in the CSR each of them is; -1: a service calls itself."""
    other = edges[:, 0] != edges[:, 1]
    key = edges[other, 0] * services + edges[other, 1]
    pairs, inverse = np.unique(key, return_inverse=True)
    place = np.full(len(edges), -1, dtype=np.int64)
    place[other] = inverse
    indptr = np.zeros(services + 1, dtype=np.int64)
    np.cumsum(np.bincount(pairs // max(1, services), minlength=services), out=indptr[1:])
    return CallGraph(indptr, (pairs % max(1, services)).astype(np.int32)), place


def summed(graph: CallGraph, place: NDArray[np.int64], values: Floats) -> Floats:
    """`values` of a window's edges in CSR order, those of one pair added up."""
    there = place >= 0
    return np.bincount(place[there], weights=values[there], minlength=graph.edges).astype(np.float64)


def _none(graph: CallGraph) -> NDArray[np.bool_]:
    return np.zeros(graph.edges, dtype=bool)


def _mean(rows: Floats) -> Floats:
    known = np.isfinite(rows)
    count = known.sum(axis=0)
    mean: Floats = np.divide(
        np.where(known, rows, 0.0).sum(axis=0), count, out=np.full(rows.shape[1], np.nan), where=count > 0
    )
    return mean


def _calls(window: Window, graph: CallGraph, place: NDArray[np.int64], asked: Floats, rows: slice) -> Floats:
    """Calls per request of the caller; where calls are not counted, a callee's requests divided among its callers."""
    of_caller = asked[graph.callers]
    callers = np.bincount(graph.indices, weights=np.nan_to_num(of_caller), minlength=graph.services)[graph.indices]
    divided: Floats = np.divide(asked[graph.indices], callers, out=np.full(graph.edges, np.nan), where=callers > 0)
    counted = window.edge.get("requests")
    if counted is None:
        return divided
    made = summed(graph, place, np.nan_to_num(_mean(counted[rows])))
    known = summed(graph, place, np.isfinite(_mean(counted[rows])).astype(float)) > 0
    each: Floats = np.divide(made, of_caller, out=divided.copy(), where=known & (of_caller > 0))
    return each


def _attempts(window: Window, graph: CallGraph, place: NDArray[np.int64], usual: Floats) -> Floats:
    """Attempts of one call at most, as far as any showed: counted, or calls that grew beyond their caller's requests.

    NaN where neither can be told. Retries that nothing provoked do not show: the number is a lower bound.
    """
    counted = window.edge.get("attempts")
    if counted is not None and np.isfinite(counted).any():
        most = np.full(graph.edges, -np.inf)
        there = place >= 0
        np.fmax.at(most, place[there], np.fmax.reduce(counted, axis=0)[there])
        return np.where(np.isfinite(most), _whole(np.clip(most, 1.0, ATTEMPTS_MAX) - COUNTED_MIN), np.nan)
    if "requests" not in window.edge:
        return np.full(graph.edges, np.nan)
    since, buckets = slice(window.incident_at, None), window.buckets - window.incident_at
    asked = _mean(service_requests(window)[since])
    expected = usual * asked[graph.callers] * buckets
    made = _calls(window, graph, place, asked, since) * asked[graph.callers] * buckets
    grown = np.divide(made, expected, out=np.full(graph.edges, np.nan), where=expected > 0)
    by_chance = (grown <= GROWN_MIN) | (made - expected <= CHANCE_SPREADS * np.sqrt(np.maximum(made, 1.0)))
    return np.where(by_chance & np.isfinite(grown), 1.0, _whole(np.clip(grown, 1.0, ATTEMPTS_MAX)))


def _whole(attempts: Floats) -> Floats:
    whole: Floats = np.ceil(attempts)
    return whole

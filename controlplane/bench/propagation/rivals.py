"""The same sweeps in numpy and scipy, as fast as we could make them: the structure is worked out beforehand there, too.

`Levels` goes level by level with everything vectorised: what a person writes who knows numpy. `Sparse` repeats a
matrix-vector product of scipy until nothing changes: shorter, and every repetition costs the whole graph. Neither
checks its figures, nor returns what is unknown. `agree` compares them with ours before anything is timed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from controlplane.bench.propagation.graphs import Floats, Sample
from controlplane.decide.propagation import CallGraph

SETTLED = 1e-12
Result = tuple[Floats, Floats, Floats]  # share, failure, latency
Rival = Callable[[Sample], Result]


class _Level:
    """Services of one level, their edges, and where each service's begin; a cyclic one is repeated until it settles."""

    def __init__(self, graph: CallGraph, services: NDArray[np.int64], *, cyclic: bool) -> None:
        begin, end = graph.indptr[services].astype(np.int64), graph.indptr[services + 1].astype(np.int64)
        count = end - begin
        self.cyclic = cyclic
        self.services = services
        self.calling = services[count > 0]
        count, begin = count[count > 0], begin[count > 0]
        self.starts = np.concatenate(([0], np.cumsum(count)[:-1])).astype(np.int64)
        self.edges = np.repeat(begin - self.starts, count) + np.arange(count.sum())
        self.callees = graph.indices[self.edges].astype(np.int64)
        self.caller = np.repeat(self.calling, count)


class Levels:
    """One pass down for blame, one up for blast, each level by a handful of numpy calls."""

    def __init__(self, graph: CallGraph) -> None:
        self.callers, self.callees = graph.callers, graph.indices.astype(np.int64)
        self.calling = np.flatnonzero(np.diff(graph.indptr))
        self.starts = graph.indptr[self.calling].astype(np.int64)
        level, in_cycle = levels(graph)
        self.levels = [
            _Level(graph, np.flatnonzero((level == at) & (in_cycle == cyclic)), cyclic=cyclic)
            for at in range(int(level.max(initial=0)) + 1)
            for cyclic in (False, True)
            if ((level == at) & (in_cycle == cyclic)).any()
        ]

    def __call__(self, s: Sample) -> Result:
        n = len(s.excess)
        out = np.zeros(n)
        out[self.calling] = np.add.reduceat(s.edge_excess, self.starts)
        own = np.maximum(s.excess - out, 0.0)
        inverse = 1.0 / (own + out)
        stay, go = own * inverse, s.edge_excess * inverse[self.callers]
        arrived: Floats = s.source / s.source.sum()
        need = np.where(s.soft, 0.0, s.fraction)
        for level in reversed(self.levels):
            part = go[level.edges]
            if not level.cyclic:
                arrived += _sums(level.callees, arrived[level.caller] * part, n)
                continue
            pending: Floats = np.zeros(n)
            pending[level.services] = arrived[level.services]
            inside = np.zeros(n, bool)
            inside[level.services] = True
            while pending[level.services].sum() > SETTLED:
                pending = _sums(level.callees, pending[level.caller] * part, n)
                arrived += pending
                pending *= inside
        keep, failure, latency = 1.0 - s.failure, s.failure.copy(), s.latency.copy()
        for level in self.levels:
            if not len(level.edges):
                continue
            lost, more, at = need[level.edges], s.calls[level.edges], level.calling
            for _ in range(1000 if level.cyclic else 1):
                before = failure[at], latency[at]
                failure[at] = 1.0 - keep[at] * np.multiply.reduceat(1.0 - lost * failure[level.callees], level.starts)
                latency[at] = s.latency[at] + np.add.reduceat(more * latency[level.callees], level.starts)
                if level.cyclic and all(
                    np.abs(new - old).max() <= SETTLED
                    for new, old in zip((failure[at], latency[at]), before, strict=True)
                ):
                    break
        return arrived * stay, failure, latency


def _sums(places: NDArray[np.int64], values: Floats, count: int) -> Floats:
    return np.bincount(places, values, count).astype(np.float64, copy=False)  # for the types: it is that already


class Sparse:
    """scipy's compiled product of a sparse matrix and a vector, repeated until nothing changes."""

    def __init__(self, graph: CallGraph) -> None:
        from scipy.sparse import csr_array

        shape = (graph.services, graph.services)
        self.calls = csr_array((np.zeros(graph.edges), graph.indices, graph.indptr), shape)
        self.pushes = csr_array((np.zeros(graph.edges), graph.indices, graph.indptr), shape).T  # shares its data
        self.calling = np.flatnonzero(np.diff(graph.indptr))
        self.starts = graph.indptr[self.calling].astype(np.int64)
        self.callers = graph.callers

    def __call__(self, s: Sample) -> Result:
        self.calls.data = s.edge_excess
        out = self.calls @ np.ones(len(s.excess))
        own = np.maximum(s.excess - out, 0.0)
        inverse = 1.0 / (own + out)
        self.pushes.data = s.edge_excess * inverse[self.callers]
        pending = s.source / s.source.sum()
        arrived = pending.copy()
        while pending.sum() > SETTLED:
            pending = self.pushes @ pending
            arrived += pending
        self.calls.data = s.calls
        more = latency = s.latency
        while more.max() > SETTLED:
            more = self.calls @ more
            latency = latency + more
        need, keep, failure = np.where(s.soft, 0.0, s.fraction), 1.0 - s.failure, s.failure
        while True:
            through = keep.copy()
            through[self.calling] *= np.multiply.reduceat(1.0 - need * failure[self.calls.indices], self.starts)
            new = 1.0 - through
            if np.abs(new - failure).max() <= SETTLED:
                return arrived * own * inverse, new, latency
            failure = new


def levels(graph: CallGraph) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of each service: the longest way down from it, cycles taken as one; whether it is in a cycle."""
    member = np.arange(graph.services)
    in_cycle = np.zeros(graph.services, bool)
    for cycle in graph.flows.cycles:
        member[cycle] = cycle[0]
        in_cycle[cycle] = True
    level = np.zeros(graph.services, np.int64)
    pairs = np.column_stack((member[graph.callers], member[graph.indices]))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    while True:
        deeper = level.copy()
        np.maximum.at(deeper, pairs[:, 0], level[pairs[:, 1]] + 1)
        if np.array_equal(deeper, level):
            return level[member], in_cycle
        level = deeper


def agree(ours: Result, theirs: Result) -> bool:
    """Whether a rival computes what we compute."""
    return all(np.allclose(one, other, rtol=1e-9, atol=1e-9) for one, other in zip(ours, theirs, strict=True))

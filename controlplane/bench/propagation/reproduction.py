"""The reproduction number of a sample, and the same in numpy and scipy, as fast as we could write it.

Services in layers, one slice of a CSR matrix per layer for either direction, the factors of the Jacobian once, then
ARPACK or power iteration to the same tolerance. What depends on the graph alone is prepared outside of the clock.
Graphs without cycles only: where two services call each other, one of the calls is left out, for both sides.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from controlplane.bench.propagation.graphs import Floats, Sample
from controlplane.decide.feedback import Loop

TOLERANCE = 1e-6
DEPTH_MAX = 64  # layers
FULL_SHARE = 0.05  # of the services are near their capacity: an incident

Whole = NDArray[np.int64]


def loop_of(s: Sample, seed: int) -> tuple[Loop, Floats]:
    """The load-failure loop on the sample's graph during an incident, and the failure it settles at."""
    random, services = np.random.default_rng(seed), s.graph.services
    caller, callee = s.graph.callers, s.graph.indices.astype(np.int64)
    keep = ~((caller > callee) & np.isin(callee * services + caller, caller * services + callee))
    caller, callee = caller[keep], callee[keep]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(caller, minlength=services))])
    callers = np.maximum(1, np.bincount(callee, minlength=services))
    called = np.bincount(callee, minlength=services) > 0
    base, calls = np.where(called, 1.0, 100.0), random.uniform(0.1, 1.0, len(caller)) / callers[callee]
    attempts = random.integers(1, 4, len(caller)).astype(np.float64)
    need = np.minimum(1.0, random.uniform(0.0, 1.0, len(caller)) * services / len(caller))
    quiet = Loop(indptr, callee, base=base, capacity=np.inf, calls=calls, attempts=attempts, need=need)
    load = quiet.core.loads(np.zeros(services))
    full = random.random(services) < FULL_SHARE
    utilisation = np.where(full, random.uniform(0.9, 1.05, services), random.uniform(0.2, 0.7, services))
    loop = quiet.replace(capacity=load / utilisation)
    return loop, loop.core.settle(np.zeros(services))[0]


class Layered:
    """The same R in numpy and scipy."""

    def __init__(self, loop: Loop) -> None:
        self.loop, services = loop, len(loop.base)
        self.caller = np.repeat(np.arange(services), np.diff(loop.indptr))
        self.callee = np.asarray(loop.indices)
        self.places = loop.queue + 1.0
        self.useful = np.minimum(loop.patience, loop.queue)
        depth = np.zeros(services, dtype=np.int64)
        for _ in range(DEPTH_MAX):
            before = depth.copy()
            np.maximum.at(depth, np.asarray(self.callee, dtype=np.int64), depth[self.caller] + 1)
            if (depth == before).all():
                break
        self.order = np.argsort(depth, kind="stable")
        place = np.argsort(self.order)
        self.layers = np.concatenate([[0], np.cumsum(np.bincount(depth))])
        caller, callee = place[self.caller], place[self.callee]
        self.by_callee = np.lexsort((caller, callee))
        self.by_caller = np.lexsort((callee, caller))
        self.into = [self._slice(callee, caller, self.by_callee, k) for k in range(len(self.layers) - 1)]
        self.out = [self._slice(caller, callee, self.by_caller, k) for k in range(len(self.layers) - 1)]

    def _slice(self, row: Whole, column: Whole, order: Whole, k: int) -> tuple[int, int, csr_array]:
        """Of one layer: its edges in `order` (first, last) and a matrix of its rows, whose data are exchanged."""
        low, high = self.layers[k], self.layers[k + 1]
        first, last = np.searchsorted(row[order], [low, high])
        inside = order[first:last]
        pointer = np.searchsorted(row[inside], np.arange(low, high + 1)).astype(np.int32)
        size = (int(high - low), len(self.order))
        matrix = csr_array((np.zeros(len(inside)), column[inside].astype(np.int32), pointer), shape=size)
        return int(first), int(last), matrix

    def _queue(self, load: Floats, services: Whole) -> tuple[Floats, Floats, Floats, Floats]:
        """(overflow, its rise, served, its rise) of some services."""
        ratio = load / self.loop.capacity[services]
        log = np.log(np.maximum(ratio, 1e-300))
        log = np.where(np.abs(log) < 1e-9, 1e-9, log)
        overflow, slope = self._ahead(log, self.useful[services], self.places[services])
        refused, refused_slope = self._ahead(log, self.loop.queue[services], self.places[services])
        return overflow, slope / np.maximum(load, 1e-300), load * (1.0 - refused), 1.0 - refused - refused_slope

    @staticmethod
    def _ahead(log: Floats, least: Floats, places: Floats) -> tuple[Floats, Floats]:
        more, way, below = places - least, np.abs(log), log < 0.0
        whole, rest = -np.expm1(-places * way), -np.expm1(-more * way)
        share = np.where(below, np.exp(-least * way), 1.0) * rest / whole
        by = places * (1.0 - whole) / whole - more * (1.0 - rest) / rest
        return share, share * np.where(below, least + by, -by)

    def _tries(self, edge: Whole | slice, failing: Floats) -> tuple[Floats, Floats]:
        """(expected attempts of some edges, their rise)."""
        attempts, budget = self.loop.attempts[edge], self.loop.budget[edge]
        tries, rise, power = np.ones(len(failing)), np.zeros(len(failing)), np.ones(len(failing))
        for k in range(1, int(self.loop.attempts.max())):
            on = attempts > k
            rise += on * (k * power)
            power = power * failing
            tries += on * power
        held = tries > 1.0 + budget
        return np.where(held, 1.0 + budget, tries), np.where(held, 0.0, rise)

    def radius(self, failing: Floats, *, arpack: bool) -> float:
        """The spectral radius at `failing`."""
        loop, services = self.loop, len(self.loop.base)
        tries, rise = self._tries(slice(None), failing[self.callee])
        flow = (loop.calls * tries)[self.by_callee]
        load, served = loop.base[self.order].copy(), np.zeros(services)
        own_rise, served_rise, overflow = np.zeros(services), np.zeros(services), np.zeros(services)
        for k, (first, last, matrix) in enumerate(self.into):
            low, high = self.layers[k], self.layers[k + 1]
            if last > first:
                matrix.data = flow[first:last]
                load[low:high] += matrix @ served
            overflow[low:high], own_rise[low:high], served[low:high], served_rise[low:high] = self._queue(
                load[low:high], self.order[low:high]
            )
        place = np.argsort(self.order)
        slope = np.bincount(
            place[self.callee], weights=served[place[self.caller]] * loop.calls * rise, minlength=services
        )
        after, left = overflow.copy(), np.ones(services)
        up = np.zeros(len(self.callee))
        for k in range(len(self.layers) - 2, -1, -1):
            first, last, matrix = self.out[k]
            low, high = self.layers[k], self.layers[k + 1]
            if last == first:
                continue
            edge = self.by_caller[first:last]
            below = after[matrix.indices]
            n_tries, n_rise = self._tries(edge, below)
            kept = 1.0 - loop.need[edge] * np.maximum(0.0, 1.0 - n_tries * (1.0 - below))
            rows = np.diff(matrix.indptr)
            some = rows > 0
            left[low:high][some] = np.multiply.reduceat(kept, matrix.indptr[:-1][some])
            after[low:high] = 1.0 - (1.0 - overflow[low:high]) * left[low:high]
            factor = loop.need[edge] * (n_tries - n_rise * (1.0 - below)) / kept
            up[first:last] = factor * np.repeat((1.0 - overflow[low:high]) * left[low:high], rows)
            matrix.data = up[first:last]
        down = flow * served_rise[place[self.caller]][self.by_callee]
        for first, last, matrix in self.into:
            matrix.data = down[first:last]
        own = own_rise * left

        def apply(vector: Floats) -> Floats:
            more = slope * vector.ravel()
            for k, (first, last, matrix) in enumerate(self.into):
                if last > first:
                    more[self.layers[k] : self.layers[k + 1]] += matrix @ more
            worse = own * more
            for k in range(len(self.layers) - 2, -1, -1):
                first, last, matrix = self.out[k]
                if last > first:
                    worse[self.layers[k] : self.layers[k + 1]] += matrix @ worse
            return worse

        if arpack:
            operator = LinearOperator((services, services), matvec=apply, dtype=np.float64)
            start = np.ones(services)
            try:
                found = eigs(operator, k=1, ncv=12, v0=start, tol=TOLERANCE, return_eigenvectors=False, maxiter=100)
            except ArpackNoConvergence as error:
                found = error.eigenvalues
            return float(np.max(np.abs(found), initial=0.0))
        vector, radius, agreed = np.ones(services), 0.0, 0
        for _ in range(480):
            vector = apply(vector)
            now = float(vector.sum())
            vector /= now
            agreed = agreed + 1 if abs(now - radius) <= TOLERANCE * now else 0
            radius = now
            if agreed == 2:
                break
        return radius

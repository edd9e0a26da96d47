"""What goes into a propagation and what comes out of it: figures of services and of edges, checked by name."""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane.decide.callgraph import CallGraph, Compressed, Floats

EdgeLike = ArrayLike | Compressed


class Blame(msgspec.Struct, frozen=True):
    """Each service's share of the excess that users saw, and the share that nothing known explains; together 1, or 0."""

    share: Floats
    unexplained: float


class Blast(msgspec.Struct, frozen=True):
    """What each service's callers get from it: share of requests failing, and excess seconds a request; `origin`: those
    with trouble of their own."""

    failure: Floats
    latency: Floats
    origin: NDArray[np.bool_]


def per_service(graph: CallGraph, name: str, given: ArrayLike) -> Floats:
    """`given` as contiguous float64 (n,), without a copy where it is that. Raises ValueError naming it."""
    return _vector(name, given, graph.services, "one for each service")


def per_edge(graph: CallGraph, name: str, given: EdgeLike) -> Floats:
    """`given` as contiguous float64 (E,) in CSR order: a vector, a CSR of the same structure, or a dense matrix."""
    if hasattr(given, "indptr") and hasattr(given, "data"):
        same = np.array_equal(given.indptr, graph.indptr) and np.array_equal(given.indices, graph.indices)
        if not same:
            raise ValueError(f"{name}: a CSR of another structure; it takes the graph's own indptr and indices")
        return _vector(name, given.data, graph.edges, "one for each edge")
    dense = np.asarray(given)
    if dense.ndim == 2 and dense.shape == (graph.services, graph.services):
        return _vector(name, dense[graph.callers, graph.indices], graph.edges, "one for each edge")
    return _vector(name, dense, graph.edges, "one for each edge, in CSR order")


def _vector(name: str, given: ArrayLike, length: int, which: str) -> Floats:
    vector = np.asarray(given)
    if vector.dtype.kind not in "biuf":
        raise ValueError(f"{name}: {vector.dtype}; it takes numbers")
    if vector.shape != (length,):
        raise ValueError(f"{name}: shape {vector.shape}; it takes ({length},), {which}")
    return np.ascontiguousarray(vector, np.float64)


def masses(name: str, values: Floats, most: float = np.inf, *, infinite: bool = False) -> Floats:
    """`values` when each is NaN or 0 to `most`. Raises ValueError naming the first that is not."""
    wrong = np.flatnonzero((values < 0) | (values > most) | (np.isinf(values) & (not infinite)))
    if wrong.size:
        raise ValueError(f"{name}: {values[wrong[0]]} at {wrong[0]}; it takes {_range(most)}, or NaN for unknown")
    return values


def known(name: str, values: Floats, most: float = np.inf, *, infinite: bool = False) -> Floats:
    """`values` when each is 0 to `most`. Raises ValueError naming the first that is not, or is NaN."""
    wrong = np.flatnonzero(np.isnan(values))
    if wrong.size:
        raise ValueError(f"{name}: NaN at {wrong[0]}; it has to be known, {_range(most)}")
    return masses(name, values, most, infinite=infinite)


def _range(most: float) -> str:
    return "0 or more, finite" if np.isinf(most) else f"0 to {most:g}"

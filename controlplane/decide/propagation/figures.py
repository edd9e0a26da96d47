"""What goes into a propagation and what comes out of it: figures of services and of edges, checked by name."""

from typing import cast

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane.decide.propagation.callgraph import CallGraph, Compressed, Floats

EdgeLike = ArrayLike | Compressed


class Blame(msgspec.Struct, frozen=True):
    """Each service's share (n,) of the excess that users saw, and the share that nothing explains; together 1, or 0."""

    share: Floats
    unexplained: float


class Blast(msgspec.Struct, frozen=True):
    """What each service's callers get from it: share of requests failing, and excess seconds a request, each (n,).

    `origin` (n,): the services with trouble of their own.
    """

    failure: Floats
    latency: Floats
    origin: NDArray[np.bool_]


def per_service(graph: CallGraph, name: str, given: ArrayLike) -> Floats:
    """`given` as contiguous float64 (n,), without a copy where it is that. Raises ValueError naming it."""
    return np.ascontiguousarray(_vector(name, given, graph.services, "one for each service"), np.float64)


def per_edge(graph: CallGraph, name: str, given: EdgeLike) -> Floats:
    """`given` as contiguous float64 (E,) in CSR order: a vector, a CSR of the same structure, or a dense matrix."""
    return np.ascontiguousarray(_on_edges(graph, name, given), np.float64)


def flags_per_edge(graph: CallGraph, name: str, given: EdgeLike) -> NDArray[np.uint8]:
    """`given`, booleans or numbers, as contiguous bytes (E,), 1 where it is not zero. Raises ValueError naming it."""
    values = _on_edges(graph, name, given)
    flags = values if values.dtype == np.bool_ else known(name, values.astype(np.float64)) != 0
    return np.ascontiguousarray(flags).view(np.uint8)


def masses(name: str, values: Floats, most: float = np.inf, *, infinite: bool = False) -> Floats:
    """`values` when each is NaN or 0 to `most`. Raises ValueError naming the first that is not."""
    wrong = np.flatnonzero((values < 0) | (values > most) | (np.isinf(values) & (not infinite)))
    if wrong.size:
        raise ValueError(f"{name}: {values[wrong[0]]} at {wrong[0]}; it takes {_range(most)}, or NaN for unknown")
    return values


def known(name: str, values: Floats, most: float = np.inf, *, infinite: bool = False) -> Floats:
    """`values` when each is 0 to `most`. Raises ValueError naming the first that is not, or is NaN."""
    wrong = np.flatnonzero(np.isnan(values) | (values < 0) | (values > most) | (np.isinf(values) & (not infinite)))
    if wrong.size:
        raise ValueError(f"{name}: {values[wrong[0]]} at {wrong[0]}; it has to be known, {_range(most)}")
    return values


def _on_edges(graph: CallGraph, name: str, given: EdgeLike) -> NDArray[np.generic]:
    if hasattr(given, "indptr") and hasattr(given, "indices") and hasattr(given, "data"):
        sparse = cast("Compressed", given)
        if not (np.array_equal(sparse.indptr, graph.indptr) and np.array_equal(sparse.indices, graph.indices)):
            raise ValueError(f"{name}: a CSR of another structure; it takes the graph's own indptr and indices")
        return _vector(name, sparse.data, graph.edges, "one for each edge")
    values = np.asarray(given)
    if values.ndim == 2 and values.shape == (graph.services, graph.services):
        values = values[graph.callers, graph.indices]
    return _vector(name, values, graph.edges, "one for each edge, in CSR order")


def _vector(name: str, given: ArrayLike, length: int, which: str) -> NDArray[np.generic]:
    vector = np.asarray(given)
    if vector.dtype.kind not in "biuf" and vector.size:
        raise ValueError(f"{name}: {vector.dtype}; it takes numbers")
    if vector.shape != (length,):
        raise ValueError(f"{name}: shape {vector.shape}; it takes ({length},), {which}")
    return vector


def _range(most: float) -> str:
    return "0 or more" if np.isinf(most) else f"0 to {most:g}"

"""Who calls whom, in scipy's CSR layout: rows are callers, columns callees, an edge's number is its place in the rows.

What depends on the structure alone is worked out once, when the graph is made: it is checked, its cycles are found, and
its services are put in an order in which every callee outside a cycle comes before its callers.
"""

from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane._native.propagation import Flows

Floats = NDArray[np.float64]
Ints = NDArray[np.int32] | NDArray[np.int64]


class Compressed(Protocol):
    """What a `scipy.sparse` CSR matrix or array has, and anything that is laid out like one."""

    indptr: Ints
    indices: Ints
    data: NDArray[np.float64]


class CallGraph:
    """The structure of a call graph of `services` services and `edges` edges, made once and used for many evaluations.

    Shapes  indptr (n + 1,), indices (E,): the edges of caller u are indptr[u] to indptr[u + 1], their callees in
            `indices`, ascending; int32 or int64, kept without a copy where the arrays are contiguous.
    Raises  ValueError naming the argument: indptr that does not begin at 0, falls, or does not end at E; a callee out
            of range, out of order or twice in a row; an edge of a service to itself. What a service does to itself is
            its own doing: leave such an edge out, and its excess stays with the service.
    Source  docs/concepts/blame.md, "The graph".
    """

    __slots__ = ("flows", "indices", "indptr")

    def __init__(self, indptr: ArrayLike, indices: ArrayLike) -> None:
        self.indptr, self.indices = _indices(indptr, indices)
        _check(self.indptr, self.indices)
        self.flows = Flows(self.indptr.astype(np.int64, copy=False), self.indices.astype(np.int32, copy=False))

    @property
    def services(self) -> int:
        """How many services, called or calling."""
        return len(self.indptr) - 1

    @property
    def edges(self) -> int:
        """How many pairs of caller and callee."""
        return len(self.indices)

    @property
    def callers(self) -> NDArray[np.int64]:
        """(E,) the caller of each edge, made anew."""
        return np.repeat(np.arange(self.services), np.diff(self.indptr))

    @classmethod
    def from_edges(cls, services: int, edges: ArrayLike) -> tuple[Self, NDArray[np.int64]]:
        """The graph of `edges`, rows of caller and callee in any order, and where in the CSR each of them is.

        `values[k]` of input edge k belongs at `order[k]`: `placed[order] = values`.
        Raises  ValueError for a shape other than (E, 2), an index out of range, a pair named twice, a self-call.
        """
        if services < 0:
            raise ValueError(f"services: {services} is negative; a count is 0 or more")
        pairs = np.asarray(edges)
        if pairs.size == 0:
            pairs = pairs.reshape(0, 2).astype(np.int64)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise ValueError(f"edges: {pairs.dtype} of shape {pairs.shape}; it takes integers of shape (E, 2)")
        caller, callee = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
        for name, column in (("caller", caller), ("callee", callee)):
            wrong = np.flatnonzero((column < 0) | (column >= services))
            if wrong.size:
                raise ValueError(
                    f"edges: the {name} of edge {wrong[0]} is {column[wrong[0]]}; services are 0 to {services - 1}"
                )
        sorting = np.lexsort((callee, caller))
        order = np.empty(len(pairs), np.int64)
        order[sorting] = np.arange(len(pairs))
        indptr = np.zeros(services + 1, np.int64)
        np.cumsum(np.bincount(caller, minlength=services), out=indptr[1:])
        small = np.int32 if max(len(pairs), services) < 2**31 else np.int64
        try:
            return cls(indptr.astype(small), callee[sorting].astype(small)), order
        except ValueError as error:
            raise ValueError(str(error).replace("indices:", "edges:")) from None

    @classmethod
    def from_dense(cls, matrix: ArrayLike) -> Self:
        """The graph of a dependency matrix: an edge from row to column wherever it is not zero.

        Raises  ValueError where it is not square, or holds NaN or something negative.
        """
        dense = np.asarray(matrix)
        if dense.ndim != 2 or dense.shape[0] != dense.shape[1]:
            raise ValueError(f"matrix: shape {dense.shape}; a dependency matrix is square, callers by callees")
        if dense.dtype.kind not in "biuf":
            raise ValueError(f"matrix: {dense.dtype}; it takes numbers, not zero where the row calls the column")
        if not (dense >= 0).all():
            raise ValueError("matrix: NaN or a negative entry; it takes 0 for no call and more than 0 for some")
        itself = np.flatnonzero(dense.diagonal())
        if itself.size:
            raise ValueError(f"matrix: service {itself[0]} calls itself; leave the diagonal 0: it is its own doing")
        caller, callee = np.nonzero(dense)
        return cls.from_edges(len(dense), np.column_stack((caller, callee)))[0]

    def edge(self, caller: int, callee: int) -> int:
        """The number of the edge from `caller` to `callee`. Raises KeyError where there is none."""
        begin, end = int(self.indptr[caller]), int(self.indptr[caller + 1])
        at = begin + int(np.searchsorted(self.indices[begin:end], callee))
        if at == end or self.indices[at] != callee:
            raise KeyError((caller, callee))
        return at


GraphLike = CallGraph | Compressed | tuple[ArrayLike, ArrayLike, ArrayLike] | NDArray[np.generic]


def as_graph(given: GraphLike) -> CallGraph:
    """`given` as a CallGraph: itself; a CSR object; the triplet (data, indices, indptr); a dense matrix."""
    if isinstance(given, CallGraph):
        return given
    if isinstance(given, np.ndarray):
        return CallGraph.from_dense(given)
    if isinstance(given, tuple | list):
        if len(given) != 3:
            raise ValueError(f"graph: {len(given)} arrays; a CSR triplet is (data, indices, indptr)")
        return CallGraph(given[2], given[1])
    if not (hasattr(given, "indptr") and hasattr(given, "indices")) or getattr(given, "format", "csr") != "csr":
        raise ValueError(
            f"graph: {type(given).__name__}; it takes a CallGraph, a CSR matrix, a triplet or a dense matrix"
        )
    return CallGraph(given.indptr, given.indices)


def _indices(indptr: ArrayLike, indices: ArrayLike) -> tuple[Ints, Ints]:
    arrays = []
    for name, given in (("indptr", indptr), ("indices", indices)):
        array = np.asarray(given)
        if array.size == 0:
            array = array.astype(np.int32)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(f"{name}: {array.dtype} of shape {array.shape}; it takes one dimension of integers")
        arrays.append(array)
    same = arrays[0].dtype if arrays[0].dtype == arrays[1].dtype else np.dtype(np.int64)
    kind = same if same in (np.int32, np.int64) else np.dtype(np.int64)
    first, second = (np.ascontiguousarray(array, kind) for array in arrays)
    return first, second


def _check(indptr: Ints, indices: Ints) -> None:
    """Raises ValueError for the first thing that is not a well-formed CSR of a graph without self-calls."""
    services, edges = len(indptr) - 1, len(indices)
    if services < 0:
        raise ValueError("indptr: empty; it takes one entry more than there are services")
    if indptr[0] != 0 or indptr[-1] != edges:
        raise ValueError(
            f"indptr: runs from {indptr[0]} to {indptr[-1]}; it runs from 0 to {edges}, the length of indices"
        )
    falls = np.flatnonzero(np.diff(indptr) < 0)
    if falls.size:
        raise ValueError(f"indptr: falls after service {falls[0]}; it never falls")
    outside = np.flatnonzero((indices < 0) | (indices >= services))
    if outside.size:
        raise ValueError(f"indices: edge {outside[0]} goes to {indices[outside[0]]}; services are 0 to {services - 1}")
    callers = np.repeat(np.arange(services), np.diff(indptr))
    itself = np.flatnonzero(callers == indices)
    if itself.size:
        raise ValueError(
            f"indices: edge {itself[0]} goes from service {callers[itself[0]]} to itself; leave it out: its own doing"
        )
    steps = np.flatnonzero((np.diff(indices) <= 0) & (callers[1:] == callers[:-1]))
    if steps.size:
        at = steps[0] + 1
        what = "is there twice" if indices[at] == indices[at - 1] else "is out of order"
        raise ValueError(
            f"indices: edge {at}, from {callers[at]} to {indices[at]}, {what}; a row's callees ascend, each once"
        )

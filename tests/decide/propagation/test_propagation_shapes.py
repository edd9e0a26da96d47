"""What the propagation takes: dense matrices, triplets, scipy's matrices; what it refuses, and in which words."""

import re
from typing import Any

import numpy as np
import pytest

from controlplane.decide.propagation import Blast, CallGraph, Propagation, blame_flow, blast_radius, time_to_impact
from controlplane.decide.propagation import time_to_reach as reach

EDGES = [(0, 1), (0, 2), (1, 2)]
GRAPH, _ = CallGraph.from_edges(3, EDGES)
DENSE = np.array([[0, 2.0, 1.0], [0, 0, 3.0], [0, 0, 0]])
MASSES: dict[str, Any] = {"excess": [3.0, 3, 3], "edge_excess": [2.0, 1, 3], "source": [3.0, 0, 0]}
TROUBLE: dict[str, Any] = {"failure": [0, 0, 0.5], "latency": [0, 0, 1.0], "fraction": [0.5, 0.5, 1.0]}
BLAST = Blast(np.array([0.5, 0.5, 0.5]), np.array([1.0, 1, 1]), np.array([False, False, True]))
POOLS: dict[str, Any] = {"arrivals": [1.0, 1, 1], "in_flight": [1.0, 1, 1], "capacity": [2.0, 2, 2]}


class Sparse:
    """Laid out as scipy.sparse lays out a CSR matrix, and nothing else of it."""

    format = "csr"

    def __init__(self, index: type = np.int32) -> None:
        self.data = DENSE[DENSE > 0]
        self.indices = np.array([1, 2, 2], index)
        self.indptr = np.array([0, 2, 3, 3], index)


@pytest.mark.parametrize(
    "graph", [DENSE, Sparse(), Sparse(np.int64), (DENSE[DENSE > 0], [1, 2, 2], [0, 2, 3, 3])], ids=type
)
def test_every_form_of_a_graph_gives_the_same(graph: Any) -> None:
    """Dense, an object in CSR layout of either width, a triplet."""
    assert (blame_flow(graph, **MASSES).share == blame_flow(GRAPH, **MASSES).share).all()
    assert (blast_radius(graph, **TROUBLE).failure == blast_radius(GRAPH, **TROUBLE).failure).all()


@pytest.mark.parametrize(
    "masses", [DENSE, Sparse(), DENSE[DENSE > 0].astype(np.float32)], ids=["dense", "csr", "float32"]
)
def test_every_form_of_an_edges_figures_gives_the_same(masses: Any) -> None:
    """A matrix as large as the graph, an object of the same structure, another width of number."""
    figures = {**MASSES, "edge_excess": masses}
    assert blame_flow(GRAPH, **figures).share.tolist() == blame_flow(GRAPH, **MASSES).share.tolist()


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_indices_are_not_copied(index: type) -> None:
    """The graph holds the very arrays that it was given, where they are of a width that scipy uses."""
    given = Sparse(index)
    graph = CallGraph(given.indptr, given.indices)
    assert graph.indptr is given.indptr
    assert graph.indices is given.indices


def test_input_order_is_given_back() -> None:
    """Where in the CSR each input edge went, and the edge's number by its ends."""
    graph, order = CallGraph.from_edges(3, [(1, 2), (0, 2), (0, 1)])
    assert order.tolist() == [2, 1, 0]
    assert graph.callers.tolist() == [0, 0, 1]
    assert graph.edge(0, 2) == 1
    with pytest.raises(KeyError):
        graph.edge(2, 0)


def test_a_graph_of_nothing_is_a_graph() -> None:
    """No services, or none that call."""
    empty, _ = CallGraph.from_edges(0, [])
    assert blame_flow(empty, excess=[], edge_excess=[], source=[]).unexplained == 0
    alone, _ = CallGraph.from_edges(2, np.empty((0, 2), np.int64))
    assert blame_flow(alone, excess=[1, 1], edge_excess=[], source=[1, 0]).share.tolist() == [1, 0]
    assert Propagation(alone, fraction=[], failure=[0, 1]).blast().failure.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("indptr", "indices", "said"),
    [
        ([], [], "indptr: empty"),
        ([0, 1], [0.5], "indices: float64"),
        ([[0, 1]], [0], "indptr: int64 of shape (1, 2)"),
        ([1, 1], [0], "indptr: runs from 1 to 1; it runs from 0 to 1"),
        ([0, 2, 1, 2], [1, 2], "indptr: falls after service 1"),
        ([0, 1, 1], [2], "indices: edge 0 goes to 2; services are 0 to 1"),
        ([0, 1, 1], [-1], "indices: edge 0 goes to -1; services are 0 to 1"),
        ([0, 2, 2, 2], [2, 1], "indices: edge 1, from 0 to 1, is out of order"),
        ([0, 2, 2], [1, 1], "indices: edge 1, from 0 to 1, is there twice"),
        ([0, 0, 1], [1], "indices: edge 0 goes from service 1 to itself; leave it out"),
    ],
)
def test_a_malformed_graph_is_refused_by_name(indptr: Any, indices: Any, said: str) -> None:
    """Which argument, what is wrong with it, and what would be right."""
    with pytest.raises(ValueError, match=re.escape(said)):
        CallGraph(np.array(indptr), np.array(indices))


@pytest.mark.parametrize(
    ("services", "edges", "said"),
    [
        (-1, [], "services: -1 is negative"),
        (2, [0, 1], "edges: int64 of shape (2,); it takes integers of shape (E, 2)"),
        (2, [(0.0, 1.0)], "edges: float64"),
        (2, [(0, 2)], "edges: the callee of edge 0 is 2; services are 0 to 1"),
        (2, [(0, 1), (-1, 0)], "edges: the caller of edge 1 is -1"),
        (2, [(0, 1), (0, 1)], "is there twice"),
        (2, [(1, 1)], "edges: edge 0 goes from service 1 to itself"),
    ],
)
def test_malformed_edges_are_refused_by_name(services: int, edges: Any, said: str) -> None:
    """The same for a list of edges."""
    with pytest.raises(ValueError, match=re.escape(said)):
        CallGraph.from_edges(services, edges)


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (np.ones((2, 3)), "matrix: shape (2, 3)"),
        (np.array([[0, np.nan], [0, 0]]), "matrix: NaN or a negative entry"),
        (np.array([[0, -1.0], [0, 0]]), "matrix: NaN or a negative entry"),
        (np.array([[0, "a"], ["b", 0]]), "matrix: <U"),
        (np.eye(2), "matrix: service 0 calls itself"),
        (([1.0], [0]), "graph: 2 arrays; a CSR triplet is (data, indices, indptr)"),
        ("web", "graph: str; it takes a CallGraph"),
        (5, "graph: int; it takes a CallGraph"),
    ],
)
def test_what_is_no_graph_is_refused(graph: Any, said: str) -> None:
    """Shapes, entries and kinds."""
    with pytest.raises(ValueError, match=re.escape(said)):
        blame_flow(graph, **MASSES)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"excess": [1.0, 2]}, "excess: shape (2,); it takes (3,), one for each service"),
        ({"edge_excess": [1.0, 2]}, "edge_excess: shape (2,); it takes (3,), one for each edge"),
        ({"edge_excess": np.ones((2, 2))}, "edge_excess: shape (2, 2)"),
        ({"excess": [0, -1.0, 0]}, "excess: -1.0 at 1; it takes 0 or more, or NaN for unknown"),
        ({"edge_excess": [0, 0, -2.0]}, "edge_excess: -2.0 at 2"),
        ({"local": [np.inf, 0, 0]}, "local: inf at 0"),
        ({"source": [0, 0, -0.5]}, "source: -0.5 at 2"),
        ({"source": ["a", "b", "c"]}, "source: <U1; it takes numbers"),
        ({"excess": [1j, 0, 0]}, "excess: complex128"),
        ({"source": [1e308, 1e308, 1e308]}, "their sums are beyond any float"),
    ],
)
def test_wrong_masses_are_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    """Which argument, where, and what it takes."""
    with pytest.raises(ValueError, match=re.escape(said)):
        blame_flow(GRAPH, **{**MASSES, **wrong})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"failure": [0, 0, 1.5]}, "failure: 1.5 at 2; it has to be known, 0 to 1"),
        ({"failure": [0, np.nan, 0]}, "failure: nan at 1"),
        ({"latency": [0, 0, -1.0]}, "latency: -1.0 at 2; it has to be known, 0 or more"),
        ({"latency": [0, 0, np.inf]}, "latency: inf at 2"),
        ({"fraction": [0.5, 0.5, 1.01]}, "fraction: 1.01 at 2"),
        ({"fraction": [0.5, np.nan, 1]}, "fraction: nan at 1"),
        ({"calls": [1, -1.0, 1]}, "calls: -1.0 at 1"),
        ({"calls": [1, 1, np.nan]}, "calls: nan at 2"),
        ({"soft": [1, 0]}, "soft: shape (2,)"),
        ({"soft": [1, 0, np.nan]}, "soft: nan at 2"),
    ],
)
def test_wrong_trouble_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    """The same of a blast, and of one that is kept up to date."""
    with pytest.raises(ValueError, match=re.escape(said)):
        blast_radius(GRAPH, **{**TROUBLE, **wrong})
    with pytest.raises(ValueError, match=re.escape(said)):
        Propagation(GRAPH, **{**TROUBLE, **wrong})


def test_minus_zero_is_zero() -> None:
    """The sign of nothing is no reason to refuse it."""
    found = blast_radius(GRAPH, failure=[-0.0, 0, 1], latency=[-0.0, 0, 0], fraction=[-0.0, 1, 1], calls=[-0.0, 1, 1])
    assert found.failure.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"arrivals": [1.0, 1]}, "arrivals: shape (2,)"),
        ({"in_flight": [1.0, -1, 1]}, "in_flight: -1.0 at 1"),
        ({"capacity": [1.0, -1, 1]}, "capacity: -1.0 at 1"),
        ({"stuck": [0.5, 1.5, 0]}, "stuck: 1.5 at 1; it takes 0 to 1"),
        ({"hop": [1.0, np.nan, 1]}, "hop: nan at 1"),
        ({"onset": [1.0, -1, 1]}, "onset: -1.0 at 1"),
    ],
)
def test_wrong_pools_are_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    """The same of what time to impact is computed from."""
    with pytest.raises(ValueError, match=re.escape(said)):
        time_to_impact(GRAPH, BLAST, **{**POOLS, **wrong})


def test_a_blast_of_another_graph_is_refused() -> None:
    """It has to be of as many services."""
    short = Blast(np.zeros(2), np.zeros(2), np.zeros(2, np.bool_))
    with pytest.raises(ValueError, match="blast: of 2 services"):
        reach(GRAPH, short, onset=[0.0, 0, 0])


def test_a_place_is_a_whole_number() -> None:
    """1.9 is neither service 1 nor edge 1."""
    kept = Propagation(GRAPH, **TROUBLE)
    with pytest.raises(TypeError):
        kept.set_service(1.9, failure=0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        kept.set_edges(np.array([0.0, 1.0]), excess=[1.0, 1.0])  # type: ignore[arg-type]
    kept.set_services(np.array([0, 1]), failure=[0.5, 0.25], source=[1.0, 0.0])
    with pytest.raises(ValueError, match="excess: shape"):
        kept.set_edges([0, 1], excess=[1.0])


@pytest.mark.parametrize(
    ("act", "arguments", "said"),
    [
        ("set_service", {"service": 3, "failure": 0.5}, "service: 3; it takes 0 to 2"),
        ("set_service", {"service": -1, "excess": 0.5}, "service: -1; it takes 0 to 2"),
        ("set_edge", {"edge": 3, "excess": 0.5}, "edge: 3; it takes 0 to 2"),
        ("set_service", {"service": 0, "failure": 2.0, "source": 1.0}, "failure: 2.0"),
        ("set_service", {"service": 0, "failure": 0.5, "source": -1.0}, "source: -1.0"),
        ("set_service", {"service": 0, "excess": 1e301}, "excess: 1e+301"),
        ("set_edge", {"edge": 0, "fraction": np.nan}, "fraction: nan"),
        ("set_edge", {"edge": 0, "fraction": 0.5, "excess": -1.0}, "excess: -1.0"),
    ],
)
def test_a_wrong_change_is_refused_and_changes_nothing(act: str, arguments: dict[str, Any], said: str) -> None:
    """Nothing of a refused change is kept."""
    kept = Propagation(GRAPH, **TROUBLE, **MASSES)
    before = kept.blame().share.tolist(), kept.blast().failure.tolist()
    with pytest.raises((ValueError, IndexError), match=re.escape(said)):
        getattr(kept, act)(**arguments)
    assert kept.update() == 0
    assert (kept.blame().share.tolist(), kept.blast().failure.tolist()) == before

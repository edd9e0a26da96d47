"""Blame flow: mass arrives, stays in proportion to what is a service's own, and goes on along its calls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.analysis.flow import share_of_blame


def slow_flow(
    edges: np.ndarray, excess: np.ndarray, edge_excess: np.ndarray, local: np.ndarray, source: np.ndarray
) -> np.ndarray:
    """The same by following every particle of mass down every path; graphs without cycles only."""
    share = np.zeros(len(excess))

    def arrive(v: int, amount: float) -> None:
        out = [(int(edges[e, 1]), edge_excess[e]) for e in range(len(edges)) if edges[e, 0] == v]
        own = max(local[v], excess[v] - sum(weight for _, weight in out))
        whole = own + sum(weight for _, weight in out)
        if whole <= 0:
            return
        share[v] += amount * own / whole
        for callee, weight in out:
            arrive(callee, amount * weight / whole)

    for v in np.flatnonzero(source):
        arrive(int(v), source[v] / source.sum())
    return share


@st.composite
def graphs(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    n = draw(st.integers(2, 7))
    pairs = [(u, v) for u in range(n) for v in range(u + 1, n)]
    edges = np.array(draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True)))
    numbers = st.floats(0, 100, allow_nan=False).map(lambda x: round(x, 3))

    def vector(size: int) -> np.ndarray:
        return np.array(draw(st.lists(numbers, min_size=size, max_size=size)))

    return edges, vector(n), vector(len(edges)), vector(n), vector(n)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_it_is_what_following_every_particle_gives(graph: tuple[np.ndarray, ...]) -> None:
    """Against the slow oracle; what is not delivered is unexplained."""
    edges, excess, edge_excess, local, source = graph
    share, unexplained = share_of_blame(edges, excess=excess, edge_excess=edge_excess, local=local, source=source)
    assert share == pytest.approx(slow_flow(edges, excess, edge_excess, local, source), abs=1e-6)
    assert share.sum() + unexplained == pytest.approx(1.0 if source.sum() > 0 else 0.0, abs=1e-6)


def test_a_cycle_ends() -> None:
    """Mass that circulates is delivered, but for what nobody owns."""
    edges = np.array([[0, 1], [1, 0]])
    share, unexplained = share_of_blame(
        edges,
        excess=np.array([2.0, 2.0]),
        edge_excess=np.array([1.0, 1.0]),
        local=np.zeros(2),
        source=np.array([1.0, 0.0]),
    )
    assert share == pytest.approx([2 / 3, 1 / 3], abs=1e-6)
    assert unexplained == pytest.approx(0.0, abs=1e-6)

"""Random call graphs like real ones: layers, a few services that very many call, a few that call each other.

Services live in cells (a product, a region) and call mostly within their own, a layer or more further down; some calls
go to services of the whole company, whose fan-in is heavy-tailed; one service in 200 has a partner that it calls and is
called by. Numbers are dealt out at random, so that neighbours in the graph are not neighbours in memory.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.propagation import CallGraph

Floats = NDArray[np.float64]

LAYERS = 12  # deeper call chains are rare in published traces (Alibaba 2021: hardly any beyond 10)
CELL = 2_000
SHARED_CALLS = 0.1  # share of calls that leave the cell, for one of the shared services
SHARED_EACH = 100  # a shared service for so many
FAN_IN_EXPONENT = 1.8  # of the popularity of shared services, and of those within a cell
PARTNERS_EACH = 200


class Sample(msgspec.Struct, frozen=True):
    """A graph with figures on all of it: what one full evaluation reads."""

    graph: CallGraph
    excess: Floats
    edge_excess: Floats
    source: Floats
    failure: Floats
    latency: Floats
    fraction: Floats
    calls: Floats
    soft: NDArray[np.bool_]


def call_graph(services: int, edges: int, seed: int, *, cell: int = CELL) -> CallGraph:
    """A graph of `services` and about `edges`; less than one in a hundred is drawn twice and then left out."""
    dice = np.random.default_rng(seed)
    shared = max(1, services // SHARED_EACH) if services > cell else 0
    local = services - shared
    count = max(1, round(local / cell))
    home, layer = np.arange(local) % count, np.arange(local) // count * LAYERS // -(-local // count)
    width = -(-local // count)  # services of a cell, sorted by layer: number = place * count + cell
    want = round(edges * 1.06)
    caller = np.sort(dice.integers(0, local, want))
    first_below = np.searchsorted(np.arange(width) * LAYERS // width, layer[caller] + 1)
    left = width - first_below
    popular = (left * dice.random(want) ** FAN_IN_EXPONENT).astype(np.int64)
    callee = (first_below + popular) * count + home[caller]
    keep = (left > 0) & (callee < local)
    if shared:
        away = dice.random(want) < SHARED_CALLS
        callee[away] = local + (shared * dice.random(int(away.sum())) ** (2 * FAN_IN_EXPONENT)).astype(np.int64)
        keep |= away
    pairs = np.column_stack((caller, callee))[keep]
    partner = np.arange(0, local - count, PARTNERS_EACH)
    partner = partner[layer[partner] == layer[partner + count]]
    pairs = np.concatenate(
        (pairs, np.column_stack((partner, partner + count)), np.column_stack((partner + count, partner)))
    )
    key = np.unique(pairs[:, 0] * services + pairs[:, 1])
    if len(key) > edges:
        key = np.delete(key, dice.choice(len(key), len(key) - edges, replace=False))
    renamed = dice.permutation(services)
    return CallGraph.from_edges(services, renamed[np.column_stack((key // services, key % services))])[0]


def sample(services: int, edges: int, seed: int, *, cell: int = CELL) -> Sample:
    """Trouble everywhere, the worst case of a whole evaluation: every edge carries excess, every service fails."""
    graph = call_graph(services, edges, seed, cell=cell)
    dice = np.random.default_rng(seed + 1)
    source = np.where(np.bincount(graph.indices, minlength=services) == 0, dice.random(services), 0.0)
    return Sample(
        graph=graph,
        excess=dice.exponential(20.0, services),
        edge_excess=dice.exponential(1.0, graph.edges),
        source=source,
        failure=dice.random(services) * 0.01,
        latency=dice.exponential(0.01, services),
        fraction=dice.random(graph.edges) * 0.2,
        calls=dice.exponential(0.1, graph.edges),
        soft=dice.random(graph.edges) < 0.1,
    )

"""The compiled sweeps: their order, buffers that do not fit, threads, and graphs too large for dictionaries."""

import threading
from typing import Any

import numpy as np
import pytest

from controlplane._native.propagation import Flows, Spread
from controlplane.bench.propagation.graphs import call_graph, sample
from controlplane.bench.propagation.rivals import Levels, agree
from controlplane.decide.propagation import CallGraph, Propagation, blame_flow, blast_radius

EXACT = 1e-9


def flows(services: int, edges: list[tuple[int, int]]) -> Flows:
    """The sweeps over a graph of these edges."""
    return CallGraph.from_edges(services, np.array(edges, np.int64).reshape(-1, 2))[0].flows


def test_callees_come_before_their_callers() -> None:
    """In the order of the sweep, unless they are in one cycle, whose members stand side by side."""
    graph = call_graph(3_000, 12_000, seed=8, cell=500)
    place = np.empty(graph.services, np.int64)
    place[graph.flows.order] = np.arange(graph.services)
    cycle = np.arange(graph.services)
    for members in graph.flows.cycles:
        at = sorted(place[members])
        assert at == list(range(at[0], at[0] + len(at)))
        cycle[members] = members[0]
    between = cycle[graph.callers] != cycle[graph.indices]
    assert (place[graph.indices] < place[graph.callers])[between].all()
    assert graph.flows.cycles
    assert sorted(graph.flows.order) == list(range(graph.services))


def test_cycles_are_found_whole() -> None:
    """Two that share a service are one; a chain is none; one within a longer walk is found."""
    assert flows(3, [(0, 1), (1, 2)]).cycles == []
    assert [sorted(c) for c in flows(5, [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 4)]).cycles] == [[0, 1, 2]]
    two = flows(6, [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (4, 5)]).cycles
    assert sorted(sorted(c) for c in two) == [[0, 1, 2], [3, 4]]


def test_a_chain_deeper_than_any_stack_is_sorted() -> None:
    """200,000 services in a row, each calling the next; trouble at the end reaches the beginning."""
    n = 200_000
    graph, _ = CallGraph.from_edges(n, np.column_stack((np.arange(n - 1), np.arange(1, n))))
    found = blast_radius(graph, failure=np.arange(n) == n - 1, latency=np.zeros(n), fraction=np.ones(n - 1))
    assert (found.failure == 1).all()


def test_a_buffer_of_another_length_is_refused() -> None:
    """Before anything is read or written."""
    of, short, right = flows(3, [(0, 1), (1, 2)]), np.zeros(1), np.zeros(3)
    edges = np.zeros(2)
    with pytest.raises(ValueError, match="a buffer of 1 where 3 are needed"):
        of.sweep((right, edges, None, right), short, None, None, None)
    with pytest.raises(ValueError, match="a buffer of 1 where 2 are needed"):
        of.sweep((right, short, None, right), right, None, None, None)
    with pytest.raises(ValueError, match="a buffer of 1 where 2 are needed"):
        of.sweep(None, None, (right, right, edges, edges, np.zeros(1, np.uint8)), right, right)
    with pytest.raises(ValueError, match="a buffer of 1 where 3 are needed"):
        of.reach(np.zeros(1, np.uint8), None, right, right)
    with pytest.raises(ValueError, match="a buffer of 1 where 2 are needed"):
        Spread(of, short, edges, None, edges)


def test_results_take_only_as_many_as_fit() -> None:
    """Buffers for results may be shorter than the results."""
    of = flows(3, [(0, 1), (1, 2)])
    spread = Spread(of, np.ones(2), np.ones(2), None, np.ones(2))
    spread.set_trouble(2, 0.5, 1.0)
    spread.set_mass(0, 2.0, np.nan, 1.0)
    assert spread.update() > 0
    places, one = np.full(1, -1, np.int32), np.zeros(1)
    spread.hurt(places, one, np.zeros(1))
    assert spread.hurt_count == 3
    assert one[0] == 0.5
    spread.blamed(places, one)
    assert places[0] in {0, 1, 2}


def test_large_graphs_equal_numpy() -> None:
    """Blame and blast of graphs with a thousand services and cycles, beside vectorised numpy."""
    for seed in range(3):
        s = sample(1_500, 9_000, seed, cell=300)
        blame = blame_flow(s.graph, excess=s.excess, edge_excess=s.edge_excess, source=s.source)
        blast = blast_radius(
            s.graph, failure=s.failure, latency=s.latency, fraction=s.fraction, calls=s.calls, soft=s.soft
        )
        assert agree((blame.share, blast.failure, blast.latency), Levels(s.graph)(s))


def test_following_many_changes_of_a_large_graph_equals_beginning_anew() -> None:
    """A thousand changes, some of which take trouble away again, on a graph with shared services and cycles."""
    s = sample(2_000, 12_000, 3, cell=400)
    dice = np.random.default_rng(11)
    figures: dict[str, Any] = {
        "fraction": s.fraction.copy(), "calls": s.calls.copy(), "soft": s.soft.copy(),
        "excess": s.excess.copy(), "edge_excess": np.where(dice.random(s.graph.edges) < 0.3, s.edge_excess, 0.0),
        "local": np.where(dice.random(2_000) < 0.1, s.excess, np.nan), "source": s.source.copy(),
        "failure": np.zeros(2_000), "latency": np.zeros(2_000),
    }  # fmt: skip
    kept = Propagation(s.graph, **figures)
    for turn in range(1_000):
        service, edge = int(dice.integers(2_000)), int(dice.integers(s.graph.edges))
        name = str(dice.choice(["failure", "latency", "excess", "source", "edge", "fraction"]))
        value = float(dice.random()) if dice.random() < 0.6 else 0.0
        if name in {"edge", "fraction"}:
            key, argument = ("edge_excess", "excess") if name == "edge" else ("fraction", "fraction")
            kept.set_edge(edge, **{argument: value})  # type: ignore[arg-type]
            figures[key][edge] = value
        else:
            kept.set_service(service, **{name: value})
            figures[name][service] = value
        if turn % 3 == 0:
            kept.update()
    kept.update()
    blame = blame_flow(s.graph, **{key: figures[key] for key in ("excess", "edge_excess", "local", "source")})
    blast = blast_radius(s.graph, **{key: figures[key] for key in ("failure", "latency", "fraction", "calls", "soft")})
    assert kept.blame().share == pytest.approx(blame.share, abs=EXACT)
    assert kept.blame().unexplained == pytest.approx(blame.unexplained, abs=EXACT)
    assert kept.blast().failure == pytest.approx(blast.failure, abs=EXACT)
    assert kept.blast().latency == pytest.approx(blast.latency, abs=EXACT)


def test_a_change_costs_what_it_reaches() -> None:
    """The same incident in a cell of a graph ten times as large works out as few services anew."""
    counts = []
    for services in (2_000, 20_000):
        graph = call_graph(services, services * 6, seed=5, cell=400)
        kept = Propagation(graph, fraction=np.full(graph.edges, 0.5))
        reached = []
        for service in range(0, services, services // 100):
            kept.set_service(service, failure=0.5)
            reached.append(kept.update())
            kept.set_service(service, failure=0.0)
            assert kept.update() == reached[-1]  # and as many when it is over
            assert len(kept.hurt()[0]) == 0
        counts.append(float(np.median(reached)))
    assert counts[1] < 2 * counts[0] < 400


def test_threads_that_sweep_one_graph_do_not_disturb_each_other() -> None:
    """The lock of the interpreter is not held; whoever finds the work space taken brings another."""
    s = sample(3_000, 30_000, 2, cell=600)
    right = blast_radius(s.graph, failure=s.failure, latency=s.latency, fraction=s.fraction, calls=s.calls).failure
    wrong: list[int] = []

    def sweep() -> None:
        for _ in range(60):
            found = blast_radius(s.graph, failure=s.failure, latency=s.latency, fraction=s.fraction, calls=s.calls)
            wrong.extend(np.flatnonzero(found.failure != right).tolist())

    threads = [threading.Thread(target=sweep) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

"""The compiled propagation against plain dictionaries, on random graphs with cycles; what holds of any answer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.propagation import (
    Blame,
    Blast,
    CallGraph,
    Propagation,
    blame_flow,
    blast_radius,
    time_to_reach,
)
from tests import propagation_oracle as oracle

EXACT = 1e-9
SERVICES_MAX = 9


def figure(most: float, *, unknown: bool = False) -> st.SearchStrategy[float]:
    """Zero often, since zero is what decides; otherwise anything up to `most`, coarse enough for cycles to settle."""
    some = st.integers(min_value=1, max_value=1000).map(lambda thousandths: thousandths * most / 1000)
    return st.one_of(st.just(0.0), some, *([st.just(np.nan)] if unknown else []))


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """A graph of up to nine services, edges in any direction, and figures for all of it."""
    n = draw(st.integers(min_value=1, max_value=SERVICES_MAX))
    possible = [(a, b) for a in range(n) for b in range(n) if a != b]
    chosen = draw(st.lists(st.sampled_from(possible), unique=True, max_size=24)) if possible else []
    pairs = sorted(chosen)

    def each(count: int, strategy: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(strategy, min_size=count, max_size=count))

    return {
        "n": n,
        "pairs": pairs,
        "excess": each(n, figure(100.0, unknown=True)),
        "edge_excess": each(len(pairs), figure(50.0, unknown=True)),
        "local": each(n, figure(20.0, unknown=True)),
        "source": each(n, figure(100.0, unknown=True)),
        "failure": each(n, figure(1.0)),
        "latency": each(n, figure(2.0)),
        "fraction": each(len(pairs), figure(0.9)),
        "calls": each(len(pairs), figure(0.3)),
        "soft": each(len(pairs), st.booleans()),
    }


def graph_of(case: dict[str, Any]) -> CallGraph:
    """Its structure; the pairs are sorted, so figures are in CSR order already."""
    return CallGraph.from_edges(case["n"], np.array(case["pairs"], np.int64).reshape(-1, 2))[0]


def blame_of(case: dict[str, Any], graph: CallGraph | None = None) -> Blame:
    """Its blame."""
    names = ("excess", "edge_excess", "local", "source")
    return blame_flow(graph or graph_of(case), **{name: np.array(case[name], float) for name in names})


def blast_of(case: dict[str, Any], graph: CallGraph | None = None) -> Blast:
    """Its blast."""
    names = ("failure", "latency", "fraction", "calls")
    soft = np.array(case["soft"], bool)
    return blast_radius(graph or graph_of(case), soft=soft, **{name: np.array(case[name], float) for name in names})


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_blame_equals_the_dictionaries(case: dict[str, Any]) -> None:
    """Every share, and the unexplained rest."""
    ours = blame_of(case)
    edges = dict(zip(case["pairs"], case["edge_excess"], strict=True))
    share, unexplained = oracle.blame(case["n"], edges, case["excess"], case["local"], case["source"])
    assert ours.share == pytest.approx(share, abs=EXACT)
    assert ours.unexplained == pytest.approx(unexplained, abs=EXACT)


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_blast_equals_the_dictionaries(case: dict[str, Any]) -> None:
    """Every failure share and every latency."""
    ours = blast_of(case)
    calls = dict(zip(case["pairs"], case["calls"], strict=True))
    need = {
        pair: fraction
        for pair, fraction, soft in zip(case["pairs"], case["fraction"], case["soft"], strict=True)
        if not soft
    }
    failure, latency = oracle.blast(case["n"], need, calls, case["failure"], case["latency"])
    assert ours.failure == pytest.approx(failure, abs=EXACT)
    known = np.isfinite(ours.latency)
    assert ours.latency[known] == pytest.approx(np.array(latency)[known], abs=EXACT, rel=EXACT)
    assert (np.array(latency)[~known] > 1e3).all()  # calls that beget themselves; the dictionaries just go on adding


@given(graphs(), st.data())
@settings(max_examples=150, deadline=None)
def test_reach_equals_the_dictionaries(case: dict[str, Any], data: st.DataObject) -> None:
    """The quickest way up, through cycles, too."""
    hop = data.draw(st.lists(figure(5.0), min_size=len(case["pairs"]), max_size=len(case["pairs"])))
    onset = data.draw(st.lists(figure(3.0), min_size=case["n"], max_size=case["n"]))
    blast = blast_of(case)
    hurt = (blast.failure > 0) | (blast.latency > 0)
    expected = oracle.reach(case["n"], dict(zip(case["pairs"], hop, strict=True)), hurt.tolist(), onset)
    assert time_to_reach(graph_of(case), blast, hop=np.array(hop, float), onset=onset) == pytest.approx(expected)


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_no_mass_is_made_or_lost(case: dict[str, Any]) -> None:
    """Shares and the unexplained rest are 1 together, none is negative, and all are 0 where nobody saw anything."""
    found = blame_of(case)
    seen = np.nansum(case["source"]) > 0
    assert found.share.sum() + found.unexplained == pytest.approx(1.0 if seen else 0.0, abs=EXACT)
    assert (found.share >= 0).all()
    assert found.unexplained >= 0


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_services_does_not_matter(case: dict[str, Any], random: Any) -> None:
    """The same graph under other numbers gives the same answer under those numbers."""
    renamed = list(range(case["n"]))
    random.shuffle(renamed)
    pairs = [(renamed[a], renamed[b]) for a, b in case["pairs"]]
    other, order = CallGraph.from_edges(case["n"], np.array(pairs, np.int64).reshape(-1, 2))
    twin = dict(case)
    for name in ("excess", "local", "source", "failure", "latency"):
        values = np.empty(case["n"])
        values[renamed] = case[name]
        twin[name] = values
    for name in ("edge_excess", "fraction", "calls", "soft"):
        values = np.empty(len(pairs))
        values[order] = case[name]
        twin[name] = values
    first, second = blame_of(case), blame_of(twin, other)
    assert second.share[renamed] == pytest.approx(first.share, abs=EXACT)
    assert second.unexplained == pytest.approx(first.unexplained, abs=EXACT)
    up, also = blast_of(case), blast_of(twin, other)
    assert also.failure[renamed] == pytest.approx(up.failure, abs=EXACT)
    assert also.latency[renamed] == pytest.approx(up.latency, abs=EXACT, rel=EXACT)


@given(graphs(), st.sampled_from([1e-30, 1e-3, 7.0, 1e6, 1e30]))
@settings(max_examples=150, deadline=None)
def test_the_unit_of_mass_does_not_matter(case: dict[str, Any], scale: float) -> None:
    """Shares are the same when all masses are measured in another unit."""
    scaled = {
        name: [value * scale for value in values] if name in {"excess", "edge_excess", "local", "source"} else values
        for name, values in case.items()
        if isinstance(values, list)
    }
    first, second = blame_of(case), blame_of({**scaled, "n": case["n"]})
    assert second.share == pytest.approx(first.share, abs=EXACT)
    assert second.unexplained == pytest.approx(first.unexplained, abs=EXACT)


@given(graphs(), st.integers(min_value=0, max_value=SERVICES_MAX - 1), figure(1.0), figure(3.0))
@settings(max_examples=200, deadline=None)
def test_more_trouble_never_helps_anybody(case: dict[str, Any], which: int, failure: float, latency: float) -> None:
    """A service that fails more or is slower lowers nobody's failure and nobody's latency."""
    before, worse = blast_of(case), {name: list(v) if isinstance(v, list) else v for name, v in case.items()}
    which %= case["n"]
    worse["failure"][which] = max(worse["failure"][which], failure)
    worse["latency"][which] += latency
    after = blast_of(worse)
    assert (after.failure >= before.failure - EXACT).all()
    assert (after.latency >= before.latency * (1 - EXACT)).all()


CHANGES = {
    "set_service": {
        "excess": figure(100.0, unknown=True),
        "local": figure(20.0, unknown=True),
        "source": figure(100.0, unknown=True),
        "failure": figure(1.0),
        "latency": figure(2.0),
    },
    "set_edge": {
        "excess": figure(50.0, unknown=True),
        "fraction": figure(0.9),
        "calls": figure(0.3),
        "soft": st.booleans(),
    },
}
STORED = {("set_edge", "excess"): "edge_excess"}


@given(graphs(), st.data())
@settings(max_examples=200, deadline=None)
def test_following_changes_equals_beginning_anew(case: dict[str, Any], data: st.DataObject) -> None:
    """After any sequence of changes, updated at any moments, the kept figures are those of a whole sweep."""
    graph = graph_of(case)
    arrays = {
        name: np.array(values, bool if name == "soft" else float)
        for name, values in case.items()
        if isinstance(values, list)
    }
    arrays.pop("pairs")
    kept = Propagation(graph, **arrays)
    for _ in range(data.draw(st.integers(min_value=1, max_value=12))):
        act = data.draw(st.sampled_from(sorted(CHANGES) if graph.edges else ["set_service"]))
        place = data.draw(st.integers(min_value=0, max_value=(graph.edges if act == "set_edge" else case["n"]) - 1))
        name = data.draw(st.sampled_from(sorted(CHANGES[act])))
        value = data.draw(CHANGES[act][name])
        getattr(kept, act)(place, **{name: value})
        arrays[STORED.get((act, name), name)][place] = value
        if data.draw(st.booleans()):
            kept.update()
    kept.update()
    assert kept.update() == 0
    blame, blast = blame_of({**arrays, "n": case["n"]}, graph), blast_of({**arrays, "n": case["n"]}, graph)
    assert kept.blame().share == pytest.approx(blame.share, abs=EXACT)
    assert kept.blame().unexplained == pytest.approx(blame.unexplained, abs=EXACT)
    assert kept.blast().failure == pytest.approx(blast.failure, abs=EXACT)
    assert kept.blast().latency == pytest.approx(blast.latency, abs=EXACT, rel=EXACT)
    assert (kept.blast().origin == blast.origin).all()
    assert set(kept.blamed()[0].tolist()) >= set(np.flatnonzero(blame.share > EXACT).tolist())

"""Blame, blast and time to impact by examples that a person can work out."""

from typing import Any

import numpy as np
import pytest

from controlplane.decide.propagation import (
    Blast,
    CallGraph,
    Propagation,
    blame_flow,
    blast_radius,
    time_to_impact,
    time_to_reach,
)
from tests import propagation_oracle as oracle

WEB, CART, DB, MAIL = range(4)
SHOP, _ = CallGraph.from_edges(4, [(WEB, CART), (WEB, MAIL), (CART, DB)])  # in CSR order as they stand
NONE = np.zeros(4)


def blast(**given: Any) -> Blast:
    """Of the shop, where everybody needs everybody for each request, once."""
    figures: dict[str, Any] = {"failure": NONE, "latency": NONE, "fraction": np.ones(3)}
    return blast_radius(SHOP, **{**figures, **given})


def test_a_relay_is_not_blamed_for_what_it_relays() -> None:
    """All of cart's excess is explained by its calls to db, which has no callee to explain its own."""
    found = blame_flow(SHOP, excess=[10, 10, 10, 0], edge_excess=[10, 0, 10], source=[10, 0, 0, 0])
    assert found.share.tolist() == [0, 0, 1, 0]
    assert found.unexplained == 0


def test_blame_is_split_by_what_callees_explain() -> None:
    """Half of web's excess is cart's, a quarter mail's, and the rest its own."""
    found = blame_flow(SHOP, excess=[8, 4, 0, 2], edge_excess=[4, 2, 0], source=[8, 0, 0, 0])
    assert found.share.tolist() == [0.25, 0.5, 0, 0.25]


def test_local_evidence_is_never_explained_away() -> None:
    """A saturated relay keeps its share although its callee explains all of its excess."""
    found = blame_flow(
        SHOP, excess=[9, 9, 9, 0], edge_excess=[9, 0, 9], local=[np.nan, 9, np.nan, 0], source=[9, 0, 0, 0]
    )
    assert found.share.tolist() == [0, 0.5, 0.5, 0]


def test_a_healthy_window_blames_nobody() -> None:
    """Nothing was seen: every share is zero, and so is the unexplained rest."""
    found = blame_flow(SHOP, excess=NONE, edge_excess=np.zeros(3), source=NONE)
    assert not found.share.any()
    assert found.unexplained == 0


def test_what_nothing_explains_is_said_to_be_unexplained() -> None:
    """Blame that arrives where nothing is known stays nobody's."""
    found = blame_flow(SHOP, excess=[10, np.nan, 0, 0], edge_excess=[10, 0, np.nan], source=[10, 0, 0, 0])
    assert not found.share.any()
    assert found.unexplained == 1


def test_a_cycle_that_nobody_leaves_is_unexplained() -> None:
    """Two services that blame each other for everything, and a third that blames both, explain nothing."""
    graph, order = CallGraph.from_edges(3, [(0, 1), (1, 0), (2, 0)])
    masses = np.empty(3)
    masses[order] = [5, 5, 5]
    found = blame_flow(graph, excess=[5, 5, 5], edge_excess=masses, source=[0, 0, 1])
    assert found.share.tolist() == [0, 0, 0]
    assert found.unexplained == pytest.approx(1)


def test_a_cycle_gives_its_blame_to_whoever_leaks() -> None:
    """Blame goes around two services until the one with mass of its own has all of it, however little that is."""
    graph, _ = CallGraph.from_edges(2, [(0, 1), (1, 0)])
    for leak in (1.0, 1e-3, 1e-9):
        found = blame_flow(graph, excess=[5, 5], edge_excess=[5, 5], local=[0, 5 * leak], source=[1, 0])
        assert found.share == pytest.approx([0, 1], abs=1e-12)
        assert found.unexplained == 0


def test_a_cycle_too_large_to_be_solved_at_once_is_gone_around() -> None:
    """Fifty services in a ring, of which each keeps a tenth and passes on the rest; nothing is lost."""
    ring, _ = CallGraph.from_edges(50, [(v, (v + 1) % 50) for v in range(50)])
    seen = np.zeros(50)
    seen[0] = 1
    found = blame_flow(ring, excess=np.full(50, 10.0), edge_excess=np.full(50, 9.0), source=seen)
    once = 0.1 * 0.9 ** np.arange(50) / (1 - 0.9**50)
    assert found.share == pytest.approx(once, abs=1e-12)
    assert found.unexplained == pytest.approx(0, abs=1e-12)
    kept = Propagation(ring, fraction=np.zeros(50), excess=np.full(50, 10.0), edge_excess=np.full(50, 9.0), source=seen)
    assert kept.blame().share == pytest.approx(once, abs=1e-12)


def test_failure_goes_up_by_the_share_of_requests_that_need_it() -> None:
    """A tenth of cart's requests need the failing half of db; web needs cart for every request."""
    found = blast(failure=[0, 0, 0.5, 0], fraction=[1, 1, 0.1])
    assert found.failure == pytest.approx([0.05, 0.05, 0.5, 0])
    assert found.origin.tolist() == [False, False, True, False]


def test_two_failures_are_met_independently() -> None:
    """Web fails unless neither of its callees does."""
    assert blast(failure=[0, 0.5, 0, 0.5]).failure[WEB] == pytest.approx(0.75)


def test_a_fallback_stops_failure_and_not_latency() -> None:
    """A soft edge carries no failure; the caller still waits."""
    found = blast(failure=[0, 0, 1, 0], latency=[0, 0, 2, 0], soft=[False, False, True])
    assert found.failure.tolist() == [0, 0, 1, 0]
    assert found.latency.tolist() == [2, 2, 2, 0]


def test_latency_adds_up_by_calls() -> None:
    """Three calls a request to db cost web three times db's excess, and mail's beside it."""
    found = blast(latency=[0, 0, 0.1, 0.5], calls=[1, 1, 3])
    assert found.latency == pytest.approx([0.8, 0.3, 0.1, 0.5])


def test_calls_that_beget_themselves_take_for_ever() -> None:
    """A cycle in which each call makes another has no finite latency, and nor have its callers; others do."""
    graph, _ = CallGraph.from_edges(4, [(0, 1), (1, 2), (2, 1), (2, 3)])
    found = blast_radius(graph, failure=NONE, latency=[0, 0, 0, 1], fraction=[1, 1, 1, 1])
    assert found.latency.tolist() == [np.inf, np.inf, np.inf, 1]


def test_no_calls_to_what_never_answers_add_nothing() -> None:
    """An edge without calls carries nothing, infinite latency included."""
    graph, order = CallGraph.from_edges(3, [(0, 1), (1, 0), (2, 0)])
    calls = np.empty(3)
    calls[order] = [1, 1, 0]
    found = blast_radius(graph, failure=[0, 0, 0], latency=[1, 0, 0], fraction=np.ones(3), calls=calls)
    assert found.latency.tolist() == [np.inf, np.inf, 0]


def test_trouble_takes_the_quickest_way() -> None:
    """Web feels mail's trouble sooner than it feels db's through cart, and nobody feels what is not there."""
    found = blast(failure=[0, 0, 1, 1])
    assert time_to_reach(SHOP, found, hop=[5, 1, 2]).tolist() == [1, 2, 0, 0]
    assert time_to_reach(SHOP, found, hop=[5, 1, 2], onset=[np.inf, np.inf, 0, 9]).tolist() == [7, 2, 0, 9]
    assert time_to_reach(SHOP, blast(failure=[0, 0, 0, 1])).tolist() == [0, np.inf, np.inf, 0]


def test_a_pool_is_full_when_arrivals_have_used_up_what_is_left() -> None:
    """100 requests a second that all hang, against 50 free places, after the second it takes to feel it."""
    found = blast(latency=[0, 0, 30, 0])
    pools = {"arrivals": [100, 100, 1, 1], "in_flight": [10, 50, 1, 1], "capacity": [60, 3050, 2, 2]}
    seconds = time_to_impact(SHOP, found, hop=[1, 0, 0], **pools)
    assert seconds[WEB] == pytest.approx(1 + 50 / 100)
    assert seconds[CART] == np.inf  # 100/s x 30 s = 3,000 more fit exactly
    assert seconds[DB] == pytest.approx(1)
    assert seconds[MAIL] == np.inf  # not in the blast


def test_what_is_unknown_stays_unknown() -> None:
    """A pool of unknown size fills at an unknown time, unless the service waits for nothing."""
    found = blast(latency=[0, 0, 30, 0])
    pools = {"arrivals": [100, np.nan, 1, np.nan], "in_flight": [10, 1, 1, 1], "capacity": [np.nan, 5, np.inf, 5]}
    seconds = time_to_impact(SHOP, found, **pools)
    assert np.isnan(seconds[[WEB, CART]]).all()
    assert seconds[[DB, MAIL]].tolist() == [np.inf, np.inf]


def test_time_to_impact_equals_filling_the_pool_step_by_step() -> None:
    """Random pools, filled a thousandth of a second at a time."""
    dice = np.random.default_rng(4)
    step = 1e-3
    for _ in range(60):
        found = blast(latency=dice.random(4) * 3)
        arrivals, capacity = dice.random(4) * 40, dice.random(4) * 60
        in_flight, stuck = capacity * dice.random(4) * 1.1, 0.1 + 0.9 * dice.random(4)
        seconds = time_to_impact(
            SHOP, found, arrivals=arrivals, in_flight=in_flight, capacity=capacity, stuck=stuck, hop=[0.5, 0.25, 2.0]
        )
        reach = time_to_reach(SHOP, found, hop=[0.5, 0.25, 2.0])
        for v in range(4):
            slow = oracle.impact(reach[v], found.latency[v], arrivals[v], in_flight[v], capacity[v], stuck[v], step)
            near = abs(arrivals[v] * found.latency[v] - (capacity[v] - in_flight[v])) < 0.2  # fits or not by a hair
            assert near or seconds[v] == pytest.approx(slow, abs=3 * step)

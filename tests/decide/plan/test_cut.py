"""The cheapest cut between an origin and what is to be protected, against brute force and with its certificate."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.plan.cut import Cut, minimum_cut

Network = tuple[int, list[tuple[int, int]], list[int | None], int, list[int]]


def brute_force(
    nodes: int, arcs: Sequence[tuple[int, int]], capacity: Sequence[int | None], source: int, sinks: Sequence[int]
) -> tuple[int, frozenset[int]] | None:
    """The smallest price over every set of nodes that holds the source and no sink, and the smallest such set."""
    best: tuple[int, frozenset[int]] | None = None
    for mask in range(1 << nodes):
        side = frozenset(node for node in range(nodes) if mask >> node & 1)
        if source not in side or side & set(sinks):
            continue
        prices = [capacity[at] for at, (tail, head) in enumerate(arcs) if tail in side and head not in side]
        if None in prices:
            continue
        price = sum(price for price in prices if price is not None)
        if best is None or (price, len(side)) < (best[0], len(best[1])):
            best = price, side
    return best


def certified(cut: Cut, network: Network) -> bool:
    """Whether the flow proves the cut: within capacity, conserved, and as large as the cut is dear."""
    nodes, arcs, capacity, source, sinks = network
    balance = [0] * nodes
    for (tail, head), price, flow in zip(arcs, capacity, cut.flow, strict=True):
        if flow < 0 or (price is not None and flow > price):
            return False
        balance[tail] -= flow
        balance[head] += flow
    held = all(balance[node] == 0 for node in range(nodes) if node != source and node not in sinks)
    arrived = sum(balance[node] for node in set(sinks))
    return held and arrived == cut.value == -balance[source] == sum(capacity[at] or 0 for at in cut.arcs)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    nodes = draw(st.integers(2, 10))
    ends = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    arcs = draw(st.lists(ends, max_size=3 * nodes))
    price = st.one_of(st.none(), st.integers(0, 6))
    capacity = draw(st.lists(price, min_size=len(arcs), max_size=len(arcs)))
    sinks = draw(st.lists(st.integers(1, nodes - 1), min_size=1, max_size=3))
    return nodes, arcs, capacity, 0, sinks


@settings(max_examples=150, deadline=None, derandomize=True)
@given(networks())
def test_the_cut_is_the_one_that_brute_force_finds(network: Network) -> None:
    """On graphs of up to 10 nodes it costs as little as the best of all subsets, and is the nearest of those."""
    cut, best = minimum_cut(*network), brute_force(*network)
    if best is None:
        assert cut is None
    else:
        assert cut is not None
        assert (cut.value, cut.side) == best
        assert certified(cut, network)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks(), st.randoms(use_true_random=False))
def test_the_cut_does_not_depend_on_the_order_of_nodes_and_arcs(network: Network, random: object) -> None:
    """Nodes renamed and arcs shuffled: the same arcs are cut."""
    nodes, arcs, capacity, source, sinks = network
    name, order = list(range(nodes)), list(range(len(arcs)))
    random.shuffle(name)  # type: ignore[attr-defined]
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [(name[arcs[at][0]], name[arcs[at][1]]) for at in order]
    cut = minimum_cut(*network)
    again = minimum_cut(nodes, shuffled, [capacity[at] for at in order], name[source], [name[sink] for sink in sinks])
    assert (cut is None) == (again is None)
    if cut is not None and again is not None:
        assert sorted(order[at] for at in again.arcs) == list(cut.arcs)


def test_of_equally_cheap_cuts_the_nearest_to_the_origin_is_taken() -> None:
    """A chain of equal prices is cut at its first arc: what is not cut stays whole."""
    cut = minimum_cut(4, [(0, 1), (1, 2), (2, 3)], [5, 5, 5], 0, [3])
    assert cut is not None
    assert cut.arcs == (0,)


def test_a_cheap_arc_further_on_is_preferred_to_a_dear_one_nearby() -> None:
    """A fallback two hops up costs less than to refuse the origin."""
    cut = minimum_cut(3, [(0, 1), (1, 2)], [50, 4], 0, [2])
    assert cut is not None
    assert (cut.arcs, cut.value) == ((1,), 4)


def test_where_only_forbidden_arcs_part_them_there_is_no_cut() -> None:
    """Also when the origin is itself what is to be protected."""
    assert minimum_cut(2, [(0, 1)], [None], 0, [1]) is None
    assert minimum_cut(2, [(0, 1)], [3], 0, [0]) is None


def test_what_is_apart_already_costs_nothing() -> None:
    """No path, no cut."""
    cut = minimum_cut(3, [(0, 1)], [7], 0, [2])
    assert cut is not None
    assert (cut.arcs, cut.value) == ((), 0)


def test_several_entries_are_parted_at_once() -> None:
    """One shared arc is cheaper than one for each entry."""
    cut = minimum_cut(4, [(0, 1), (1, 2), (1, 3)], [5, 3, 3], 0, [2, 3])
    assert cut is not None
    assert (cut.arcs, cut.value) == ((0,), 5)


@pytest.mark.parametrize(
    ("arcs", "capacity", "sinks", "message"),
    [([(0, 9)], [1], [1], "node 9"), ([(0, 1)], [-1], [1], "price of arc 0"), ([(0, 1)], [], [1], "0 prices for 1")],
)
def test_what_is_no_network_is_refused_by_name(
    arcs: list[tuple[int, int]], capacity: list[int | None], sinks: list[int], message: str
) -> None:
    """The message says which node or price."""
    with pytest.raises(ValueError, match=message):
        minimum_cut(2, arcs, capacity, 0, sinks)

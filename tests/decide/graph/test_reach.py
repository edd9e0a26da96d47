"""The neighbourhood of a service: below it what its failure may come from, above it whom it may reach."""

from controlplane.decide.graph.reach import below, callees_of, near

EDGES = [("", "web"), ("web", "cart"), ("web", "search"), ("cart", "stock"), ("stock", "db"), ("search", "index")]


def test_what_is_below_comes_nearest_first() -> None:
    """A service comes before what it calls, and a cycle ends."""
    calls = callees_of([*EDGES, ("db", "cart")])
    assert below(calls, "cart", services_max=9) == ["cart", "stock", "db"]


def test_a_neighbourhood_is_what_is_below_and_what_is_above() -> None:
    """Siblings that share only a caller are not near, and nobody is the caller without a name."""
    assert near(EDGES, "cart", services_max=9) == ["cart", "stock", "web", "db"]
    assert set(near(EDGES, "web", services_max=9)) == {"web", "cart", "search", "stock", "db", "index"}


def test_a_neighbourhood_is_bounded_and_keeps_both_sides() -> None:
    """With little room the nearest of both directions are kept."""
    chain = [(f"s{at}", f"s{at + 1}") for at in range(100)]
    found = near(chain, "s50", services_max=7)
    assert len(found) == 7
    assert {"s49", "s50", "s51"} <= set(found)


def test_an_unknown_service_is_alone() -> None:
    """Who is in no edge has no neighbours."""
    assert near(EDGES, "nobody", services_max=9) == ["nobody"]

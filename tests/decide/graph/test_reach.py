"""The neighbourhood of a service: below it what its failure may come from, above it whom it may reach."""

from controlplane.decide.graph.reach import below, near

EDGES = [("", "web"), ("web", "cart"), ("web", "search"), ("cart", "stock"), ("stock", "db"), ("search", "index")]


def ends(edges: list[tuple[str, str]], at: int = 0) -> dict[str, list[str]]:
    """By the name at that end of each edge, those at the other ends."""
    found: dict[str, list[str]] = {}
    for edge in edges:
        found.setdefault(edge[at], []).append(edge[1 - at])
    return found


def around(edges: list[tuple[str, str]], service: str, services_max: int) -> list[str]:
    """The neighbourhood by those edges."""
    return near(ends(edges), ends(edges, 1), service, services_max=services_max)


def test_what_is_below_comes_nearest_first() -> None:
    """A service comes before what it calls, and a cycle ends."""
    calls = ends([*EDGES, ("db", "cart")])
    assert below(calls, "cart", services_max=9) == ["cart", "stock", "db"]


def test_a_neighbourhood_is_what_is_below_and_what_is_above() -> None:
    """Siblings that share only a caller are not near, and nobody is the caller without a name."""
    assert around(EDGES, "cart", 9) == ["cart", "stock", "web", "db"]
    assert set(around(EDGES, "web", 9)) == {"web", "cart", "search", "stock", "db", "index"}


def test_a_neighbourhood_is_bounded_and_keeps_both_sides() -> None:
    """With little room the nearest of both directions are kept."""
    chain = [(f"s{at}", f"s{at + 1}") for at in range(100)]
    found = around(chain, "s50", 7)
    assert len(found) == 7
    assert {"s49", "s50", "s51"} <= set(found)


def test_an_unknown_service_is_alone() -> None:
    """Who is in no edge has no neighbours."""
    assert around(EDGES, "nobody", 9) == ["nobody"]

"""Bounded memory: whatever names come, what is real and heard stays, and what is declared always does."""

from collections.abc import Iterator

import pytest

from controlplane.decide.graph.live import DependencyGraph
from controlplane.decide.graph.register import NAME_CHARS_MAX, NEWCOMERS_MAX
from controlplane.model.topology import Service
from tests.decide.samples import a_graph, at, edge

DECLARED = (Service(name="shop", calls=("orders", "quiet")), Service(name="orders"), Service(name="quiet"))


def real() -> list[tuple[str, str]]:
    return [("orders", f"backend-{number}") for number in range(20)]


def held(graph: DependencyGraph, seconds: float) -> set[tuple[str, str]]:
    return {(one.caller, one.callee) for one in graph.edges(at(seconds))}


@pytest.fixture
def full() -> DependencyGraph:
    """Room for twenty learned edges, and twenty real ones in it, heard once in ten seconds for a minute."""
    graph = a_graph(*DECLARED, services_max=24, edges_max=22)
    for second in range(0, 60, 10):
        for caller, callee in real():
            graph.observe(edge(caller, callee, 1, second + 1))
    return graph


def invented(count: int, seconds: float) -> Iterator[tuple[str, str, float]]:
    return ((f"x{number}", f"y{number}", seconds + number / count) for number in range(count))


def test_invented_names_that_come_once_push_out_nothing(full: DependencyGraph) -> None:
    """Fifty thousand of them in a minute, each with a billion calls: refused, and memory is what it was."""
    for caller, callee, when in invented(50_000, 61):
        full.observe(edge(caller, callee, 10**9, when))
    assert held(full, 62) == {("shop", "orders"), ("shop", "quiet"), *real()}
    counts = full.statistics()
    assert (counts.edges, counts.services, counts.evicted, counts.refused) == (22, 23, 0, 50_000)


def test_an_edge_heard_once_a_minute_outlives_a_flood() -> None:
    """Low traffic is real traffic: names that come twice in a quarter of an hour do not displace it."""
    graph = a_graph(*DECLARED, edges_max=4)
    for minute in range(15):
        for callee in ("low-1", "low-2"):
            graph.observe(edge("orders", callee, 1, 60 * minute, window_ns=60 * 10**9))
        for caller, callee, when in invented(1_000, 60 * minute + 1):
            graph.observe(edge(f"{caller}-{minute // 8}", callee, 1, when))
    assert {("orders", "low-1"), ("orders", "low-2")} <= held(graph, 900)


def test_a_newcomer_that_is_heard_more_often_takes_the_place_of_the_lightest(full: DependencyGraph) -> None:
    """The one that fell silent goes, as soon as the new one has surely been heard more often."""
    for second in range(61, 400, 10):
        for caller, callee in real()[1:]:
            full.observe(edge(caller, callee, 1, second))
        full.observe(edge("orders", "new", 1, second))
    assert held(full, 400) == {("shop", "orders"), ("shop", "quiet"), *real()[1:], ("orders", "new")}
    assert full.statistics().evicted == 1


def test_names_that_came_first_do_not_keep_their_place() -> None:
    """A flood before the real edges fills the table; what is heard again and again gets in within a minute."""
    graph = a_graph(*DECLARED, services_max=100, edges_max=60)
    for caller, callee, when in invented(10_000, 0):
        graph.observe(edge(caller, callee, 1, when))
    for second in range(2, 62):
        for caller, callee in real():
            graph.observe(edge(caller, callee, 10, second))
    assert set(real()) <= held(graph, 62)
    assert graph.statistics().services <= 100


def test_what_is_declared_never_goes_though_it_is_never_heard(full: DependencyGraph) -> None:
    """Neither a flood nor time removes it."""
    for second in range(100, 20_000, 100):
        full.observe(edge("a", "b", 1, second))
    assert {("shop", "orders"), ("shop", "quiet")} <= held(full, 20_000)


def test_a_number_that_is_given_again_brings_nothing_along() -> None:
    """The counts of the edge that went are not the new one's."""
    graph = a_graph(*DECLARED, edges_max=3, fade_s=60)
    graph.observe(edge("orders", "old", 999, 1, 99, in_flight=7))
    graph.fade(at(100))
    graph.observe(edge("orders", "new", 1, 2))
    one = next(one for one in graph.edges(at(3)) if one.callee == "new")
    assert (one.calls, one.failures, one.in_flight) == (1, 0, None)


def test_what_is_no_edge_is_refused() -> None:
    """A callee without a name, names too long to keep; a call to oneself is none between services."""
    graph = a_graph(*DECLARED)
    for caller, callee in (("shop", ""), ("a", "a"), ("shop", "x" * (NAME_CHARS_MAX + 1))):
        graph.observe(edge(caller, callee, 1, 1))
    assert graph.statistics().refused == 2
    assert len(graph.edges(at(1))) == 2


def test_newcomers_are_counted_in_bounded_memory(full: DependencyGraph) -> None:
    """However many come, no more than NEWCOMERS_MAX are remembered."""
    for caller, callee, when in invented(5_000, 61):
        full.observe(edge(caller, callee, 1, when))
        assert len(full._register._newcomers) <= NEWCOMERS_MAX

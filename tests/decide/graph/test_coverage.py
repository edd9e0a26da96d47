"""Coverage: which share of the calls the known edges account for."""

from controlplane.model.topology import Service
from tests.decide.samples import a_graph, at, edge


def test_calls_between_what_is_declared_are_accounted_for() -> None:
    """Users at the entry have no name, and need none."""
    graph = a_graph(Service(name="shop", calls=("orders",)), Service(name="orders"))
    graph.observe(edge("", "shop", 10, 1))
    graph.observe(edge("shop", "orders", 10, 1))
    assert graph.coverage(at(2)) == 1.0


def test_calls_to_a_service_of_which_nobody_knows_what_it_calls_are_not() -> None:
    """A quarter of the calls goes to one that never speaks; when it is heard as a caller, all is accounted for."""
    graph = a_graph(Service(name="shop", calls=("orders",)), Service(name="orders"))
    graph.observe(edge("shop", "orders", 30, 1))
    graph.observe(edge("orders", "db", 10, 1))
    assert graph.coverage(at(2)) == 0.75
    graph.observe(edge("db", "disk", 0, 2))
    assert graph.coverage(at(3)) == 1.0


def test_calls_by_nobody_who_is_named_are_not() -> None:
    """A third of what `orders` was asked came from callers that no edge shows."""
    graph = a_graph(Service(name="shop", calls=("orders",)), Service(name="orders"))
    graph.observe(edge("shop", "orders", 20, 1))
    graph.observe(edge("", "orders", 10, 1))
    seen = graph.covered(at(2)).services["orders"]
    assert (seen.calls, seen.named, seen.onward) == (30, 20, True)
    assert graph.coverage(at(2)) == 20 / 30


def test_the_time_a_service_waits_for_known_callees_is_a_share_of_its_own() -> None:
    """Measured inside and outside it is a number; of a service that measures neither it is unknown."""
    graph = a_graph(Service(name="shop", calls=("orders",)), Service(name="orders"))
    graph.observe(edge("shop", "orders", 10, 1, server_latency_ns=100))
    graph.observe(edge("orders", "db", 10, 1, client_latency_ns=60))
    services = graph.covered(at(2)).services
    assert services["orders"].latency_share == 0.6
    assert services["shop"].latency_share is services["db"].latency_share is None

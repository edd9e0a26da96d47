"""A load balancer in front of a service is not a second culprit, until it fails by itself."""

from typing import Any

from controlplane.model.topology import Service
from tests.decide.samples import a_graph, at, edge

SERVICES = (Service(name="shop"), Service(name="orders", aliases=("orders-vip",)))


def relayed(*, through: str = "lb", out: int = 20, out_failures: int = 2, out_ms: int = 10) -> Any:
    graph = a_graph(*SERVICES)
    for second in range(1, 31):
        graph.observe(edge("shop", through, 20, second, 2, client_latency_ns=20 * 10_500_000))
        graph.observe(edge(through, "orders", out, second, out_failures, client_latency_ns=out * out_ms * 10**6))
    return graph


def test_a_declared_alias_is_the_service() -> None:
    """Calls to the other name are calls to it, and its own calls to itself are none."""
    graph = relayed(through="orders-vip")
    window = graph.window(at(30))
    assert window.services == ("shop", "orders")
    assert window.edges.tolist() == [[0, 1]]
    assert window.edge["requests"][0, 0] == 20 * 14
    assert [(one.name, one.service, one.by) for one in graph.aliases()] == [("orders-vip", "orders", "declared")]


def test_what_relays_everything_to_one_service_means_that_service() -> None:
    """As many calls in as out, the same failures, hardly any time of its own: merged."""
    graph = relayed()
    assert [(one.name, one.service, one.by) for one in graph.aliases()[1:]] == [("lb", "orders", "inferred")]
    window = graph.window(at(30))
    assert window.services == ("shop", "orders")
    assert window.edges.tolist() == [[0, 1]]


def test_what_works_fails_or_loses_calls_by_itself_stands_for_itself() -> None:
    """Time of its own, failures of its own, calls that do not come through: three reasons not to merge."""
    for other in ({"out_ms": 5}, {"out_failures": 0}, {"out": 15}):
        assert relayed(**other).window(at(30)).services == ("shop", "orders", "lb"), other


def test_a_balancer_that_begins_to_fail_is_a_service_at_once() -> None:
    """Long equal, and now failures that are nobody else's: it may be the origin."""
    graph = relayed()
    for second in range(31, 60):
        graph.observe(edge("shop", "lb", 20, second, 12))
        graph.observe(edge("lb", "orders", 10, second, 1))
    assert graph.window(at(60)).services == ("shop", "orders", "lb")


def test_a_declared_service_is_never_merged() -> None:
    """What somebody has declared as a service of its own stays one, whatever it relays."""
    graph = a_graph(Service(name="shop"), Service(name="orders"), Service(name="lb"))
    for second in range(1, 31):
        graph.observe(edge("shop", "lb", 20, second))
        graph.observe(edge("lb", "orders", 20, second))
    assert graph.aliases() == []


def test_balancers_in_a_row_mean_the_last_service() -> None:
    """One before another: both are names of what stands behind them."""
    graph = a_graph(*SERVICES)
    for second in range(1, 31):
        for caller, callee in (("shop", "edge"), ("edge", "lb"), ("lb", "orders")):
            graph.observe(edge(caller, callee, 20, second))
    assert graph.window(at(30)).edges.tolist() == [[0, 1]]
    assert [graph.means(name) for name in ("edge", "lb", "orders-vip", "orders", "shop", "who")] == [
        "orders", "orders", "orders", "orders", "shop", "who",
    ]  # fmt: skip

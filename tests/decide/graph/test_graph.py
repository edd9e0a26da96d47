"""The dependency graph: what it is told comes out again, what is not known stays unknown, what is normal stays so."""

import numpy as np
import pytest

from controlplane.decide.analysis.analyze import analyze
from controlplane.model.topology import Endpoint, Service
from tests.decide.samples import a_graph, at, edge, steady

SHOP = (
    Service(name="shop", calls=("orders", "mail"), soft=("mail",)),
    Service(name="orders", calls=("mail",), aliases=("orders-lb",), endpoints=(Endpoint(name="o", url="http://h:1"),)),
    Service(name="mail", external=True),
)


def test_what_is_declared_is_there_before_anything_was_heard() -> None:
    """Services and edges stand in the graph at once, and of none of them anything is known."""
    graph = a_graph(*SHOP)
    assert [node.name for node in graph.nodes()] == ["shop", "orders", "mail"]
    edges = {(one.caller, one.callee): one for one in graph.edges(at(0))}
    assert set(edges) == {("shop", "orders"), ("shop", "mail"), ("orders", "mail")}
    assert {one.origin for one in edges.values()} == {"declared"}
    assert edges["shop", "mail"].soft
    assert not edges["orders", "mail"].soft
    one = edges["shop", "orders"]
    assert (one.heard_at, one.calls, one.failures, one.client_latency_ns, one.in_flight) == (None,) * 5
    assert graph.coverage(at(0)) is None


def test_the_window_holds_what_was_told() -> None:
    """Requests are attempts, shares and means are over what was counted, and quiet is not unknown."""
    graph = a_graph(*SHOP)
    graph.observe(
        edge("shop", "orders", 100, 10, 6, window_ns=10**10, attempts=120, timed=114, client_latency_ns=114 * 10**7)
    )
    graph.observe(edge("shop", "orders", 50, 40, 0, window_ns=30 * 10**9, attempts=50, client_latency_ns=5 * 10**8))
    graph.observe(edge("orders", "mail", 30, 40, 3, server_latency_ns=6 * 10**8, source="spans"))
    window = graph.window(at(45))
    shop = window.edges.tolist().index([0, 1])
    mail = window.edges.tolist().index([1, 2])
    assert window.time_s is not None
    assert window.time_s.tolist() == [at(0) / 1e9, at(30) / 1e9]
    assert window.edge["requests"][:, shop].tolist() == [120, 50]
    assert window.edge["error_ratio"][:, shop].tolist() == [0.05, 0]
    assert window.edge["client_latency_s"][:, shop].tolist() == [0.01, 0.01]
    assert np.isnan(window.edge["requests"][0, mail])
    assert window.edge["requests"][1, mail] == 30
    assert window.edge["server_latency_s"][1, mail] == 0.02
    assert np.isnan(window.edge["client_latency_s"][1, mail])
    assert window.service["requests"][1].tolist()[1:] == [50, 30]
    assert (window.services, window.entry, window.incident_at) == (("shop", "orders", "mail"), 0, 1)


def test_an_edge_that_nobody_called_had_no_requests_and_no_error_share() -> None:
    """Heard and not called is zero; its share of failures is not known."""
    graph = a_graph(*SHOP)
    steady(graph, "shop", "mail", range(1, 31))
    graph.observe(edge("shop", "orders", 7, 29, window_ns=29 * 10**9))
    window = graph.window(at(30))
    orders = window.edges.tolist().index([0, 1])
    assert window.edge["requests"][:2, orders].tolist() == [0, 7]
    assert np.isnan(window.edge["error_ratio"][0, orders])


def test_users_count_for_the_entry_and_are_no_edge() -> None:
    """A caller without a name adds to what its callee was asked, and has no node."""
    graph = a_graph(*SHOP)
    graph.observe(edge("", "shop", 40, 1, 4))
    window = graph.window(at(15))
    assert window.service["requests"][0, 0] == 40 * 15 / 15
    assert window.service["error_ratio"][0, 0] == 0.1
    assert "" not in window.services
    assert [0, 0] not in window.edges.tolist()


def test_rates_are_of_the_time_that_was_seen() -> None:
    """The very first bucket begins where the first sample does, not on the grid."""
    graph = a_graph(*SHOP)
    for second in (11, 12, 13):
        graph.observe(edge("shop", "orders", 10, second))
    window = graph.window(at(13))
    assert window.edge["requests"][0].tolist()[0] == pytest.approx(10 * 15)


def test_two_who_count_the_same_calls_are_never_added_up() -> None:
    """The gateway is believed before spans, and spans before metrics; a callee's own time is anybody's to tell."""
    graph = a_graph(*SHOP)
    graph.observe(edge("shop", "orders", 90, 1, source="metrics"))
    graph.observe(edge("shop", "orders", 95, 2, source="spans", server_latency_ns=95 * 10**6))
    graph.observe(edge("shop", "orders", 100, 3, source="gateway"))
    graph.observe(edge("shop", "orders", 95, 4, source="spans", server_latency_ns=95 * 10**6))
    one = next(one for one in graph.edges(at(5)) if one.callee == "orders")
    assert (one.calls, one.source) == (100, "gateway")
    assert (one.served, one.server_latency_ns) == (190, 190 * 10**6)


def test_the_next_source_is_believed_when_the_first_falls_silent() -> None:
    """Three buckets without a word of the gateway, and spans count."""
    graph = a_graph(*SHOP)
    graph.observe(edge("shop", "orders", 100, 1, source="gateway"))
    graph.observe(edge("shop", "orders", 1, 40, source="spans"))
    graph.observe(edge("shop", "orders", 77, 47, source="spans"))
    graph.observe(edge("shop", "orders", 77, 48, source="spans"))
    window = graph.window(at(60))
    assert np.nansum(window.edge["requests"][:, window.edges.tolist().index([0, 1])]) == 100 * 15 / 15 + 154


def test_a_sample_that_comes_late_is_counted_where_it_belongs_or_not_at_all() -> None:
    """As long as its bucket is kept it goes there; older ones are dropped, and counted as late."""
    graph = a_graph(*SHOP, buckets=8)
    steady(graph, "shop", "orders", range(1, 300, 5))
    before = graph.window(at(300)).edge["requests"][-2, 0]
    graph.observe(edge("shop", "orders", 5, 280))
    assert graph.window(at(300)).edge["requests"][-2, 0] == before + 5
    graph.observe(edge("shop", "orders", 5, 2))
    assert graph.statistics().late == 1


def test_what_an_incident_does_never_becomes_normal() -> None:
    """It lasts for more buckets than are kept at all, and still stands beside what was before it."""
    graph = a_graph(*SHOP, buckets=16)
    steady(graph, "shop", "orders", range(1, 225))
    graph.hold("orders", at(225))
    for second in range(226, 825):
        graph.observe(edge("shop", "orders", 10, second, 5, attempts=10, client_latency_ns=10**9))
    window = graph.window(at(825))
    column = window.edges.tolist().index([0, 1])
    assert window.incident_at >= 8
    assert np.nanmax(window.edge["error_ratio"][: window.incident_at, column]) == 0
    assert np.nanmin(window.edge["error_ratio"][window.incident_at :, column]) == 0.5
    [origin] = analyze(window).origins
    assert origin.service == "orders"
    graph.release("orders", at(825))
    steady(graph, "shop", "orders", range(826, 900))
    after = graph.window(at(900))
    assert np.nanmax(after.edge["error_ratio"][: after.incident_at, column]) == 0


def test_the_first_bucket_of_an_incident_holds_nothing_from_before() -> None:
    """It begins where the incident does, off the grid."""
    graph = a_graph(*SHOP)
    steady(graph, "shop", "orders", range(1, 68))
    graph.hold("orders", at(67.5))
    graph.observe(edge("shop", "orders", 10, 68, 10))
    window = graph.window(at(68.5))
    column = window.edges.tolist().index([0, 1])
    assert window.time_s is not None
    assert window.time_s[window.incident_at] == at(67.5) / 1e9
    assert window.edge["error_ratio"][window.incident_at :, column].tolist() == [1.0]
    assert np.nanmax(window.edge["error_ratio"][: window.incident_at, column]) == 0


def test_without_an_incident_the_newest_bucket_is_looked_at() -> None:
    """It is compared with all others, and blames nobody while all is as it was."""
    graph = a_graph(*SHOP)
    steady(graph, "shop", "orders", range(1, 100))
    window = graph.window(at(100))
    assert window.incident_at == window.buckets - 1
    assert analyze(window).origins == ()


def test_the_csr_view_is_in_the_order_of_the_window() -> None:
    """Rows are callers, columns callees, and edge k of one is edge k of the other."""
    graph = a_graph(*SHOP)
    graph.observe(edge("mail", "relay", 3, 1))
    csr, window = graph.to_csr(at(5)), graph.window(at(5))
    rows = np.repeat(np.arange(len(csr.names)), np.diff(csr.indptr))
    assert np.column_stack([rows, csr.indices]).tolist() == window.edges.tolist()
    assert csr.names == window.services
    soft = {
        (csr.names[row], csr.names[column]) for row, column, one in zip(rows, csr.indices, csr.soft, strict=True) if one
    }
    assert soft == {("shop", "mail")}


def test_a_learned_edge_fades_and_a_declared_one_stays() -> None:
    """Unheard for `fade_s` it is forgotten, with services that nobody else speaks of."""
    graph = a_graph(*SHOP, fade_s=60)
    graph.observe(edge("orders", "cache", 5, 1))
    assert "cache" in graph.window(at(2)).services
    graph.fade(at(90))
    assert graph.statistics().faded == 1
    assert graph.window(at(90)).services == ("shop", "orders", "mail")
    assert len(graph.edges(at(90))) == 3


def test_imported_edges_are_known_and_stay() -> None:
    """What somebody else knows of is there at once; what finds no room is counted."""
    graph = a_graph(*SHOP, services_max=4, edges_max=4, fade_s=60)
    assert graph.import_edges([("orders", "db"), ("orders-lb", "orders"), ("db", "disk")]) == 1
    graph.fade(at(1_000))
    assert [one.origin for one in graph.edges(at(0)) if one.callee == "db"] == ["imported"]


def test_a_virtual_node_is_one_that_never_spoke() -> None:
    """Only ever called, not declared and without a latency of its own: nobody knows what it is."""
    graph = a_graph(*SHOP)
    graph.observe(edge("orders", "db", 5, 1))
    graph.observe(edge("orders", "cache", 5, 1, server_latency_ns=10**6, source="spans"))
    graph.observe(edge("batch", "orders", 5, 1))
    assert {node.name: node.virtual for node in graph.nodes() if not node.declared} == {
        "db": True, "cache": False, "batch": False,
    }  # fmt: skip


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_empty_graph_and_one_without_a_normal_bucket_can_be_asked() -> None:
    """Shapes are right, and what cannot be known is unknown; nothing raises or warns."""
    empty = a_graph()
    assert empty.window(at(0)).edges.shape == (0, 2)
    assert empty.to_csr(at(0)).indptr.tolist() == [0]
    assert (empty.coverage(), empty.nodes(), empty.edges(at(0)), empty.aliases()) == (None, [], [], [])
    silent = a_graph(*SHOP)
    assert silent.window(at(0)).service["requests"].shape == (0, 3)
    silent.hold("orders", at(0))
    silent.observe(edge("shop", "orders", 10, 1, 10, client_latency_ns=10))
    assert silent.window(at(2)).incident_at == 0


def test_a_window_of_some_services_has_their_edges_and_all_of_their_requests() -> None:
    """Who is left out still called: its calls count as the callee's requests, and its edges are not in the window."""
    graph = a_graph(*SHOP)
    graph.observe(edge("shop", "orders", 100, 10, 6, window_ns=10**10, attempts=120))
    graph.observe(edge("shop", "mail", 7, 10, 0, window_ns=10**10))
    graph.observe(edge("orders", "mail", 30, 10, 3, window_ns=10**10))
    window = graph.window(at(15), only=["orders", "mail"])
    assert window.services == ("orders", "mail")
    assert window.edges.tolist() == [[0, 1]]
    assert window.service["requests"].tolist() == [[120.0, 37.0]]
    assert graph.near("mail", services_max=9) == ["mail", "shop", "orders"]
    assert {name: [*ends] for name, ends in graph.callees().items()} == {"shop": ["orders", "mail"], "orders": ["mail"]}


def test_calm_below_is_calls_that_go_as_usual() -> None:
    """A callee that fails, or is slower than before, or was never timed before, is no calm."""
    for failures, ms, calm in ((0, 10, True), (1, 10, True), (6, 10, False), (0, 30, False)):
        graph = a_graph(*SHOP)
        for second in range(0, 100, 10):
            told = edge("shop", "orders", 100, second, 0, window_ns=10**10, client_latency_ns=100 * 10**7)
            graph.observe(told)
        graph.observe(edge("shop", "orders", 100, 130, failures, client_latency_ns=100 * ms * 10**6))
        assert graph.calm_below("shop") is calm, (failures, ms)
    assert a_graph(*SHOP).calm_below("mail")

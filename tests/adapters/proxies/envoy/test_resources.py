"""What is wanted, as weights, levels, runtime keys and routes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.proxies.envoy.discovery import CLUSTER, ENDPOINTS, LISTENER, ROUTES, RUNTIME
from controlplane.adapters.proxies.envoy.resources import runtime
from controlplane.adapters.proxies.envoy.resources.address import host_port, literal, literals, resolved
from controlplane.adapters.proxies.envoy.resources.endpoints import assignment, shares
from controlplane.adapters.proxies.envoy.served import Served
from controlplane.adapters.proxies.wanted import EndpointWanted, ServiceWanted, Wanted
from controlplane.model.command import Eject, Isolate, Restore, Tighten
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service
from controlplane.model.unit import Nanos
from tests.integration.envoy_world import order

WHOLE = EndpointWanted()


def service(*endpoints: tuple[int, int]) -> Service:
    """`orders`, whose endpoints have those weights and priorities."""
    return Service(
        name="orders",
        endpoints=tuple(
            Endpoint(name=f"o{number}", url=f"http://127.0.0.1:{number + 1}", weight=weight, priority=priority)
            for number, (weight, priority) in enumerate(endpoints)
        ),
    )


def shown(of: Service, wanted: ServiceWanted, *endpoints: EndpointWanted) -> list[tuple[str, int, float]]:
    return [(one.name, level, round(share, 3)) for one, level, share in shares(of, wanted, endpoints)]


def test_untouched_endpoints_share_by_weight_within_their_priority() -> None:
    """As declared, priorities counted from 0 without gaps."""
    of = service((1, 0), (3, 0), (1, 7))
    assert shown(of, ServiceWanted(), WHOLE, WHOLE, WHOLE) == [("o0", 0, 0.25), ("o1", 0, 0.75), ("o2", 1, 1.0)]


def test_an_ejected_endpoint_is_left_out_and_a_level_that_is_empty_closes_up() -> None:
    """Those of the next priority are first when nobody is left before them."""
    out = EndpointWanted(percent=0, ejected=True)
    of = service((1, 0), (1, 0), (1, 1))
    assert shown(of, ServiceWanted(), out, WHOLE, WHOLE) == [("o1", 0, 1.0), ("o2", 1, 1.0)]
    assert shown(of, ServiceWanted(), out, out, WHOLE) == [("o2", 0, 1.0)]


def test_a_weighed_and_a_probed_endpoint_get_their_part() -> None:
    """A quarter of its weight, and a twentieth."""
    of = service((1, 0), (1, 0))
    assert shown(of, ServiceWanted(), EndpointWanted(percent=25), WHOLE) == [("o0", 0, 0.2), ("o1", 0, 0.8)]
    assert shown(of, ServiceWanted(), EndpointWanted(probed=True), WHOLE) == [("o0", 0, 0.048), ("o1", 0, 0.952)]


@given(st.integers(1, 99), st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_failing_over_moves_exactly_that_share(percent: int, weights: list[int]) -> None:
    """Whatever the weights on either side."""
    half = len(weights) // 2
    of = service(*((weight, int(number >= half)) for number, weight in enumerate(weights)))
    got = shares(of, ServiceWanted(fail_over=percent), [WHOLE] * len(weights))
    assert {level for _, level, _ in got} == {0}
    moved = sum(share for one, _, share in got if one.priority == 1)
    assert moved == pytest.approx(percent / 100)


def test_failing_over_altogether_puts_those_who_stand_by_first() -> None:
    """And keeps the others behind them."""
    of = service((1, 0), (1, 1), (1, 2))
    assert shown(of, ServiceWanted(fail_over=100), WHOLE, WHOLE, WHOLE) == [
        ("o0", 1, 1.0),
        ("o1", 0, 1.0),
        ("o2", 2, 1.0),
    ]


def test_what_has_no_address_is_left_out() -> None:
    """And nothing is served where nobody has one."""
    of = service((1, 0), (1, 0))
    places = literals([of])
    assert set(places.values()) == {("127.0.0.1", 1), ("127.0.0.1", 2)}
    del places["orders", "o0"]
    body = assignment("x", of, places, ServiceWanted(), [WHOLE, WHOLE])
    assert body is not None
    assert body != assignment("x", of, literals([of]), ServiceWanted(), [WHOLE, WHOLE])
    assert assignment("x", of, {}, ServiceWanted(), [WHOLE, WHOLE]) is None


def test_addresses_are_read_off_urls() -> None:
    """Names are for the resolver, schemes have ports, IPv6 is in brackets."""
    urls = ("http://127.0.0.1:8080/x", "https://[::1]", "http://orders.example")
    read = [literal(Endpoint(name="o", url=url)) for url in urls]
    assert read == [("127.0.0.1", 8080), ("::1", 443), None]
    assert host_port(Endpoint(name="o", url=urls[2])) == ("orders.example", 80)


@pytest.mark.anyio
async def test_names_are_resolved_and_what_was_known_stays() -> None:
    """A name that does not resolve keeps the address it had."""
    named = (Endpoint(name="o0", url="http://localhost:7"), Endpoint(name="o1", url="http://nowhere.invalid:7"))
    of = Service(name="orders", endpoints=named)
    found = await resolved([of], {("orders", "o1"): ("10.0.0.1", 7)})
    assert found["orders", "o0"][0] in ("127.0.0.1", "::1")
    assert found["orders", "o1"] == ("10.0.0.1", 7)
    assert "o1" not in {endpoint for _, endpoint in await resolved([of], {})}


def test_runtime_keys_of_each_order() -> None:
    """Nothing where nothing is wanted; a limit stops retries; a cap for a part leaves the others the usual budget."""
    breakers = "circuit_breakers.orders.contained.default."
    assert runtime.keys("orders", ServiceWanted(), interfered=False) == {}
    led = {"controlplane.orders.contained": 100}
    assert runtime.keys("orders", ServiceWanted(), interfered=True) == led
    limited = runtime.keys("orders", ServiceWanted(concurrency=7), interfered=True)
    assert limited[breakers + "max_requests"] == limited[breakers + "max_pending_requests"] == 7
    assert limited[breakers + "max_retries"] == limited[breakers + "retry_budget.budget_percent"] == 0
    assert (
        runtime.keys("orders", ServiceWanted(isolated=True, percent=0), interfered=True)[breakers + "max_requests"] == 0
    )
    half = runtime.keys("orders", ServiceWanted(retries=10, retries_share=50), interfered=True)
    assert half[breakers + "retry_budget.budget_percent"] == 15
    shed = runtime.keys(
        "orders", ServiceWanted(shed=30, keep="default", deadline_ms=5, deadline_share=40), interfered=True
    )
    assert shed["controlplane.orders.shed_below_default"] == 30
    assert shed["controlplane.orders.deadline"] == 40


def served(routes: dict[str, str] | None = None) -> tuple[Served, Wanted]:
    services = [
        service((1, 0), (1, 0)),
        Service(name="cart", endpoints=(Endpoint(name="c0", url="http://127.0.0.1:9"),)),
    ]
    policies = {one.name: GuardPolicy() for one in services}
    wanted = Wanted({one.name: tuple(endpoint.name for endpoint in one.endpoints) for one in services})
    result = Served(services, policies, routes or {}, ttl_ns=15)
    result.place(literals(services), wanted)
    return result, wanted


def test_an_order_changes_what_it_is_about_and_restoring_changes_it_back() -> None:
    """Its endpoints and the layer; versions are those of before when nothing is wanted any more."""
    it, wanted = served()
    before = {type_url: it.catalog.version(type_url) for type_url in (CLUSTER, ENDPOINTS, LISTENER, ROUTES, RUNTIME)}
    wanted.apply(order(Eject(), "orders", "o0"), Nanos(0))
    assert it.render("orders", wanted) == [(ENDPOINTS, "orders.contained"), (RUNTIME, "controlplane")]
    assert it.render("orders", wanted) == []
    wanted.apply(order(Restore(), "orders", "o0"), Nanos(0))
    assert len(it.render("orders", wanted)) == 2
    assert {type_url: it.catalog.version(type_url) for type_url in before} == before


def test_only_the_layer_expires_and_only_while_it_holds_something() -> None:
    """Envoy 1.40 crashes when routes expire, and keeps endpoints for good: nothing else ever has a time to live."""
    it, wanted = served({"/": "orders"})
    wanted.apply(order(Tighten(50), "orders"), Nanos(0))
    assert {type_url for type_url, _ in it.render("orders", wanted)} == {RUNTIME, ROUTES}
    for type_url, name in it.keys("orders"):
        resource = it.catalog.get(type_url, name)
        assert resource is not None
        assert bool(resource.ttl_ns) == (type_url == RUNTIME)
    wanted.apply(order(Restore(), "orders"), Nanos(0))
    it.render("orders", wanted)
    layer = it.catalog.get(RUNTIME, "controlplane")
    assert layer is not None
    assert layer.ttl_ns == 0


def test_the_switch_leaves_out_what_a_proxy_does_not_have() -> None:
    """Of two contained services it is led to the one it knows."""
    it, wanted = served()
    for command in (order(Isolate(), "orders"), order(Isolate(), "cart")):
        wanted.apply(command, Nanos(0))
        it.render(command.target.service, wanted)
    layer = it.catalog.get(RUNTIME, "controlplane")
    assert layer is not None
    assert it.switch(layer, lambda _: True) is layer
    less = it.switch(layer, lambda cluster: cluster == "cart.contained")
    assert b"cart.contained" in less.body
    assert b"orders.contained" not in less.body
    assert it.switch(layer, lambda cluster: cluster == "cart.contained") is less


def test_an_endpoint_that_moves_is_served_at_its_new_place() -> None:
    """In both clusters, and results from there are its own."""
    it, wanted = served()
    moved = {("orders", "o0"): ("10.0.0.7", 80), ("orders", "o1"): ("127.0.0.1", 2), ("cart", "c0"): ("127.0.0.1", 9)}
    assert set(it.place(moved, wanted)) == {(ENDPOINTS, "orders"), (ENDPOINTS, "orders.contained")}
    assert it.endpoints["orders", ("10.0.0.7", 80)] == "o0"
    assert it.place(moved, wanted) == []


def test_a_cluster_is_served_where_we_know_how_to_speak_to_it() -> None:
    """Plain HTTP; what speaks TLS is its owner's to declare, and takes its endpoints from here all the same."""
    secure = Service(name="vault", endpoints=(Endpoint(name="v0", url="https://127.0.0.1:8443"),))
    it = Served([secure, service((1, 0))], {"vault": GuardPolicy(), "orders": GuardPolicy()}, {}, ttl_ns=15)
    it.place(literals([secure]), Wanted({"vault": ("v0",), "orders": ("o0",)}))
    assert list(it.catalog.all(CLUSTER)) == ["orders.contained"]
    assert it.expressible("vault")

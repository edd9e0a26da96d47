"""The desired state of a proxy: what commands add up to, whatever the proxy."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.proxies.wanted import EndpointWanted, ServiceWanted, Wanted
from controlplane.model.command import (
    CapRetries,
    Close,
    Command,
    Eject,
    FailOver,
    Harden,
    Intent,
    Isolate,
    Limit,
    Probe,
    Restore,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ActuationError, LeaseLapsed, NotHere, StaleCommand, StaleEpoch
from controlplane.model.signal import Target
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos

ORDERS, O1, O2 = Target("orders"), Target("orders", "o1"), Target("orders", "o2")
NOW = Nanos(100 * SECOND)


def wanted(**usable: bool) -> Wanted:
    return Wanted({"orders": ("o1", "o2"), "cart": ()}, usable=lambda target: usable.get(target.endpoint, True))


def order(
    number: int, target: Target, intent: Intent, *, epoch: int = 1, lease_s: int = 30, percent: int = 100
) -> Command:
    return Command(
        id=CommandId(f"c{number}"),
        epoch=Epoch(epoch),
        incident=IncidentId("i1"),
        target=target,
        intent=intent,
        lease_until=Nanos(NOW + lease_s * SECOND),
        enforcement="full" if percent == 100 else "percent",
        percent=percent,
    )


@pytest.mark.parametrize(
    ("intent", "percent", "expected"),
    [
        (Eject(), 100, EndpointWanted(percent=0, ejected=True)),
        (Eject(), 30, EndpointWanted(percent=70)),
        (Probe(), 100, EndpointWanted(probed=True)),
        (Weigh(25), 100, EndpointWanted(percent=25)),
        (Weigh(20), 50, EndpointWanted(percent=60)),
    ],
)
def test_an_order_about_an_endpoint_is_what_it_gets(intent: Intent, percent: int, expected: EndpointWanted) -> None:
    """An order, or as much of it as is enforced, says what an endpoint gets; its sibling gets what it did."""
    state = wanted()
    assert state.apply(order(1, O1, intent, percent=percent), NOW)
    assert state.endpoint(O1) == expected
    assert state.endpoint(O2) == EndpointWanted()


@pytest.mark.parametrize(
    ("intent", "percent", "expected"),
    [
        (Isolate(), 100, ServiceWanted(percent=0, isolated=True)),
        (Isolate(), 40, ServiceWanted(percent=60)),
        (Probe(), 100, ServiceWanted(probed=True)),
        (Weigh(10), 100, ServiceWanted(percent=10)),
        (Limit(7), 100, ServiceWanted(concurrency=7)),
        (FailOver(80), 50, ServiceWanted(fail_over=40)),
        (CapRetries(5), 20, ServiceWanted(retries=5, retries_share=20)),
        (Shed("default", 50), 10, ServiceWanted(keep="default", shed=5)),
        (Tighten(250), 100, ServiceWanted(deadline_ms=250)),
    ],
)
def test_an_order_about_a_service_is_what_its_calls_meet(intent: Intent, percent: int, expected: ServiceWanted) -> None:
    """An order, or as much of it as is enforced, says what the calls to a service meet."""
    state = wanted()
    assert state.apply(order(1, ORDERS, intent, percent=percent), NOW)
    assert state.service("orders") == expected
    assert state.service("cart") == ServiceWanted()


def test_side_orders_stand_beside_the_order_about_traffic() -> None:
    """A service has one order about its traffic and one of each side order; a later one of a kind replaces it."""
    state = wanted()
    for number, intent in enumerate([Limit(9), Shed("critical"), Tighten(80), CapRetries(), Limit(4)], 1):
        state.apply(order(number, ORDERS, intent), NOW)
    assert state.service("orders") == ServiceWanted(concurrency=4, retries=0, shed=100, deadline_ms=80)
    state.apply(order(6, ORDERS, Restore("shed")), NOW)
    assert state.service("orders") == ServiceWanted(concurrency=4, retries=0, deadline_ms=80)
    state.apply(order(7, ORDERS, Restore()), NOW)
    assert state.service("orders") == ServiceWanted()


def test_giving_a_service_back_leaves_its_endpoints_alone() -> None:
    """`Restore` of a service is about the service; an endpoint of it that is out has an order of its own."""
    state = wanted()
    state.apply(order(1, O1, Eject()), NOW)
    state.apply(order(2, ORDERS, Isolate()), NOW)
    assert state.apply(order(3, ORDERS, Restore()), NOW)
    assert state.about("orders") == (ServiceWanted(), (EndpointWanted(percent=0, ejected=True), EndpointWanted()))
    assert not state.apply(order(4, ORDERS, Restore()), NOW)


def test_a_renewal_changes_the_lease_and_nothing_else() -> None:
    """The same order again moves the time at which it lapses; what is wanted is as before."""
    state = wanted()
    state.apply(order(1, O1, Eject(), lease_s=10), NOW)
    assert not state.apply(order(1, O1, Eject(), lease_s=20), NOW)
    assert state.expires_at() == state.lease_until("orders") == NOW + 20 * SECOND


def test_orders_lapse_by_themselves() -> None:
    """What nobody renews is over with its lease, and not before."""
    state = wanted()
    state.apply(order(1, O1, Eject(), lease_s=10), NOW)
    state.apply(order(2, ORDERS, Shed("critical"), lease_s=20), NOW)
    assert state.expire(Nanos(NOW + 10 * SECOND - 1)) == ()
    (over,) = state.expire(Nanos(NOW + 10 * SECOND))
    assert (over.command.target, over.intent) == (O1, Eject())
    assert state.about("orders") == (ServiceWanted(shed=100), (EndpointWanted(), EndpointWanted()))
    assert state.expires_at() == NOW + 20 * SECOND


def test_what_comes_too_late_changes_nothing() -> None:
    """An older command, an older epoch and a lease that is over are refused; taking back is never too late."""
    state = wanted()
    state.apply(order(5, O1, Eject(), epoch=2), NOW)
    with pytest.raises(StaleCommand):
        state.apply(order(4, O1, Weigh(50), epoch=2), NOW)
    with pytest.raises(StaleEpoch):
        state.apply(order(9, O1, Restore()), NOW)
    with pytest.raises(LeaseLapsed):
        state.apply(order(6, ORDERS, Isolate(), epoch=2, lease_s=-1), NOW)
    assert state.endpoint(O1).ejected
    assert state.apply(order(6, O1, Restore(), epoch=2, lease_s=-1), NOW)


def test_the_last_endpoint_that_gets_calls_stays() -> None:
    """An order that would leave nobody is refused, naming the rule; one whose sibling the proxy holds for down, too."""
    state = wanted()
    state.apply(order(1, O2, Eject(), lease_s=5), NOW)
    with pytest.raises(ActuationError, match="orders/o1 is the last usable endpoint") as refused:
        state.apply(order(2, O1, Eject()), NOW)
    assert refused.value.rule == "healthy_floor"
    state.apply(order(1, O2, Eject(), lease_s=5), NOW)  # renewed, its sibling stays
    assert state.apply(order(3, O1, Eject()), Nanos(NOW + 6 * SECOND))  # o2's lease is over
    with pytest.raises(ActuationError, match="last usable"):
        wanted(o2=False).apply(order(1, O1, Eject()), NOW)


def test_who_has_no_traffic_of_a_target_says_so() -> None:
    """What does not pass this proxy is no failure of the order: it is for another data plane."""
    state = wanted()
    with pytest.raises(NotHere, match=r"no calls to 'billing' pass here; those that do: orders, cart"):
        state.apply(order(1, Target("billing"), Isolate()), NOW)
    with pytest.raises(NotHere, match=r"no endpoint orders/o7 here; known: o1, o2"):
        state.apply(order(1, Target("orders", "o7"), Eject()), NOW)
    assert not state.apply(order(2, Target("billing"), RollBack("v2")), NOW)  # a deployer's, wherever it goes


@pytest.mark.parametrize(
    ("target", "intent", "percent", "message"),
    [
        (ORDERS, Eject(), 100, "Eject is about an endpoint; its target is orders"),
        (O1, Isolate(), 100, "Isolate is about a service, not one endpoint of it"),
        (O1, Shed("critical"), 100, "Shed is about a service"),
        (ORDERS, Weigh(101), 100, "101 % is no share"),
        (ORDERS, Limit(0), 100, "a limit of 0 calls"),
        (ORDERS, Tighten(0), 100, "a deadline of 0 ms"),
        (ORDERS, Limit(5), 50, "not to be had for 50 %"),
        (O1, Eject(), 0, "enforced for 0 %"),
    ],
)
def test_what_makes_no_sense_is_refused(target: Target, intent: Intent, percent: int, message: str) -> None:
    """Intent and target must go together, and numbers be in their bounds; state stays as it was."""
    state = wanted()
    with pytest.raises(ActuationError, match=message):
        state.apply(order(1, target, intent, percent=percent), NOW)
    assert list(state.orders()) == []


def test_shadow_orders_are_counted_and_nothing_else() -> None:
    """An order that is only reported is in force nowhere."""
    state = wanted()
    shadow = Command(
        id=CommandId("c1"),
        epoch=Epoch(1),
        incident=IncidentId("i1"),
        target=O1,
        intent=Eject(),
        lease_until=Nanos(NOW + SECOND),
        enforcement="shadow",
    )
    assert not state.apply(shadow, NOW)
    assert state.would == {"Eject": 1}
    assert state.about("orders") == wanted().about("orders")


INTENTS = st.sampled_from([Eject(), Probe(), Weigh(0), Weigh(40), Restore()])


@given(st.lists(st.tuples(st.sampled_from([O1, O2]), INTENTS, st.integers(1, 40)), max_size=30))
def test_somebody_is_always_left(orders: list[tuple[Target, Intent, int]]) -> None:
    """Whatever is ordered, and whatever lapses, the endpoints are never all ejected."""
    state = wanted()
    for number, (target, intent, lease_s) in enumerate(orders, 1):
        now = Nanos(NOW + number * SECOND)
        state.expire(now)
        with suppress(ActuationError):
            state.apply(order(number, target, intent, lease_s=lease_s), now)
        assert not all(state.endpoint(one).ejected for one in (O1, O2))


def test_behind_a_closed_door_nothing_else_matters() -> None:
    """Isolated whatever else is ordered about its traffic; taken back alone, the rest is as it was."""
    state = wanted()
    state.apply(order(1, ORDERS, Weigh(50)), NOW)
    assert state.apply(order(2, ORDERS, Close("auth")), NOW)
    assert (state.service("orders").percent, state.service("orders").isolated) == (0, True)
    state.apply(order(3, ORDERS, Probe()), NOW)
    assert (state.service("orders").isolated, state.service("orders").probed) == (True, False)
    assert state.apply(order(4, ORDERS, Restore(what="close")), NOW)
    assert state.service("orders").probed
    state.apply(order(5, ORDERS, Close("auth"), percent=30), NOW)
    assert (state.service("orders").percent, state.service("orders").isolated) == (70, False)
    with pytest.raises(NotHere, match="sensitive"):
        state.apply(order(6, ORDERS, Harden("auth")), NOW)

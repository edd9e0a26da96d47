"""Orders carried out in the process itself: beside one another, for a part of the calls, or only in thought."""

import pytest

from controlplane._native.guard import CRITICAL, DEFAULT, ERROR, SHEDDABLE, Permit, now_ns
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.model.command import (
    CapRetries,
    Command,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    Restore,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.errors import ActuationError, StaleEpoch
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Effective, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos

pytestmark = pytest.mark.anyio


def endpoints(*priorities: int) -> tuple[Endpoint, ...]:
    """One for each, of that priority."""
    return tuple(
        Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}", priority=priority)
        for n, priority in enumerate(priorities, 1)
    )


TOPOLOGY = Topology(
    services=(
        Service(name="gateway", calls=("orders", "db")),
        Service(name="orders", endpoints=endpoints(0, 0, 1, 1)),
        Service(name="db", endpoints=endpoints(0, 0)),
    ),
    entry="gateway",
)
ORDERS, DB = Target("orders"), Target("db")
FIRST = Target("orders", "o1")
QUIET = {"fail_over": 0, "failed_over": 0, "retry_cap": -1, "shed": 0, "shed_keep": -1, "deadline_ns": 0}
STILL = QUIET | {"weight": 100, "limit": 0, "open": 0}


@pytest.fixture
def guards() -> GuardSet:
    """Guards of two services; one has endpoints that stand by."""
    return GuardSet(TOPOLOGY, {"default": GuardPolicy(retry_percent=20)}, seed=3)


def order(intent: Intent, target: Target = ORDERS, *, percent: int = 0, enforcement: str = "full") -> Command:
    """`percent`: enforced for so many of the calls."""
    return Command(
        id=CommandId("c1"),
        epoch=Epoch(1),
        incident=IncidentId("i1"),
        target=target,
        intent=intent,
        lease_until=Nanos(now_ns() + 3_600 * SECOND),
        enforcement="percent" if percent else enforcement,  # type: ignore[arg-type]
        percent=percent or 100,
        signal_at=Nanos(now_ns()),
    )


def seen(guards: GuardSet, service: str = "orders") -> dict[str, int]:
    """What the guard says is ordered about the service."""
    state = guards.guard(service).describe()
    return {name: state[name] for name in STILL}


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        (FailOver(40), {"fail_over": 40, "failed_over": 40}),
        (CapRetries(5), {"retry_cap": 5}),
        (CapRetries(), {"retry_cap": 0}),
        (Shed("critical", 30), {"shed": 30, "shed_keep": CRITICAL}),
        (Shed("default"), {"shed": 100, "shed_keep": DEFAULT}),
        (Tighten(250), {"deadline_ns": 250_000_000}),
    ],
)
async def test_a_side_order_is_in_force_beside_the_others(
    guards: GuardSet, intent: Intent, expected: dict[str, int]
) -> None:
    """Each intent alone, then with a limit; Restore names it and leaves the limit."""
    await guards.apply(order(intent))
    assert seen(guards) == STILL | expected
    await guards.apply(order(Limit(3)))
    assert seen(guards) == STILL | expected | {"limit": 3}
    what = {FailOver: "fail_over", CapRetries: "cap_retries", Shed: "shed", Tighten: "tighten"}[type(intent)]
    for _ in range(2):
        await guards.apply(order(Restore(what=what)))  # type: ignore[arg-type]
        assert seen(guards) == STILL | {"limit": 3}


async def test_a_plain_restore_takes_all_of_it_back(guards: GuardSet) -> None:
    """As the undo of whatever was ordered about the service."""
    for intent in (FailOver(40), CapRetries(), Shed("critical"), Tighten(250), Limit(3)):
        await guards.apply(order(intent))
    await guards.apply(order(Restore()))
    assert seen(guards) == STILL


STAGED: list[tuple[Intent, Target, dict[str, int]]] = [
    (Isolate(), ORDERS, {"weight": 75}),
    (FailOver(40), ORDERS, {"fail_over": 10, "failed_over": 10}),
    (FailOver(1), ORDERS, {"fail_over": 1, "failed_over": 1}),
    (Shed("default", 100), ORDERS, {"shed": 25, "shed_keep": DEFAULT}),
    (CapRetries(), ORDERS, {"retry_cap": 15}),  # three quarters of the calls keep the policy's 20 %
    (CapRetries(8), ORDERS, {"retry_cap": 17}),
    (Weigh(20), ORDERS, {"weight": 80}),
]


@pytest.mark.parametrize(("intent", "target", "expected"), STAGED)
async def test_enforced_for_a_quarter_an_order_is_a_quarter_of_it(
    guards: GuardSet, intent: Intent, target: Target, expected: dict[str, int]
) -> None:
    """The other calls go as before."""
    await guards.apply(order(intent, target, percent=25))
    assert seen(guards) == STILL | expected


@pytest.mark.parametrize(("intent", "weight"), [(Eject(), 75), (Weigh(20), 80), (Weigh(0), 75), (Weigh(100), 100)])
async def test_a_quarter_of_an_ejection_is_a_share_less(guards: GuardSet, intent: Intent, weight: int) -> None:
    """An endpoint that is to go keeps the rest of its calls, and goes when the order is in full force."""
    await guards.apply(order(intent, FIRST, percent=25))
    assert guards.guard("orders").endpoint(0)["weight"] == weight
    await guards.apply(order(Eject(), FIRST))
    assert guards.guard("orders").is_ejected(0)
    await guards.apply(order(Restore(), FIRST, percent=25))  # giving back is never done by halves
    assert guards.guard("orders").endpoint(0)["weight"] == 100
    assert not guards.guard("orders").is_ejected(0)


async def test_a_tightened_quarter_is_every_fourth_call(guards: GuardSet) -> None:
    """The guard says for each call whether it is meant."""
    await guards.apply(order(Tighten(250), percent=25))
    assert [bool(guards.guard("orders").deadline_ns()) for _ in range(8)].count(True) == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            order(Limit(3), percent=25),
            "Limit holds all calls in flight to orders: it is not to be had for 25 % of them",
        ),
        (order(FailOver(50), DB), "no endpoint of db stands by: all have the same priority"),
        (order(FailOver(0)), "FailOver of orders: percent must be between 1 and 100"),
        (order(Shed("critical", 101)), "Shed of orders: percent must be between 1 and 100"),
        (order(Tighten(0)), "Tighten of orders: deadline_ns must be between 1"),
        (order(CapRetries(), FIRST), "CapRetries is about a service, not one endpoint of it; its target is orders/o1"),
        (order(Eject(), FIRST, percent=101), "c1 is to be enforced for 101 % of the calls"),
    ],
)
async def test_what_cannot_be_done_says_why(guards: GuardSet, command: Command, message: str) -> None:
    """And nothing has changed."""
    with pytest.raises(ActuationError, match=message) as caught:
        await guards.apply(command)
    assert not caught.value.retryable
    assert (seen(guards), seen(guards, "db")) == (STILL, STILL)


async def test_who_stands_by_without_room_is_no_place_to_go(guards: GuardSet) -> None:
    """The engine is told, and the order does not lie in wait."""
    for name in ("o3", "o4"):
        await guards.apply(order(Eject(), Target("orders", name)))
    with pytest.raises(ActuationError, match="the endpoints of orders that stand by have no room"):
        await guards.apply(order(FailOver(50)))
    assert seen(guards) == STILL


async def test_a_quarter_of_the_last_endpoint_stays_too(guards: GuardSet) -> None:
    """To weigh down what nobody stands in for would only look like an act."""
    await guards.apply(order(Eject(), Target("db", "o1")))
    with pytest.raises(ActuationError, match="db/o2 is the last usable endpoint here and stays"):
        await guards.apply(order(Eject(), Target("db", "o2"), percent=25))
    assert guards.guard("db").endpoint(1)["weight"] == 100


@pytest.mark.parametrize("intent", [FailOver(50), Shed("critical"), CapRetries(), Tighten(5), Isolate()])
async def test_a_shadow_order_does_nothing_and_is_counted(guards: GuardSet, intent: Intent) -> None:
    """What would have been done is told, and never done."""
    await guards.apply(order(intent, enforcement="shadow"))
    assert seen(guards) == STILL
    assert guards.services["orders"].would == {type(intent).__name__: 1}


async def test_a_roll_back_is_somebody_elses(guards: GuardSet) -> None:
    """Whatever its target; but an older epoch is told so here, too."""
    await guards.apply(order(RollBack("v2"), Target("nowhere")))
    assert seen(guards) == STILL
    guards._fence.epoch = Epoch(2)
    with pytest.raises(StaleEpoch):
        await guards.apply(order(RollBack("v2")))


async def test_an_order_for_a_part_says_when_it_took_effect(guards: GuardSet) -> None:
    """The first call that was shed ends the time of the response, as with every other order."""
    command = order(Shed("default"))
    await guards.apply(command)
    guard = guards.guard("orders")
    assert guard.try_acquire_for(DEFAULT, None)
    assert not guard.try_acquire_for(SHEDDABLE, None)
    (effective,) = guards.drain()
    assert isinstance(effective, Effective)
    assert (effective.target, effective.signal_at) == (ORDERS, command.signal_at)


@pytest.mark.parametrize("intent", [FailOver(50), Shed("critical"), CapRetries(), Tighten(5)])
async def test_nothing_is_learned_under_a_side_order(guards: GuardSet, intent: Intent) -> None:
    """Also where another process of the host has ordered it: what is seen then is not normal."""
    service = guards.services["orders"]
    later = now_ns() + 10 * SECOND
    assert not service.suspect(later)
    await guards.apply(order(intent))
    service._disturbed_until = 0
    assert service.suspect(later)


@pytest.mark.parametrize("failing", [Target("db", "o1"), DB], ids=["endpoint", "edge"])
def test_a_verdict_says_since_when(failing: Target) -> None:
    """The result at which the evidence left zero, not the one that decided."""
    policy = GuardPolicy(breaker_consecutive=0 if failing.endpoint else 4, redrive=False)
    guards = GuardSet(TOPOLOGY, {"default": policy}, seed=3)
    one, began, last = guards.services["db"], 0, 0
    signals: list[Tripped] = []
    while not signals:
        permit = one.guard.try_acquire()
        assert isinstance(permit, Permit)
        if failing.endpoint and permit.endpoint:
            one.succeed(permit)
            continue
        before = now_ns()
        one.fail(permit, ERROR)
        began, last = began or before, now_ns()
        signals = [signal for signal in guards.drain() if isinstance(signal, Tripped)]
    trip = signals[-1]
    assert trip.target == failing
    assert trip.began_at is not None
    assert began - 1_000 <= trip.began_at < trip.at <= last

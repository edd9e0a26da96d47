"""The guard set as a data plane and as a source: commands to orders, event rows to signals, counts to samples."""

import pytest

from controlplane._native.guard import ERROR, OVERLOAD, Permit, now_ns, set_test_clock
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.model.command import Command, Eject, Intent, Isolate, Limit, Probe, Restore, Weigh
from controlplane.model.errors import ActuationError, ConfigError, StaleEpoch
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import (
    Cause,
    Effective,
    EntrySampled,
    FellBack,
    Probed,
    Relayed,
    Sampled,
    Signal,
    Target,
    Tripped,
)
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos

pytestmark = pytest.mark.anyio

ENDPOINTS = tuple(Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}") for n in (1, 2, 3))
TOPOLOGY = Topology(
    services=(
        Service(name="gateway", calls=("orders", "db")),
        Service(name="orders", endpoints=ENDPOINTS),
        Service(name="db", endpoints=ENDPOINTS[:1], policy="strict"),
    ),
    entry="gateway",
)
FIRST = Target("orders", "o1")
POLICIES = {"strict": GuardPolicy(breaker_consecutive=3, endpoint_consecutive=0, endpoint_evidence=0)}


@pytest.fixture
def guards() -> GuardSet:
    """Guards of two services."""
    return GuardSet(TOPOLOGY, POLICIES, seed=3)


def order(
    intent: Intent,
    target: Target = FIRST,
    *,
    epoch: int = 1,
    lease_s: float = 3_600,  # from when the tests are collected, which may be minutes before they run
    enforcement: str = "full",
) -> Command:
    return Command(
        id=CommandId("c1"),
        epoch=Epoch(epoch),
        incident=IncidentId("i1"),
        target=target,
        intent=intent,
        lease_until=Nanos(now_ns() + round(lease_s * SECOND)),
        enforcement=enforcement,  # type: ignore[arg-type]
        signal_at=Nanos(now_ns()),
    )


def settle(guards: GuardSet, service: str, calls: int, *, endpoint: int | None = None, kind: int = 0) -> None:
    """Make `calls` calls, of which those to `endpoint` (None: all) end as `kind`, the rest well."""
    one = guards.services[service]
    for _ in range(calls):
        permit = one.guard.try_acquire()
        assert isinstance(permit, Permit)
        if kind and endpoint in (None, permit.endpoint):
            one.fail(permit, kind)
        else:
            one.succeed(permit)


def kinds(signals: list[Signal]) -> list[str]:
    return [type(signal).__name__ for signal in signals]


def test_the_process_itself_is_not_guarded(guards: GuardSet) -> None:
    """All services but the entry have a guard."""
    assert set(guards.services) == {"orders", "db"}


def test_a_policy_that_is_not_there_is_named() -> None:
    """The message names the service's key and what exists."""
    topology = Topology(services=(Service(name="orders", policy="stirct"),))
    with pytest.raises(ConfigError, match=r"services.orders.policy: no policy 'stirct'; known: default, strict"):
        GuardSet(topology, POLICIES)


def test_a_trip_rings_and_is_told_once(guards: GuardSet) -> None:
    """The deciding settlement rings; drain tells the verdict, then that it took effect, then nothing more."""
    rings: list[int] = []
    guards._ring = lambda: rings.append(1)
    settle(guards, "orders", 60, endpoint=0, kind=ERROR)
    signals = guards.drain()
    assert rings
    assert kinds(signals) == ["Tripped", "Effective"]
    trip, effective = signals
    assert isinstance(trip, Tripped)
    assert (trip.target, trip.cause, trip.contained, trip.capped) == (Target("orders", "o1"), Cause.ERRORS, True, False)
    assert isinstance(effective, Effective)
    assert effective.signal_at == trip.at < effective.at
    assert guards.drain() == []


def test_overload_of_all_endpoints_is_capped_not_contained() -> None:
    """When everything fails together it is not the endpoints: the verdict says that a cap forbade the act."""
    guards = GuardSet(TOPOLOGY, {**POLICIES, "default": GuardPolicy(failure_percent=0)})
    settle(guards, "orders", 40, kind=OVERLOAD)
    trips = [signal for signal in guards.drain() if isinstance(signal, Tripped)]
    assert trips
    capped = [trip for trip in trips if trip.capped]
    assert capped
    assert all(trip.cause is Cause.OVERLOAD and not trip.contained for trip in capped)


def test_an_open_breaker_is_a_verdict_about_the_service(guards: GuardSet) -> None:
    """The edge opened by consecutive failures; its target is the service."""
    settle(guards, "db", 3, kind=ERROR)
    trip = guards.drain()[0]
    assert isinstance(trip, Tripped)
    assert (trip.target, trip.contained) == (Target("db"), True)


def test_observing_verdicts_are_not_contained(guards: GuardSet) -> None:
    """In observe mode the same evidence gives the same verdict, and says that nothing was done."""
    guards.enforce(0)
    settle(guards, "orders", 60, endpoint=0, kind=ERROR)
    trip = guards.drain()[0]
    assert isinstance(trip, Tripped)
    assert not trip.contained
    assert not guards.guard("orders").is_ejected(0)


async def test_commands_become_native_orders(guards: GuardSet) -> None:
    """Each intent does what it says, and Restore takes all of it back, as often as it is asked."""
    guard = guards.guard("orders")
    await guards.apply(order(Eject()))
    assert guard.is_ejected(0)
    await guards.apply(order(Weigh(25)))
    assert guard.endpoint(0)["weight"] == 25
    await guards.apply(order(Probe()))
    for _ in range(2):
        await guards.apply(order(Restore()))
        assert (guard.is_ejected(0), guard.endpoint(0)["weight"]) == (False, 100)
    whole = Target("orders")
    await guards.apply(order(Limit(2), whole))
    assert guard.describe()["limit"] == 2
    await guards.apply(order(Isolate(), whole))
    assert guard.is_open()
    assert not guard.try_acquire()
    await guards.apply(order(Restore(), whole))
    assert not guard.is_open()


async def test_an_order_says_when_it_took_effect(guards: GuardSet) -> None:
    """The first admission that an ordered ejection treats differently is told as Effective."""
    command = order(Eject())
    await guards.apply(command)
    settle(guards, "orders", 30)
    (effective,) = guards.drain()
    assert isinstance(effective, Effective)
    assert (effective.target, effective.signal_at) == (Target("orders", "o1"), command.signal_at)


async def test_probes_that_pass_are_told(guards: GuardSet) -> None:
    """Enough good answers of a probed endpoint, and one bad one, are both signals."""
    await guards.apply(order(Eject()))
    await guards.apply(order(Probe()))
    start = now_ns()
    try:
        for pause in range(1, 50):  # probes keep a distance from each other
            set_test_clock(start + pause * SECOND // 2)
            settle(guards, "orders", 1)
        passed = [signal for signal in guards.drain() if isinstance(signal, Probed)]
        await guards.apply(order(Probe(), lease_s=60))
        for pause in range(50, 60):
            set_test_clock(start + pause * SECOND // 2)
            settle(guards, "orders", 1, endpoint=0, kind=ERROR)
        failed = [signal for signal in guards.drain() if isinstance(signal, Probed)]
    finally:
        set_test_clock(-1)
    assert [(signal.target, signal.passed) for signal in passed] == [(FIRST, True)]
    assert [(signal.target, signal.passed) for signal in failed] == [(FIRST, False)]


async def test_an_older_epoch_is_refused(guards: GuardSet) -> None:
    """The fence is the set's: a newer engine has spoken, about whatever service."""
    await guards.apply(order(Eject(), epoch=2))
    with pytest.raises(StaleEpoch):
        await guards.apply(order(Restore(), Target("db", "o1"), epoch=1))
    assert guards.guard("orders").is_ejected(0)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (order(Eject(), Target("ordres", "o1")), "no calls to 'ordres'"),
        (order(Eject(), Target("orders", "o9")), r"no endpoint orders/o9 here; known: o1, o2, o3"),
        (order(Eject(), Target("orders")), "Eject is about an endpoint; its target is orders"),
        (order(Isolate()), "Isolate is about a service, not one endpoint of it; its target is orders/o1"),
        (order(Limit(2)), "Limit is about a service"),
        (order(Weigh(-1)), "Weigh of orders/o1"),
        (order(Weigh(2**80)), "Weigh of orders/o1"),
        (order(Eject(), lease_s=-1), "the lease of c1 expired"),
    ],
)
async def test_a_command_that_cannot_be_obeyed_says_why(guards: GuardSet, command: Command, message: str) -> None:
    """The reason names what is wrong, it is not worth a retry, and nothing has changed."""
    before = [guards.guard("orders").endpoint(0), guards.guard("orders").describe()]
    with pytest.raises(ActuationError, match=message) as caught:
        await guards.apply(command)
    assert not caught.value.retryable
    assert [guards.guard("orders").endpoint(0), guards.guard("orders").describe()] == before


async def test_the_last_endpoint_stays_and_the_engine_is_told(guards: GuardSet) -> None:
    """A guard does not empty a pool, and does not pretend to have."""
    with pytest.raises(ActuationError, match="db/o1 is the last usable endpoint here and stays"):
        await guards.apply(order(Eject(), Target("db", "o1")))
    assert not guards.guard("db").is_ejected(0)


async def test_taking_back_is_never_too_late(guards: GuardSet) -> None:
    """A Restore whose lease is over still restores."""
    await guards.apply(order(Eject()))
    await guards.apply(order(Restore(), lease_s=-1))
    assert not guards.guard("orders").is_ejected(0)


async def test_a_shadow_command_touches_nothing(guards: GuardSet) -> None:
    """It is accepted, and fenced, and that is all."""
    await guards.apply(order(Eject(), epoch=5, enforcement="shadow"))
    assert not guards.guard("orders").is_ejected(0)
    with pytest.raises(StaleEpoch):
        await guards.apply(order(Eject(), epoch=4, enforcement="shadow"))


def test_a_sample_counts_since_the_last_one(guards: GuardSet) -> None:
    """Services about which something was found, and those endpoints of theirs that failed."""
    settle(guards, "db", 40)
    settle(guards, "orders", 40, endpoint=0, kind=ERROR)
    guards.drain()
    first = {str(sample.target): sample for sample in guards.sample() if isinstance(sample, Sampled)}
    assert set(first) == {"orders", "orders/o1"}
    assert first["orders"].calls == 40
    assert first["orders"].failures == first["orders/o1"].failures == first["orders/o1"].calls == 5
    settle(guards, "orders", 10)
    second = {str(sample.target): sample for sample in guards.sample() if isinstance(sample, Sampled)}
    assert (second["orders"].calls, second["orders"].failures) == (10, 0)
    assert "orders/o1" in second  # ejected: always reported
    assert "orders/o2" not in second


async def test_an_endpoint_once_in_trouble_is_reported_when_healthy_again(guards: GuardSet) -> None:
    """The engine must see the clean calls of the one it has readmitted."""
    await guards.apply(order(Eject()))
    await guards.apply(order(Restore()))
    settle(guards, "orders", 30)
    names = {str(sample.target): sample for sample in guards.sample() if isinstance(sample, Sampled)}
    assert names["orders/o1"].calls > 0
    assert names["orders/o1"].failures == 0


def test_users_fallbacks_and_relays_are_counted_until_told(guards: GuardSet) -> None:
    """The middleware's counts, fallbacks and relayed failures come with the sample, once."""
    for failed in (True, False, False):
        guards.entry.ended(failed=failed, slow=False)
    guards.entry.shed()
    guards.entry.shed()
    guards.fell_back("db", 4)
    guards.fell_back("db")
    guards.relayed("orders", "db")
    signals = guards.sample()
    assert kinds(signals) == ["EntrySampled", "Relayed", "FellBack"]
    entry, relayed, fell_back = signals
    assert isinstance(entry, EntrySampled)
    assert (entry.requests, entry.failed, entry.slow, entry.shed) == (3, 1, 0, 2)
    assert isinstance(relayed, Relayed)
    assert (relayed.caller, relayed.callee, relayed.count) == ("orders", "db", 1)
    assert isinstance(fell_back, FellBack)
    assert (fell_back.service, fell_back.count) == ("db", 5)
    assert guards.sample() == []
    assert guards.drain() == []


def test_invented_names_do_not_grow_without_bound(guards: GuardSet) -> None:
    """Causes come in headers; a flood of different ones is kept to a thousand."""
    for number in range(5_000):
        guards.relayed("orders", f"made-up-{number}")
    assert len(guards.drain()) == 1_000


def test_counts_of_a_quiet_time_are_dropped(guards: GuardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked for minutes: the first sample of an incident does not carry them."""
    now = now_ns()
    settle(guards, "orders", 30)
    for _ in range(30):
        guards.entry.ended(failed=False, slow=False)
    guards.services["orders"].learn(now + 5 * SECOND)
    assert guards.sample() == []


def test_counts_are_kept_while_an_incident_is_on(guards: GuardSet) -> None:
    """After a trip every count is evidence until it is asked for."""
    settle(guards, "orders", 40, endpoint=0, kind=ERROR)
    guards.drain()
    guards.services["orders"].learn(now_ns() + 5 * SECOND)
    assert next(sample.calls for sample in guards.sample() if isinstance(sample, Sampled)) == 40


def test_only_guards_that_changed_are_read_and_all_of_them_from_time_to_time() -> None:
    """Reading a thousand guards on every ring would cost more than the answer; a row nobody spoke of still comes."""
    set_test_clock(1_000 * SECOND)
    try:
        guards = GuardSet(TOPOLOGY, POLICIES)
        guards.drain()
        settle(guards, "orders", 40, endpoint=0, kind=ERROR)
        for _ in range(3):  # settled by hand, and nobody rings
            permit = guards.guard("db").try_acquire()
            assert isinstance(permit, Permit)
            permit.failure(ERROR)
        assert {one.target.service for one in guards.drain() if isinstance(one, Tripped)} == {"orders"}
        assert guards.drain() == []
        set_test_clock(1_001 * SECOND)
        assert {one.target.service for one in guards.drain() if isinstance(one, Tripped)} == {"db"}
    finally:
        set_test_clock(-1)

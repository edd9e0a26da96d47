"""What a recovery waits for, as far as a guard can say: the retry budget, the queue, the configuration."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane._native.guard import ERROR, Permit, now_ns, set_test_clock
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.host import Host
from controlplane.adapters.gateway.learn import UsualLoad
from controlplane.adapters.gateway.tally import OBSERVED_NS
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Condition
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND, Nanos

TOPOLOGY = Topology(
    services=(
        Service(name="gateway", calls=("orders",)),
        Service(name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}") for n in (1, 2))),
    ),
    entry="gateway",
)
POLICY = GuardPolicy(endpoint_consecutive=0, endpoint_evidence=0, failure_percent=0, redrive=False)
TICK_NS = 100 * MILLISECOND


@pytest.fixture(autouse=True)
def stood() -> Iterator[None]:
    """The native clock at 1,000 s; afterwards the real one runs again."""
    set_test_clock(1_000 * SECOND)
    yield
    set_test_clock(-1)


@pytest.fixture
def guards() -> GuardSet:
    """Guards of one service."""
    return GuardSet(TOPOLOGY, {"default": POLICY}, seed=3)


def conditions(guards: GuardSet) -> list[Condition]:
    """Those of a sample taken now."""
    return [signal for signal in guards.sample() if isinstance(signal, Condition)]


def told(guards: GuardSet, ticks: int = 1) -> list[tuple[str, bool]]:
    """What is told in the time of so many ticks, sampled at each."""
    found = []
    for _ in range(ticks):
        set_test_clock(now_ns() + TICK_NS)
        found += [(signal.what, signal.well) for signal in conditions(guards)]
    return found


def observe(guards: GuardSet) -> None:
    """An incident begins."""
    guards._observe("orders", 0, now_ns())


def drain_budget(guards: GuardSet) -> None:
    """Retry until the budget refuses."""
    while isinstance(permit := guards.guard("orders").try_again(-1), Permit):
        permit.cancel()


def learn_usual(guards: GuardSet, calls: int) -> None:
    """So many calls are in flight at each of a minute's looks."""
    held = [guards.guard("orders").try_acquire() for _ in range(calls)]
    for _ in range(60):
        set_test_clock(now_ns() + SECOND)
        guards.services["orders"].learn(now_ns())
    for permit in held:
        assert isinstance(permit, Permit)
        permit.cancel()


def test_without_an_incident_nothing_is_told(guards: GuardSet) -> None:
    """However drained the budget."""
    drain_budget(guards)
    assert told(guards, 20) == []


def test_all_well_is_not_told(guards: GuardSet) -> None:
    """News is what changes."""
    observe(guards)
    assert told(guards, 20) == []


def test_a_drained_budget_is_told_once_a_second_until_it_has_filled(guards: GuardSet) -> None:
    """Half of it is enough; the floor of 3 a second needs five seconds for that."""
    observe(guards)
    drain_budget(guards)
    (first,) = conditions(guards)
    assert first == Condition(
        at=Nanos(now_ns()), service="orders", what="retry_budget", well=False,
        reason="the retry budget of orders has 0 of 30 left",
    )  # fmt: skip
    said = told(guards, 60)
    assert said == [("retry_budget", False)] * 5 + [("retry_budget", True)]


def test_a_budget_that_nobody_earns_is_not_waited_for_without_end() -> None:
    """Without a floor and without calls it never fills; ten seconds after its last refusal nobody misses it."""
    policy = GuardPolicy(retry_floor_per_s=0, redrive=False)
    guards = GuardSet(TOPOLOGY, {"default": policy}, seed=3)
    observe(guards)
    drain_budget(guards)
    said = told(guards, 120)
    assert said[0] == ("retry_budget", False)
    assert said[-1] == ("retry_budget", True)
    assert 9 <= len(said) <= 13


@pytest.mark.parametrize("order", ["cap", "limit"])
def test_what_an_order_refuses_is_not_the_budgets_affair(guards: GuardSet, order: str) -> None:
    """Else the recovery would wait for an order that waits for the recovery."""
    observe(guards)
    guard = guards.guard("orders")
    if order == "cap":
        guard.cap_retries(0, 60 * SECOND, 0)
    else:
        guard.limit(5, 60 * SECOND, 0)
    for _ in range(20):
        assert not guard.try_again(-1)
        assert told(guards) == []


def test_a_queue_is_more_than_twice_what_was_usual(guards: GuardSet) -> None:
    """Six were usual: twelve are well, thirteen are not, and are told until there are fewer."""
    learn_usual(guards, 6)
    observe(guards)
    held = [guards.guard("orders").try_acquire() for _ in range(12)]
    assert told(guards, 10) == []
    held.append(guards.guard("orders").try_acquire())
    (signal,) = conditions(guards)
    assert (signal.what, signal.well) == ("queue", False)
    assert signal.reason == "13 calls to orders are in flight; 6 are usual"
    assert told(guards, 20) == [("queue", False)] * 2
    last = held.pop()
    assert isinstance(last, Permit)
    last.cancel()
    assert told(guards, 20) == [("queue", True)]


def test_what_is_not_known_is_no_queue(guards: GuardSet) -> None:
    """Nothing was learned yet: nobody can say what is too much."""
    observe(guards)
    held = [guards.guard("orders").try_acquire() for _ in range(50)]
    assert told(guards, 10) == []
    assert len(held) == 50


def test_an_incident_teaches_no_new_usual(guards: GuardSet) -> None:
    """While something is suspect, what is in flight is not learned."""
    learn_usual(guards, 6)
    guards.guard("orders").eject(0, 600 * SECOND, 0)
    learn_usual(guards, 40)
    assert guards.services["orders"].usual.calls == pytest.approx(6, abs=0.2)


def test_a_moment_teaches_little(guards: GuardSet) -> None:
    """No more than twice the usual is believed, and a fifth of the way is gone; down it goes slowly."""
    usual = UsualLoad()
    usual.learn(10, 1)
    usual.learn(1_000, 2)
    assert usual.calls == pytest.approx(12)
    usual.learn(0, 3)
    assert usual.calls == pytest.approx(11.76)


def test_another_policy_in_force_is_a_difference(guards: GuardSet) -> None:
    """It is named, field by field; what is learned is not configured."""
    observe(guards)
    guards.guard("orders").set_slow_ns(123_456_789)
    assert told(guards, 3) == []
    guards.guard("orders").retune(retry_percent=90)
    (signal,) = conditions(guards)
    assert (signal.what, signal.well) == ("configuration", False)
    assert "retry_percent 90 instead of 20" in signal.reason
    guards.retune({"default": POLICY})
    assert told(guards) == [("configuration", True)]


def test_who_attaches_with_another_policy_says_so(tmp_path: Path) -> None:
    """The policy in force is that of who was first; a later one that was told otherwise reports the difference."""
    hosts = [Host(str(tmp_path / "arena"), TOPOLOGY, workers=2, role="follows") for _ in range(2)]
    sets = [
        GuardSet(TOPOLOGY, {"default": policy}, host=host)
        for host, policy in zip(hosts, (POLICY, GuardPolicy(retry_percent=50)), strict=True)
    ]
    try:
        for one in sets:
            observe(one)
        assert told(sets[0]) == []
        assert ("configuration", False) in told(sets[1])
    finally:
        for one, host in zip(sets, hosts, strict=True):
            one.leave()
            host.close()


def test_what_was_unwell_is_told_well_after_the_incident(guards: GuardSet) -> None:
    """Nobody is left waiting because the observation ended first."""
    observe(guards)
    guards.guard("orders").retune(retry_percent=90)
    assert told(guards) == [("configuration", False)]
    set_test_clock(now_ns() + OBSERVED_NS)
    assert told(guards) == [("configuration", False)]
    guards.guard("orders").retune(retry_percent=20)
    assert told(guards) == [("configuration", True)]
    assert told(guards, 20) == []


def test_every_service_is_told_of_for_itself() -> None:
    """One that no incident touches is not."""
    services = (*TOPOLOGY.services, Service(name="db", endpoints=TOPOLOGY.services[1].endpoints))
    guards = GuardSet(Topology(services=services, entry="gateway"), {"default": POLICY}, seed=3)
    observe(guards)
    guards.guard("db").retune(retry_percent=90)
    assert told(guards, 5) == []


def test_a_verdict_begins_the_observation() -> None:
    """As an order does: an endpoint that trips is reason enough to look."""
    tripping = GuardSet(TOPOLOGY, {"default": GuardPolicy(redrive=False)}, seed=3)
    tripping.guard("orders").retune(retry_percent=90)
    one = tripping.services["orders"]
    while not one.guard.is_ejected(0):
        permit = one.guard.try_acquire()
        assert isinstance(permit, Permit)
        if permit.endpoint:
            one.succeed(permit)
        else:
            one.fail(permit, ERROR)
    assert told(tripping) == []
    tripping.drain()
    assert told(tripping) == [("configuration", False)]

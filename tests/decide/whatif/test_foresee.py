"""What would be done: the answer is the engine's own, and nothing is done."""

import msgspec
import pytest

from controlplane.decide.engine import Engine
from controlplane.decide.whatif.foresee import foresee
from controlplane.decide.whatif.grammar import suppose
from controlplane.model.playbook import Match, Playbook, Precondition, Step
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Acted, Cause, Ordered, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

NOW = Nanos(5_000 * SECOND)


def endpoint(number: int, zone: str, version: str = "v1", priority: int = 0) -> Endpoint:
    name, url = f"orders-{number}", f"http://127.0.0.1:{number}"
    return Endpoint(name=name, url=url, zone=zone, version=version, priority=priority)


ORDERS = Service(
    name="orders",
    owner="orders-team",
    calls=("db",),
    endpoints=(endpoint(1, "a"), endpoint(2, "b"), endpoint(3, "c", "v2"), endpoint(4, "d", priority=1)),
)
DB = Service(name="db", endpoints=(Endpoint(name="db-1", url="http://127.0.0.1:9"),))
MAIL = Service(name="mail", fallback=True, endpoints=(Endpoint(name="mail-1", url="http://127.0.0.1:8"),))
WEB = Service(name="web", calls=("orders", "mail"))
TOPOLOGY = Topology(services=(WEB, ORDERS, DB, MAIL), entry="web")
BOOK = Playbook(
    name="to-standby",
    match=Match(service="orders", endpoint="orders-2"),
    preconditions=(Precondition(need="fallback"),),
    steps=(Step(do="fail_over", percent=20), Step(do="by_hand", text="warm the cache")),
    enforce=True,
)


def ask(text: str, **more: object):  # type: ignore[no-untyped-def]
    policy = more.pop("policy", ResponsePolicy())
    return foresee(suppose(text, TOPOLOGY), TOPOLOGY, policy, **more)  # type: ignore[arg-type]


def test_one_bad_endpoint_is_ejected_by_the_first_act() -> None:
    """At once, and nothing of it fails any more."""
    told = ask("orders orders-1 fails")
    assert [(one.what, one.by) for one in told.orders[:1]] == [("eject orders/orders-1 [c1]", "the first act")]
    assert told.contained_s == 0.0
    assert told.still_failing == 0.0
    assert told.owners == ("orders-team",)
    assert told.blast[0].startswith("web")


def test_the_playbook_that_would_be_used_is_named_with_its_steps() -> None:
    """And what it leaves to people."""
    told = ask("orders fails in b", playbooks=[BOOK])
    assert told.playbooks[0].name == "to-standby"
    assert told.playbooks[0].steps[0] == "1. fail over 20 % of orders: ordered"
    assert [one.by for one in told.orders if one.what.startswith("failover")] == ["playbook to-standby"]
    assert told.by_hand == ("warm the cache",)


def test_a_rule_that_would_forbid_is_named_with_its_numbers() -> None:
    """What is refused is as much of the answer as what is done."""
    told = ask("orders fails", policy=ResponsePolicy(healthy_floor_percent=90))
    assert told.refused
    assert {one.rule for one in told.refused} & {"healthy_floor", "correlated_cause"}


def test_a_service_that_callers_can_do_without_is_isolated_and_masked() -> None:
    """Nobody calls it any more, and whoever calls it is said to be able to do without."""
    told = ask("mail fails")
    assert told.still_failing is None
    assert "web (can do without)" in told.blast[0]


def test_what_this_process_does_not_call_is_laid_to_it_by_its_callers() -> None:
    """No guard of this process stands before it: it is told by relays, and nothing is ordered."""
    told = ask("db fails")
    assert "db" in told.incidents[0]
    assert "dependency" in told.incidents[0]
    assert told.blast[:2] == ("orders", "web") or told.blast[0].startswith("orders")


def test_observing_it_would_only_be_said() -> None:
    """Every order is in shadow."""
    told = ask("orders orders-1 fails", policy=ResponsePolicy(mode="observe"))
    assert told.mode == "observe"
    assert {one.enforcement for one in told.orders} == {"shadow"}


def running() -> Engine:
    engine = Engine(TOPOLOGY, ResponsePolicy(), playbooks=[BOOK])
    engine.start(Nanos(NOW - 10 * SECOND), boot="x", wall_ns=NOW)
    trip = Tripped(at=Nanos(NOW - SECOND), target=Target("orders", "orders-4"), cause=Cause.ERRORS, calls=5, failures=5)
    outcome = engine.step(trip, trip.at)
    for command in outcome.commands:
        engine.step(Acted(at=trip.at, command=command.id, ok=True), trip.at)
    return engine


def test_the_state_as_it_is_decides_and_is_not_touched() -> None:
    """The standby is out already: the playbook would not be used, and says why. The engine hears nothing of it."""
    engine = running()
    before = msgspec.msgpack.encode(engine.state)
    copy = msgspec.msgpack.decode(before, type=type(engine.state))
    rates = {("", "web"): 50.0, ("web", "orders"): 50.0}
    told = ask("orders fails in b", playbooks=[BOOK], state=copy, now=NOW, rates=rates)
    assert told.figures == "live"
    assert "which is open already" in told.incidents[0]
    assert told.playbooks[0].steps == ()
    assert "stands by that is not held back" in told.playbooks[0].unmet[0]
    assert msgspec.msgpack.encode(engine.state) == before


def test_under_a_freeze_nothing_would_be_ordered() -> None:
    """And the rule is named."""
    engine = running()
    engine.step(Ordered(at=NOW, order="freeze", by="alice", reason="deploying"), NOW)
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(engine.state), type=type(engine.state))
    told = ask("orders orders-1 fails", state=copy, now=NOW)
    assert told.frozen
    assert told.orders == ()
    assert {one.rule for one in told.refused} == {"freeze"}


@pytest.mark.parametrize("how", ["fails", "is slow", "is overloaded"])
def test_the_same_question_has_the_same_answer(how: str) -> None:
    """Byte for byte."""
    texts = [f"orders {how}", f"orders orders-2 {how}", f"orders {how} version v2", f"mail {how}", f"db {how}"]
    for text in texts:
        assert msgspec.json.encode(ask(text, playbooks=[BOOK])) == msgspec.json.encode(ask(text, playbooks=[BOOK]))


def test_a_topology_with_cycles_has_an_answer_too() -> None:
    """Traffic that goes round is counted once, and bounded."""
    one = Service(name="one", calls=("two",), endpoints=(Endpoint(name="o", url="http://127.0.0.1:1"),))
    two = Service(name="two", calls=("one",), endpoints=(Endpoint(name="t", url="http://127.0.0.1:2"),))
    topology = Topology(services=(Service(name="web", calls=("one",)), one, two), entry="web")
    assert foresee(suppose("two fails", topology), topology, ResponsePolicy()).incidents

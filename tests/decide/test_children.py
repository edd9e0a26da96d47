"""Many alerts of one cause are one incident with children; what turns out to be one cause is merged."""

from pathlib import Path

import msgspec

from controlplane.decide.adopt import adopt
from controlplane.decide.engine import Engine
from controlplane.decide.review.explain import explain
from controlplane.decide.state import State, fold
from controlplane.model import record as on
from controlplane.model.command import Command, Eject
from controlplane.model.incident import CHILDREN_MAX, Child, Incident, Phase, Stage
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos
from tests.scenarios.transcript import START, Run, parse

SCENARIOS = Path(__file__).parent.parent / "scenarios"
ONE, OTHER = IncidentId("i1"), IncidentId("i2")


def played(name: str, until: str = "") -> Run:
    script = (SCENARIOS / f"{name}.txt").read_text().partition("\n---")[0]
    run = Run(parse(script + (f"\nuntil {until}" if until else "")))
    run.script.events = [event for event in run.script.events if event[0] <= run.script.end]
    run.play()
    return run


def opened(state: State, name: IncidentId, service: str, at: int) -> Incident:
    fold(
        state,
        on.IncidentOpened(
            at=Nanos(at),
            incident=name,
            origin=Target(service),
            cause=Cause.ERRORS,
            signal_at=Nanos(at),
            shadow=False,
            evidence=f"{service} fails",
            by="web",
        ),
    )
    return state.incidents[name]


def held(state: State, incident: IncidentId, command: str, target: Target, at: int) -> None:
    order = Command(
        id=CommandId(command),
        epoch=Epoch(1),
        incident=incident,
        target=target,
        intent=Eject(),
        lease_until=Nanos(at + 99),
    )
    fold(state, on.CommandIssued(at=Nanos(at), command=order))
    fold(
        state,
        on.StageChanged(
            at=Nanos(at),
            incident=incident,
            target=target,
            stage=Stage.HOLD,
            percent=0,
            penalty_ns=Nanos(5),
            relapses=0,
            reason="contained",
            command=order.id,
        ),
    )


def test_forty_verdicts_of_one_cause_are_one_incident_with_forty_children() -> None:
    """Each child says which target, when, what was seen, and who reported it; nothing is ordered above the cause."""
    run = played("forty-verdicts-of-one-cause-are-one-incident")
    [one] = run.engine.state.incidents.values()
    assert one.origin == Target("db")
    assert len({child.target for child in one.children}) == 40
    first = one.children[0]
    assert (first.target, first.cause, first.by) == (Target("s1", "s1-1"), Cause.ERRORS, "web")
    assert (first.at - START, first.evidence) == (20_000_000, "5 of 5 calls failed")
    assert run.engine.state.commands_total == 0
    assert set(one.reached) == {"db", *(f"s{number}" for number in range(1, 11))}


def test_the_same_alert_again_is_no_further_child() -> None:
    """Who says the same of the same target again adds nothing; who else says it, does."""
    orders = Service(name="orders", endpoints=tuple(Endpoint(name=name, url=f"http://{name}:1") for name in "abc"))
    engine = Engine(Topology(services=(Service(name="web", calls=("orders",)), orders), entry="web"), ResponsePolicy())
    engine.start(Nanos(0), boot="1", wall_ns=0)
    for number, by in enumerate(["", "", "edge", "edge", "", "probes"], 1):
        at = Nanos(number * SECOND)
        trip = Tripped(at=at, target=Target("orders", "a"), cause=Cause.ERRORS, calls=5, failures=5, by=by)
        engine.step(trip, at)
    [one] = engine.state.incidents.values()
    assert [child.by for child in one.children] == ["edge", "probes"]


def test_children_are_bounded() -> None:
    """A storm of ever new alerts must not grow memory without end."""
    state = State()
    one = opened(state, ONE, "db", 1)
    for number in range(CHILDREN_MAX + 50):
        record = on.EvidenceAdded(
            at=Nanos(number), incident=ONE, target=Target("s", str(number)), evidence="x", alert=Cause.ERRORS, by="web"
        )
        fold(state, record)
    assert len(one.children) == CHILDREN_MAX


def test_two_causes_at_once_are_two_incidents() -> None:
    """Each has its own children and its own order, and closes when its own target is verified."""
    run = played("two-causes-at-once-are-two-incidents")
    ended = {one.origin.service: one for one in run.engine.state.incidents.values() if not one.merged_into}
    assert set(ended) == {"stock", "bank"}
    assert {child.target.service for child in ended["stock"].children} == {"cart", "stock"}
    assert {child.target.service for child in ended["bank"].children} == {"pay"}
    assert all(one.to_recover_ns is not None for one in ended.values())
    assert ended["stock"].closed_at != ended["bank"].closed_at


def test_a_merged_incident_keeps_its_link_and_its_parent_what_it_held() -> None:
    """It is closed as a child, not recovered; its target is the parent's to recover, and its orders stand under it."""
    run = played("two-incidents-of-one-cause-are-merged", until="63s")
    state = run.engine.state
    child, parent = state.incidents[ONE], state.incidents[OTHER]
    assert (child.phase, child.merged_into, child.recovered_at) == (Phase.CLOSED, OTHER, None)
    assert explain(child)[0].startswith("i1: cart is part of i2")
    assert [one.incident for one in parent.children] == [ONE, ""]
    assert (parent.children[0].target, parent.children[1].target) == (
        Target("cart", "cart-1"),
        Target("cart", "cart-2"),
    )
    assert {target: held.stage for target, held in parent.containments.items()} == {
        "stock/stock-1": Stage.HOLD,
        "cart": Stage.HOLD,
    }
    assert {command.incident for command in state.in_force.values()} == {OTHER}
    assert state.containment(Target("cart")) == (parent, parent.containments["cart"])
    assert state.open == [OTHER]
    assert (parent.user_failed, parent.user_requests) == (20, 50)


def test_a_verdict_about_a_merged_target_is_its_parents() -> None:
    """cart was held by the incident that is part of i2 now: what is said of cart opens no third one."""
    run = played("two-incidents-of-one-cause-are-merged")
    assert [record.incident for record in run.records if isinstance(record, on.IncidentOpened)] == [ONE, OTHER]
    parent = run.engine.state.incidents[OTHER]
    assert Target("cart") in {child.target for child in parent.children}
    assert (parent.cause, parent.origin) == (Cause.ERRORS, Target("stock", "stock-1"))


def test_what_is_said_of_a_held_target_changes_no_cause() -> None:
    """cart stalls while the incident that holds it is about stock's version: that stays its cause."""
    script = (SCENARIOS / "two-incidents-of-one-cause-are-merged.txt").read_text().partition("\n---")[0]
    run = Run(parse(script.replace("at 64.2s  trip cart errors", "at 64.2s  trip cart overload")))
    run.play()
    parent = run.engine.state.incidents[OTHER]
    assert (Target("cart"), Cause.OVERLOAD) in {(child.target, child.cause) for child in parent.children}
    assert parent.cause is Cause.ERRORS


def test_orders_of_a_merged_incident_are_renewed_by_its_parent() -> None:
    """Their lease must not lapse because the incident that gave them is closed."""
    script = (SCENARIOS / "two-incidents-of-one-cause-are-merged.txt").read_text().partition("\n---")[0]
    script = script.replace("penalty_s=3", "penalty_s=120 service_penalty_s=120")
    run = Run(parse(script + "\nuntil 100s"))
    run.play()
    assert {str(target) for target in run.engine.state.in_force} == {"cart", "stock/stock-1"}
    renewed = [
        record for record in run.records if isinstance(record, on.CommandIssued) and record.at > START + 80 * SECOND
    ]
    assert {(str(one.command.target), one.command.incident) for one in renewed} == {
        ("cart", OTHER),
        ("stock/stock-1", OTHER),
    }
    assert not [record for record in run.records if isinstance(record, on.LeaseExpired)]


def test_an_answer_to_an_order_of_a_merged_incident_reaches_its_parent() -> None:
    """The data plane was asked before the merge and answers after it."""
    state = State()
    opened(state, ONE, "cart", 1)
    opened(state, OTHER, "stock", 2)
    held(state, ONE, "c1", Target("cart"), 3)
    fold(state, on.IncidentMerged(at=Nanos(4), incident=ONE, into=OTHER, reason="one cause"))
    found = state.ordered(CommandId("c1"))
    assert found is not None
    assert found[0].id == OTHER
    assert state.incidents[OTHER].unanswered == [CommandId("c1")]
    fold(state, on.CommandAcknowledged(at=Nanos(5), incident=OTHER, command=CommandId("c1"), ok=True))
    assert state.incidents[OTHER].unanswered == []
    assert state.incidents[OTHER].taken


def test_of_a_target_that_both_held_the_one_that_is_not_verified_goes_on() -> None:
    """What is proven already needs no second proof, and what is not must not be taken for proven."""
    state = State()
    one, other = opened(state, ONE, "cart", 1), opened(state, OTHER, "stock", 2)
    held(state, OTHER, "c1", Target("cart"), 3)
    held(state, ONE, "c2", Target("cart"), 4)
    other.containments["cart"] = msgspec.structs.replace(other.containments["cart"], stage=Stage.VERIFIED)
    assert adopt(other, one, Nanos(5)) == [CommandId("c2")]
    assert other.containments["cart"].stage is Stage.HOLD
    assert other.containments["cart"] is not one.containments["cart"]


def test_a_merge_of_what_is_closed_changes_nothing() -> None:
    """A record that comes twice, or too late, finds nothing to go on with."""
    state = State()
    opened(state, ONE, "cart", 1)
    opened(state, OTHER, "stock", 2)
    merged = on.IncidentMerged(at=Nanos(4), incident=ONE, into=OTHER, reason="one cause")
    fold(state, merged)
    before = msgspec.json.encode(state)
    fold(state, msgspec.structs.replace(merged, at=Nanos(4)))
    assert msgspec.json.encode(state) == before


def test_a_cause_of_its_own_is_not_merged() -> None:
    """price fails by itself and by stock below it: with a good part of the blame of its own it stays an incident."""
    script = """
topology web -> price(2)
topology price -> stock(2)
every 1s until 60s  edge web price 100 0 20ms
every 1s until 60s  edge price stock 100 0 10ms
every 1s until 70s from 62s  edge web price 100 90 20ms
every 1s until 70s from 62s  edge price stock 100 50 10ms
at 61.2s  trip price/price-1 errors 6/10 capped
at 61.3s  trip price/price-2 errors 6/10 capped
at 61.4s  trip stock/stock-1 errors 5/5 contained by=price
until 68s
"""
    run = Run(parse(script))
    run.play()
    assessed = [record for record in run.records if isinstance(record, on.Assessed) and record.incident == ONE]
    assert assessed[0].analysis.origins[0].service == "stock"
    assert not [record for record in run.records if isinstance(record, on.IncidentMerged)]
    assert {one.origin.service for one in run.engine.state.open_incidents()} == {"price", "stock"}


def test_predicted_and_actual_blast_radius_stand_side_by_side() -> None:
    """What the assessment expected, and what showed failures beyond normal while it was open."""
    run = played("two-incidents-of-one-cause-are-merged")
    one = run.engine.state.incidents[OTHER]
    assert set(one.predicted) == {"cart", "stock", "web"}
    assert set(one.reached) == {"cart", "stock", "web"}
    assert set(one.reached_edges) == {("cart", "stock"), ("web", "cart")}


def test_a_service_that_showed_nothing_is_not_reached() -> None:
    """other is called by the same caller and answers as ever: it is in no blast radius."""
    run = played("relay-without-a-word-is-not-blamed")
    one = run.engine.state.incidents[ONE]
    assert "other" not in one.reached
    assert all("other" not in edge for edge in one.reached_edges)


def test_a_child_says_by_whom_it_was_reported() -> None:
    """Of a merged incident, the alert that had opened it."""
    state = State()
    one, other = opened(state, ONE, "cart", 1), opened(state, OTHER, "stock", 2)
    adopt(other, one, Nanos(3))
    assert other.children == [
        Child(target=Target("cart"), cause=Cause.ERRORS, at=Nanos(1), evidence="cart fails", by="web", incident=ONE)
    ]

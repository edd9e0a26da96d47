"""The weighed plan becomes orders: when it is clearly better, once, and judged by what is seen of it."""

import msgspec

from controlplane.decide.enact import INTERVAL_NS, enact, in_force, rule_for
from controlplane.model import record as on
from controlplane.model.command import CapRetries, Command, Eject, FailOver, Isolate, Limit, Restore, Shed, Weigh
from controlplane.model.incident import Stage
from controlplane.model.plan import Act, Enacted
from controlplane.model.signal import Target
from controlplane.model.situation import RetryCut
from controlplane.model.unit import SECOND, Nanos
from tests.decide.plans import CART, POOL, World, topology

C1 = Target("cart", "c1")
FLOOR = {
    "healthy_floor_percent": 90,
    "replicas": POOL[:2],
}  # nothing may be ejected, nothing stands by: to steer is left


def ordered(world: World, **more: object) -> list[Command]:
    draft = world.draft()
    enact(draft, world.evidence, world.incident, world.found(**(FLOOR | more)))
    return world.take(draft)


def enacted(world: World) -> list[Enacted]:
    return [record.plan for record in world.records if isinstance(record, on.PlanEnacted)]


def test_a_clearly_better_plan_is_ordered_with_lease_undo_and_what_it_rests_on() -> None:
    """Traffic is steered away from the bad replica, as much of it as its sibling bears."""
    world = World()
    commands = ordered(world)
    assert [(one.target, type(one.intent)) for one in commands] == [(C1, Weigh)]
    weigh = commands[0]
    assert weigh.kind == "reroute"
    assert weigh.lease_until == world.now + 30 * SECOND
    assert weigh.undo == Restore()
    assert weigh.avoids is not None
    assert "expected" not in weigh.evidence
    assert weigh.evidence.startswith("the plan: harmed requests/s 40 -> ")
    assert "runner-up: " in weigh.evidence
    plan = enacted(world)[0]
    assert plan.commands == (weigh.id,)
    assert (plan.harm, plan.shadow, plan.complete) == (40.0, False, True)
    assert world.incident.plan == plan


def test_what_is_steered_away_is_held_in_a_stage_that_evidence_raises() -> None:
    """A weight is not a hold: the share that stays is the endpoint's own probation."""
    world = World()
    (weigh,) = ordered(world)
    held = world.incident.containments[str(C1)]
    assert (held.stage, held.percent, held.command) == (Stage.RAMP, weigh.intent.percent, weigh.id)


def test_a_plan_that_is_hardly_better_than_what_is_in_force_is_not_ordered() -> None:
    """The bad replica is ejected already, which is more than the steering would do."""
    world = World()
    world.force(C1, Eject())
    assert ordered(world) == []
    assert enacted(world) == []


def test_two_plans_of_one_incident_keep_their_distance() -> None:
    """A second one waits, however good it looks; after the interval it may come."""
    world = World()
    assert ordered(world)
    failing = tuple(msgspec.structs.replace(one, failing=0.8) if one.priority == 0 else one for one in POOL)
    other = {"replicas": failing, "endpoints": (), "failing": 0.8}
    world.wait(INTERVAL_NS / SECOND - 1)
    assert ordered(world, **other) == []
    world.wait(1)
    assert [type(one.intent) for one in ordered(world, **other)] == [FailOver]


def test_a_frozen_plane_orders_no_plan() -> None:
    """A person froze automation: nothing is ordered, and nothing is said to have been."""
    world = World()
    world.state.frozen = True
    assert ordered(world) == []
    assert enacted(world) == []


def test_figures_of_a_failure_that_is_over_order_nothing() -> None:
    """The mean of the whole incident says 40 %; what is heard right now says 1 %."""
    world = World()
    world.wait(20)
    world.edge(100, 1)
    assert ordered(world) == []
    world.wait(6)
    world.edge(100, 40)
    assert ordered(world)


def test_a_kind_in_shadow_is_put_on_record_once() -> None:
    """With the effect that it was expected to have, whatever the figures are half a minute later."""
    world = World(enforcement={})
    (would,) = ordered(world)
    assert (would.enforcement, type(would.intent)) == ("shadow", Weigh)
    assert enacted(world)[0].shadow
    assert str(C1) not in world.incident.containments
    assert world.state.in_force == {}
    world.wait(30)
    assert ordered(world, failing=0.3) == []
    assert len(enacted(world)) == 1


def test_what_no_data_plane_here_can_do_is_left_to_people_once_and_exactly() -> None:
    """Retries of another caller: told in one sentence, with what it would bring."""
    cut = RetryCut(edges=(("app", "cart"),), before=1.4, after=0.2)
    world = World()
    more = {"retries": cut, "replicas": (), "endpoints": (), "failing": 0.9}
    for _ in range(2):
        assert ordered(world, **more) == []
        world.wait(60)
    assert world.incident.by_hand == ["in app, stop the retries of calls to cart"]
    told = [text for text in world.told if "by hand" in text]
    assert len(told) == 1
    assert "in app, stop the retries of calls to cart. Expected: harmed requests/s 90 -> 0" in told[0]
    assert not enacted(world)[0].complete


def test_a_plan_that_did_not_help_is_taken_back_and_not_repeated() -> None:
    """What was expected and what was seen are on record; the loop guard names it from then on."""
    dead = tuple(msgspec.structs.replace(one, failing=0.4) if one.priority == 0 else one for one in POOL)
    more = {"replicas": dead, "endpoints": (), "failing": 0.4}
    world = World()
    assert [type(one.intent) for one in ordered(world, **more)] == [FailOver]
    world.wait(9)
    world.edge(100, 39)
    draft = world.draft()
    enact(draft, world.evidence, world.incident, None)
    (undo,) = world.take(draft)
    assert undo.intent == Restore(what="fail_over")
    judged = [record for record in world.records if isinstance(record, on.PlanJudged)]
    assert [(one.helped, one.seen) for one in judged] == [(False, 0.39)]
    assert world.state.sides == {}
    plan = enacted(world)[0]
    assert world.incident.unhelpful == [plan.key]
    refused = rule_for(world.draft(), world.incident)((Act(do="fail_over", target=CART, to="s1", percent=90.0),))
    assert refused is not None
    assert refused[0] == "loop_guard"
    assert any("did not help" in text for text in world.told)


def test_a_plan_that_helped_is_said_to_have() -> None:
    """Judged once: later figures are about something else."""
    world = World()
    assert ordered(world)
    world.wait(4)
    world.edge(100, 3)
    for _ in range(2):
        draft = world.draft()
        enact(draft, world.evidence, world.incident, None)
        world.take(draft)
    judged = [record for record in world.records if isinstance(record, on.PlanJudged)]
    assert [(one.helped, one.seen) for one in judged] == [(True, 0.03)]
    assert world.incident.plan is not None
    assert world.incident.plan.helped


def test_too_few_calls_judge_nothing() -> None:
    """Unknown is not zero: ten calls that went well prove no plan."""
    world = World()
    assert ordered(world)
    world.wait(4)
    world.edge(10, 0)
    draft = world.draft()
    enact(draft, world.evidence, world.incident, None)
    assert world.take(draft) == []
    assert world.incident.plan is not None
    assert world.incident.plan.helped is None


def test_after_two_plans_that_did_not_help_a_person_is_called() -> None:
    """The third one is not found by trying."""
    world = World()
    for key in ("reroute cart/c1", "fail_over cart"):
        plan = Enacted(
            at=world.now, works_at=world.now, key=key, text=key, harm=40.0, expected=4.0, service="cart", before=0.4
        )
        world.draft().record(on.PlanEnacted(at=world.now, incident=world.incident.id, plan=plan))
        world.wait(4)
        world.edge(100, 40)
        draft = world.draft()
        enact(draft, world.evidence, world.incident, None)
        world.take(draft)
    assert world.incident.escalated


def test_what_holds_already_is_known() -> None:
    """More of it, or something that does it, too: an ejection, a limit, a larger share."""
    world = World(over=topology())
    assert not in_force(world.draft(), C1, Weigh(20))
    world.force(C1, Weigh(25))
    assert in_force(world.draft(), C1, Weigh(20))
    assert not in_force(world.draft(), C1, Weigh(5))
    assert not in_force(world.draft(), C1, Eject())
    world.force(CART, FailOver(40))
    assert in_force(world.draft(), CART, FailOver(45))
    assert not in_force(world.draft(), CART, FailOver(60))
    assert not in_force(world.draft(), CART, CapRetries())
    world.force(CART, Limit(4))
    assert in_force(world.draft(), CART, CapRetries())
    assert in_force(world.draft(), CART, Shed("critical", 50))
    world.force(CART, Isolate())
    assert in_force(world.draft(), C1, Eject())


def test_a_share_that_is_being_given_back_counts_as_in_force() -> None:
    """It takes itself up again where it must: a plan by older figures does not."""
    world = World()
    world.force(CART, FailOver(40))
    world.wait(5)
    world.force(CART, FailOver(20))
    assert world.state.side_steps["cart fail_over"].first == 40
    assert in_force(world.draft(), CART, FailOver(40))
    assert world.state.side_steps["cart fail_over"].since == Nanos(world.now)


def test_a_plan_that_is_in_force_in_part_is_not_judged() -> None:
    """Half of the calls, or one of two acts: what it was expected to bring cannot be held against it."""
    world = World(enforcement={"reroute": 50})
    assert ordered(world)
    assert not enacted(world)[0].complete
    world = World(enforcement={"reroute": 100})
    commands = ordered(world, replicas=POOL)
    assert [one.enforcement for one in commands] == ["full", "shadow"]
    assert not enacted(world)[0].complete

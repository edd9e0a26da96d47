"""Side orders in time: renewed, given back by evidence and in stages, dropped with their incident."""

import pytest

from controlplane.decide import side
from controlplane.decide.recovery import Step
from controlplane.model import record as on
from controlplane.model.analysis import Analysis
from controlplane.model.command import CapRetries, Command, FailOver, Intent, Probe, Restore, Shed, Tighten, Weigh
from controlplane.model.incident import Stage
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import SECOND, IncidentId, Nanos
from tests.decide.plans import CART, World, topology

STEP_S = 5.0  # ramp_step_s, by default


def tended(world: World) -> list[Command]:
    draft = world.draft()
    side.tend(draft, world.evidence)
    return world.take(draft)


def in_force(world: World) -> list[Intent]:
    return [command.intent for command in world.state.sides.values()]


def clean(world: World, calls: int = 20, failures: int = 0, endpoint: str = "") -> None:
    """A stage passes in which so much was seen."""
    world.wait(STEP_S)
    world.calls(calls, failures, endpoint)


@pytest.mark.parametrize("intent", [FailOver(40), CapRetries(), Shed("critical", 40), Tighten(60)])
def test_a_lease_is_renewed_while_the_incident_is_open(intent: Intent) -> None:
    """When a third of it is left, under the same id: a renewal is no new order."""
    world = World()
    command = world.force(CART, intent)
    world.wait(19)
    assert tended(world) == []
    world.wait(1)
    (again,) = tended(world)
    assert (again.id, again.intent) == (command.id, intent)
    assert again.lease_until == world.now + 30 * SECOND


def test_while_automation_is_frozen_a_lease_runs_out() -> None:
    """Nothing is renewed and nothing given back: the data plane lets go by itself, and so does the record."""
    world = World()
    command = world.force(CART, Shed("critical", 40))
    world.state.frozen = True
    clean(world)
    world.wait(20)
    assert tended(world) == []
    world.wait(10)
    assert tended(world) == []
    assert in_force(world) == []
    assert [one.command for one in world.records if isinstance(one, on.LeaseExpired)] == [command.id]


def test_sides_are_dropped_with_their_incident() -> None:
    """Nothing is left behind by an incident that is closed."""
    world = World()
    world.force(CART, CapRetries())
    world.force(CART, FailOver(40))
    world.draft().record(on.IncidentClosed(at=world.now, incident=world.incident.id, reason="over"))
    undone = tended(world)
    assert [one.intent for one in undone] == [Restore(what="cap_retries"), Restore(what="fail_over")]
    assert in_force(world) == []


def test_shed_load_is_given_back_by_halves() -> None:
    """Each stage is earned by calls that went well; the last one takes it back."""
    world = World()
    world.force(CART, Shed("default", 80))
    seen = []
    for _ in range(4):
        clean(world)
        seen += [one.intent for one in tended(world)]
    assert seen == [Shed("default", 40), Shed("default", 20), Shed("default", 10), Restore(what="shed")]


def test_without_traffic_nothing_is_given_back() -> None:
    """No evidence is no evidence of health: the order stays, and its lease is renewed."""
    world = World()
    command = world.force(CART, Shed("critical", 80))
    for _ in range(12):
        world.wait(STEP_S)
        assert all(one.id == command.id for one in tended(world))
    assert in_force(world) == [Shed("critical", 80)]


def test_a_share_that_turns_out_dirty_goes_back_up_and_the_next_attempt_waits_twice_as_long() -> None:
    """It never goes beyond the share it began with."""
    world = World()
    world.force(CART, Shed("critical", 80))
    clean(world)
    assert [one.intent for one in tended(world)] == [Shed("critical", 40)]
    clean(world, 20, 10)
    assert [one.intent for one in tended(world)] == [Shed("critical", 80)]
    assert world.state.side_steps["cart shed"].relapses == 1
    clean(world)
    assert tended(world) == []
    clean(world)
    assert [one.intent for one in tended(world)] == [Shed("critical", 40)]


def test_a_fail_over_is_given_back_by_what_the_primaries_show() -> None:
    """The standby answers well all the time: that says nothing about those that it stands in for."""
    world = World()
    world.force(CART, FailOver(80))
    clean(world, 100, 0, "s1")
    assert tended(world) == []
    clean(world, 20, 12, "c1")
    assert tended(world) == []
    clean(world, 20, 0, "c1")
    assert [one.intent for one in tended(world)] == [FailOver(40)]


def test_capped_retries_come_back_when_the_loop_was_seen_to_die_out() -> None:
    """R below 1, told after they were capped, and calls that go well: either alone is not enough."""
    world = World()
    world.force(CART, CapRetries())
    clean(world)
    assert tended(world) == []
    for number, metastable in ((1.2, False), (0.4, True)):
        world.incident.analysis = Analysis(reproduction_number=number, metastable=metastable)
        world.evidence.analysed_at[world.incident.id] = world.now
        assert tended(world) == []
    world.incident.analysis = Analysis(reproduction_number=0.4, metastable=False)
    assert [one.intent for one in tended(world)] == [Restore(what="cap_retries")]


def test_an_old_verdict_about_the_loop_gives_nothing_back() -> None:
    """What was told before they were capped was told of a loop with retries."""
    world = World()
    world.incident.analysis = Analysis(reproduction_number=0.4, metastable=False)
    world.evidence.analysed_at[world.incident.id] = world.now
    world.force(CART, CapRetries())
    clean(world)
    assert tended(world) == []


def test_a_tightened_deadline_is_taken_back_at_once() -> None:
    """Calls that are answered within it need none."""
    world = World()
    world.force(CART, Tighten(60))
    clean(world, 20, 10)
    assert tended(world) == []
    clean(world)
    assert [one.intent for one in tended(world)] == [Restore(what="tighten")]


def test_a_restart_orders_again_what_is_leased_and_lets_go_of_the_rest() -> None:
    """Under the new epoch, with the old lease; what ran out meanwhile, or is about a stranger, has lapsed."""
    world = World()
    kept = world.force(CART, FailOver(40))
    world.force(CART, Shed("critical", 40), seconds=1)
    world.state.epoch = 2
    world.wait(2)
    draft = world.draft()
    side.start(draft)
    (again,) = world.take(draft)
    assert (again.id, again.epoch, again.lease_until) == (kept.id, 2, kept.lease_until)
    assert in_force(world) == [FailOver(40)]
    world.topology = topology().__class__(services=())
    draft = world.draft()
    side.start(draft)
    assert world.take(draft) == []
    assert in_force(world) == []


def test_restoring_everything_about_a_service_takes_its_sides_along() -> None:
    """And restoring one of them leaves the others, and the traffic order."""
    world = World()
    for intent in (FailOver(40), CapRetries()):
        world.force(CART, intent)
    world.force(CART, Restore(what="fail_over"))
    assert in_force(world) == [CapRetries()]
    world.force(CART, Restore())
    assert in_force(world) == []
    assert world.state.side_steps == {}


def test_what_no_data_plane_took_is_not_in_force() -> None:
    """The record says so, and the plan may order it again."""
    world = World()
    command = world.force(CART, FailOver(40))
    world.draft().record(
        on.CommandAcknowledged(at=world.now, incident=world.incident.id, command=command.id, ok=False, reason="no")
    )
    assert in_force(world) == []


def test_times_move_with_the_clock_of_a_new_boot() -> None:
    """A lease is not made longer, and a stage is not begun anew."""
    world = World()
    command = world.force(CART, FailOver(40))
    shift = -500 * SECOND
    world.draft().record(on.EpochStarted(at=world.now, epoch=2, boot="b", wall_ns=0, shift_ns=shift))
    assert world.state.sides["cart fail_over"].lease_until == command.lease_until + shift
    assert world.state.side_steps["cart fail_over"].since == Nanos(world.now + shift)


def test_a_kind_that_is_in_shadow_now_is_taken_back() -> None:
    """As after a restart with another policy: what may only report must not act either."""
    world = World()
    world.force(CART, FailOver(40))
    world.policy = World(enforcement={}).policy
    assert [one.intent for one in tended(world)] == [Restore(what="fail_over")]
    assert in_force(world) == []


def test_an_incident_whose_side_orders_are_not_earned_back_may_not_close() -> None:
    """Nothing is seen of it because of them: closed, it would be back at once."""
    world = World()
    assert not side.unfinished(world.draft(), world.incident)
    world.force(CART, FailOver(40))
    assert side.unfinished(world.draft(), world.incident)
    world.force(CART, Restore(what="fail_over"))
    assert not side.unfinished(world.draft(), world.incident)


def test_what_was_ordered_for_an_incident_is_that_ones_that_it_became_part_of() -> None:
    """The child is closed, its side orders are not dropped with it."""
    world = World()
    world.force(CART, FailOver(40))
    into = IncidentId("i2")
    draft = world.draft()
    draft.record(
        on.IncidentOpened(
            at=world.now, incident=into, origin=CART, cause=Cause.ERRORS, signal_at=world.now, shadow=False, evidence=""
        )
    )
    draft.record(on.IncidentMerged(at=world.now, incident=world.incident.id, into=into, reason="one failure"))
    draft.record(on.IncidentClosed(at=world.now, incident=world.incident.id, reason="part of i2"))
    assert tended(world) == []
    assert [one.incident for one in world.state.sides.values()] == [into]


def test_the_share_that_a_plan_has_left_is_no_relapse_and_not_taken_away() -> None:
    """Traffic is steered away because it fails there: that what stays fails too is no news. A verdict still is."""
    world, target = World(), Target("cart", "c1")
    draft = world.draft()
    name = draft.order(world.incident, target, Weigh(12), "the plan", signal_at=world.now, kind="reroute")
    draft.stage(world.incident, target, Step(Stage.RAMP, 12, Weigh(12), "", Nanos(5 * SECOND), 0), name)
    world.calls(20, 12, "c1")
    held = world.incident.containments[str(target)]
    back = Step(Stage.PROBE, 0, Probe(), "one stage back", Nanos(10 * SECOND), 1)
    kept = side.careful(world.draft(), world.evidence, held, back)
    assert kept is not None
    assert (kept.stage, kept.percent, kept.intent, kept.relapses) == (Stage.RAMP, 12, None, 0)
    draft = world.draft()
    ramp = draft.order(world.incident, target, Weigh(25), "earned", signal_at=world.now)
    draft.stage(world.incident, target, Step(Stage.RAMP, 25, Weigh(25), "", Nanos(5 * SECOND), 0), ramp)
    held = world.incident.containments[str(target)]
    assert side.careful(world.draft(), world.evidence, held, back) == back, "what was earned may be lost again"

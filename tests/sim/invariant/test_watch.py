"""Each invariant catches an engine that breaks it, and lets pass the one that nearly does."""

import pytest

from controlplane.model import record as rec
from controlplane.model import signal as sig
from controlplane.model.command import Eject, FailOver, Isolate, Limit, Probe, Restore, RollBack, Weigh
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos
from controlplane.sim.invariant import RULES
from controlplane.sim.invariant.watch import FLAPS_MAX, VIOLATIONS_MAX
from tests.sim.invariant.plane import A0, A1, A2, Plane

A = Target("a")


def test_a_whole_recovery_breaks_nothing() -> None:
    """Ejected, renewed, probed, passed, ramped, restored."""
    plane = Plane()
    command = plane.eject()
    plane.later(20)
    plane.tell(None, plane.command(A0, Eject(), id=command.id))
    plane.tell(None, plane.command(A0, Probe()))
    plane.later(1)
    plane.tell(sig.Probed(at=plane.now, target=A0, passed=True), plane.command(A0, Weigh(10)))
    plane.later(5)
    plane.tell(None, plane.command(A0, Restore()))
    assert plane.broken == []
    assert plane.watch.acts == 4


def test_capacity_the_floor() -> None:
    """Two of four may go; the third would leave a quarter."""
    plane = Plane()
    plane.eject(A0)
    plane.eject(A1)
    assert plane.broken == []
    plane.eject(A2)
    assert plane.broken == ["capacity"]


def test_capacity_what_has_lapsed_is_back() -> None:
    """An order whose lease ran out takes nothing any more, told or not; nor one that nobody carried out."""
    plane = Plane()
    plane.eject(A0)
    plane.later(31)
    refused = plane.eject(A1)
    plane.tell(sig.Acted(at=plane.now, command=refused.id, ok=False))
    plane.eject(A2)
    plane.eject(Target("a", "a3"))
    assert plane.broken == []


def test_capacity_in_the_data_plane() -> None:
    """No replica that takes calls is nothing left; one is something."""
    plane = Plane()
    plane.watch.usable("a", [False, True], plane.now)
    assert plane.broken == []
    plane.watch.usable("a", [False, False], plane.now)
    assert plane.broken == ["capacity"]


def test_budget_velocity() -> None:
    """One act more than a minute allows; a minute later it is allowed."""
    plane = Plane(ResponsePolicy(commands_per_minute_max=2))
    plane.eject(A0)
    plane.eject(A1)
    plane.later(60)
    plane.eject(Target("b", "b0"))
    plane.later(1)
    plane.eject(Target("b", "b1"))
    assert plane.broken == []
    plane.tell(plane.tripped(A), plane.command(A, Isolate()))
    assert plane.broken == ["budget"]


def test_budget_blast() -> None:
    """A quarter of eight replicas is two."""
    plane = Plane(ResponsePolicy(blast_budget_percent=25))
    plane.eject(A0)
    plane.eject(Target("b", "b0"))
    assert plane.broken == []
    plane.eject(A1)
    assert plane.broken == ["budget"]


def test_lease_length() -> None:
    """None, one that is over, one beyond the policy's; renewals are looked at, too."""
    for seconds in (0, -1, 31):
        plane = Plane()
        plane.eject(lease_until=Nanos(plane.now + seconds * SECOND))
        assert plane.broken == ["lease"]
    plane = Plane()
    command = plane.eject()
    plane.tell(None, plane.command(A0, Eject(), id=command.id, lease_until=Nanos(plane.now + 40 * SECOND)))
    assert plane.broken == ["lease"]


def test_lease_undo() -> None:
    """Whatever cannot be taken back is not ordered, but for a roll-back."""
    plane = Plane()
    plane.tell(None, plane.command(A, RollBack("v2"), undo=RollBack("v1")))
    assert plane.broken == []
    plane.eject(undo=Eject())
    assert plane.broken == ["lease"]


def test_lease_on_record_first() -> None:
    """An act of which nothing is on record, and one of which something else is."""
    plane = Plane()
    command = plane.command(A0, Eject())
    plane.watch.decided(plane.tripped(A0), Outcome((), (command,)), plane.now)
    assert plane.broken == ["lease"]
    other = rec.CommandIssued(at=plane.now, command=plane.command(A1, Eject(), id=CommandId("c9")))
    plane.watch.decided(
        plane.tripped(A1), Outcome((other,), (plane.command(A1, Isolate(), id=CommandId("c9")),)), plane.now
    )
    assert plane.broken == ["lease", "lease"]


def test_lease_over_when_carried_out() -> None:
    """A data plane that takes an order after its lease; taking back is never too late."""
    plane = Plane()
    late = plane.command(A0, Restore())
    command = plane.eject()
    plane.later(30)
    plane.watch.applied(late, plane.now)
    assert plane.broken == []
    plane.watch.applied(command, plane.now)
    assert plane.broken == ["lease"]


def test_epoch_of_the_engine() -> None:
    """An order of another epoch than the one that was begun, and an epoch that is no newer."""
    plane = Plane()
    plane.eject(epoch=Epoch(2))
    plane.watch.decided(None, Outcome((plane.begun(1),)), plane.now)
    assert plane.broken == ["epoch", "epoch"]


def test_epoch_at_the_data_plane() -> None:
    """The older order comes last and is taken."""
    plane = Plane()
    plane.watch.applied(plane.command(A0, Eject(), epoch=Epoch(2)), plane.now)
    plane.watch.applied(plane.command(A0, Restore(), epoch=Epoch(2)), plane.now)
    assert plane.broken == []
    plane.watch.applied(plane.command(A0, Eject(), epoch=Epoch(1)), plane.now)
    assert plane.broken == ["epoch"]


def test_invalid_signals_lead_to_nothing() -> None:
    """Neither to an act nor to an incident; a sound one may."""
    plane = Plane()
    plane.tell(plane.tripped(A0, calls=-3), plane.command(A0, Eject()))
    assert set(plane.broken) == {"invalid"}
    plane = Plane()
    for endpoint, rules in (("a0", []), ("a9", ["invalid"])):
        target = Target("a", endpoint)
        opened = rec.IncidentOpened(
            at=plane.now,
            incident=IncidentId("i1"),
            origin=target,
            cause=Cause.ERRORS,
            signal_at=plane.now,
            shadow=False,
            evidence="",
        )
        plane.watch.decided(plane.tripped(target), Outcome((opened,)), plane.now)
        assert plane.broken == rules


def test_invalid_acts_out_of_nothing() -> None:
    """Nobody ever said anything against the service."""
    plane = Plane()
    plane.tell(None, plane.command(A0, Eject()))
    assert plane.broken == ["invalid"]


def test_readmission_without_a_probe() -> None:
    """Time alone brings nobody back, whether in a ramp or at once; nor does a probe from before."""
    for intent in (Weigh(10), Restore()):
        plane = Plane()
        plane.tell(sig.Probed(at=plane.now, target=A0, passed=True))
        plane.later(1)
        plane.eject()
        plane.later(20)
        plane.tell(None, plane.command(A0, intent))
        assert plane.broken == ["readmission"]


def test_readmission_by_active_probes() -> None:
    """Three in a row are as good as real requests; two are not."""
    for passed, rules in ((2, ["readmission"]), (3, [])):
        plane = Plane()
        plane.eject()
        plane.later(10)
        for _ in range(passed):
            plane.tell(sig.ProbeFinished(at=plane.now, target=A0, ok=True))
        plane.tell(None, plane.command(A0, Weigh(10)))
        assert plane.broken == rules


def test_readmission_of_what_was_limited() -> None:
    """A limit is lifted on counts of the service or of its endpoints; on none it is not."""
    for counted, rules in ((False, ["readmission"]), (True, [])):
        plane = Plane()
        plane.tell(plane.tripped(A), plane.command(A, Limit(1)))
        plane.later(10)
        if counted:
            plane.tell(sig.Sampled(at=plane.now, target=A1, calls=9, failures=0, slow=0))
        plane.tell(None, plane.command(A, Restore()))
        assert plane.broken == rules


def test_readmission_at_once_when_all_siblings_are_bad() -> None:
    """What they share is the cause, not the one taken out first; one sibling that nobody found bad forbids it."""
    for siblings, rules in ((2, ["readmission"]), (3, [])):
        plane = Plane()
        plane.eject()
        plane.later(1)
        for n in range(1, 1 + siblings):
            plane.tell(plane.tripped(Target("a", f"a{n}")))
        plane.tell(None, plane.command(A0, Restore()))
        assert plane.broken == rules


def test_readmission_at_once_on_reports_of_bad_calls() -> None:
    """The engine's verdicts about siblings may rest on what others count; clean reports acquit nobody."""
    for failures, rules in ((0, ["readmission"]), (5, [])):
        plane = Plane()
        plane.eject()
        for n in range(1, 4):
            plane.tell(sig.CallsFinished(at=plane.now, target=Target("a", f"a{n}"), calls=9, failures=failures))
        plane.tell(None, plane.command(A0, Restore()))
        assert plane.broken == rules


def test_readmission_at_once_is_not_earned_by_old_verdicts_nor_by_steps() -> None:
    """Siblings that were bad eleven seconds ago say nothing of now; and a ramp needs probes whatever siblings do."""
    for waits, intent in ((11, Restore()), (1, Weigh(10))):
        plane = Plane()
        plane.eject()
        for n in range(1, 4):
            plane.tell(plane.tripped(Target("a", f"a{n}")))
        plane.later(waits)
        plane.tell(None, plane.command(A0, intent))
        assert plane.broken == ["readmission"]


def test_readmission_against_a_reflex() -> None:
    """Whom only its guard took out is given back on the same evidence: all siblings found bad, and not all but one."""
    for siblings, rules in ((2, ["readmission"]), (3, [])):
        plane = Plane()
        for n in range(1 + siblings):
            plane.tell(plane.tripped(Target("a", f"a{n}"), contained=n == 0))
        plane.tell(None, plane.command(A0, Restore()))
        assert plane.broken == rules


def test_readmission_right_after_a_bad_verdict() -> None:
    """A step up in the ramp, while the last word about the target is a bad one and fresh."""
    for waits, rules in ((1, ["readmission"]), (5, [])):
        plane = Plane()
        plane.eject()
        plane.later(10)
        plane.tell(sig.Probed(at=plane.now, target=A0, passed=True), plane.command(A0, Weigh(10)))
        plane.later(2)
        plane.tell(plane.tripped(A0))
        plane.later(waits)
        plane.tell(None, plane.command(A0, Weigh(25)))
        assert plane.broken == rules


def test_going_back_a_stage_after_a_bad_verdict_is_no_step_up() -> None:
    """From 25 % to 10 % right after the bad word is what it is for; from there to 50 % is not."""
    for to, rules in ((10, []), (50, ["readmission"])):
        plane = Plane()
        plane.eject()
        plane.later(10)
        plane.tell(sig.Probed(at=plane.now, target=A0, passed=True), plane.command(A0, Weigh(10)))
        plane.later(6)
        plane.tell(None, plane.command(A0, Weigh(25)))
        plane.tell(plane.tripped(A0))
        plane.later(1)
        plane.tell(None, plane.command(A0, Weigh(to)))
        assert plane.broken == rules


def test_readmission_by_a_person_needs_no_evidence() -> None:
    """People may take back what they like; so is what no data plane had taken."""
    plane = Plane()
    plane.eject()
    plane.tell(sig.Ordered(at=plane.now, order="observe", by="x"), plane.command(A0, Restore()))
    command = plane.eject(A1)
    plane.tell(sig.Acted(at=plane.now, command=command.id, ok=False))
    plane.later(10)
    plane.tell(None, plane.command(A1, Restore()))
    assert plane.broken == []


def test_side_orders_take_back_nothing_else() -> None:
    """The end of a fail-over is no readmission of what is ejected."""
    plane = Plane()
    plane.eject()
    plane.tell(None, plane.command(A, FailOver(50)))
    plane.tell(None, plane.command(A, Restore(what="fail_over")))
    assert plane.broken == []


def test_flapping() -> None:
    """In and out every two seconds: the seventh time within a minute is one too many."""
    plane = Plane()
    for _ in range(FLAPS_MAX):
        plane.eject()
        plane.later(1)
        plane.tell(sig.Probed(at=plane.now, target=A0, passed=True), plane.command(A0, Restore()))
        plane.later(1)
    assert plane.broken == []
    plane.eject()
    assert plane.broken == ["flapping"]


def test_shadow_orders_touch_nothing() -> None:
    """They are bounded like others, and cost neither budget nor capacity."""
    plane = Plane()
    for target in (A0, A1, A2):
        plane.eject(target, enforcement="shadow")
    assert plane.broken == []


def test_only_so_many_are_kept() -> None:
    """What breaks at every step does not fill the memory, and is counted all the same."""
    plane = Plane()
    for _ in range(VIOLATIONS_MAX + 9):
        plane.watch.usable("a", [False], plane.now)
    assert (len(plane.broken), plane.watch.broken) == (VIOLATIONS_MAX, VIOLATIONS_MAX + 9)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_break(rule: str) -> None:
    """Each rule has a test above that names it: a watcher that cannot fail proves nothing."""
    assert any(name.startswith(f"test_{rule}_") or name == f"test_{rule}" for name in globals())

"""Freeze, hold and override: what a person's word stops, and what it does not."""

import msgspec
import pytest

from controlplane.decide import standing
from controlplane.decide.safety import NEVER, may_renew, wrong_order
from controlplane.decide.state import State, fold
from controlplane.model.command import Eject, Isolate, Probe, Restore, Weigh
from controlplane.model.record import EpochStarted, OrderTaken
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Epoch, Nanos
from tests.decide.safety.mesh import LOOSE, NOW, command, holding, out, plain, refused

KNOWN = Topology(services=(plain("s", 4), plain("t", 4)))
ONE = Target("s", "e0")


def ordered(order: str, target: Target | None, *, rule: str = "", seconds: int = 0) -> State:
    """A state in which a person has given one order."""
    state = State()
    until = Nanos(NOW + seconds * SECOND) if seconds else None
    fold(state, OrderTaken(at=NOW, order=order, by="ana", reason="look", target=target, rule=rule, until=until))
    return state


def test_freeze_forbids_new_acts() -> None:
    """Nothing is taken out of service while a person has frozen automation, and the person's reason is told."""
    state = State(frozen=True, frozen_reason="deploying")
    assert refused(ONE, Eject(), KNOWN, state=state) == ("freeze", "a person froze automation: deploying")
    assert refused(ONE, Eject(), KNOWN) == ("", "")


def test_freeze_lets_what_is_in_force_be_given_back() -> None:
    """The lease would give all of it back at once; step by step is safer. Nothing is tightened, nothing begun."""
    held = holding(KNOWN, *out("e0"), frozen=True)
    assert refused(ONE, Restore(), KNOWN, state=held)[0] == ""
    assert refused(ONE, Probe(), KNOWN, state=held)[0] == ""
    assert refused(ONE, Weigh(10), KNOWN, state=held)[0] == ""
    assert refused(ONE, Weigh(10), KNOWN, state=held, kind="reroute")[0] == "freeze"
    assert refused(Target("s", "e1"), Probe(), KNOWN, state=held)[0] == "freeze"
    ramping = holding(KNOWN, (ONE, Weigh(50)), frozen=True)
    assert refused(ONE, Weigh(25), KNOWN, state=ramping)[0] == "freeze"
    assert refused(ONE, Weigh(75), KNOWN, state=ramping)[0] == ""


def test_under_a_freeze_a_lapsed_order_is_not_begun_again() -> None:
    """Once its lease is over the target is free, and a probe would hold it back anew."""
    held = holding(KNOWN, *out("e0"), frozen=True)
    assert refused(ONE, Probe(), KNOWN, state=held, now=Nanos(NOW + SECOND))[0] == "freeze"


@pytest.mark.parametrize("intent", [Eject(), Probe(), Weigh(10), Restore()])
def test_a_hold_leaves_as_it_is(intent: Eject | Probe | Weigh | Restore) -> None:
    """Neither a new act nor giving back: the person finds what they left."""
    reason = "ana holds s/e0: look"
    assert refused(ONE, intent, KNOWN, state=ordered("hold", ONE)) == ("human_hold", reason)
    assert refused(Target("s", "e1"), intent, KNOWN, state=ordered("hold", ONE))[0] == ""


def test_a_hold_covers_what_is_inside_and_what_is_around() -> None:
    """A held service holds its endpoints; a held endpoint keeps its service from being isolated; everything is all."""
    assert refused(ONE, Eject(), KNOWN, state=ordered("hold", Target("s")))[0] == "human_hold"
    assert refused(Target("s"), Isolate(), KNOWN, state=ordered("hold", ONE))[0] == "human_hold"
    assert refused(Target("t"), Isolate(), KNOWN, state=ordered("hold", None))[0] == "human_hold"
    assert refused(Target("t"), Isolate(), KNOWN, state=ordered("hold", Target("s")))[0] == ""


def test_a_hold_ends_by_its_time_and_by_release() -> None:
    """To the nanosecond; a release of something else ends nothing."""
    state = ordered("hold", ONE, seconds=30)
    end = Nanos(NOW + 30 * SECOND)
    assert refused(ONE, Eject(), KNOWN, state=state, now=Nanos(end - 1))[0] == "human_hold"
    assert refused(ONE, Eject(), KNOWN, state=state, now=end)[0] == ""
    fold(state, OrderTaken(at=NOW, order="release", by="bob", reason="", target=Target("s")))
    assert refused(ONE, Eject(), KNOWN, state=state)[0] == "human_hold"
    fold(state, OrderTaken(at=NOW, order="release", by="bob", reason="", target=ONE))
    assert refused(ONE, Eject(), KNOWN, state=state)[0] == ""


def test_an_override_sets_one_rule_aside_there_and_then() -> None:
    """Not another rule, not another target, not a moment longer."""
    policy = msgspec.structs.replace(LOOSE, healthy_floor_percent=90)
    state = ordered("override", Target("s"), rule="healthy_floor", seconds=60)
    assert refused(ONE, Eject(), KNOWN, policy)[0] == "healthy_floor"
    assert refused(ONE, Eject(), KNOWN, policy, state=state)[0] == ""
    assert refused(Target("t", "e0"), Eject(), KNOWN, policy, state=state)[0] == "healthy_floor"
    assert refused(ONE, Eject(), KNOWN, policy, state=state, now=Nanos(NOW + 60 * SECOND))[0] == "healthy_floor"
    state.frozen = True
    assert refused(ONE, Eject(), KNOWN, policy, state=state)[0] == "freeze"


def test_an_override_for_an_endpoint_reaches_no_wider() -> None:
    """What a person allowed for one endpoint is not allowed for its service."""
    state = ordered("override", ONE, rule="freeze", seconds=60)
    state.frozen = True
    assert refused(ONE, Eject(), KNOWN, state=state)[0] == ""
    assert refused(Target("s"), Isolate(), KNOWN, state=state)[0] == "freeze"


def test_the_last_endpoint_stays_whatever_is_overridden() -> None:
    """Never empty by automation: this part of the floor is nobody's to set aside."""
    alone = Topology(services=(plain("s", 1),))
    state = ordered("override", None, rule="healthy_floor", seconds=60)
    assert refused(ONE, Eject(), alone, state=state)[0] == "healthy_floor"


@pytest.mark.parametrize("rule", ["epoch_fence", "lease_expiry", "invalid_data", "silence", "alert"])
def test_some_rules_are_never_set_aside(rule: str) -> None:
    """The refusal says why; an override that got on record all the same has no effect."""
    said = wrong_order("override", None, rule, SECOND, topology=KNOWN, never=NEVER)
    assert said == f"rule: {rule} is never set aside: {NEVER[rule]}"
    state = ordered("override", None, rule="invalid_data", seconds=60)
    assert refused(Target("nobody"), Isolate(), KNOWN, state=state)[0] == "invalid_data"


@pytest.mark.parametrize(
    ("order", "target", "rule", "for_ns", "wrong"),
    [
        ("override", None, "healthy_floor", 0, "for_s: 0 is not over 0 and at most 3600: an override ends"),
        ("override", None, "healthy_floor", 3601 * SECOND, "for_s: 3601 is not over 0 and at most 3600"),
        ("override", None, "floor", SECOND, "rule: 'floor' is not a safety rule; the rules: freeze, human_hold,"),
        ("override", Target("x"), "freeze", SECOND, "target: 'x' is not a declared service"),
        ("hold", Target("s", "x"), "", 0, "target: 'x' is not an endpoint of 's'"),
        ("hold", None, "", -1, "for_s: -1e-09 is not from 0 (until released) up to 2592000"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_field(
    order: str, target: Target | None, rule: str, for_ns: int, wrong: str
) -> None:
    """The field, the value and what would be right."""
    assert wrong_order(order, target, rule, for_ns, topology=KNOWN, never=NEVER).startswith(wrong)


@pytest.mark.parametrize("order", ["hold", "release"])
def test_sensible_orders_are_right(order: str) -> None:
    """A hold without a time lasts until it is released; what has left the topology can still be released."""
    assert wrong_order(order, ONE, "", 0, topology=KNOWN, never=NEVER) == ""
    gone = wrong_order(order, Target("gone"), "", 0, topology=KNOWN, never=NEVER)
    assert bool(gone) == (order == "hold")


def test_an_order_is_not_renewed_once_its_override_is_over() -> None:
    """What a rule forbids does not go on because it was allowed for a while."""
    state = ordered("override", Target("s"), rule="healthy_floor", seconds=60)
    against = msgspec.structs.replace(command(ONE, Eject(), KNOWN), overrides="healthy_floor")
    assert may_renew(state, against, NOW)
    assert not may_renew(state, against, Nanos(NOW + 60 * SECOND))
    assert may_renew(state, command(ONE, Eject(), KNOWN), Nanos(NOW + 60 * SECOND))
    state.frozen = True
    assert not may_renew(state, command(ONE, Eject(), KNOWN), NOW)


def test_another_boots_clock_makes_no_hold_longer() -> None:
    """Holds and overrides keep their end, told in the new clock."""
    state = ordered("hold", ONE, seconds=30)
    fold(
        state,
        OrderTaken(
            at=NOW, order="override", by="ana", reason="", target=ONE, rule="freeze", until=Nanos(NOW + 20 * SECOND)
        ),
    )
    back = -9_000 * SECOND
    fold(state, EpochStarted(at=Nanos(NOW + back), epoch=Epoch(2), boot="b2", wall_ns=0, shift_ns=back))
    assert state.standing.holds["s/e0"].until == NOW + back + 30 * SECOND
    assert state.standing.overrides["freeze s/e0"].until == NOW + back + 20 * SECOND
    assert state.standing.due() == NOW + back + 20 * SECOND
    assert standing.Standing().due() is None

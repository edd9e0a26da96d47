"""Roll-backs: decided by verdicts, asked for once, watched, and what was withdrawn stays so."""

import pytest

from controlplane.decide import rollback, side
from controlplane.decide.gate import Verdict, verdict
from controlplane.decide.recovery import Step
from controlplane.decide.rollback import PROVEN_NS, WORD_NS, candidate
from controlplane.model import record as on
from controlplane.model.command import Command, Eject, Restore, RollBack, Weigh
from controlplane.model.incident import Stage
from controlplane.model.signal import Cause, RolledBack, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Nanos
from tests.decide.plans import CART, World


def fleet(versions: str, **more: str) -> Topology:
    endpoints = tuple(
        Endpoint(name=f"c{at}", url="http://h:1", version=version) for at, version in enumerate(versions.split(), 1)
    )
    given = {"deployer": "ci"} | more
    return Topology(
        services=(Service(name="web", calls=("cart",)), Service(name="cart", endpoints=endpoints, **given)),
        entry="web",
    )


def failing(versions: str, *bad: str, hold: bool = True, **more: str) -> World:
    """A world in which the endpoints `bad` were found bad, and are held."""
    world = World(over=fleet(versions, **more))
    for name in bad:
        target, draft = Target("cart", name), world.draft()
        draft.record(
            on.EvidenceAdded(
                at=world.now, incident=world.incident.id, target=target, evidence="5 of 5", cause=Cause.ERRORS
            )
        )
        if hold:
            command = world.force(target, Eject())
            draft.stage(
                world.incident,
                target,
                Step(Stage.HOLD, 0, Eject(), "contained", Nanos(5 * SECOND), 0),
                CommandId(command.id),
            )
    world.wait(1)
    return world


def tended(world: World) -> list[Command]:
    draft = world.draft()
    rollback.tend(draft, world.evidence)
    return world.take(draft)


def say(world: World, command: Command, *, ok: bool, reason: str = "") -> None:
    draft = world.draft()
    rollback.ended(draft, RolledBack(at=world.now, command=command.id, ok=ok, reason=reason))
    world.take(draft)


def ends(world: World) -> list[tuple[bool, str]]:
    return [(one.ok, one.reason) for one in world.records if isinstance(one, on.RollbackEnded)]


@pytest.mark.parametrize(
    ("versions", "bad", "found"),
    [
        ("v1 v1 v1 v2", ["c4"], ("v2", ("v1",))),
        ("v1 v1 v2 v2", ["c3", "c4"], ("v2", ("v1",))),
        ("v1 v3 v2 v2", ["c3", "c4"], ("v2", ("v1", "v3"))),
        ("v1 v1 v2 v2", ["c3"], None),
        ("v1 v1 v2 v2", ["c1", "c3", "c4"], None),
        ("v1 v2", ["c2"], None),
        ("v2 v2", ["c1", "c2"], None),
    ],
    ids=[
        "canary",
        "half",
        "three-versions",
        "one-of-two-serves-well",
        "not-only-it",
        "one-of-two",
        "nothing-before-it",
    ],
)
def test_a_version_is_the_cause_when_all_of_it_fails_and_nothing_else(
    versions: str, bad: list[str], found: tuple[str, tuple[str, ...]] | None
) -> None:
    """By verdicts alone: no figures are needed, and none are made up."""
    world = failing(versions, *bad)
    service = world.topology.service("cart")
    assert service is not None
    assert candidate(world.incident, service) == found


def test_endpoints_without_a_version_are_no_version_to_go_back_to() -> None:
    """What runs there is not known: it may be the same."""
    endpoints = tuple(Endpoint(name=f"c{at}", url="http://h:1", version="v2" if at > 2 else "") for at in (1, 2, 3, 4))
    world = failing("v1 v1 v2 v2", "c3", "c4")
    assert candidate(world.incident, Service(name="cart", endpoints=endpoints)) is None


def test_traffic_goes_first_and_the_deployer_is_asked_once() -> None:
    """On record with the order: what is withdrawn, from what, by which command."""
    world = failing("v1 v1 v1 v2", "c4")
    (order,) = tended(world)
    assert (order.target, order.intent, order.kind) == (CART, RollBack("v2", "v1"), "roll_back")
    withdrawn = world.state.withdrawn["cart"]
    assert (withdrawn.version, withdrawn.command, withdrawn.others, withdrawn.ok) == ("v2", order.id, ("v1",), None)
    for _ in range(3):
        world.wait(10)
        assert tended(world) == []


def test_a_version_that_may_not_be_held_back_is_rolled_back_a_little_later() -> None:
    """A safety rule keeps its endpoints in rotation: all the more it has to go."""
    world = failing("v1 v1 v1 v2", "c4", hold=False)
    assert tended(world) == []
    world.wait(4)
    assert len(tended(world)) == 1


def test_a_kind_in_shadow_withdraws_nothing() -> None:
    """It is put on record once; nothing is withheld from a version that nobody rolls back."""
    world = failing("v1 v1 v1 v2", "c4")
    world.policy = World(enforcement={}).policy
    (would,) = tended(world)
    assert would.enforcement == "shadow"
    assert world.state.withdrawn == {}
    assert tended(world) == []


def test_without_a_deployer_people_are_told_what_to_do_once() -> None:
    """Which service, from what to what, and why."""
    world = failing("v1 v1 v1 v2", "c4", deployer="")
    for _ in range(3):
        assert tended(world) == []
        world.wait(1)
    assert world.incident.by_hand == ["roll cart back from version v2 to version v1"]
    assert len([text for text in world.told if "by hand" in text]) == 1


def test_a_failed_roll_back_calls_a_person() -> None:
    """With the deployer's own words."""
    world = failing("v1 v1 v1 v2", "c4")
    (order,) = tended(world)
    say(world, order, ok=False, reason="exit status 3")
    assert ends(world) == [(False, "exit status 3")]
    assert world.incident.escalated
    say(world, order, ok=True, reason="a second word is not believed")
    assert len(ends(world)) == 1


def test_a_roll_back_that_is_done_must_show() -> None:
    """The endpoints prove well on the share they get: only then it is proven."""
    world = failing("v1 v1 v1 v2", "c4")
    (order,) = tended(world)
    say(world, order, ok=True)
    assert tended(world) == []
    assert not world.state.withdrawn["cart"].proven
    target = Target("cart", "c4")
    step = Step(Stage.RAMP, 10, Weigh(10), "probes passed", Nanos(5 * SECOND), 0)
    world.draft().stage(world.incident, target, step, order.id)
    world.evidence.stage_began(target)
    world.calls(20, 0, "c4")
    tended(world)
    assert world.state.withdrawn["cart"].proven


def test_a_roll_back_that_is_done_and_does_not_show_calls_a_person() -> None:
    """After so long it did not help, whatever the deployer said."""
    world = failing("v1 v1 v1 v2", "c4")
    (order,) = tended(world)
    say(world, order, ok=True)
    world.wait(PROVEN_NS / SECOND)
    tended(world)
    assert ends(world)[-1] == (False, "it was done 120 s ago, and c4 do not serve well yet")
    assert world.incident.escalated


def test_a_deployer_that_never_says_anything_calls_a_person() -> None:
    """Its own time-out has passed, and more."""
    world = failing("v1 v1 v1 v2", "c4")
    tended(world)
    world.wait(WORD_NS / SECOND)
    tended(world)
    assert ends(world) == [(False, "its deployer never said how it ended")]


def test_an_order_that_was_not_taken_is_no_roll_back() -> None:
    """Nothing was started, so nothing is waited for; the version stays withdrawn."""
    world = failing("v1 v1 v1 v2", "c4")
    (order,) = tended(world)
    no = on.CommandAcknowledged(
        at=world.now, incident=world.incident.id, command=order.id, ok=False, reason="nobody is there"
    )
    world.draft().record(no)
    assert world.state.withdrawn["cart"].ok is False


def restarted(world: World, over: Topology) -> list[str]:
    """A restart with that topology; what was released, and why."""
    world.topology = over
    draft = world.draft()
    rollback.start(draft)
    world.take(draft)
    return [one.reason for one in world.records if isinstance(one, on.VersionReleased)]


def test_after_a_restart_an_unknown_end_is_a_failure_and_nothing_is_started_again() -> None:
    """Nobody can say what a killed process had begun."""
    world = failing("v1 v1 v1 v2", "c4")
    tended(world)
    assert restarted(world, fleet("v1 v1 v1 v2")) == []
    assert [ok for ok, _ in ends(world)] == [False]
    assert world.incident.escalated
    world.wait(10)
    assert tended(world) == []
    assert "cart" in world.state.withdrawn


def test_another_version_releases_what_was_withdrawn_and_the_one_before_does_not() -> None:
    """Gone is not released: when v2 comes back tomorrow, it is still the one that was rolled back."""
    world = failing("v1 v1 v1 v2", "c4")
    tended(world)
    assert restarted(world, fleet("v1 v1 v1 v1")) == []
    assert world.state.withdrawn["cart"].proven
    assert restarted(world, fleet("v1 v1 v1 v3")) == ["version v3 has come"]
    assert world.state.withdrawn == {}


def test_what_was_withdrawn_gets_no_more_than_the_first_share_until_it_is_released() -> None:
    """The ramp's first share is its floor; a person's release opens the rest."""
    world = failing("v1 v1 v1 v2", "c4")
    tended(world)
    target = Target("cart", "c4")
    held = world.incident.containments[str(target)]
    first = Step(Stage.RAMP, 10, Weigh(10), "probes passed", held.penalty_ns, 0)
    assert side.careful(world.draft(), world.evidence, held, first) == first
    world.draft().stage(world.incident, target, first, None)
    held = world.incident.containments[str(target)]
    more = Step(Stage.RAMP, 25, Weigh(25), "clean", held.penalty_ns, 0)
    full = Step(Stage.FULL, 100, Restore(), "clean", held.penalty_ns, 0)
    for step in (more, full):
        assert side.careful(world.draft(), world.evidence, held, step) is None
    other = world.draft()
    other.record(on.OrderTaken(at=world.now, order="release", by="alice", reason="", target=CART))
    assert side.careful(world.draft(), world.evidence, held, more) == more


def test_a_gate_halts_while_an_incident_is_open_and_asks_for_the_roll_back_of_what_is_withdrawn() -> None:
    """Another version may go on as soon as nothing is open; one that is not named waits for a release."""
    world = failing("v1 v1 v1 v2", "c4")
    asked = verdict(world.state, world.policy, "cart")
    assert (asked.go, asked.roll_back) == (False, False)
    assert asked.reasons == ("i1 is open: cart errors",)
    (order,) = tended(world)
    assert verdict(world.state, world.policy, "cart").roll_back
    assert not verdict(world.state, world.policy, "cart", "v3").roll_back
    say(world, order, ok=True)
    restarted(world, fleet("v1 v1 v1 v1"))
    world.draft().record(on.IncidentClosed(at=world.now, incident=world.incident.id, reason="over"))
    assert verdict(world.state, world.policy, "cart", "v3") == Verdict(True, False, ())
    assert verdict(world.state, world.policy, "cart", "v2").roll_back
    unnamed = verdict(world.state, world.policy, "cart")
    assert (unnamed.go, unnamed.roll_back) == (False, False)
    assert verdict(world.state, world.policy, "web") == Verdict(True, False, ())


def test_a_gate_in_shadow_lets_everything_pass_and_says_what_it_would_have_said() -> None:
    """As every act of this kind: by default it only reports."""
    world = failing("v1 v1 v1 v2", "c4")
    world.policy = World(enforcement={}).policy
    assert verdict(world.state, world.policy, "cart") == Verdict(
        True, False, ("it would halt: i1 is open: cart errors",)
    )


def test_endpoints_that_were_never_held_back_prove_well_by_a_quiet_while() -> None:
    """A verdict after the roll-back speaks against it; none for so long speaks for it."""
    world = failing("v1 v1 v1 v2", "c4", hold=False)
    world.wait(4)
    (order,) = tended(world)
    say(world, order, ok=True)
    tended(world)
    assert not world.state.withdrawn["cart"].proven
    world.wait(5)
    world.evidence.tripped(Target("cart", "c4"), world.now)
    world.wait(6)
    tended(world)
    assert not world.state.withdrawn["cart"].proven
    world.wait(5)
    tended(world)
    assert world.state.withdrawn["cart"].proven

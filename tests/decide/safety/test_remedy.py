"""A remedy that did not help is escalated, not repeated."""

import msgspec

from controlplane.decide import standing
from controlplane.decide.kind import kind_of
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject, Intent, Isolate, Probe, Restore, RollBack, Weigh
from controlplane.model.record import CommandAcknowledged
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, CommandId, IncidentId, Nanos
from tests.decide.safety.mesh import LOOSE, NOW, command, plain, refused

KNOWN = Topology(services=(plain("s", 4),))
ONE = Target("s", "e0")
TWICE = msgspec.structs.replace(LOOSE, remedy_attempts_max=2, remedy_window_s=600)


def history(*intents: Intent, every_s: int = 10, target: Target = ONE) -> State:
    """Orders about one target, one every so many seconds, the last just now."""
    state = State()
    for back, intent in zip(range(len(intents) - 1, -1, -1), intents, strict=True):
        name = CommandId(f"c{len(intents) - back}")
        order: Command = msgspec.structs.replace(command(target, intent, KNOWN), id=name)
        standing.issued(state.standing, order, kind_of(intent), Nanos(NOW - back * every_s * SECOND))
    return state


def test_what_did_not_last_twice_is_not_tried_a_third_time() -> None:
    """Each time traffic was given back and the same was wanted again."""
    once = history(Eject(), Probe(), Weigh(10))
    assert refused(ONE, Eject(), KNOWN, TWICE, state=once)[0] == ""
    twice = history(Eject(), Probe(), Weigh(10), Eject(), Probe(), Weigh(10))
    assert refused(ONE, Eject(), KNOWN, TWICE, state=twice) == (
        "loop_guard",
        "to eject s/e0 did not last 2 times within 600 s: a person decides",
    )


def test_a_failed_probe_says_nothing_against_the_remedy() -> None:
    """Nothing was given back: it holds, and goes on holding."""
    state = history(*[Eject(), Probe()] * 8)
    assert refused(ONE, Eject(), KNOWN, TWICE, state=state)[0] == ""


def test_it_is_counted_within_a_window_and_over_incidents() -> None:
    """What failed ten minutes ago is another matter; which incident ordered it is not looked at."""
    orders = [Eject(), Restore()] * 2
    assert refused(ONE, Eject(), KNOWN, TWICE, state=history(*orders, every_s=299))[0] == "loop_guard"
    assert refused(ONE, Eject(), KNOWN, TWICE, state=history(*orders, every_s=600))[0] == ""


def test_another_act_and_another_target_are_another_remedy() -> None:
    """Only the same thing again is refused."""
    state = history(*[Eject(), Restore()] * 2)
    assert refused(ONE, Weigh(10), KNOWN, TWICE, state=state, kind="reroute")[0] == ""
    assert refused(Target("s", "e1"), Eject(), KNOWN, TWICE, state=state)[0] == ""
    assert refused(ONE, Restore(), KNOWN, TWICE, state=state)[0] == ""


def test_a_side_order_that_is_taken_back_ends_no_other() -> None:
    """`Restore(what=...)` is about that part alone."""
    state = history(Isolate(), Restore(what="shed"), Isolate(), Restore(what="shed"), target=Target("s"))
    assert refused(Target("s"), Isolate(), KNOWN, TWICE, state=state)[0] == ""


def test_a_roll_back_is_not_repeated_by_itself() -> None:
    """The same version at the same service once within the window; another version is another matter."""
    state = history(RollBack("v2"), target=Target("s"))
    said = "s was rolled back from v2 already; a person decides what comes after that"
    assert refused(Target("s"), RollBack("v2"), KNOWN, TWICE, state=state) == ("loop_guard", said)
    assert refused(Target("s"), RollBack("v3"), KNOWN, TWICE, state=state)[0] == ""
    later = Nanos(NOW + 600 * SECOND)
    assert refused(Target("s"), RollBack("v2"), KNOWN, TWICE, state=state, now=later)[0] == ""


def test_a_roll_back_that_nobody_took_was_not_tried() -> None:
    """The order never reached a deployer: it may be given again."""
    state = history(RollBack("v2"), target=Target("s"))
    lost = CommandAcknowledged(at=NOW, incident=IncidentId("i1"), command=CommandId("c1"), ok=False, reason="down")
    standing.note(state.standing, lost)
    assert refused(Target("s"), RollBack("v2"), KNOWN, TWICE, state=state)[0] == ""


def test_what_is_remembered_is_bounded() -> None:
    """Targets and failures: the newest are kept."""
    state = State()
    for number in range(standing.TARGETS_MAX + 100):
        order = command(Target("s", f"x{number}"), Eject(), KNOWN)
        standing.issued(state.standing, order, "eject", NOW)
    assert len(state.standing.remedies) == standing.TARGETS_MAX
    assert "s/x99" not in state.standing.remedies
    assert len(state.standing.acts["s"]) == standing.ISSUED_MAX
    many = history(*[Eject(), Restore()] * 100, every_s=1)
    assert len(many.standing.remedies["s/e0"]["eject"].failed_at) == standing.FAILED_MAX

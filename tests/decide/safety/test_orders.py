"""From a judged act to an order: how far it is enforced, what it sets aside, and what in shadow is left of it."""

import msgspec
import pytest

from controlplane.decide.draft import Draft
from controlplane.decide.safety import charge, shadowed
from controlplane.decide.state import State, fold
from controlplane.model.command import (
    CapRetries,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    Probe,
    Restore,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.incident import Incident
from controlplane.model.policy import ActKind, ResponsePolicy
from controlplane.model.record import CommandIssued, Escalated, IncidentClosed, IncidentOpened, OrderTaken
from controlplane.model.signal import Cause, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, IncidentId, Nanos
from tests.decide.safety.mesh import LOOSE, NOW, command, plain, service

KNOWN = Topology(services=(service("s", {}, {}, {}, {}, *({"priority": 1} for _ in range(4))), plain("t", 2)))
ONE, ALL = Target("s", "e0"), Target("s")
EACH: list[tuple[Target, Intent, ActKind]] = [
    (ONE, Eject(), "eject"),
    (ALL, Isolate(), "isolate"),
    (ALL, Limit(1), "limit"),
    (ONE, Weigh(50), "reroute"),
    (ALL, FailOver(50), "fail_over"),
    (ALL, CapRetries(), "cap_retries"),
    (ALL, Shed("critical"), "shed"),
    (ALL, Tighten(100), "tighten"),
    (ALL, RollBack("v2"), "roll_back"),
]


def drafting(
    policy: ResponsePolicy = LOOSE, *, shadow: bool = False, state: State | None = None
) -> tuple[Draft, Incident]:
    """A draft, and an open incident in its state."""
    draft = Draft(state or State(), KNOWN, policy, NOW)
    name = IncidentId("i1")
    draft.record(
        IncidentOpened(
            at=NOW, incident=name, origin=ONE, cause=Cause.ERRORS, signal_at=NOW, shadow=shadow, evidence="5 of 5"
        )
    )
    return draft, draft.state.incidents[name]


def enforced(**shares: int) -> ResponsePolicy:
    return msgspec.structs.replace(LOOSE, enforcement=shares)


@pytest.mark.parametrize(("target", "intent", "kind"), EACH, ids=lambda value: value if isinstance(value, str) else "")
def test_a_kind_in_shadow_is_reported_once_and_not_ordered(target: Target, intent: Intent, kind: ActKind) -> None:
    """On record as what would have been ordered, told, in force nowhere; the second time it is no news."""
    draft, incident = drafting(enforced(**{kind: 0}))
    name = draft.order(incident, target, intent, "why", signal_at=NOW, kind=kind)
    assert draft.order(incident, target, intent, "why", signal_at=NOW, kind=kind) is None
    outcome = draft.outcome(None)
    assert not outcome.commands
    issued = [record.command for record in outcome.records if isinstance(record, CommandIssued)]
    assert [(one.id, one.enforcement, one.kind) for one in issued] == [(name, "shadow", kind)]
    assert [notice.severity for notice in outcome.notices] == ["info"]
    assert "would order, in shadow" in outcome.notices[0].text
    assert not draft.state.in_force
    assert not draft.state.issued_at
    assert incident.timeline[-1].what.startswith("would order: ")


@pytest.mark.parametrize(("target", "intent", "kind"), EACH, ids=lambda value: value if isinstance(value, str) else "")
def test_a_kind_is_enforced_as_far_as_the_policy_says(target: Target, intent: Intent, kind: ActKind) -> None:
    """All calls or a part; a part is charged as a part."""
    for share, enforcement in ((100, "full"), (40, "percent")):
        draft, incident = drafting(enforced(**{kind: share}))
        draft.order(incident, target, intent, "why", signal_at=NOW, kind=kind)
        (order,) = draft.outcome(None).commands
        assert (order.enforcement, order.percent, order.kind) == (enforcement, share, kind)
        whole = charge(intent, KNOWN, target=target, kind=kind)
        assert order.charge == pytest.approx(whole * share / 100)


def test_new_kinds_of_acts_start_in_shadow() -> None:
    """What acts by figures, and beyond one edge, only reports until a person lets it; first acts are enforced."""
    began = {}
    for target, intent, kind in EACH:
        draft, incident = drafting(LOOSE)
        draft.order(incident, target, intent, "why", signal_at=NOW, kind=kind)
        began[kind] = bool(draft.outcome(None).commands)
    acting = {"eject", "isolate", "limit", "cap_retries"}
    assert {kind for kind, acts in began.items() if acts} == acting


@pytest.mark.parametrize("intent", [Probe(), Weigh(10), Restore()])
def test_giving_back_is_never_in_shadow(intent: Intent) -> None:
    """Even where every kind of act is."""
    draft, incident = drafting(enforced(**{kind: 0 for _, _, kind in EACH}))
    draft.order(incident, ONE, intent, "why", signal_at=NOW)
    assert [order.enforcement for order in draft.outcome(None).commands] == ["full"]


def test_no_step_of_giving_back_takes_more_than_the_containment_did() -> None:
    """Where ejecting takes a quarter away, who is probed or ramps keeps three quarters."""
    draft, incident = drafting(enforced(eject=25))
    for intent in (Probe(), Weigh(10), Weigh(90), Restore()):
        draft.order(incident, ONE, intent, "why", signal_at=NOW)
    assert [order.intent for order in draft.outcome(None).commands] == [Weigh(75), Weigh(75), Weigh(90), Restore()]


@pytest.mark.parametrize(
    ("intent", "undo"),
    [
        (Isolate(), Restore()),
        (FailOver(50), Restore(what="fail_over")),
        (CapRetries(), Restore(what="cap_retries")),
        (Shed("critical"), Restore(what="shed")),
        (Tighten(100), Restore(what="tighten")),
    ],
)
def test_the_undo_of_an_order_takes_back_that_order(intent: Intent, undo: Intent) -> None:
    """And nothing else that is in force about the service."""
    draft, incident = drafting(enforced(fail_over=100, shed=100, tighten=100))
    draft.order(incident, ALL, intent, "why", signal_at=NOW)
    assert [order.undo for order in draft.outcome(None).commands] == [undo]


def test_an_order_names_the_rules_that_were_set_aside_for_it() -> None:
    """On the order itself, and told to everybody as critical."""
    state = State(frozen=True)
    until = Nanos(NOW + 60 * SECOND)
    fold(state, OrderTaken(at=NOW, order="override", by="ana", reason="now", target=ALL, rule="freeze", until=until))
    draft, incident = drafting(state=state)
    draft.order(incident, ONE, Eject(), "why", signal_at=NOW)
    outcome = draft.outcome(None)
    assert [order.overrides for order in outcome.commands] == ["freeze"]
    assert [(notice.severity, notice.text) for notice in outcome.notices] == [
        ("critical", "eject s/e0 [c1] goes against freeze, set aside by a person")
    ]


def test_under_a_freeze_giving_back_makes_no_lease_longer() -> None:
    """What is loosened ends when what it loosens would have ended."""
    held = command(ONE, Eject(), KNOWN)
    draft, incident = drafting(state=State(frozen=True, in_force={str(ONE): held}))
    draft.order(incident, ONE, Probe(), "why", signal_at=NOW)
    assert [order.lease_until for order in draft.outcome(None).commands] == [held.lease_until]


def test_a_remedy_that_is_not_repeated_calls_a_person_once() -> None:
    """The refusal is on record, and so is the escalation."""
    policy = msgspec.structs.replace(LOOSE, remedy_attempts_max=1)
    draft, incident = drafting(policy)
    for intent in (Eject(), Restore(), Eject(), Eject()):
        draft.order(incident, ONE, intent, "why", signal_at=NOW)
    outcome = draft.outcome(None)
    assert [type(order.intent) for order in outcome.commands] == [Eject, Restore]
    assert len([record for record in outcome.records if isinstance(record, Escalated)]) == 1
    assert [notice.severity for notice in outcome.notices] == ["critical"]


def test_the_shadow_report_says_how_often_where_and_how_it_ended() -> None:
    """By kind: targets, harm that was predicted to be avoided where it is known, incidents, and how each went on."""
    draft, incident = drafting(enforced(eject=0, shed=0))
    draft.order(incident, ONE, Eject(), "why", signal_at=NOW, avoids=2.5)
    draft.order(incident, Target("s", "e1"), Eject(), "why", signal_at=NOW)
    draft.order(incident, ALL, Isolate(), "why", signal_at=NOW)
    report = {one.kind: one for one in shadowed(draft.state, draft.policy)}
    assert set(report) == {"eject", "reroute", "fail_over", "shed", "tighten", "roll_back", "close", "harden"}
    eject = report["eject"]
    assert (eject.percent, eject.orders, eject.targets) == (0, 2, ("s/e0", "s/e1"))
    assert (eject.avoids, eject.avoids_known, eject.incidents_open, eject.incidents_closed) == (2.5, 1, 1, 0)
    assert [would.ended for would in eject.latest] == [f"it goes on ({incident.phase})"] * 2
    assert (report["shed"].orders, report["shed"].latest) == (0, ())
    incident.user_failed = 7
    draft.record(IncidentClosed(at=Nanos(NOW + 8 * SECOND), incident=incident.id, reason="it is over"))
    (would, _) = next(one for one in shadowed(draft.state, draft.policy) if one.kind == "eject").latest
    assert (would.order, would.at, would.failed) == ("eject s/e0 [c1]", NOW, 7)
    assert would.ended == "after 8 s: closed: it is over"


def test_in_observe_mode_every_kind_is_in_shadow() -> None:
    """What was found there is reported alike."""
    draft, incident = drafting(shadow=True, state=State(mode="observe"))
    draft.order(incident, ONE, Eject(), "why", signal_at=NOW)
    report = {one.kind: one for one in shadowed(draft.state, draft.policy)}
    assert set(report) == {kind for _, _, kind in EACH} | {"close", "harden"}  # those two have tests of their own
    assert (report["eject"].percent, report["eject"].orders) == (0, 1)

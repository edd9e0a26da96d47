"""A playbook in an incident: how far it is enforced, what it never does, who hears of it."""

import pytest

from controlplane.decide.draft import Draft
from controlplane.decide.engine import Engine
from controlplane.decide.playbook.follow import share
from controlplane.decide.review.explain import explain
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Match, Playbook, Precondition, Step
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Acted, Alerted, Cause, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

NOW = Nanos(1_000 * SECOND)
ORDERS = Service(
    name="orders",
    owner="orders-team",
    endpoints=tuple(
        Endpoint(name=f"orders-{n}", url=f"http://127.0.0.1:{n}", zone="aabb"[n - 1], priority=int(n == 4))
        for n in (1, 2, 3, 4)
    ),
)
TOPOLOGY = Topology(services=(Service(name="web", calls=("orders",)), ORDERS), entry="web")
TRIP = Tripped(at=NOW, target=Target("orders", "orders-1"), cause=Cause.ERRORS, calls=5, failures=5, contained=True)


def book(*steps: Step, **more: object) -> Playbook:
    match = more.pop("match", Match(service="orders"))
    return Playbook(name="book", match=match, steps=steps, **more)  # type: ignore[arg-type]


def after_trip(playbook: Playbook, policy: ResponsePolicy | None = None) -> tuple[Engine, Outcome]:
    engine = Engine(TOPOLOGY, policy or ResponsePolicy(blast_budget_percent=100), playbooks=[playbook])
    engine.start(Nanos(NOW - SECOND), boot="b", wall_ns=NOW)
    outcome = engine.step(TRIP, NOW)
    for command in outcome.commands:
        engine.step(Acted(at=NOW, command=command.id, ok=True), NOW)
    return engine, outcome


def of(outcome: Outcome) -> list[Command]:
    return [command for command in outcome.commands if command.playbook]


@pytest.mark.parametrize(
    ("enforce", "policy", "percent"),
    [
        (False, {}, 0),
        (False, {"fail_over": 100}, 0),
        (True, {}, 100),
        (True, {"fail_over": 0}, 0),
        (True, {"fail_over": 25}, 25),
        ("response", {}, 0),
        ("response", {"fail_over": 100}, 100),
        ("response", {"fail_over": 40}, 40),
    ],
)
def test_how_far_it_is_enforced_is_its_word_and_never_more_than_the_explicit_one(
    enforce: bool | str, policy: dict[str, int], percent: int
) -> None:
    """In shadow by default; in force though its kind is in shadow by default; an explicit share has the last word."""
    one = book(Step(do="fail_over", percent=30), enforce=enforce)
    assert share(one, "fail_over", ResponsePolicy(enforcement=policy)) == percent  # type: ignore[arg-type]
    rules = ResponsePolicy(enforcement=policy, blast_budget_percent=100)  # type: ignore[arg-type]
    engine, outcome = after_trip(one, rules)
    assert [command.percent for command in of(outcome)] == ([percent] if percent else [])
    assert ("orders fail_over" in engine.state.sides) is bool(percent)


def test_an_order_of_a_playbook_is_told_in_the_explanation() -> None:
    """By which playbook, whose it is, and which step."""
    engine, outcome = after_trip(book(Step(do="fail_over", percent=30), enforce=True))
    assert [(one.playbook, one.evidence) for one in of(outcome)] == [("book", "playbook book step 1")]
    said = "\n".join(explain(next(iter(engine.state.incidents.values()))))
    assert "Playbook book (owner: orders-team): step 1 was ordered." in said
    assert "(by playbook book)" in said


def test_a_playbook_finds_no_endpoint_bad() -> None:
    """That it names an endpoint is no verdict: the floor of a zone must not fall because somebody wrote so."""
    draft = Draft(State(), TOPOLOGY, ResponsePolicy(), NOW)
    engine, _ = after_trip(book(Step(do="tell", text="x")))
    incident = next(iter(engine.state.incidents.values()))
    with draft.by("book", lambda *_: 0):
        draft.order(incident, Target("orders", "orders-3"), Eject(), "named", signal_at=NOW)
    assert draft.seen.bad("orders", NOW) == set()
    draft.order(incident, Target("orders", "orders-2"), Eject(), "found", signal_at=NOW)
    assert draft.seen.bad("orders", NOW) == {"orders-2"}


def test_on_the_word_of_an_alert_it_only_speaks() -> None:
    """A playbook for alerts tells people, and what it would order is refused by the rule for alerts."""
    one = book(
        Step(do="shed", percent=50),
        Step(do="tell", text="an alert"),
        match=Match(service="orders", cause=(Cause.ALERT,)),
        enforce=True,
    )
    engine = Engine(TOPOLOGY, ResponsePolicy(), playbooks=[one])
    engine.start(Nanos(NOW - SECOND), boot="b", wall_ns=NOW)
    told = Alerted(at=NOW, target=Target("orders"), fingerprint="f", name="Burns", firing=True)
    outcomes, now = [engine.step(told, NOW)], NOW
    for _ in range(200):
        now = Nanos(now + SECOND)
        outcomes.append(engine.tick(now))
    assert [command for outcome in outcomes for command in outcome.commands] == []
    incident = next(iter(engine.state.incidents.values()))
    assert incident.playbooks[0].steps in ({}, {1: "refused", 2: "told"})


def test_a_playbook_that_does_not_fit_the_topology_is_never_used() -> None:
    """It says so from the first moment on, and nobody is stopped from starting."""
    one = book(Step(do="isolate", service="gone"), Step(do="fail_over", percent=50), enforce=True)
    engine = Engine(TOPOLOGY, ResponsePolicy(), playbooks=[one])
    outcome = engine.start(Nanos(NOW - SECOND), boot="b", wall_ns=NOW)
    assert "book" in engine.state.unreliable
    assert any("book" in notice.text and "'gone'" in notice.text for notice in outcome.notices)
    outcome = engine.step(TRIP, NOW)
    assert of(outcome) == []
    assert next(iter(engine.state.incidents.values())).playbooks[0].unmet


def test_a_capacity_that_nobody_declared_does_not_hold() -> None:
    """What is not known is no ground to move traffic; the reason names it, and the playbook is not used."""
    one = book(Step(do="tell", text="x"), preconditions=(Precondition(need="capacity", per_s=5),))
    engine, _ = after_trip(one)
    used = next(iter(engine.state.incidents.values())).playbooks[0]
    assert "capacity_per_s" in used.unmet[0]
    assert used.steps == {}

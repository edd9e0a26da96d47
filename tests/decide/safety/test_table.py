"""The one table of rules: names, order, sentences, limits, and what an incident says of a refusal."""

import inspect
import re

import pytest

from controlplane.decide import watch
from controlplane.decide.engine import Engine
from controlplane.decide.plan import first_act
from controlplane.decide.review.explain import explain
from controlplane.decide.safety import BY_NAME, NEVER, RULES, explained
from controlplane.decide.state import State, fold
from controlplane.model.command import Eject
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import CommandRefused
from controlplane.model.signal import Acted, Cause, Target, Tripped
from controlplane.model.topology import Topology
from controlplane.model.unit import IncidentId
from tests.decide.safety.mesh import NOW, plain

NAMES = [
    "freeze", "human_hold", "invalid_data", "trust_boundary", "fail_closed", "healthy_floor", "ejection_cap",
    "velocity_limit", "blast_budget",
    "destination_capacity", "correlated_cause", "loop_guard", "epoch_fence", "lease_expiry", "silence",
    "alert",
]  # fmt: skip


def test_the_rules_are_those_in_their_order() -> None:
    """A person's word first; what engines cannot keep last. Every name once."""
    assert [rule.name for rule in RULES] == NAMES
    assert list(BY_NAME) == NAMES


def test_who_keeps_a_rule_is_said() -> None:
    """A rule without a check of its own is kept by somebody who is named."""
    assert {rule.name for rule in RULES if rule.check is None} == {"epoch_fence", "lease_expiry", "silence", "alert"}
    assert all((rule.kept_by == "engine") == (rule.check is not None) for rule in RULES)
    assert {name for name, why in NEVER.items() if why} == {
        "invalid_data",
        "trust_boundary",
        "epoch_fence",
        "lease_expiry",
        "silence",
        "alert",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_limits_are_those_of_the_policy(rule: object) -> None:
    """Every field of the policy that a rule's limits name has the value that they tell."""
    policy = ResponsePolicy(healthy_floor_percent=41, blast_budget_percent=43, lease_s=47, remedy_window_s=53)
    told = rule.limits(policy)
    for name, value in re.findall(r"(\w+_\w+) ([\d.]+)", told):
        assert float(value) == getattr(policy, name)


def test_other_rooms_refuse_by_names_of_the_table() -> None:
    """The first act and the watch have vetoes of their own, under the table's names."""
    source = inspect.getsource(first_act) + inspect.getsource(watch)
    named = set(re.findall(r'(?:veto="|intent, ")([a-z_]+)"', source))
    assert named == {"correlated_cause", "invalid_data", "silence"}
    assert named <= set(NAMES)


def test_refusals_are_counted_by_rule() -> None:
    """From records, so that a restart knows them."""
    state = State()
    for rule in ("freeze", "freeze", "silence"):
        fold(
            state,
            CommandRefused(
                at=NOW, incident=IncidentId("i1"), target=Target("s"), intent=Eject(), rule=rule, reason="because"
            ),
        )
    assert state.standing.refused == {"freeze": 2, "silence": 1}


def test_an_incident_says_which_rule_refused_and_what_the_rule_is_for() -> None:
    """One line for each rule: how often, the numbers that decided last, then the rule's own sentence."""
    floor = [f"healthy_floor: {left} of 5 would be left" for left in (2, 1)]
    lines = explained(["freeze: a person froze automation: deploy", *floor])
    seen = (
        ("freeze", "Refused by freeze: a person froze automation: deploy."),
        ("healthy_floor", "Refused by healthy_floor, 2 times, the last: 1 of 5 would be left."),
    )
    assert lines == [f"{said} The rule forbids {BY_NAME[name].forbids}." for name, said in seen]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("epoch_fence", "epoch 1 is older than 2, which is in force"),
        ("lease_expiry", "the lease of c1 expired 5 ns ago"),
        ("healthy_floor", "s/e0 is the last usable endpoint here and stays"),
    ],
)
def test_what_a_data_plane_refuses_is_on_record_under_its_rule(rule: str, reason: str) -> None:
    """The engine learns of it by the answer; `explain` and the counts show it like a refusal of its own."""
    engine = Engine(Topology(services=(plain("s", 3),)), ResponsePolicy())
    engine.start(NOW, boot="b", wall_ns=0)
    outcome = engine.step(Tripped(at=NOW, target=Target("s", "e0"), cause=Cause.ERRORS, calls=5, failures=5), NOW)
    assert [command.id for command in outcome.commands] == ["c1"]
    engine.step(Acted(at=NOW, command=outcome.commands[0].id, ok=False, reason=reason, rule=rule), NOW)
    assert engine.state.standing.refused == {rule: 1}
    incident = next(iter(engine.state.incidents.values()))
    assert incident.refused == [f"{rule}: {reason}"]
    assert any(line.startswith(f"Refused by {rule}: {reason}. The rule forbids") for line in explain(incident))


def test_giving_back_is_never_asked_more_than_a_person_and_the_data() -> None:
    """With every limit at its tightest and everything out, a share may still grow."""
    known = Topology(services=(plain("s", 2),))
    engine = Engine(
        known,
        ResponsePolicy(
            healthy_floor_percent=100,
            ejected_percent_max=1,
            stretch_percent_max=100,
            blast_budget_percent=1,
            commands_per_minute_max=1,
            service_commands_per_minute_max=1,
            remedy_attempts_max=1,
        ),
    )
    engine.start(NOW, boot="b", wall_ns=0)
    outcome = engine.step(Tripped(at=NOW, target=Target("s", "e0"), cause=Cause.ERRORS, calls=5, failures=5), NOW)
    assert not outcome.commands
    assert engine.state.standing.refused == {"healthy_floor": 1}

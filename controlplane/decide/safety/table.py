"""The rules that stand before every act, in their order: the one table from which code, page, API and command line say
the same.

A rule only ever forbids. The first that does speaks, with the numbers that decided; a person may set one aside
(break-glass) where the table does not say why that must never be.
"""

from collections.abc import Callable

import msgspec

from controlplane.decide.kind import DOORS, kind_of, lessens
from controlplane.decide.safety.ask import Ask, No
from controlplane.decide.safety.boundary import trust_boundary
from controlplane.decide.safety.door import fail_closed
from controlplane.decide.safety.pace import blast_budget, velocity_limit
from controlplane.decide.safety.people import freeze, human_hold, set_aside
from controlplane.decide.safety.pool import ejection_cap, healthy_floor
from controlplane.decide.safety.remedy import loop_guard
from controlplane.decide.safety.room import destination_capacity
from controlplane.decide.safety.seen import Seen
from controlplane.decide.safety.together import SERVICES_MIN, SHARE_MIN, correlated_cause
from controlplane.decide.safety.valid import AGE_NS_MAX, invalid_data
from controlplane.decide.state import State
from controlplane.model.command import Intent
from controlplane.model.policy import ActKind, ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos

Refused = tuple[str, str]
"""(rule, reason)"""

Check = Callable[[Ask], No | None]
Limits = Callable[[ResponsePolicy], str]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `check` None: `kept_by` somebody else, and what comes back is recorded under the rule's name.

    `limits` says the present bounds in words. `never` says why no person may set the rule aside; empty: they may.
    """

    name: str
    forbids: str
    limits: Limits
    check: Check | None = None
    kept_by: str = "engine"
    never: str = ""


def _none(_: ResponsePolicy) -> str:
    return ""


RULES: tuple[Rule, ...] = (
    Rule(
        name="freeze",
        forbids="any new act while a person has frozen automation; what is in force may be given back step by step",
        limits=_none,
        check=freeze,
    ),
    Rule(
        name="human_hold",
        forbids="any change, giving back included, of what a person holds",
        limits=_none,
        check=human_hold,
    ),
    Rule(
        name="invalid_data",
        forbids="to act on what cannot be: unknown targets, impossible figures, times that are not now",
        limits=lambda _: f"evidence is at most {AGE_NS_MAX // SECOND} s old",
        check=invalid_data,
        never="what is not there cannot be acted on, and a figure that cannot be says nothing",
    ),
    Rule(
        name="trust_boundary",
        forbids="to move traffic to another zone of trust, or to weaker validation",
        limits=_none,
        check=trust_boundary,
        never="who may get which traffic is declared, by review, and not decided in an incident",
    ),
    Rule(
        name="fail_closed",
        forbids="to open a service while a guard of it is degraded",
        limits=lambda policy: f"enforcement close {policy.share('close')}, harden {policy.share('harden')}",
        check=fail_closed,
    ),
    Rule(
        name="healthy_floor",
        forbids="to leave a service, a zone or a priority fewer endpoints than its floor, or a service none at all",
        limits=lambda policy: f"healthy_floor_percent {policy.healthy_floor_percent}; the last one always stays",
        check=healthy_floor,
    ),
    Rule(
        name="ejection_cap",
        forbids="to keep more of a service, zone or priority from traffic than its cap, by weight, reflexes counted",
        limits=lambda policy: f"ejected_percent_max {policy.ejected_percent_max}; one endpoint is always allowed",
        check=ejection_cap,
    ),
    Rule(
        name="velocity_limit",
        forbids="more acts in a minute than people can follow, of all and about one service",
        limits=lambda policy: (
            f"commands_per_minute_max {policy.commands_per_minute_max}, "
            f"service_commands_per_minute_max {policy.service_commands_per_minute_max}"
        ),
        check=velocity_limit,
    ),
    Rule(
        name="blast_budget",
        forbids="to hold more than a part of everything at a time",
        limits=lambda policy: (
            f"blast_budget_percent {policy.blast_budget_percent}; one whole service is always allowed"
        ),
        check=blast_budget,
    ),
    Rule(
        name="destination_capacity",
        forbids="to move traffic to those who cannot bear it",
        limits=lambda policy: f"90 % of a declared capacity; else stretch_percent_max {policy.stretch_percent_max}",
        check=destination_capacity,
    ),
    Rule(
        name="correlated_cause",
        forbids="to act on endpoints when they fail together: what they share is the cause, not they",
        limits=lambda _: f"{SERVICES_MIN} services within 10 s, if they are {SHARE_MIN:.0%} of those that share it",
        check=correlated_cause,
    ),
    Rule(
        name="loop_guard",
        forbids="to repeat a remedy that did not last, or a roll-back at all: a person is called instead",
        limits=lambda policy: f"remedy_attempts_max {policy.remedy_attempts_max} within {policy.remedy_window_s:g} s",
        check=loop_guard,
    ),
    Rule(
        name="epoch_fence",
        forbids="an order of an engine that a newer one has replaced",
        limits=lambda _: "the newest epoch that a data plane has obeyed",
        kept_by="data planes",
        never="two engines would steer one data plane, and the older knows less",
    ),
    Rule(
        name="lease_expiry",
        forbids="to carry out an order, or to keep to it, after its lease",
        limits=lambda policy: f"lease_s {policy.lease_s:g}",
        kept_by="data planes",
        never="an order that nobody renews has nobody who answers for it",
    ),
    Rule(
        name="silence",
        forbids="to move traffic because a heartbeat is missing and nothing else",
        limits=lambda _: "any other evidence ends it",
        kept_by="watch",
        never="an absence is no evidence: with the rule aside there is still nothing to act on",
    ),
    Rule(
        name="alert",
        forbids="to move traffic because somebody else raised an alert and nothing else",
        limits=lambda _: "evidence of our own ends it",
        kept_by="alert",
        never="labels are no evidence: with the rule aside there is still nothing to act on",
    ),
)

OF_DOORS = ("freeze", "human_hold", "invalid_data")
"""What stands before closing a door. Its pace and its share of everything are what people have declared: a budget that
is used up would leave the rest open."""

BY_NAME = {rule.name: rule for rule in RULES}
NEVER = {rule.name: rule.never for rule in RULES}


class Verdict(msgspec.Struct, frozen=True):
    """The rule that forbids an act, and why; None: no rule does, but for those `overrides` that people set aside."""

    refused: Refused | None = None
    overrides: tuple[str, ...] = ()


def judge(ask: Ask) -> Verdict:
    """Every rule in its order, until one forbids that nobody has set aside."""
    aside = set_aside(ask.state.standing, ask.target, ask.now)
    overrides = []
    for rule in RULES:
        if ask.kind in DOORS and rule.name not in OF_DOORS:
            continue
        no = rule.check(ask) if rule.check is not None else None
        if no is None:
            continue
        if no.always or rule.never or rule.name not in aside:
            return Verdict((rule.name, no.reason))
        overrides.append(rule.name)
    return Verdict(None, tuple(overrides))


def question(
    target: Target,
    intent: Intent,
    *,
    state: State,
    topology: Topology,
    policy: ResponsePolicy,
    now: Nanos,
    kind: ActKind | None = None,
    seen: Seen | None = None,
) -> Ask:
    """The act in question, with what the rules look at. `kind`: where the intent alone does not say it."""
    act = kind or kind_of(intent)
    share = policy.share(act) if act is not None else 100
    if lessens(intent, getattr(state, "sides", {}).get(f"{target} {act}")):
        act = None
    return Ask(
        target=target,
        intent=intent,
        kind=act,
        percent=share or 100,  # in shadow: as if it were enforced
        state=state,
        topology=topology,
        policy=policy,
        now=now,
        seen=seen if seen is not None else Seen(topology),
        service=topology.service(target.service),
    )


def forbidden(
    target: Target,
    intent: Intent,
    *,
    state: State,
    topology: Topology,
    policy: ResponsePolicy,
    now: Nanos,
    kind: ActKind | None = None,
    seen: Seen | None = None,
) -> Refused | None:
    """The first rule that forbids `intent`, with the numbers that decided; None when all agree or are set aside."""
    return judge(
        question(target, intent, state=state, topology=topology, policy=policy, now=now, kind=kind, seen=seen)
    ).refused


def explained(refused: list[str]) -> list[str]:
    """A line for each rule among the refusals of an incident (`rule: reason`): how often it refused, the last reason,
    and what the rule is there to forbid."""
    reasons: dict[str, list[str]] = {}
    for one in refused:
        name, _, reason = one.partition(": ")
        reasons.setdefault(name, []).append(reason)
    lines = []
    for name, all_of_them in reasons.items():
        times = f", {len(all_of_them)} times, the last" if len(all_of_them) > 1 else ""
        rule = BY_NAME.get(name)
        forbids = f" The rule forbids {rule.forbids}." if rule is not None else ""
        lines.append(f"Refused by {name}{times}: {all_of_them[-1]}.{forbids}")
    return lines

"""The weighed plan becomes orders: only where it is clearly better than what is in force, and one at a time.

After each assessment the plan that was enacted before is judged by what was seen since. Then the new choice is ordered,
if it is expected to avoid clearly more harm than what is in force already does by the same figures, and the last plan
of this incident is not too young. So two plans that are about as good never take turns.

Each act is an order of its own kind, under the safety rules, with lease and undo. A kind in shadow is put on record
once, with the effect that it was expected to have. What no data plane here can do goes to people.
"""

from collections.abc import Sequence
from typing import Literal

from controlplane.decide import respond
from controlplane.decide.analysis.analyze import Assessment
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence, Lately
from controlplane.decide.ledger import side_key, side_kind
from controlplane.decide.plan import orders as plans
from controlplane.decide.plan.choose import Rule
from controlplane.decide.plan.options import FAIL_OVER_S
from controlplane.decide.recovery import Step
from controlplane.model.command import (
    CapRetries,
    Command,
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
from controlplane.model.incident import Incident, Phase, Stage
from controlplane.model.plan import Act, Choice, Enacted, Option
from controlplane.model.record import LeftToPeople, PlanEnacted, PlanJudged
from controlplane.model.signal import Cause, Target
from controlplane.model.situation import Situation
from controlplane.model.unit import SECOND, CommandId, Nanos, to_nanos

MARGIN = 0.1  # of the harm: a plan that avoids less than this beyond what is in force is not worth a change
INTERVAL_NS = 10 * SECOND  # between two enacted plans of one incident: the first one must have had time to show
JUDGED_AFTER_NS = 3 * SECOND  # and calls of so long are what it is judged by
JUDGED_CALLS_MIN = 20
STILL_MIN = 0.5  # of what fails by the figures must be seen to fail still: a mean over the incident is not now
HELPED_MIN = 0.5  # of what was promised: a plan that brings less did not help
STEP_MIN = 10  # percent points by which a share must differ to be ordered anew
UNHELPFUL_MAX = 2  # plans that did not help, after which a person is called
TEXT_MAX = 300  # characters of the runner-up in an order's evidence; the whole stands in `PlanEnacted`


def enact(draft: Draft, evidence: Evidence, incident: Incident, found: Assessment | None) -> None:
    """Judge the last plan of `incident`, and order the choice that was just made where it is clearly better."""
    if incident.phase is Phase.CLOSED or incident.cause is Cause.ALERT:
        return  # on the word of others alone nothing is ordered
    _judge(draft, evidence, incident)
    if found is None or found.choice is None or found.situation is None or found.choice.chosen is None:
        return
    situation, choice, chosen = found.situation, found.choice, found.choice.chosen
    if draft.state.frozen or situation.origin != incident.origin.service:
        return
    if not _worth(draft, incident, situation, choice) or not _goes_on(draft, evidence, incident, situation):
        return
    todo = plans.orders(chosen.acts, draft.topology, caller=draft.topology.entry, situation=situation)
    text = f"{chosen.effect} ({chosen.why})" if chosen.effect else chosen.why
    why = f"the plan: {text}; runner-up: {choice.why[:TEXT_MAX]}"
    commands = [
        name
        for target, intent in todo.ordered
        for name in _order(draft, evidence, incident, target, intent, why, chosen.avoided)
    ]
    news = _tell_people(draft, incident, todo.left, text)
    if commands or (news and not todo.ordered):
        _on_record(draft, incident, situation, choice, chosen, commands, complete=_whole(draft, todo))


def _whole(draft: Draft, todo: plans.Orders) -> bool:
    """Whether all of a plan is in force, at its full share: only then its effect can be held against it."""
    if todo.left:
        return False
    full = (draft.policy.share(plans.KINDS[type(intent)]) == 100 for _, intent in todo.ordered)
    return all(full) and all(in_force(draft, *pair) for pair in todo.ordered)


def rule_for(draft: Draft, incident: Incident) -> Rule:
    """The safety rules for a choice about `incident`, and the loop guard of whole plans: what did not help is not tried
    again."""
    rules = plans.rule_of(draft.state, draft.topology, draft.policy, draft.now, draft.seen)

    def forbidden(acts: tuple[Act, ...]) -> tuple[str, str] | None:
        key = Option(acts=acts).key
        if key in incident.unhelpful:
            return "loop_guard", f"it was done for {incident.id} and did not help"
        return rules(acts)

    return forbidden


def in_force(draft: Draft, target: Target, intent: Intent) -> bool:
    """Whether what `intent` asks for holds already, or more of it."""
    held = draft.state.in_force.get(str(target))
    whole = draft.state.in_force.get(target.service)
    if whole is not None and isinstance(whole.intent, Isolate):
        return True
    kind = side_kind(intent)
    key = "" if kind is None else side_key(target, kind)
    side = draft.state.sides.get(key)
    limited = whole is not None and isinstance(whole.intent, Limit)
    match intent:
        case Eject() | Weigh():
            return _weight(held) <= (intent.percent + STEP_MIN if isinstance(intent, Weigh) else 0)
        case CapRetries():  # a limit refuses retries first, and then load
            return limited or (side is not None and isinstance(side.intent, CapRetries))
        case Shed():
            return limited or _reaches(draft, key, intent.percent)
        case FailOver():
            return _reaches(draft, key, intent.percent)
        case Tighten():
            tight = side.intent if side is not None else None
            return isinstance(tight, Tighten) and tight.deadline_ms <= intent.deadline_ms
        case RollBack():
            withdrawn = draft.state.withdrawn.get(target.service)
            return withdrawn is not None and withdrawn.version == intent.version
    return False


def _weight(held: Command | None) -> int:
    match held.intent if held is not None else None:
        case Eject() | Probe():
            return 0
        case Weigh(percent=percent):
            return percent
    return 100


def _reaches(draft: Draft, key: str, percent: int) -> bool:
    """Whether a share of that size was ordered: one that is being given back takes itself up again where it must."""
    step = draft.state.side_steps.get(key)
    return step is not None and step.first + STEP_MIN >= percent


def _worth(draft: Draft, incident: Incident, situation: Situation, choice: Choice) -> bool:
    """Whether the choice avoids clearly more than what is in force, by the same figures, and it is time for another."""
    last = incident.plan
    if last is not None and draft.now - last.at < INTERVAL_NS:
        return False
    assert choice.chosen is not None
    given = max((one.net or 0.0 for one in choice.considered if _holds(draft, situation, one)), default=0.0)
    return (choice.chosen.net or 0.0) - given > MARGIN * (choice.harm or 0.0)


def _holds(draft: Draft, situation: Situation, option: Option) -> bool:
    """Whether `option` is in force already, all of it."""
    if option.net is None:
        return False
    todo = plans.orders(option.acts, draft.topology, caller=draft.topology.entry, situation=situation)
    return bool(todo.ordered) and not todo.left and all(in_force(draft, *pair) for pair in todo.ordered)


def _order(
    draft: Draft,
    evidence: Evidence,
    incident: Incident,
    target: Target,
    intent: Intent,
    why: str,
    avoids: float | None,
) -> list[CommandId]:
    """Order one act of the plan; [] where it holds already, was reported before, or a rule forbids it."""
    kind = plans.KINDS[type(intent)]
    shadow = incident.shadow or draft.policy.share(kind) == 0
    if in_force(draft, target, intent) or (shadow and _reported(incident, target, intent)):
        return []
    held = incident.containments.get(str(target))
    if isinstance(intent, RollBack):
        return []  # traffic first: `rollback` follows once the version is off it
    if isinstance(intent, Eject | Isolate) and not shadow:
        before = draft.state.commands_total
        respond.contain(draft, evidence, incident, target, intent, why, draft.now)
        return [CommandId(f"c{before + 1}")] if draft.state.commands_total > before else []
    if isinstance(intent, Weigh) and held is not None and held.stage is not Stage.VERIFIED:
        return []  # it is on its way back already, by its own evidence
    name = draft.order(incident, target, intent, why, signal_at=draft.now, kind=kind, avoids=avoids)
    if name is None:
        return []
    if not shadow and side_kind(intent) is not None:
        evidence.side_began(target)
    if isinstance(intent, Weigh) and not shadow:  # it shows by the share it keeps when it may have more
        reason = f"{100 - intent.percent} % of its weight is taken away"
        penalty, relapses = to_nanos(draft.policy.penalty_s), held.relapses if held is not None else 0
        draft.stage(incident, target, Step(Stage.RAMP, intent.percent, intent, reason, penalty, relapses), name)
        evidence.stage_began(target)
    return [name]


def _reported(incident: Incident, target: Target, intent: Intent) -> bool:
    """Whether this act was put on record in shadow before, with whatever share."""
    return any(
        command.enforcement == "shadow" and command.target == target and type(command.intent) is type(intent)
        for command in incident.commands
    )


def _tell_people(draft: Draft, incident: Incident, left: Sequence[Act], text: str) -> bool:
    """Tell what no data plane here can carry out, exactly, once; whether it was news."""
    steps = tuple(plans.instruction(act) for act in left if act.do != "roll_back")
    news = tuple(step for step in steps if step not in incident.by_hand)
    if not news:
        return False
    draft.record(LeftToPeople(at=draft.now, incident=incident.id, steps=news, reason=text))
    told = f"{incident.id}: to be done by hand: {'; '.join(news)}. Expected: {text}"
    draft.notice(incident, "warning", told, f"by hand:{'; '.join(news)}")
    return True


def _on_record(
    draft: Draft,
    incident: Incident,
    situation: Situation,
    choice: Choice,
    chosen: Option,
    commands: Sequence[CommandId],
    *,
    complete: bool,
) -> None:
    shadow = all(command.enforcement == "shadow" for command in incident.commands if command.id in commands)
    harm = choice.harm or 0.0
    kept = 1 - (chosen.avoided or 0.0) / harm if harm else 1.0
    measure, usual, before = _figures(situation)
    slowest = FAIL_OVER_S if any(act.do == "fail_over" for act in chosen.acts) else 0.0
    works_at = Nanos(draft.now + to_nanos(slowest))
    draft.record(
        PlanEnacted(
            at=draft.now,
            incident=incident.id,
            plan=Enacted(
                at=draft.now,
                works_at=works_at,
                key=chosen.key,
                text=str(chosen),
                harm=harm,
                expected=harm - (chosen.net or 0.0),
                commands=tuple(commands),
                service=situation.origin,
                measure=measure,
                before=before,
                after=usual + max(0.0, before - usual) * kept,
                shadow=shadow,
                complete=complete,
            ),
            runner_up=choice.why,
        )
    )


def _figures(situation: Situation) -> tuple[Literal["failing", "latency"], float, float]:
    """By which figure one sees how the origin does, what is usual of it, and what it is since the incident began."""
    failing, slow = situation.failing or 0.0, situation.slow or 0.0
    if failing and 2 * slow >= failing and situation.taking_s is not None:
        return "latency", situation.usual_s or 0.0, situation.taking_s
    return "failing", 0.0, failing


def _goes_on(draft: Draft, evidence: Evidence, incident: Incident, situation: Situation) -> bool:
    """Whether what is seen right now bears out the figures of the whole incident; unseen, they stand."""
    measure, usual, before = _figures(situation)
    now = _measured(evidence.lately(situation.origin, draft.now, incident.signal_at), measure)
    return now is None or now - usual >= STILL_MIN * (before - usual)


def _judge(draft: Draft, evidence: Evidence, incident: Incident) -> None:
    """Compare what the last plan was to bring with what was seen since; once, and only what was all ordered."""
    plan = incident.plan
    if plan is None or plan.shadow or not plan.complete or plan.helped is not None:
        return
    now = _measured(evidence.lately(plan.service, draft.now, plan.works_at), plan.measure)
    if now is None or draft.now - plan.works_at < JUDGED_AFTER_NS:
        return
    helped = plan.before - now >= HELPED_MIN * (plan.before - plan.after)
    reason = f"{_figure(plan, plan.before)} before, {_figure(plan, plan.after)} expected, {_figure(plan, now)} seen"
    draft.record(PlanJudged(at=draft.now, incident=incident.id, helped=helped, seen=now, reason=reason))
    if not helped:
        _take_back(draft, incident, plan, reason)
        text = f"{incident.id}: {plan.text}: did not help: {reason}"
        draft.notice(incident, "warning", text, f"unhelpful:{plan.key}")
        if len(incident.unhelpful) >= UNHELPFUL_MAX:
            respond.escalate(draft, incident, f"{len(incident.unhelpful)} plans did not help: {reason}")


def _measured(seen: Lately, measure: Literal["failing", "latency"]) -> float | None:
    """The figure by which a plan is judged; None where too few calls tell it."""
    if measure == "latency":
        return seen.latency_ns / seen.timed / SECOND if seen.timed >= JUDGED_CALLS_MIN else None
    return seen.failures / seen.calls if seen.calls >= JUDGED_CALLS_MIN else None


def _take_back(draft: Draft, incident: Incident, plan: Enacted, reason: str) -> None:
    """What did not help is not left in force at its price. Weights and ejections come back by their own evidence."""
    for command in [each for each in draft.state.sides.values() if each.id in plan.commands]:
        undo = Restore(what=side_kind(command.intent) or "")
        draft.order(incident, command.target, undo, f"it did not help: {reason}", signal_at=command.signal_at)


def _figure(plan: Enacted, figure: float) -> str:
    if plan.measure == "latency":
        return f"{figure:.3g} s"
    return f"{figure:.1%} of calls failing"

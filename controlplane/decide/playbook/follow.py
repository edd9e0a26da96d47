"""A playbook in use: it fits an incident, its preconditions hold, its steps are ordered, each once.

The first act answers the verdict that opened the incident; a playbook comes right after it, in the same outcome. What
is in force already is not ordered again. What a rule refuses is refused, and people are told: no playbook insists.
A roll-back waits until the evidence says which version it is; everything else is done at once.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from controlplane.decide import enact, ledger, respond, rollback
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.lifecycle import about
from controlplane.decide.plan import orders as plans
from controlplane.decide.playbook import fit, lint, reliable
from controlplane.decide.playbook.word import worded
from controlplane.decide.recovery import Step as Stepped
from controlplane.model.command import (
    CapRetries,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    Probe,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.drift import DriftCleared, DriftFound
from controlplane.model.incident import Incident, Phase, Stage
from controlplane.model.playbook import (
    AT_ENDPOINTS,
    FOR_PEOPLE,
    How,
    Playbook,
    PlaybookMatched,
    PlaybookStepped,
    Step,
)
from controlplane.model.policy import ActKind, ResponsePolicy
from controlplane.model.record import LeftToPeople
from controlplane.model.signal import Cause, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import CommandId, to_nanos

WEIGHT_MIN = plans.WEIGHT_MIN
LOOKED_MAX = 8  # changes of what does not hold, after which a playbook is not used in that incident any more
Pair = tuple[Target, Intent]
Taken = tuple[How, tuple[CommandId, ...], str]


class Shelf:
    """The playbooks of one engine, by the service that they match, the narrowest first."""

    def __init__(self, playbooks: Sequence[Playbook], topology: Topology) -> None:
        self.playbooks = tuple(playbooks)
        self.misfits: dict[str, tuple[str, ...]] = {}
        for one in self.playbooks:
            found = tuple(f"{each.key[1:]}: {each.reason}" for each in lint.misfits(one, topology))
            self.misfits |= {one.name: found} if found else {}
        self.by_service: dict[str, list[Playbook]] = {}
        for one in sorted(self.playbooks, key=fit.specificity, reverse=True):
            self.by_service.setdefault(one.match.service, []).append(one)

    def follow(self, draft: Draft, evidence: Evidence, *, everything: bool) -> None:
        """What fits is used; and with `everything`, or where drift has changed, what can be relied on is looked up.

        Without `everything` the cost follows what was decided: a verdict is answered as fast as without playbooks.
        """
        if not self.playbooks:
            return
        state = draft.state
        names = state.open if everything else [each for record in draft.records for each in about(record)]
        for name in dict.fromkeys(names):
            incident = state.incidents.get(name)
            if incident is None:
                continue
            for one in self.by_service.get(incident.origin.service, ()):
                _use(draft, evidence, incident, one, self.misfits.get(one.name, ()))
        if everything or any(isinstance(record, DriftFound | DriftCleared) for record in draft.records):
            reliable.follow(draft, self.playbooks, self.misfits)


def share(playbook: Playbook, kind: ActKind, policy: ResponsePolicy) -> int:
    """Percent of the calls to which an order of that kind by `playbook` applies; 0: it is in shadow."""
    if playbook.enforce == "response":
        return policy.share(kind)
    return policy.enforcement.get(kind, 100) if playbook.enforce else 0


def _use(draft: Draft, evidence: Evidence, incident: Incident, playbook: Playbook, misfits: tuple[str, ...]) -> None:
    service = draft.topology.service(incident.origin.service)
    if service is None or incident.phase is Phase.CLOSED:
        return
    used = next((one for one in incident.playbooks if one.playbook == playbook.name), None)
    late = incident.phase is Phase.RECOVERY  # what is on its way back is not taken away again
    if used is None and (late or not fit.fits(playbook.match, incident, service)):
        return
    if used is None or used.unmet:
        if used is not None and (used.looked >= LOOKED_MAX or late):
            return
        unmet = misfits + tuple(reliable.unmet(playbook, draft.state, draft.topology, incident))
        unmet += tuple(reliable.drifted(playbook, draft.state, draft.topology))
        if used is None or unmet != used.unmet:
            _matched(draft, incident, playbook, unmet, first=used is None)
        if unmet:
            return
    for number, step in enumerate(playbook.steps, 1):
        used = next(one for one in incident.playbooks if one.playbook == playbook.name)
        if number not in used.steps:
            _take(draft, evidence, incident, playbook, number, step)


def _matched(draft: Draft, incident: Incident, playbook: Playbook, unmet: tuple[str, ...], *, first: bool) -> None:
    shadow = incident.shadow or playbook.enforce is False
    draft.record(
        PlaybookMatched(
            at=draft.now,
            incident=incident.id,
            playbook=playbook.name,
            shadow=shadow,
            unmet=unmet,
            ladder=playbook.ladder,
            owner=fit.owner_of(playbook, draft.topology),
        )
    )
    if unmet and first:
        text = f"{incident.id}: playbook {playbook.name} fits and is not used: {'; '.join(unmet)}"
        draft.notice(incident, "warning", text, f"playbook:{playbook.name}:unmet")


def _take(draft: Draft, evidence: Evidence, incident: Incident, playbook: Playbook, number: int, step: Step) -> None:
    """Take one step and put on record what came of it; a roll-back for which there is no evidence yet waits."""
    if step.do in FOR_PEOPLE:
        taken = _tell(draft, incident, playbook, number, step)
    elif incident.cause is Cause.ALERT:
        taken = ("refused", (), "alert: on the word of others alone nothing is ordered")
    else:
        with draft.by(playbook.name, partial(share, playbook)):
            if step.do == "roll_back":
                later = _roll_back(draft, evidence, incident, playbook, number)
                if later is None:
                    return
                taken = later
            else:
                taken = _order_all(draft, evidence, incident, playbook, number, step)
    how, commands, reason = taken
    draft.record(
        PlaybookStepped(
            at=draft.now,
            incident=incident.id,
            playbook=playbook.name,
            step=number,
            what=worded(step, playbook.match),
            how=how,
            commands=commands,
            reason=reason,
        )
    )
    if how == "refused":
        what = f"playbook {playbook.name} step {number} ({worded(step, playbook.match)})"
        text = f"{incident.id}: {what} is refused: {reason}"
        draft.notice(incident, "warning", text, f"playbook:{playbook.name}:{number}")


def _tell(draft: Draft, incident: Incident, playbook: Playbook, number: int, step: Step) -> Taken:
    owner = f" (owner: {name})" if (name := fit.owner_of(playbook, draft.topology)) else ""
    to = f" to {', '.join(step.notify)}" if step.notify else ""
    key = f"playbook:{playbook.name}:{number}"
    if step.do == "tell":
        draft.notice(incident, "warning", f"{incident.id}: playbook {playbook.name}{owner} says{to}: {step.text}", key)
        return "told", (), step.text
    if step.text not in incident.by_hand:
        reason = f"playbook {playbook.name}"
        draft.record(LeftToPeople(at=draft.now, incident=incident.id, steps=(step.text,), reason=reason))
    text = f"{incident.id}: playbook {playbook.name}{owner}: to be done by hand: {step.text}"
    draft.notice(incident, "warning", text, key)
    return "by_hand", (), ""


def _roll_back(draft: Draft, evidence: Evidence, incident: Incident, playbook: Playbook, number: int) -> Taken | None:
    """Ask the deployer, where the version is the cause by every verdict there is; None: it is not, so far."""
    service = draft.topology.service(playbook.match.service)
    if service is None or rollback.candidate(incident, service) is None:
        return None
    draft.refusal, left = "", len(incident.by_hand)
    name = rollback.accuse(draft, evidence, incident, service, f"playbook {playbook.name} step {number}")
    if name is None:
        if draft.refusal:
            return "refused", (), draft.refusal
        return ("by_hand", (), "it names no deployer") if len(incident.by_hand) > left else ("holds", (), "")
    return _said(incident, (name,)), (name,), ""


def _order_all(
    draft: Draft, evidence: Evidence, incident: Incident, playbook: Playbook, number: int, step: Step
) -> Taken:
    pairs = tuple(orders(step, playbook, incident, draft))
    if not pairs:
        return "refused", (), "there is nothing that it is about"
    commands: list[CommandId] = []
    reasons: list[str] = []
    why = f"playbook {playbook.name} step {number}"
    for target, intent in pairs:
        if enact.in_force(draft, target, intent) or _limited(draft, target, intent):
            continue
        draft.refusal = ""
        name = _order(draft, evidence, incident, target, intent, why)
        if name is not None:
            commands.append(name)
        elif draft.refusal:
            reasons.append(draft.refusal)
    if reasons:
        return "refused", tuple(commands), "; ".join(dict.fromkeys(reasons))
    return (_said(incident, tuple(commands)), tuple(commands), "") if commands else ("holds", (), "")


def orders(step: Step, playbook: Playbook, incident: Incident, draft: Draft) -> Iterator[Pair]:
    """What `step` comes to: orders about endpoints, or about a service."""
    name = step.service or playbook.match.service
    service = draft.topology.service(name)
    if service is None:
        return
    if step.do in AT_ENDPOINTS:
        intent = Eject() if step.do == "eject" else Weigh(max(WEIGHT_MIN, 100 - (step.percent or 100)))
        for endpoint in fit.members(step, playbook.match, incident, service):
            yield Target(name, endpoint), intent
        return
    if name == draft.topology.entry:
        return  # no guard of this process stands before it
    intent_of: dict[str, Intent] = {
        "isolate": Isolate(),
        "limit": Limit(step.concurrency or draft.policy.overload_concurrency),
        "fail_over": FailOver(step.percent or 100),
        "cap_retries": CapRetries(step.percent or 0),
        "shed": Shed(step.keep or "critical", step.percent or 100),
    }
    if step.do == "tighten" and step.deadline_ms is not None:
        yield Target(name), Tighten(step.deadline_ms)
    elif step.do in intent_of:
        yield Target(name), intent_of[step.do]


def _order(
    draft: Draft, evidence: Evidence, incident: Incident, target: Target, intent: Intent, why: str
) -> CommandId | None:
    """One order, with the stage in which its target earns its traffic back; None: refused, or held already."""
    kind = plans.KINDS[type(intent)]
    shadow = incident.shadow or not draft.share(kind)
    held = incident.containments.get(str(target))
    if held is not None and held.stage is not Stage.VERIFIED and isinstance(intent, Eject | Isolate | Limit | Weigh):
        return None  # it is on its way back already, by its own evidence
    if isinstance(intent, Eject | Isolate | Limit) and not shadow:
        before = draft.state.commands_total
        respond.contain(draft, evidence, incident, target, intent, why, draft.now)
        return CommandId(f"c{before + 1}") if draft.state.commands_total > before else None
    name = draft.order(incident, target, intent, why, signal_at=draft.now, kind=kind)
    if name is None or shadow:
        return name
    if ledger.side_kind(intent) is not None:
        evidence.side_began(target)
    if isinstance(intent, Weigh):
        reason = f"{100 - intent.percent} % of its weight is taken away"
        penalty, relapses = to_nanos(draft.policy.penalty_s), held.relapses if held is not None else 0
        draft.stage(incident, target, Stepped(Stage.RAMP, intent.percent, intent, reason, penalty, relapses), name)
        evidence.stage_began(target)
    return name


def _limited(draft: Draft, target: Target, intent: Intent) -> bool:
    """Whether the service is held as a whole already, where `in_force` does not ask."""
    held = draft.state.in_force.get(str(target))
    return isinstance(intent, Limit | Isolate) and held is not None and isinstance(held.intent, Limit | Isolate | Probe)


def _said(incident: Incident, commands: tuple[CommandId, ...]) -> How:
    last = [one for one in incident.commands if one.id in commands]
    return "shadow" if last and all(one.enforcement == "shadow" for one in last) else "ordered"

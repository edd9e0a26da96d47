"""When a recovery is incomplete: traffic is back, and something about the service is still not as it was.

Five conditions keep an incident open and say why: a *fallback* still answers for it, its *retry budget* is drained,
its *queue* has not drained, its *configuration* differs from what is wanted, a *consistency* probe of the user's fails.
The first is seen here; of the others somebody tells (`Condition`). They are put on record from the moment at which
traffic is back: while a target is held back, a drained budget or a long queue is what one expects.

Who told of a condition may die. After STALE_NS without a word it is shown as stale and people are told: they can ask
what we cannot. After GIVE_UP_NS it holds the incident no longer, and the record says that nobody knows: an incident
that only waits for the dead hides the next one.
"""

from typing import get_args

from controlplane.decide import drift
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.state import State
from controlplane.decide.waiting import Heard
from controlplane.model.incident import Incident, Stage
from controlplane.model.record import ConditionChanged
from controlplane.model.signal import Condition, ConditionKind
from controlplane.model.unit import SECOND, to_nanos

STALE_NS = 30 * SECOND  # what is not well is told of about once a second
GIVE_UP_NS = 10 * STALE_NS
FLAP_NS = SECOND  # a condition that comes and goes is put on record at most so often
KINDS: tuple[ConditionKind, ...] = get_args(ConditionKind)
STALE = " (stale: "


def hear(draft: Draft, evidence: Evidence, signal: Condition) -> None:
    """Remember what was told. It goes on record with the next look at an incident that it keeps open."""
    if draft.topology.service(signal.service) is not None:  # names that nobody declared are not even remembered
        evidence.waiting.heard[signal.service, signal.what] = Heard(draft.now, signal.well, signal.reason)


def follow(draft: Draft, evidence: Evidence, incident: Incident) -> None:
    """Put on record what `incident` waits for now, and what no longer."""
    for what in KINDS:
        reason = _not_well(draft, evidence, incident, what)
        before = incident.unfinished.get(what)
        if reason is None and before is not None:
            _change(draft, evidence, incident, what, well=True, reason=_ended(draft, evidence, incident, what))
        elif reason is not None and (before is None or (STALE in reason) != (STALE in before)):
            _change(draft, evidence, incident, what, well=False, reason=reason)


def tell(draft: Draft, evidence: Evidence, incident: Incident) -> None:
    """Tell people, once for each condition, that the recovery is incomplete, and once that nobody speaks of it now."""
    for what, reason in incident.unfinished.items():
        stale = STALE in reason
        key = f"incomplete:{what}{':stale' if stale else ''}"
        text = f"{incident.id} is not over: {incident.origin} serves again, but {reason}"
        evidence.waiting.tell_once(draft, incident, "warning" if stale else "info", text, key)


def back_in_service(incident: Incident) -> bool:
    """Whether every target that was held back has its traffic again, and there was one."""
    stages = [held.stage for held in incident.containments.values()]
    return bool(stages) and all(stage in (Stage.FULL, Stage.VERIFIED) for stage in stages)


def recovering(state: State) -> set[str]:
    """Services about which an incident is open that holds nothing of them back: the time to ask whether they are well.

    Asked from outside, which puts no answer on record by itself."""
    return {
        service
        for incident in state.open_incidents()
        if all(
            incident.shadow or held.command is None or held.stage in (Stage.FULL, Stage.VERIFIED)
            for held in incident.containments.values()
        )
        for service in services(incident)
    }


def services(incident: Incident) -> list[str]:
    """Those whose condition matters to `incident`: its origin's, and what it held back."""
    held = (each.target.service for each in incident.containments.values())
    return list(dict.fromkeys([incident.origin.service, *held]))


def _change(
    draft: Draft, evidence: Evidence, incident: Incident, what: ConditionKind, *, well: bool, reason: str
) -> None:
    changed_at = evidence.waiting.changed_at.get((incident.id, what))
    if not well and changed_at is not None and draft.now - changed_at < FLAP_NS:
        return
    evidence.waiting.changed_at[incident.id, what] = draft.now
    draft.record(ConditionChanged(at=draft.now, incident=incident.id, what=what, well=well, reason=reason))


def _not_well(draft: Draft, evidence: Evidence, incident: Incident, what: ConditionKind) -> str | None:
    """Why `incident` must stay open on account of `what`; None: not on account of that."""
    if what == "fallback":
        return _falls_back(draft, evidence, incident)
    reasons = drift.reasons(draft.state, services(incident)) if what == "configuration" else []
    for service in services(incident):
        heard = evidence.waiting.heard.get((service, what))
        told = incident.unfinished.get(what)
        if heard is None and told is not None and not drift.is_ours(told) and service == incident.origin.service:
            # on record from before a restart, whose teller must speak again
            heard = evidence.waiting.heard[service, what] = Heard(draft.now, False, _bare(told))
        if heard is None or heard.well or draft.now - heard.at >= GIVE_UP_NS:
            continue
        silent = draft.now - heard.at >= STALE_NS
        stale = f"{STALE}nobody has said anything about it for {STALE_NS / 1e9:g} s)" if silent else ""
        reasons.append(f"{heard.reason or f'{what} of {service} is not well'}{stale}")
    return "; ".join(reasons) or None


def _falls_back(draft: Draft, evidence: Evidence, incident: Incident) -> str | None:
    at = evidence.fell_back_at.get(incident.origin.service)
    if at is None or draft.now - at >= to_nanos(draft.policy.verify_s):
        return None
    return f"a fallback still answers for {incident.origin.service}"


def _ended(draft: Draft, evidence: Evidence, incident: Incident, what: ConditionKind) -> str:
    if what == "fallback":
        return f"no fallback has answered for {draft.policy.verify_s:g} s"
    heard = [evidence.waiting.heard.get((service, what)) for service in services(incident)]
    silent = [one for one in heard if one is not None and not one.well]
    if silent:  # it did not become well: it was given up
        return f"given up: not heard of for {GIVE_UP_NS / 1e9:g} s; whether it is well, nobody knows"
    said = next((one.reason for one in heard if one is not None and one.reason), "")
    return said or "it is well"


def _bare(reason: str) -> str:
    return reason.partition(STALE)[0]

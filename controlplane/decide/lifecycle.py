"""The phase of an incident, as a function of facts, and the records that bring it there along the table.

A phase says what an incident waits for: an answer (detection), an order in force (containment), people who know
(communication), harm that spreads no further (stabilization), proof that all is well (recovery). Nobody moves an
incident by hand: who wants another phase changes facts. docs/concepts/lifecycle.md says what each means.
"""

from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.impact import RECENT_NS
from controlplane.decide.state import State
from controlplane.model import record as on
from controlplane.model.command import CapRetries, Close, FailOver, Harden, Intent, RollBack, Shed, Tighten
from controlplane.model.incident import MOVES, Containment, Incident, Phase, Stage
from controlplane.model.playbook import PlaybookReliability
from controlplane.model.unit import SECOND, IncidentId, Nanos, to_nanos

SETTLE_NS = Nanos(SECOND)  # without an order by then, none is needed: the first figures of the graph have come, too
TOLD_NS = Nanos(30 * SECOND)  # longer nobody is waited for: a notifier that hangs must keep no incident open
SIDES = CapRetries | Close | FailOver | Harden | RollBack | Shed | Tighten

ORDER = (Phase.DETECTION, Phase.CONTAINMENT, Phase.COMMUNICATION, Phase.STABILIZATION, Phase.RECOVERY)


def follow(draft: Draft, evidence: Evidence, incident: Incident) -> None:
    """Bring `incident` to the phase that its facts call for, and tell people once it is contained."""
    while incident.phase is not Phase.CLOSED:
        wanted, reason = phase_of(draft, evidence, incident)
        phase = _next(incident, wanted)
        if phase is None:
            return
        if phase is not wanted:
            reason = _passing(incident, phase)
        contained = incident.phase is Phase.CONTAINMENT and phase is Phase.COMMUNICATION
        draft.record(on.PhaseChanged(at=draft.now, incident=incident.id, phase=phase, reason=reason))
        if contained:
            _tell(draft, incident)


def follow_all(draft: Draft, evidence: Evidence, *, everything: bool) -> None:
    """The same for every open incident that was changed; with `everything`, as time alone changes some, for all."""
    changed = [name for record in draft.records for name in about(record)]
    for name in dict.fromkeys([*draft.state.open, *changed] if everything else changed):
        incident = draft.state.incidents.get(name)
        if incident is not None:
            follow(draft, evidence, incident)
        if incident is None or incident.phase is Phase.CLOSED:
            evidence.ended(name)


def about(record: on.Record) -> tuple[IncidentId, ...]:
    """The incidents whose phase may be another one by `record`. Harm that is counted shows with the next tick."""
    match record:
        case on.ImpactCounted() | on.SpreadMeasured() | on.Assessed() | on.WindowTaken() | on.MaskChanged():
            return ()
        case on.CommandIssued():
            return (record.command.incident,)
        case on.NoticeIssued():
            return () if record.notice.incident is None else (record.notice.incident,)
        case on.NoticeDelivered():
            return (IncidentId(record.key.partition(":")[0]),)
        case on.IncidentMerged():
            return record.incident, record.into
        case PlaybookReliability():
            return ()
        case on.EpochStarted() | on.OrderTaken() | on.PenaltyDecayed() | on.JournalGap() | on.VersionReleased():
            return ()
        case on.FingerprintNoted() | on.DriftFound() | on.DriftCleared() | on.ChangeNoted() | on.RegressionTold():
            return ()
        case _:
            return (record.incident,)


def phase_of(draft: Draft, evidence: Evidence, incident: Incident) -> tuple[Phase, str]:
    """(what `incident` waits for, why it is that): the first of the five that its facts do not fulfil."""
    state, now = draft.state, draft.now
    quiet = calm(draft, evidence, incident)
    answered = bool(incident.commands or incident.refused)
    if not answered and now - incident.opened_at < SETTLE_NS:
        return Phase.DETECTION, "what to do is not settled yet"
    if missing := unheld(state, incident, now):
        return Phase.CONTAINMENT, missing
    ordered = incident.containments or incident.unanswered or incident.taken  # what is only reported holds nothing
    if incident.refused and not ordered and not _still(draft, evidence, incident, proof_ns(draft)):
        return Phase.CONTAINMENT, f"nothing holds it: {incident.refused[-1]}"
    past = incident.phase in (Phase.STABILIZATION, Phase.RECOVERY)  # people knew: a later notice is only more news
    if not past and any(now - at < TOLD_NS for at in incident.untold.values()):
        return Phase.COMMUNICATION, _contained(incident)
    if not quiet:
        again = incident.phase is Phase.RECOVERY
        return Phase.STABILIZATION, "harm is seen again" if again else f"{_told(incident)}; whether it spreads is seen"
    return Phase.RECOVERY, f"for {still_ns(draft) / SECOND:g} s it has spread no further and users saw no more of it"


def unheld(state: State, incident: Incident, now: Nanos) -> str:
    """What was ordered to hold something back and is not in force, in words; empty: there is nothing."""
    for held in incident.containments.values():
        if held.stage is Stage.HOLD and (why := _loose(state, incident, held)):
            return f"{held.target} {why}"
    for name in incident.unanswered:
        command = incident.command(name)
        if command is not None and isinstance(command.intent, SIDES) and now < command.lease_until:
            return f"{command.target} waits for its {_kind(command.intent)}"
    return ""


def calm(draft: Draft, evidence: Evidence, incident: Incident) -> bool:
    """Whether harm has stopped spreading: nothing new was drawn in, and users' failures are not visible any more."""
    return _still(draft, evidence, incident, still_ns(draft))


def still_ns(draft: Draft) -> Nanos:
    """How long nothing must be seen: as long as users' failures are summed over, and no longer than proof takes."""
    return Nanos(min(RECENT_NS, proof_ns(draft)))


def proof_ns(draft: Draft) -> Nanos:
    """Clean time that proves a recovery."""
    return to_nanos(draft.policy.verify_s)


def _still(draft: Draft, evidence: Evidence, incident: Incident, for_ns: Nanos) -> bool:
    seen = max(incident.spread_at, evidence.felt_at.get(incident.id, Nanos(0)))
    return draft.now - seen >= for_ns


def _next(incident: Incident, wanted: Phase) -> Phase | None:
    """The next phase on the way to `wanted`; None: it is there. On through every phase, back in one move."""
    here, there = ORDER.index(incident.phase), ORDER.index(wanted)
    if here == there:
        return None
    if there < here:
        phase = wanted
    elif incident.phase is Phase.DETECTION and not (incident.commands or incident.refused):
        phase = Phase.COMMUNICATION  # there is nothing to contain
    else:
        phase = ORDER[here + 1]
    assert phase in MOVES[incident.phase], f"{incident.id}: {incident.phase} -> {phase} is not in the table"
    return phase


def _loose(state: State, incident: Incident, held: Containment) -> str:
    """Why nothing holds what should be held; empty: something does."""
    if held.command is None:
        return "is not held: its order was not taken"
    if held.command in incident.unanswered:
        return "is ordered to be held" if held.relapses == 0 else f"is to be held again, relapse {held.relapses}"
    if incident.shadow:
        return ""
    standing = state.in_force.get(str(held.target))
    return "" if standing is not None and standing.id == held.command else "is held no longer: its lease ran out"


def _passing(incident: Incident, phase: Phase) -> str:
    """Why a phase is entered that is left at once: nothing of it is waited for any more."""
    match phase:
        case Phase.CONTAINMENT:
            return "it was answered" if incident.commands else f"refused: {incident.refused[-1]}"
        case Phase.COMMUNICATION:
            return _contained(incident)
        case _:
            return _told(incident)


def _holding(incident: Incident) -> list[Containment]:
    return [held for held in incident.containments.values() if held.stage is Stage.HOLD]


def _contained(incident: Incident) -> str:
    if not incident.taken and incident.containments:
        return "no order was taken, and its target is well without"
    if not incident.taken:
        return "there was nothing to hold" if not incident.refused else "nothing held it, and it is seen no more"
    held = _holding(incident)
    done = "would be in force" if incident.shadow else "in force"
    return f"{done}: {', '.join(str(one.target) for one in held)}" if held else f"{done}: all that was ordered"


def _told(incident: Incident) -> str:
    return "people were not reached, and are waited for no longer" if incident.untold else "no notice is outstanding"


def _tell(draft: Draft, incident: Incident) -> None:
    """The notice that the incident is contained: by what, and why that."""
    held = _holding(incident)
    orders = [order for one in held if one.command and (order := incident.command(one.command)) is not None]
    orders = orders or [order for order in incident.commands[-1:] if isinstance(order.intent, SIDES)]
    if not incident.taken or not orders:
        return
    done = "would be contained" if incident.shadow else "contained"
    targets = ", ".join(str(order.target) for order in orders)
    key = ",".join(f"{one.target}:{one.relapses}" for one in held) or f"{targets}:{_kind(orders[-1].intent)}"
    text = f"{incident.id} {done}: {targets}: {orders[-1].evidence}"
    draft.notice(incident, "warning", text, f"contained:{key}")


def _kind(intent: Intent) -> str:
    return type(intent).__name__.lower()

"""The ladder: who is told of an incident, and who next.

It is climbed by a rung when nobody acknowledges within the next rung's time, or when containment does not hold: what
was wanted is refused, what was given back relapses, or no remedy is left. A person who acknowledges stops it, until
containment is lost after that. All of it is on record: a restart goes on from the same rung, with the time it had.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from controlplane.model.escalation import Acknowledged, People, Rung
from controlplane.model.incident import Incident, Phase
from controlplane.model.record import IncidentAcknowledged, RungClimbed
from controlplane.model.unit import IncidentId, Nanos, to_nanos

if TYPE_CHECKING:
    from controlplane.decide.draft import Draft

# A relapse or a refusal within it waits: forty refusals of one moment must not call everybody up to the last rung.
PAUSE_NS = to_nanos(30.0)
RUNGS_MAX = 100  # of all ladders that follow one another


def rungs(people: People, ladder: str) -> tuple[Rung, ...]:
    """All rungs from that ladder on, those of the ladders that follow included; each ladder is climbed once."""
    found: list[Rung] = []
    seen: set[str] = set()
    while ladder in people.ladders and ladder not in seen:
        seen.add(ladder)
        found += people.ladders[ladder].rungs
        ladder = people.ladders[ladder].then
    return tuple(found[:RUNGS_MAX])


def repeat_ns(people: People, ladder: str) -> Nanos:
    """After how long the last rung is told again; 0: never."""
    seen: set[str] = set()
    last = ladder
    while ladder in people.ladders and ladder not in seen:
        seen.add(ladder)
        last, ladder = ladder, people.ladders[ladder].then
    return to_nanos(people.ladders[last].repeat_s) if last in people.ladders else Nanos(0)


def audience(draft: "Draft", incident: Incident) -> tuple[str, ...] | None:
    """Notifiers that are told of `incident` now; None: everybody, as nobody in particular owns its origin."""
    if incident.phase is not Phase.CLOSED:
        _begin(draft, incident)
    return incident.climb.told if incident.climb.ladder else None


def acknowledged(draft: "Draft", signal: Acknowledged) -> None:
    """A person takes an incident; of one that is over, or taken by them already, there is nothing to take."""
    incident = draft.state.incidents.get(signal.incident)
    if incident is None or incident.phase is Phase.CLOSED:
        return
    if incident.climb.acknowledged_by == signal.by and not incident.climb.lost:
        return
    draft.record(IncidentAcknowledged(at=draft.now, incident=incident.id, by=signal.by, reason=signal.reason))
    said = f": {signal.reason}" if signal.reason else ""
    draft.notice(
        incident, "info", f"{incident.id} acknowledged by {signal.by}{said}", f"acknowledged:{signal.by}:{draft.now}"
    )


def follow(draft: "Draft", names: Iterable[IncidentId]) -> None:
    """Climb where it is due, by one rung at a time."""
    for name in names:
        incident = draft.state.incidents.get(name)
        if incident is None or incident.phase is Phase.CLOSED:
            continue
        if incident.climb.ladder and _begin(draft, incident):  # it was laid to somebody else's service
            _tell(draft, incident, "it is yours now", incident.climb.rung)
            continue
        if incident.climb.ladder and (due := _due(draft, incident)):
            rung, reason = due
            _climb(draft, incident, rung, reason)


def due_in_ns(people: People, incident: Incident, now: Nanos) -> Nanos | None:
    """How long until the next rung, if nobody acknowledges; None: there is none to come."""
    climb = incident.climb
    if not climb.ladder or climb.acknowledged_by or incident.phase is Phase.CLOSED:
        return None
    steps = rungs(people, climb.ladder)
    if climb.rung + 1 < len(steps):
        at = climb.at + to_nanos(steps[climb.rung + 1].after_s)
    elif every := repeat_ns(people, climb.ladder):
        at = climb.at + every
    else:
        return None
    return Nanos(max(at - now, 0))


def _ladder(draft: "Draft", incident: Incident) -> tuple[str, str]:
    """(the ladder it belongs to, why that): one that a playbook in force names, or its owner's; else that of whoever
    owns its origin. Nothing, where none of them is declared."""
    people, service = draft.people, draft.topology.service(incident.origin.service)
    for used in incident.playbooks:
        owner = people.owners.get(used.owner)
        ladder = used.ladder or (owner.ladder if owner is not None else "")
        if not used.shadow and ladder in people.ladders:
            return ladder, f"playbook {used.playbook} names it"
    owner = None if service is None else people.owners.get(service.owner)
    ladder = owner.ladder if owner is not None and owner.ladder in people.ladders else ""
    return ladder, f"it is laid to {incident.origin}" if incident.climb.ladder else "it has opened"


def _begin(draft: "Draft", incident: Incident) -> bool:
    """Stand at the beginning of the ladder that it belongs to, unless it is that one already; whether that was new."""
    ladder, reason = _ladder(draft, incident)
    if not ladder or ladder == incident.climb.ladder:
        return False
    steps = rungs(draft.people, ladder)
    at_once = bool(steps) and steps[0].after_s == 0
    draft.record(
        RungClimbed(
            at=draft.now,
            incident=incident.id,
            ladder=ladder,
            rung=0 if at_once else -1,
            notify=steps[0].notify if at_once else (),
            reason=reason,
        )
    )
    return True


def _due(draft: "Draft", incident: Incident) -> tuple[int, str] | None:
    """(the rung that is to be told, why); None: nothing is due."""
    climb, steps = incident.climb, rungs(draft.people, incident.climb.ladder)
    if not steps:
        return None
    next_rung = min(climb.rung + 1, len(steps) - 1)
    if climb.lost and (climb.urgent or climb.rung < 0 or draft.now - climb.at >= PAUSE_NS):
        return next_rung, climb.lost
    waited_ns = due_in_ns(draft.people, incident, draft.now)
    if waited_ns is None or waited_ns > 0:
        return None
    waited = _long(Nanos(draft.now - climb.at))
    reason = f"open for {waited}" if climb.rung < 0 else f"nobody has acknowledged it within {waited}"
    return next_rung, reason


def _long(lasted_ns: Nanos) -> str:
    seconds = lasted_ns / 1e9
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _climb(draft: "Draft", incident: Incident, rung: int, reason: str) -> None:
    lost = bool(incident.climb.lost)
    notify = rungs(draft.people, incident.climb.ladder)[rung].notify
    draft.record(
        RungClimbed(
            at=draft.now,
            incident=incident.id,
            ladder=incident.climb.ladder,
            rung=rung,
            notify=notify,
            reason=reason,
        )
    )
    _tell(draft, incident, reason, rung, lost=lost)


def _tell(draft: "Draft", incident: Incident, reason: str, rung: int, *, lost: bool = False) -> None:
    """Only those of the rung: who was told before is told by it only where the rung names them again.

    What is contained may wait for the end of quiet hours; what nothing holds may not.
    """
    if rung < 0:
        return
    held = incident.phase not in (Phase.DETECTION, Phase.CONTAINMENT)
    stands = "it is contained" if held and incident.taken else "nothing holds it" if not held else "nothing was to hold"
    about = f"{incident.id} calls rung {rung + 1} of {incident.climb.ladder}: {incident.origin}: {incident.cause}"
    text = f"{about}: {reason}; {stands}"
    to = rungs(draft.people, incident.climb.ladder)[rung].notify
    severity = "warning" if held and not lost else "critical"
    draft.notice(incident, severity, text, f"rung:{rung + 1}:{draft.now}", to=to)

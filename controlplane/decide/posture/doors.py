"""Doors: what is closed because of degraded guards, kept closed as long as that, and opened at once when it is over.

A closed door is a side order like any other, of its own kind, with its own enforcement, and with two differences. Its
lease is renewed under a freeze, too: a freeze stops new acts, and letting go of this one would be one. And it is given
back neither in stages nor by evidence about the service behind it: the guard is what was in question.
"""

from collections.abc import Iterator

import msgspec

from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.ledger import SideKind, side_key, side_kind
from controlplane.decide.safety.people import set_aside
from controlplane.model.command import Close, Command, Harden, Restore
from controlplane.model.incident import Incident
from controlplane.model.posture import Exposed, Finding
from controlplane.model.signal import Target
from controlplane.model.unit import Epoch, Nanos, to_nanos

RULE = "fail_closed"
OBSERVES = "the plane only observes"
SHADOW = "close is in shadow"


def follow(draft: Draft, evidence: Evidence, reason: str) -> None:
    """Bring every door to what the findings call for. `reason`: why those that are no longer wanted are opened."""
    wanted = dict(_wanted(draft))
    for command in [*draft.state.sides.values()]:
        kind = side_kind(command.intent)
        if kind in ("close", "harden") and (command.target, kind) not in wanted:
            _open(draft, command, kind, reason)
    for (target, kind), finding in wanted.items():
        held = draft.state.sides.get(side_key(target, kind))
        if held is None:
            _close(draft, evidence, finding, target, kind)
        else:
            _keep(draft, finding, held)


def seen(draft: Draft, evidence: Evidence, finding: Finding) -> Finding:
    """`finding`, with what is closed and exposed now."""
    closed, exposed = [], []
    for service in finding.protects:
        held = draft.state.sides.get(side_key(Target(service), "close"))
        if held is not None and held.enforcement == "full":
            closed.append(service)
        else:
            exposed.append(Exposed(service, _why_exposed(draft, evidence, service, held)))
    entry = Target(draft.topology.entry)
    hard = draft.state.sides.get(side_key(entry, "harden")) is not None
    paths = tuple(one.path for one in draft.topology.sensitive if _hardens(one.while_degraded, finding)) if hard else ()
    return msgspec.structs.replace(finding, closed=tuple(closed), exposed=tuple(exposed), hardened=paths)


def _wanted(draft: Draft) -> Iterator[tuple[tuple[Target, SideKind], Finding]]:
    """What is to be closed or hardened, and because of which guard; of several the one that was found first."""
    found: dict[tuple[Target, SideKind], Finding] = {}
    entry = Target(draft.topology.entry)
    for finding in sorted(draft.state.findings.values(), key=lambda one: (one.since, one.id)):
        for service in finding.protects:
            target = Target(service)
            if RULE not in set_aside(draft.state.standing, target, draft.now):
                found.setdefault((target, "close"), finding)
        if any(_hardens(one.while_degraded, finding) for one in draft.topology.sensitive):
            found.setdefault((entry, "harden"), finding)
    yield from found.items()


def _hardens(guards: tuple[str, ...], finding: Finding) -> bool:
    return not guards or finding.guard in guards


def _close(draft: Draft, evidence: Evidence, finding: Finding, target: Target, kind: SideKind) -> None:
    incident = draft.state.incidents.get(finding.incident)
    if incident is None or draft.now < evidence.retry_at(_door(target)):
        return
    intent = Close(finding.guard) if kind == "close" else Harden(finding.guard)
    why = f"{finding.guard} ({finding.kind}) is degraded: {finding.reason}"
    draft.order(incident, target, intent, why, signal_at=incident.signal_at, kind=kind)


def _door(target: Target) -> Target:
    """Under which name the patience with data planes that do not take it is kept."""
    return target


def _keep(draft: Draft, finding: Finding, held: Command) -> None:
    """Renew, and hand over to the incident of the guard that is degraded now."""
    guard = held.intent.guard if isinstance(held.intent, Close | Harden) else ""
    passed_on = held.incident != finding.incident or guard != finding.guard
    share = draft.policy.share("close" if isinstance(held.intent, Close) else "harden")
    if share == 0:
        _open(draft, held, "close" if isinstance(held.intent, Close) else "harden", "it is in shadow now")
    elif passed_on or draft.now >= renewal(held, to_nanos(draft.policy.lease_s)):
        intent = Close(finding.guard) if isinstance(held.intent, Close) else Harden(finding.guard)
        draft.issue(
            msgspec.structs.replace(
                held,
                intent=intent,
                incident=finding.incident,
                lease_until=Nanos(draft.now + to_nanos(draft.policy.lease_s)),
                epoch=Epoch(draft.state.epoch),
            )
        )


def renewal(command: Command, lease_ns: int) -> Nanos:
    """When the lease of a door is renewed: with a third of it left, frozen or not."""
    return Nanos(command.lease_until - lease_ns // 3)


def _open(draft: Draft, command: Command, kind: SideKind, reason: str) -> None:
    incident = _incident(draft, command)
    if incident is None:
        return
    aside = RULE in set_aside(draft.state.standing, command.target, draft.now)
    text = "a person set fail_closed aside" if aside else reason
    opened = draft.order(incident, command.target, Restore(what=kind), text, signal_at=Nanos(0))
    if opened is None and draft.now >= renewal(command, to_nanos(draft.policy.lease_s)):
        lease_until = Nanos(draft.now + to_nanos(draft.policy.lease_s))  # held by a person: it stays as it is
        draft.issue(msgspec.structs.replace(command, lease_until=lease_until, epoch=Epoch(draft.state.epoch)))


def _incident(draft: Draft, command: Command) -> Incident | None:
    return draft.state.incidents.get(command.incident)


def _why_exposed(draft: Draft, evidence: Evidence, service: str, held: Command | None) -> str:
    target, now = Target(service), draft.now
    if held is not None:
        return f"closed for {held.percent} % of its calls only"
    standing = draft.state.standing.overrides.values()
    mine = (one for one in standing if one.rule == RULE and now < one.until and one.covers(target))
    override = next(mine, None)
    if override is not None:
        return f"{override.by} set {RULE} aside: {override.reason or 'no reason given'}"
    if draft.state.mode == "observe":
        return OBSERVES
    if draft.policy.share("close") == 0:
        return SHADOW
    if now < evidence.retry_at(_door(target)):
        return "no data plane here takes the order"
    refused = draft.state.frozen and "automation is frozen"
    return refused or "the order was refused"

"""Findings: each degraded guard that protects somebody is an entry of its own in its incident, from the moment at which
it is known until it has shown that it is well.
"""

import msgspec

from controlplane.decide import respond
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.posture import doors
from controlplane.decide.posture.watch import Watch
from controlplane.decide.recovery import Step
from controlplane.model.command import Restore
from controlplane.model.incident import Incident, Phase, Stage
from controlplane.model.posture import Finding, PostureChanged, PostureCleared, PostureFound
from controlplane.model.signal import Target
from controlplane.model.topology import Service


def start(draft: Draft, watch: Watch) -> None:
    """After a restart: what was degraded is, until it has shown that it is not."""
    for guard in draft.state.findings:
        watch.hold(guard, draft.now)


def follow(draft: Draft, evidence: Evidence, watch: Watch) -> None:
    """Bring findings and doors to what is known of the guards now."""
    state, topology = draft.state, draft.topology
    if not topology.protected and not state.findings:
        return
    if not state.open and not state.findings:
        return
    over = [_look(draft, evidence, watch, topology.service(name), name) for name in _guards(draft)]
    reason = "; ".join(filter(None, over)) or "no guard of it is degraded any more"
    doors.follow(draft, evidence, reason)
    for finding in list(state.findings.values()):
        now = doors.seen(draft, evidence, finding)
        if now != finding:
            _changed(draft, finding, now)


def _guards(draft: Draft) -> list[str]:
    return list(dict.fromkeys([*draft.topology.protected, *draft.state.findings]))


def _look(draft: Draft, evidence: Evidence, watch: Watch, guard: Service | None, name: str) -> str:
    """Open, keep or clear the finding about one guard; the answer is why it was cleared."""
    finding = draft.state.findings.get(name)
    if guard is None or name not in draft.topology.protected:
        return "" if finding is None else _clear(draft, watch, finding, f"{name} guards nothing any more")
    degraded = watch.degraded(draft, evidence, guard)
    if degraded is None:
        if finding is None:
            return ""
        reason = _proof(draft, watch, guard, finding)
        return _clear(draft, watch, finding, reason) if _free(draft, evidence, watch, guard, finding, reason) else ""
    why, incident = degraded
    protects = draft.topology.protected[name]
    if finding is None:
        _found(draft, guard, incident, why, protects)
    elif finding.incident != incident.id or finding.protects != protects:
        moved = msgspec.structs.replace(finding, incident=incident.id, protects=protects, reason=why)
        draft.record(PostureChanged(at=draft.now, incident=incident.id, finding=moved))
    return ""


def _found(draft: Draft, guard: Service, incident: Incident, why: str, protects: tuple[str, ...]) -> None:
    finding = Finding(
        id=f"f{draft.state.findings_total + 1}",
        kind=guard.guards,
        guard=guard.name,
        incident=incident.id,
        since=draft.now,
        reason=why,
        protects=protects,
    )
    draft.record(PostureFound(at=draft.now, incident=incident.id, finding=finding))
    what = f"{guard.name}, which guards by {guard.guards}, is degraded: {why}"
    text = f"{incident.id}: {what}; it protects {_list(protects)}"
    draft.notice(incident, "critical", text, f"posture:{finding.id}")


def _changed(draft: Draft, before: Finding, now: Finding) -> None:
    draft.record(PostureChanged(at=draft.now, incident=now.incident, finding=now))
    news = [one for one in now.exposed if one not in before.exposed]
    if news:
        incident = draft.state.incidents.get(now.incident)
        what = "; ".join(f"{one.service} is open without {now.guard}: {one.why}" for one in news)
        key = f"exposed:{now.id}:{','.join(one.service for one in news)}:{news[0].why}"
        known = all(one.why in (doors.OBSERVES, doors.SHADOW) for one in news)  # and wanted so, by who configured it
        draft.notice(incident, "warning" if known else "critical", f"{now.incident}: {what}", key)


def _clear(draft: Draft, watch: Watch, finding: Finding, reason: str) -> str:
    draft.record(
        PostureCleared(at=draft.now, incident=finding.incident, guard=finding.guard, finding=finding.id, reason=reason)
    )
    incident = draft.state.incidents.get(finding.incident)
    if incident is None or incident.phase is Phase.CLOSED:
        watch.forget(finding.guard)
    text = f"{finding.incident}: {finding.guard} is well again: {reason}; {_list(finding.closed) or 'nothing'} opens"
    draft.notice(incident, "info", text, f"posture over:{finding.id}")
    return f"{finding.guard}: {reason}"


def _free(draft: Draft, evidence: Evidence, watch: Watch, guard: Service, finding: Finding, reason: str) -> bool:
    """Before a door opens, nothing may hold back the calls to its guard: whoever is refused there and goes on all the
    same would go on unguarded. The door was what kept load away from it; it needs no ramp of its own. False: a rule,
    or a person, wants it held, so the door stays closed."""
    target, incident = Target(guard.name), draft.state.incidents.get(finding.incident)
    if not finding.closed or incident is None or incident.phase is Phase.CLOSED:
        return True
    held = draft.state.containment(target)
    if held is None or held[1].stage in (Stage.FULL, Stage.VERIFIED):
        if not watch.broke(guard):
            return True
        return draft.order(incident, target, Restore(), reason, signal_at=incident.signal_at) is not None
    step = Step(Stage.FULL, 100, Restore(), reason, held[1].penalty_ns, held[1].relapses)
    respond.take(draft, evidence, *held, step)
    now = draft.state.containment(target)
    return now is not None and now[1].stage is Stage.FULL


def _proof(draft: Draft, watch: Watch, guard: Service, finding: Finding) -> str:
    incident = draft.state.incidents.get(finding.incident)
    if incident is None or incident.phase is Phase.CLOSED:
        return "its incident is closed"
    return watch.proof(draft, guard)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"

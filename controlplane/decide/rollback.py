"""Roll-back: traffic goes off the bad version first, then its deployer is asked, once, and watched.

A version is rolled back when every endpoint that runs it was found bad and none of another version was: then the
version is the cause, and what ran before is there to take over. Where versions are compared side by side (`change`)
that must show something, too: what fails for both alike may well reach the endpoints of one first. It counts as
withdrawn from that moment. Its endpoints are tried again like any other, by probes and the first share of a ramp, and
get no more until a person releases the version or another one has come: a canary that was rolled back is not retried by
itself.

A roll-back is started once. One whose end is not known, because the process died or nobody said anything, is a matter
for people.
"""

from collections.abc import Iterator

from controlplane.decide import respond
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.ledger import Withdrawal
from controlplane.decide.plan.orders import instruction
from controlplane.decide.recovery import DIRTY_PERCENT
from controlplane.model.command import Command, RollBack, Weigh
from controlplane.model.incident import Incident, Stage
from controlplane.model.plan import Act
from controlplane.model.record import (
    LeftToPeople,
    RollbackEnded,
    VersionProven,
    VersionReleased,
    VersionWithdrawn,
)
from controlplane.model.signal import RolledBack, Target
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND, CommandId, Nanos, to_nanos

SETTLED_NS = 1 * SECOND  # after the incident opened: verdicts about the other endpoints have had time to come
UNHELD_NS = 5 * SECOND  # a version that may not be held back is rolled back all the same, a little later
WORD_NS = 3700 * SECOND  # the longest time-out of a deployer, and a little more: after that nobody will say anything
PROVEN_NS = 120 * SECOND  # after a roll-back that was done, its endpoints must be seen to serve well within this
PENALTIES = 3  # or within so many times the hold that their relapses have earned them, if that is longer


def tend(draft: Draft, evidence: Evidence) -> None:
    """Ask for the roll-backs that are due, and watch those that were."""
    for incident in draft.state.open_incidents():
        _decide(draft, evidence, incident)
    for service, held in list(draft.state.withdrawn.items()):
        _watch(draft, evidence, service, held)


def wake_at(draft: Draft) -> Iterator[Nanos]:
    """When the patience with a roll-back ends."""
    for held in draft.state.withdrawn.values():
        if held.ok is None:
            yield Nanos(held.at + WORD_NS)


def ended(draft: Draft, signal: RolledBack) -> None:
    """A deployer says how a roll-back ended."""
    for service, held in list(draft.state.withdrawn.items()):
        if held.command == signal.command and held.ok is None:
            _end(draft, service, held, signal.reason, ok=signal.ok)


def start(draft: Draft) -> None:
    """After a restart: what was under way is not started again, and what the topology has no more is not withheld."""
    for service, held in list(draft.state.withdrawn.items()):
        if held.ok is None:
            reason = "the control plane was restarted meanwhile: how it ended is not known, and it is not started again"
            _end(draft, service, held, reason, ok=False)
        declared = draft.topology.service(service)
        versions = {one.version for one in declared.endpoints} if declared is not None else set()
        if held.version in versions:
            continue
        new = sorted(versions - set(held.others) - {""})
        if declared is None or new:
            reason = f"version {new[0]} has come" if new else f"{service} is no longer in the topology"
            record = VersionReleased(at=draft.now, service=service, version=held.version, reason=reason)
            draft.record(record)
        elif not held.proven:
            _prove(draft, service, held, "its endpoints are gone")


def candidate(incident: Incident, service: Service) -> tuple[str, tuple[str, ...]] | None:
    """The version that is the cause, by verdicts alone, and those beside it; None: no version, or not only that."""
    bad = {target.endpoint for target in incident.touched if target.service == service.name and target.endpoint}
    versions = {one.version for one in service.endpoints if one.name in bad}
    if len(versions) != 1 or not (version := next(iter(versions))):
        return None
    held = {one.target.endpoint for one in incident.containments.values() if one.target.service == service.name}
    members = {one.name for one in service.endpoints if one.version == version}
    others = [one for one in service.endpoints if one.version != version]
    if not members <= bad | held or not others or any(not one.version for one in others):
        return None
    if len(members) == 1 and len(others) == 1:
        return None  # one of two fails: nothing tells the version from the replica
    return version, tuple(sorted({one.version for one in others}))


def _decide(draft: Draft, evidence: Evidence, incident: Incident) -> None:
    service = draft.topology.service(incident.origin.service)
    age = draft.now - incident.opened_at
    if service is None or age < SETTLED_NS or any(_ordered(each) for each in incident.commands):
        return
    if (found := candidate(incident, service)) is None:
        return
    held = (_is_held(draft, incident, service.name, name) for name in _members(service, found[0]))
    if age >= UNHELD_NS or all(held):
        accuse(draft, evidence, incident, service)


def accuse(
    draft: Draft, evidence: Evidence, incident: Incident, service: Service, asked_by: str = ""
) -> CommandId | None:
    """Have the version rolled back that verdicts accuse, unless a comparison of versions side by side clears it.

    The order, in shadow or not; None: no such evidence, a rule forbids it, it is under way, or a person has it.
    """
    found, withdrawn = candidate(incident, service), draft.state.withdrawn.get(service.name)
    if found is None or (withdrawn is not None and withdrawn.version == found[0]):
        return None
    version, others = found
    compared = evidence.comparisons.get(service.name)
    if compared is not None and compared.clears(version):
        how = "shows nothing against it, or it ran before the deploy"
        reason = f"version {version} of {service.name} is accused, but the comparison side by side {how}"
        intent, rule = RollBack(version, others[0] if len(others) == 1 else ""), "correlated_cause"
        if f"{rule}: {reason}" not in incident.refused:
            text = f"{incident.id}: {reason}: it is not rolled back by itself"
            draft.notice(incident, "warning", text, f"not rolled back:{version}")
        draft.refuse(incident, Target(service.name), intent, rule, reason)
        return None
    why = f"every endpoint that runs version {version} was found bad, none that runs {', '.join(others)}"
    return withdraw(draft, incident, service, version, others, f"{asked_by}: {why}" if asked_by else why)


def withdraw(
    draft: Draft, incident: Incident, service: Service, version: str, others: tuple[str, ...], why: str
) -> CommandId | None:
    """Have `version` rolled back, once: `why` it is the cause is sure, and its traffic is being taken away.

    The order, in shadow or not; None: a rule forbids it, it is under way, or a person has it.
    """
    if any(_ordered(each) for each in incident.commands):
        return None
    before = others[0] if len(others) == 1 else ""
    if not service.deployer:
        _leave(draft, incident, service.name, version, before, why)
        return None
    target = Target(service.name)
    name = draft.order(incident, target, RollBack(version, before), why, signal_at=incident.signal_at, kind="roll_back")
    if name is None:
        return None
    command = next(each for each in reversed(incident.commands) if each.id == name)
    if command.enforcement == "shadow":
        return name
    draft.record(
        VersionWithdrawn(
            at=draft.now, incident=incident.id, service=service.name, version=version, command=name, others=others
        )
    )
    to = f" to version {before}" if before else ""
    text = f"{incident.id}: {service.name} is being rolled back from version {version}{to}: {why}"
    draft.notice(incident, "warning", text, f"roll_back:{version}")
    return name


def _ordered(command: Command) -> bool:
    """Whether it is the one roll-back of its incident: what a playbook would only have ordered in shadow is none."""
    return isinstance(command.intent, RollBack) and not (command.playbook and command.enforcement == "shadow")


def _is_held(draft: Draft, incident: Incident, service: str, endpoint: str) -> bool:
    target = Target(service, endpoint)
    held = incident.containments.get(str(target))
    if held is None or held.command is None:
        return False
    command = draft.state.in_force.get(str(target))
    return held.stage in (Stage.HOLD, Stage.PROBE) or (command is not None and isinstance(command.intent, Weigh))


def _leave(draft: Draft, incident: Incident, service: str, version: str, before: str, why: str) -> None:
    to = f"version {before}" if before else "the version before"
    act = Act(do="roll_back", target=Target(service), part=f"version {version}", to=to)
    step = instruction(act)
    if step in incident.by_hand:
        return
    draft.record(LeftToPeople(at=draft.now, incident=incident.id, steps=(step,), reason=why))
    text = f"{incident.id}: to be done by hand: {step}: {why}; {service} names no deployer"
    draft.notice(incident, "warning", text, f"by hand:{step}")


def _watch(draft: Draft, evidence: Evidence, service: str, held: Withdrawal) -> None:
    if held.ok is None and draft.now >= held.at + WORD_NS:
        _end(draft, service, held, "its deployer never said how it ended", ok=False)
    declared, incident = draft.topology.service(service), draft.state.incidents.get(held.incident)
    if not held.ok or held.proven or held.ended_at is None or declared is None or incident is None:
        return
    members = _members(declared, held.version)
    since = held.ended_at
    bad = [name for name in members if not _serves_well(draft, evidence, incident, Target(service, name), since)]
    if not bad:
        _prove(draft, service, held, f"{', '.join(members)} serve well" if members else "its endpoints are gone")
        return
    penalties = [one.penalty_ns for one in incident.containments.values() if one.target.service == service]
    patience = max(PROVEN_NS, PENALTIES * max(penalties, default=Nanos(0)))
    if draft.now >= held.ended_at + patience:
        reason = f"it was done {patience / SECOND:g} s ago, and {', '.join(bad)} do not serve well yet"
        _end(draft, service, held, reason, ok=False)


def _serves_well(draft: Draft, evidence: Evidence, incident: Incident, target: Target, since: Nanos) -> bool:
    """Whether `target` has shown since then that it is well: on the share it gets, or in full without a verdict."""
    held = incident.containments.get(str(target))
    if held is None or held.stage in (Stage.FULL, Stage.VERIFIED):
        quiet_since = max(since, evidence.signal_at.get(target, Nanos(0)))
        return draft.now >= quiet_since + to_nanos(draft.policy.verify_s)
    seen = evidence.since_stage(target)
    clean = seen.clean >= max(1, draft.policy.ramp_calls_min) and seen.failures * 100 <= DIRTY_PERCENT * seen.calls
    return held.stage is Stage.RAMP and clean


def _prove(draft: Draft, service: str, held: Withdrawal, reason: str) -> None:
    draft.record(
        VersionProven(at=draft.now, incident=held.incident, service=service, version=held.version, reason=reason)
    )
    text = (
        f"{service} is rolled back from version {held.version}, and it shows: {reason}. Endpoints of that version "
        f"stay at their floor until a person releases {service}, or another version comes"
    )
    draft.notice(draft.state.incidents.get(held.incident), "info", text, f"proven:{held.command}")


def _end(draft: Draft, service: str, held: Withdrawal, reason: str, *, ok: bool) -> None:
    record = RollbackEnded(at=draft.now, incident=held.incident, command=held.command, ok=ok, reason=reason)
    draft.record(record)
    incident = draft.state.incidents.get(held.incident)
    how = f"{'is done' if ok else 'failed'}: {reason or 'no reason given'}"
    text = f"the roll-back of {service} from version {held.version} {how}"
    if ok:
        draft.notice(incident, "info", f"{text}; whether it helped is watched", f"rolled back:{held.command}")
    elif incident is not None and not incident.escalated:
        respond.escalate(draft, incident, text)
    else:
        draft.notice(incident, "critical", text, f"roll-back failed:{held.command}:{ok}")


def _members(service: Service, version: str) -> list[str]:
    return [one.name for one in service.endpoints if one.version == version]

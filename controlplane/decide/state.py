"""What the engine remembers, and the one fold that rebuilds it from records.

The same fold serves a restart, `explain`, drills, bug reports and reviews. Evidence that has not led to a decision is
not here: it is not on record, and a restart begins to collect it anew.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from controlplane.decide import climb, ledger, life
from controlplane.decide.change import noted
from controlplane.decide.drift import found as drift
from controlplane.decide.index import Index
from controlplane.decide.kind import DOORS, act_of, lessens
from controlplane.decide.ledger import SideStep, Withdrawal
from controlplane.decide.life import TIMELINE_MAX
from controlplane.decide.life import line as _line
from controlplane.decide.playbook import books
from controlplane.decide.posture import fold as posture
from controlplane.decide.say import describe as describe
from controlplane.decide.say import summary as summary
from controlplane.decide.shift import shifted
from controlplane.decide.standing import MINUTE_NS, Standing, issued, note, shift
from controlplane.model import record as on
from controlplane.model.change import Change
from controlplane.model.command import Command, Restore, RollBack
from controlplane.model.drift import Drift, Fingerprint
from controlplane.model.incident import Containment, Incident, Phase, Stage
from controlplane.model.notice import Notice
from controlplane.model.posture import Finding
from controlplane.model.signal import Target
from controlplane.model.tally import Tally
from controlplane.model.unit import CommandId, IncidentId, Nanos

SIDES = ("fail_over", "cap_retries", "shed", "tighten", "close", "harden")  # orders beside the one about its traffic
UNTOLD_MAX = 200  # notices that wait for a notifier; of more the oldest that are not critical are given up


class State(msgspec.Struct, kw_only=True):
    """Incidents, orders in force, epoch and the standing orders of people."""

    mode: Literal["observe", "enforce"] = "enforce"
    epoch: int = 0
    boot: str = ""
    wall_offset_ns: int = 0
    last_at: Nanos = Nanos(0)
    frozen: bool = False
    frozen_reason: str = ""
    incidents: dict[IncidentId, Incident] = msgspec.field(default_factory=dict)
    index: Index = msgspec.field(default_factory=Index)
    taken_ns: dict[str, Tally] = msgspec.field(default_factory=dict)
    in_force: dict[str, Command] = msgspec.field(default_factory=dict)
    sides: dict[str, Command] = msgspec.field(default_factory=dict)
    side_steps: dict[str, SideStep] = msgspec.field(default_factory=dict)
    withdrawn: dict[str, Withdrawal] = msgspec.field(default_factory=dict)
    issued_at: list[Nanos] = msgspec.field(default_factory=list)  # acts of the last minute; giving back is none
    standing: Standing = msgspec.field(default_factory=Standing)
    findings: dict[str, Finding] = msgspec.field(default_factory=dict)  # by guard: those that are degraded
    findings_total: int = 0
    incidents_total: int = 0
    commands_total: int = 0
    journal_gap: int = 0
    unreliable: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)  # playbooks, and why they are
    born: int = 0  # Unix time of its journal's first epoch, in nanoseconds: tells its notices from any other's
    notices_total: int = 0
    penalties: dict[str, dict[str, Nanos]] = msgspec.field(default_factory=dict)  # by service and endpoint ("": all)
    unrestored: dict[str, Command] = msgspec.field(default_factory=dict)  # `Restore`s that nobody has acknowledged
    untold: dict[str, Notice] = msgspec.field(default_factory=dict)  # issued and not yet delivered, oldest first
    untold_dropped: int = 0
    changes: dict[str, tuple[Change, ...]] = msgspec.field(default_factory=dict)  # by service, the latest last
    fingerprints: dict[str, Fingerprint] = msgspec.field(default_factory=dict)  # by service/endpoint
    drifted: dict[str, Drift] = msgspec.field(default_factory=dict)  # by who: service/endpoint, or "proxy NAME"

    @property
    def open(self) -> list[IncidentId]:
        """Ids of the incidents not yet closed, oldest first."""
        return self.index.open

    def open_incidents(self) -> list[Incident]:
        """Incidents not yet closed, oldest first."""
        return [self.incidents[name] for name in self.index.open]

    def open_at(self, service: str) -> Incident | None:
        """The open incident whose origin lies in `service`, or None."""
        name = self.index.service.get(service)
        return None if name is None else self.incidents[name]

    def containment(self, target: Target) -> tuple[Incident, Containment] | None:
        """The open incident that contains `target`, and how."""
        name = self.index.target.get(str(target))
        if name is None:
            return None
        return self.incidents[name], self.incidents[name].containments[str(target)]

    def holder(self, targets: Iterable[Target]) -> Incident | None:
        """The open incident that still holds one of `targets` back, wherever its origin lies; None without."""
        for target in targets:
            found = self.containment(target)
            if found is not None and found[1].stage is not Stage.VERIFIED:
                return found[0]
        return None

    def ordered(self, command: CommandId) -> tuple[Incident, Command] | None:
        """The open incident that gave the order of that id, and the order."""
        name = self.index.command.get(command)
        if name is None or (found := self.incidents[name].command(command)) is None:
            return None
        return self.incidents[name], found


def fold(state: State, record: on.Record) -> None:
    """Change `state` by one fact. Facts about incidents that are no longer kept change nothing."""
    state.last_at = Nanos(max(state.last_at, record.at))
    note(state.standing, record)
    climb.fold(state, record)
    if isinstance(record, on.IncidentMerged):
        ledger.merged(state, record)
        posture.merged(state, record)
    match record:
        case on.EpochStarted():
            if record.shift_ns:
                _shift(state, record.shift_ns)
            state.epoch, state.boot, state.last_at = record.epoch, record.boot, record.at
            state.wall_offset_ns = record.wall_ns - record.at
        case on.IncidentOpened():
            life.open_incident(state, record)
        case on.OrderTaken():
            _order(state, record)
            ledger.order(state, record)
        case on.CommandIssued():
            _issue(state, record.command, record.at)
        case on.JournalGap():
            state.journal_gap += record.records
        case on.NoticeIssued():
            life.issued(state, record.notice)
            state.untold[record.notice.key] = record.notice
            while len(state.untold) > UNTOLD_MAX:
                mild = (key for key, one in state.untold.items() if one.severity != "critical")
                del state.untold[next(mild, next(iter(state.untold)))]
                state.untold_dropped += 1
        case on.NoticeDelivered():
            if record.last:
                state.untold.pop(record.key, None)
            if (record.last or record.ok) and (
                told := state.incidents.get(IncidentId(record.key.partition(":")[0]))
            ) is not None:
                told.untold.pop(record.key, None)
        case on.FingerprintNoted() | on.DriftFound() | on.DriftCleared():
            drift.fold(state, record)
        case on.ChangeNoted():
            noted.fold(state, record)
        case on.RegressionTold():
            pass
        case on.PenaltyDecayed():
            _penalise(state, record.target, record.penalty_ns)
        case on.PlaybookMatched() | on.PlaybookStepped() | on.PlaybookReliability():
            books.fold(state, record)
        case on.IncidentMerged():
            life.merge(state, record)
        case on.VersionReleased():
            ledger.version_released(state, record)
        case on.CommandAcknowledged():
            state.unrestored = {key: one for key, one in state.unrestored.items() if one.id != record.command}
            _tell(state, record.incident, record)
        case on.LeaseExpired():
            _release(state, record.target, record.command)
            _tell(state, record.incident, record)
        case _:
            _tell(state, record.incident, record)


def _order(state: State, record: on.OrderTaken) -> None:
    match record.order:
        case "freeze" | "resume":
            state.frozen = record.order == "freeze"
            state.frozen_reason = record.reason if state.frozen else ""
        case "observe" | "enforce":
            state.mode = record.order


def _issue(state: State, command: Command, at: Nanos) -> None:
    incident = state.incidents.get(command.incident)
    renewal = False
    if incident is not None:
        known = _place(incident, command.id)
        renewal = known is not None
        if known is None:
            _add_command(state, incident, command)
            note = "would order" if command.enforcement == "shadow" else "order"
            _line(incident, at, f"{note}: {describe(command)}")
        else:
            incident.commands[known] = command
        reported = command.enforcement == "shadow" and not incident.shadow  # such an order contains nothing
        apart = reported or ledger.apart(command.intent)
        if not apart and (held := incident.containments.get(str(command.target))) is not None:
            held.command = command.id
    if not renewal:
        state.commands_total += 1
        if command.enforcement != "shadow":
            act = act_of(command)
            if act in DOORS or lessens(command.intent, state.sides.get(f"{command.target} {act}")):
                act = None
            issued(state.standing, command, act, at)
            if act is not None:
                state.issued_at = [past for past in state.issued_at if past > at - MINUTE_NS][-1000:]
                state.issued_at.append(at)
    _restore(state, command)
    if command.enforcement == "shadow" or ledger.issue(state, command, at, renewal=renewal):
        return
    if isinstance(command.intent, Restore):
        state.in_force.pop(str(command.target), None)
    else:
        state.in_force[str(command.target)] = command


def _penalise(state: State, target: Target, penalty_ns: Nanos) -> None:
    """Keep what a relapse of `target` starts from; 0: nothing is held against it any more."""
    if penalty_ns > 0:
        state.penalties.setdefault(target.service, {})[target.endpoint] = penalty_ns
    elif target.endpoint in (known := state.penalties.get(target.service, {})):
        del known[target.endpoint]
        if not known:
            del state.penalties[target.service]


def _place(incident: Incident, command: CommandId) -> int | None:
    """Where in its orders that one stands: renewals are of the newest ones."""
    last = len(incident.commands) - 1
    return next((at for at in range(last, -1, -1) if incident.commands[at].id == command), None)


def _add_command(state: State, incident: Incident, command: Command) -> None:
    incident.commands.append(command)
    for old in incident.commands[:-TIMELINE_MAX]:
        state.index.command.pop(old.id, None)
    del incident.commands[:-TIMELINE_MAX]
    if incident.phase is not Phase.CLOSED:
        state.index.command[command.id] = incident.id
        if command.enforcement != "shadow" or incident.shadow:  # a mere report is asked of nobody
            incident.unanswered.append(command.id)


def _restore(state: State, command: Command) -> None:
    """Keep in mind what is taken back until a data plane has said so: a crash in between must not forget it."""
    intent = command.intent
    if command.enforcement == "shadow" or isinstance(intent, RollBack):
        return
    what = intent.what if isinstance(intent, Restore) else str(intent.__struct_config__.tag)
    key = f"{command.target} {what}" if what in SIDES else str(command.target)
    state.unrestored.pop(key, None)
    if isinstance(intent, Restore):
        state.unrestored[key] = command


def _release(state: State, target: Target, command: CommandId) -> None:
    ledger.release(state, target, command)
    held = state.in_force.get(str(target))
    if held is not None and held.id == command:
        del state.in_force[str(target)]


def _tell(state: State, incident_id: IncidentId, record: on.Record) -> None:
    incident = state.incidents.get(incident_id)
    if incident is None:
        return
    at = record.at
    match record:
        case on.EvidenceAdded():
            if record.target not in incident.touched:
                incident.touched.append(record.target)
            incident.cause = record.cause or incident.cause
            incident.version = record.version or incident.version
            if len(incident.evidence) < TIMELINE_MAX:
                incident.evidence.append(record.evidence)
            _line(incident, at, f"evidence: {record.target}: {record.evidence}")
            if record.alert is not None:
                life.alert(incident, record, record.alert)
            home = incident.origin.service  # what is seen elsewhere makes it no wider where it began
            if any(target.service == home and target != incident.origin for target in incident.touched):
                incident.origin = Target(home)
        case on.OriginMoved():
            was, incident.origin = incident.origin, record.origin
            if incident.phase is not Phase.CLOSED:
                state.index.moved(incident, was, state.open_incidents())
            if record.origin.service not in incident.reached:
                incident.reached.append(record.origin.service)
            _line(incident, at, f"laid to {record.origin}: {record.reason}")
        case on.Assessed():
            incident.analysis = record.analysis
            _line(incident, at, f"assessed: {summary(record.analysis)}")
        case on.MaskChanged():
            incident.masked, incident.masked_reason = record.masked, record.reason
            _line(incident, at, ("masked: " if record.masked else "no longer masked: ") + record.reason)
        case on.PhaseChanged():
            life.move(state, incident, record)
        case on.CommandRefused():
            incident.refused.append(f"{record.rule}: {record.reason}")
            del incident.refused[:-TIMELINE_MAX]
            _line(incident, at, f"refused by {record.rule}: {record.reason}")
        case on.CommandAcknowledged():
            life.answered(incident, record)
            if not record.ok:
                _line(incident, at, f"not taken: {record.command}: {record.reason}")
                ledger.not_taken(state, record.command, at)
                for held in incident.containments.values():
                    if held.command == record.command:
                        held.command = None
                        _release(state, held.target, record.command)
        case on.LeaseExpired():
            if record.command in incident.unanswered:
                incident.unanswered.remove(record.command)
            _line(incident, at, f"lease ran out: {record.command} on {record.target}")
        case on.StageChanged():
            before = incident.containments.get(str(record.target))
            incident.containments[str(record.target)] = Containment(
                command=record.command or (before.command if before else None),
                target=record.target,
                stage=record.stage,
                percent=record.percent,
                since=at,
                penalty_ns=record.penalty_ns,
                relapses=record.relapses,
                overload=record.overload,
                concurrency=record.concurrency,
                hold_ns=record.hold_ns,
            )
            if not (incident.shadow or record.concurrency):  # a limit adapts: no penalty goes with it
                _penalise(state, record.target, record.penalty_ns)
            if incident.phase is not Phase.CLOSED:
                state.index.target[str(record.target)] = incident.id
            share = f" {record.percent} %" if record.stage == "ramp" and not record.overload else ""
            _line(incident, at, f"{record.target} {record.stage}{share}: {record.reason}")
        case on.BecameEffective():
            if incident.effective_at is None:
                incident.effective_at = at
                _line(
                    incident, at, f"effective: {record.target} {(at - record.signal_at) / 1e6:.3f} ms after the signal"
                )
        case on.SpreadMeasured():
            incident.reached += [service for service in record.services if service not in incident.reached]
            incident.reached_edges += [edge for edge in record.edges if edge not in incident.reached_edges]
        case on.ImpactCounted():
            incident.user_requests += record.requests
            incident.user_failed += record.failed
            incident.user_slow += record.slow
            incident.fallbacks += record.fallbacks
        case on.ConditionChanged():
            if record.well:
                incident.unfinished.pop(record.what, None)
                _line(incident, at, f"recovery waits no longer for {record.what}: {record.reason}")
            else:
                incident.unfinished[record.what] = record.reason
                _line(incident, at, f"recovery waits for {record.what}: {record.reason}")
        case on.Escalated():
            incident.escalated = True
            _line(incident, at, f"escalated to people: {record.reason}")
        case on.PlanEnacted() | on.PlanJudged() | on.LeftToPeople() | on.RollbackEnded():
            _line(incident, at, ledger.tell(state, incident, record))
        case on.VersionWithdrawn() | on.VersionProven():
            _line(incident, at, ledger.tell(state, incident, record))
        case on.RungClimbed():
            _line(incident, at, climb.rung_climbed(incident, record))
        case on.IncidentAcknowledged():
            _line(incident, at, climb.acknowledged(incident, record))
        case on.VersionFound():
            _line(incident, at, f"version {record.version} is the cause: {record.evidence}")
        case on.PostureFound() | on.PostureChanged() | on.PostureCleared():
            _line(incident, at, posture.fold(state, incident, record))
        case on.IncidentClosed():
            life.close(state, incident, record)


def _shift(state: State, shift_ns: int) -> None:
    """Bring every time that may still be compared with `now` to this boot's clock."""
    if not shift_ns:
        return

    def moved(at: Nanos) -> Nanos:
        return Nanos(at + shift_ns)

    state.issued_at = [moved(at) for at in state.issued_at]
    shift(state.standing, shift_ns)
    ledger.shift(state, shift_ns)
    drift.shift(state, shift_ns)
    noted.shift(state, shift_ns)
    posture.shift(state, shift_ns)
    state.untold = {key: msgspec.structs.replace(notice, at=moved(notice.at)) for key, notice in state.untold.items()}
    state.in_force, state.unrestored = (
        {
            key: msgspec.structs.replace(
                command, lease_until=moved(command.lease_until), signal_at=moved(command.signal_at)
            )
            for key, command in held.items()
        }
        for held in (state.in_force, state.unrestored)
    )
    for incident in state.incidents.values():
        shifted(incident, shift_ns)

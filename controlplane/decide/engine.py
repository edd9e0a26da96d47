"""The engine: one signal and one time in, one outcome out. `step`, `tick`, `start` and `restore` are the only entry."""

from collections.abc import Iterable

import msgspec

from controlplane.decide import (
    alert,
    clock,
    context,
    escalation,
    lifecycle,
    masked,
    outbox,
    partial,
    penalty,
    people,
    reconcile,
    respond,
    rollback,
    safety,
    side,
    spread,
    tend,
    unfinished,
    watch,
)
from controlplane.decide.change import versions
from controlplane.decide.draft import Draft
from controlplane.decide.drift import watch as drift
from controlplane.decide.evidence import Evidence
from controlplane.decide.feedback.storm import Storm
from controlplane.decide.graph.live import DependencyGraph
from controlplane.decide.playbook.follow import Shelf
from controlplane.decide.posture import follow as posture
from controlplane.decide.posture.watch import Watch
from controlplane.decide.state import State, fold
from controlplane.model import signal as on
from controlplane.model.escalation import People
from controlplane.model.incident import Phase
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Playbook
from controlplane.model.policy import GraphPolicy, ResponsePolicy
from controlplane.model.record import (
    BecameEffective,
    EpochStarted,
    EvidenceAdded,
    ImpactCounted,
    IncidentClosed,
    IncidentMerged,
    IncidentOpened,
    JournalGap,
    LeaseExpired,
    OriginMoved,
    Record,
)
from controlplane.model.service_state import ServiceState
from controlplane.model.signal import Cause, Signal, Target, Tripped
from controlplane.model.topology import Topology
from controlplane.model.unit import Epoch, Nanos

_RUNS = (EpochStarted, IncidentOpened, IncidentClosed, IncidentMerged, OriginMoved, EvidenceAdded)  # where, since when
PROBES_TO_PASS = 3  # active probes in a row that count like passed real requests


class Engine:
    """Deterministic: the same signals with the same times give the same outcomes, byte for byte."""

    def __init__(
        self,
        topology: Topology,
        policy: ResponsePolicy,
        graph: GraphPolicy | None = None,
        *,
        playbooks: Iterable[Playbook] = (),
        people: People | None = None,
    ) -> None:
        self.topology, self.policy, self.people = topology, policy, people or People()
        self.state = State(mode=policy.mode)
        self.graph = DependencyGraph(topology, graph)
        safety.refuse_blank(policy, key="response")
        self._evidence = Evidence(self.graph)
        self._shelf = Shelf(tuple(playbooks), topology)
        self._seen = safety.Seen(topology)
        self._watch = Watch(topology)
        self._probes: dict[Target, int] = {}
        self._unwritten = 0
        self._wake_at: Nanos | None = None

    def restore(self, records: Iterable[Record]) -> None:
        """Fold what is on record. Call before `start`."""
        for record in records:
            fold(self.state, record)

    def start(self, now: Nanos, *, boot: str, wall_ns: int) -> Outcome:
        """Begin a new epoch: what is still in force is ordered again under it, what lapsed meanwhile is probed."""
        self._seen.prepare()
        draft = self._draft(now)
        shift_ns = clock.shift_ns(self.state, now, boot, wall_ns)
        stepped = clock.stepped(self.state, now, boot, wall_ns)
        epoch = Epoch(self.state.epoch + 1)
        draft.record(EpochStarted(at=now, epoch=epoch, boot=boot, wall_ns=wall_ns, shift_ns=shift_ns))
        outbox.tell_again(draft)
        if stepped:
            draft.notice(None, "warning", stepped, "clock")
        people.lapse(draft)
        reconcile.follow_topology(draft)
        penalty.follow_topology(draft)
        reconcile.follow_mode(draft, self._evidence)
        for incident in self.state.open_incidents():
            if incident.phase is not Phase.RECOVERY:  # what harm it did while nobody watched is not known
                self._evidence.felt(incident, now)
        for command in list(self.state.in_force.values()):
            if command.lease_until > now:
                draft.issue(msgspec.structs.replace(command, epoch=epoch))
                continue
            draft.record(LeaseExpired(at=now, incident=command.incident, command=command.id, target=command.target))
            if (found := self.state.containment(command.target)) is not None:
                respond.reopen(draft, self._evidence, *found)
        reconcile.restore_again(draft, epoch)
        side.start(draft)
        posture.start(draft, self._watch)
        rollback.start(draft)
        drift.start(draft, self._evidence.fingerprints)
        return self._outcome(draft, everything=True)

    def tick(self, now: Nanos) -> Outcome:
        """What time alone brings. Call at the last outcome's `wake_at`, after sampling the sources."""
        draft = self._draft(now)
        people.lapse(draft)
        watch.silent(draft, self._evidence)
        alert.stand(draft, self._evidence)
        drift.tick(draft, self._evidence.fingerprints)
        tend.tend(draft, self._evidence)
        spread.measure(draft, self._evidence)
        self._wake_at = None
        return self._outcome(draft, everything=True)

    def step(self, signal: Signal, now: Nanos) -> Outcome:
        """The outcome of one fact."""
        draft = self._draft(now)
        if wrong := safety.wrong_signal(signal, now) or safety.unknown(signal, self.topology):
            watch.invalid(draft, self._evidence, signal, wrong)
            return self._outcome(draft)
        self._seen.note(signal, now)
        guards = self._watch.note(signal)
        match signal:
            case on.Tripped():
                respond.trip(draft, self._evidence, signal)
            case on.Drifted():
                watch.drifted(draft, signal)
            case on.Heartbeat():
                watch.beat(draft, self._evidence, signal)
            case on.Alerted():
                alert.hear(draft, self._evidence, signal)
            case on.Probed():
                respond.probed(draft, self._evidence, signal)
            case on.Sampled():
                self._evidence.sampled(signal)
                self._evidence.credits.sampled(draft, signal)
                partial.served(draft, self._evidence, signal.target)
            case on.Relayed():
                self.graph.hear(signal.caller, signal.callee, signal.at)
                respond.relayed(draft, self._evidence, signal)
            case on.EntrySampled():
                self._entry(draft, signal)
            case on.FellBack():
                self._fell_back(draft, signal)
            case on.CallsFinished():
                self._reported(draft, signal)
            case on.EdgeSampled():
                self.graph.observe(signal)
                self._evidence.expected.heard(signal)
                self._evidence.heard(signal)
                watch.stormed(draft, *self._evidence.storms.edge(signal))
                self._evidence.credits.edge_sampled(draft, signal)
                if self.state.open and not signal.caller and signal.callee == self.topology.entry:
                    self._users_told(signal)
            case on.Condition():
                unfinished.hear(draft, self._evidence, signal)
            case on.ProbeFinished():
                self._probe_finished(draft, signal)
            case on.Effective():
                self._effective(draft, signal)
            case on.Acted():
                self._acted(draft, signal)
            case on.Ordered():
                people.ordered(draft, self._evidence, signal)
            case on.Told():
                outbox.told(draft, signal)
            case on.RolledBack():
                rollback.ended(draft, signal)
            case on.FingerprintSeen():
                drift.seen(draft, self._evidence.fingerprints, signal)
            case on.Changed():
                versions.changed(draft, signal)
            case on.VersionsCounted():
                versions.counted(draft, self._evidence, signal)
            case on.PlaneCompared():
                drift.compared(draft, self._evidence.fingerprints, signal)
            case on.Acknowledged():
                escalation.acknowledged(draft, signal)
            case on.Unwritten():
                self._journal(draft, signal)
        if guards:
            posture.follow(draft, self._evidence, self._watch)
        return self._outcome(draft)

    def service_states(self, now: Nanos, *, notable: bool = False) -> list[ServiceState]:
        """Every declared service as users see it and as it is inside (`masked.service_states`). Changes nothing."""
        return masked.service_states(self.state, self._evidence, self.topology, now, notable=notable)

    def storms(self) -> list[Storm]:
        """The retry storms of now."""
        return list(self._evidence.storms.raging.values())

    def _draft(self, now: Nanos) -> Draft:
        return Draft(self.state, self.topology, self.policy, now, seen=self._seen, people=self.people)

    def _outcome(self, draft: Draft, *, everything: bool = False) -> Outcome:
        """A step may bring the next tick nearer, never push it away: a stream of signals must not starve it."""
        if not draft.records and not everything:  # as most signals: nothing is another than before
            for due_at in self._evidence.due():
                if due_at is not None and (self._wake_at is None or due_at < self._wake_at):
                    self._wake_at = due_at
            return draft.outcome(self._wake_at)
        self._shelf.follow(draft, self._evidence, everything=everything)
        context.add(draft)
        posture.follow(draft, self._evidence, self._watch)
        lifecycle.follow_all(draft, self._evidence, everything=everything)
        if self.people.ladders:
            changed = (name for record in draft.records for name in lifecycle.about(record))
            escalation.follow(draft, list(self.state.open if everything else dict.fromkeys(changed)))
        times = [tend.sooner(draft) if self._wake_at is not None else tend.wake_at(draft)]
        times += [*self._evidence.due(), self.state.standing.due(), self._wake_at]
        soonest = min((at for at in times if at is not None), default=None)
        self._wake_at = soonest
        outcome = draft.outcome(soonest)
        if any(isinstance(record, _RUNS) for record in outcome.records):
            # what is seen while an incident runs must not become normal
            running = alert.with_evidence(self.state)
            self.graph.follow(running, draft.now)
            self._evidence.follow(running)
        return outcome

    def _entry(self, draft: Draft, signal: on.EntrySampled) -> None:
        self._evidence.entry.observe(signal)
        watch.unexplained(draft, self._evidence)
        watch.stormed(draft, *self._evidence.storms.entry(signal, self.topology.entry))
        visible = signal.failed > 0 and self._evidence.entry.visible(draft.now)
        for incident in self._evidence.active(self.state.open_incidents(), draft.now):
            if visible:
                self._evidence.felt(incident, signal.at)
            requests = self._evidence.unaccounted.get(incident.id, 0) + signal.requests
            harmed = signal.failed or signal.slow
            self._evidence.unaccounted[incident.id] = 0 if harmed else requests
            if harmed:  # good news alone is not worth a line in the journal: it is summed until it ends or turns
                draft.record(
                    ImpactCounted(
                        at=draft.now,
                        incident=incident.id,
                        requests=requests,
                        failed=signal.failed,
                        slow=signal.slow,
                    )
                )

    def _users_told(self, sample: on.EdgeSampled) -> None:
        """What somebody else counted of users' requests: no impact of this process, but harm that is there to see."""
        users = self._evidence.users_elsewhere
        users.observe(on.EntrySampled(at=sample.at, requests=sample.calls, failed=sample.failures, slow=0))
        if sample.failures and users.visible(sample.at):
            for incident in self._evidence.active(self.state.open_incidents(), sample.at):
                self._evidence.felt(incident, sample.at)

    def _fell_back(self, draft: Draft, signal: on.FellBack) -> None:
        self._evidence.fell_back_at[signal.service] = signal.at
        self._evidence.fallbacks[signal.service] = self._evidence.fallbacks.get(signal.service, 0) + signal.count
        incident = self.state.open_at(signal.service)
        if incident is not None:
            draft.record(ImpactCounted(at=draft.now, incident=incident.id, fallbacks=signal.count))

    def _reported(
        self, draft: Draft, report: on.CallsFinished, cause: Cause | None = None, by: str = "reports"
    ) -> None:
        """Evidence of others, put through the engine's own sequential test."""
        target, calls, failures, slow = report.target, report.calls, report.failures, report.slow
        sound = calls >= 1 and 0 <= failures <= calls and 0 <= slow <= calls
        if draft.topology.service(target.service) is None or not sound:
            return
        verdict, began_at = self._evidence.judge(report)
        sample = on.Sampled(at=report.at, target=target, calls=calls, failures=failures, slow=slow)
        self._evidence.sampled(sample)
        self._evidence.credits.sampled(draft, sample)
        if verdict is None:
            return
        found, test = verdict
        cause = cause or found
        siblings = self._siblings(target)
        capped = bool(siblings) and not any(self._evidence.detector.clean(sibling) for sibling in siblings)
        trip = Tripped(
            at=report.at,
            target=target,
            cause=cause,
            calls=test.calls,
            failures=test.failures,
            capped=capped,
            began_at=began_at,
            by=report.caller or by,
        )
        respond.trip(draft, self._evidence, trip)

    def _siblings(self, target: Target) -> list[Target]:
        service = self.topology.service(target.service)
        if service is None or not target.endpoint:
            return []
        return [Target(service.name, other.name) for other in service.endpoints if other.name != target.endpoint]

    def _probe_finished(self, draft: Draft, signal: on.ProbeFinished) -> None:
        """Active probes accuse like calls, and acquit an ejected endpoint that no real request can reach."""
        self._evidence.asked(signal)
        report = on.CallsFinished(at=signal.at, target=signal.target, calls=1, failures=0 if signal.ok else 1)
        self._reported(draft, report, Cause.UNREACHABLE, "probes")
        passed = self._probes.get(signal.target, 0) + 1 if signal.ok else 0
        self._probes[signal.target] = passed
        found = self.state.containment(signal.target)
        if found is not None and passed >= PROBES_TO_PASS:
            respond.probed(draft, self._evidence, on.Probed(at=signal.at, target=signal.target, passed=True))

    def _effective(self, draft: Draft, signal: on.Effective) -> None:
        found = self.state.containment(signal.target)
        incident = self.state.open_at(signal.target.service) if found is None else found[0]
        if incident is not None:
            draft.record(
                BecameEffective(at=signal.at, incident=incident.id, target=signal.target, signal_at=signal.signal_at)
            )

    def _acted(self, draft: Draft, signal: on.Acted) -> None:
        if (found := self.state.ordered(signal.command)) is not None:
            if signal.rule:  # a rule that data planes keep
                draft.refuse(found[0], found[1].target, found[1].intent, signal.rule, signal.reason)
            respond.acted(draft, self._evidence, *found, signal)
        else:
            reconcile.restored(draft, signal)

    def _journal(self, draft: Draft, signal: on.Unwritten) -> None:
        if signal.records:
            self._unwritten += signal.records
            draft.notice(None, "critical", f"the journal does not take records: {signal.reason}", "journal")
        elif self._unwritten:
            draft.record(JournalGap(at=draft.now, records=self._unwritten, reason=signal.reason or "it failed"))
            draft.notice(
                None, "warning", f"the journal works again; {self._unwritten} records are lost", "journal back"
            )
            self._unwritten = 0

"""An outcome in the making: every record is folded into the state the moment it is drafted."""

from typing import TYPE_CHECKING

from controlplane.decide import lifecycle, safety
from controlplane.decide.state import State, fold
from controlplane.model.command import Command, Intent, Restore
from controlplane.model.incident import MOVES, Incident, Phase
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import CommandIssued, CommandRefused, IncidentClosed, Record, StageChanged
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import CommandId, Epoch, Nanos, to_nanos

if TYPE_CHECKING:
    from controlplane.decide.recovery import Step


class Draft:
    """Collects the effects of one step, in their order."""

    def __init__(self, state: State, topology: Topology, policy: ResponsePolicy, now: Nanos) -> None:
        self.state, self.topology, self.policy, self.now = state, topology, policy, now
        self.records: list[Record] = []
        self._commands: list[Command] = []
        self._notices: list[Notice] = []

    def record(self, record: Record) -> None:
        """Put a fact on the list and into the state."""
        fold(self.state, record)
        self.records.append(record)

    def notice(self, incident: Incident | None, severity: str, text: str, key: str = "") -> None:
        """Tell people. The same key twice is the same news."""
        name = incident.id if incident is not None else None
        self._notices.append(Notice(f"{name or 'plane'}:{key or text}", name, severity, text, self.now))

    def order(
        self,
        incident: Incident,
        target: Target,
        intent: Intent,
        evidence: str,
        *,
        signal_at: Nanos,
        reflex: bool = False,
    ) -> CommandId | None:
        """Issue `intent` if every safety rule agrees, and return its id; otherwise put the refusal on record."""
        refused = safety.forbidden(
            target, intent, state=self.state, topology=self.topology, policy=self.policy, now=self.now
        )
        if refused is not None:
            self.refuse(incident, target, intent, *refused)
            return None
        return self.overrule(incident, target, intent, evidence, signal_at=signal_at, reflex=reflex)

    def overrule(
        self,
        incident: Incident,
        target: Target,
        intent: Intent,
        evidence: str,
        *,
        signal_at: Nanos,
        reflex: bool = False,
    ) -> CommandId:
        """Issue `intent` whatever the safety rules say, and return its id: for what a person ordered."""
        name = CommandId(f"c{self.state.commands_total + 1}")
        self.issue(
            Command(
                id=name,
                epoch=Epoch(self.state.epoch),
                incident=incident.id,
                target=target,
                intent=intent,
                lease_until=Nanos(self.now + to_nanos(self.policy.lease_s)),
                undo=Restore(),
                charge=safety.charge(intent, self.topology),
                enforcement="shadow" if incident.shadow else "full",
                evidence=evidence,
                signal_at=signal_at,
                reflex=reflex,
            )
        )
        return name

    def issue(self, command: Command) -> None:
        """Put `command` on record, then on the list of acts."""
        self.record(CommandIssued(at=self.now, command=command))
        self._commands.append(command)

    def move(self, incident: Incident, phase: Phase, reason: str) -> None:
        """Bring `incident` to `phase`, and say why; nothing where it is there already."""
        for record in lifecycle.move(incident, phase, reason, self.now):
            self.record(record)

    def refuse(self, incident: Incident, target: Target, intent: Intent, rule: str, reason: str) -> None:
        """Record that `rule` forbade `intent`; the same refusal again in the same incident is not news."""
        if f"{rule}: {reason}" not in incident.refused:
            self.record(
                CommandRefused(
                    at=self.now, incident=incident.id, target=target, intent=intent, rule=rule, reason=reason
                )
            )

    def stage(self, incident: Incident, target: Target, step: "Step", command: CommandId | None) -> None:
        """Record that a containment has come to a new stage."""
        self.record(
            StageChanged(
                at=self.now,
                incident=incident.id,
                target=target,
                stage=step.stage,
                percent=step.percent,
                penalty_ns=step.penalty_ns,
                relapses=step.relapses,
                reason=step.reason,
                overload=step.concurrency > 0,
                concurrency=step.concurrency,
                command=command,
            )
        )

    def close(self, incident: Incident, reason: str) -> None:
        """Close `incident` and say so."""
        assert Phase.CLOSED in MOVES[incident.phase], incident.phase
        self.record(IncidentClosed(at=self.now, incident=incident.id, reason=reason))
        self.notice(incident, "info", f"{incident.id} closed: {incident.origin}: {reason}", "closed")

    def outcome(self, wake_at: Nanos | None) -> Outcome:
        """Everything drafted, as the value the loop carries out."""
        return Outcome(tuple(self.records), tuple(self._commands), tuple(self._notices), wake_at)

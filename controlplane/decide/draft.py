"""An outcome in the making: every record is folded into the state the moment it is drafted."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from controlplane.decide import escalation, safety
from controlplane.decide.state import State, describe, fold
from controlplane.model.command import (
    CapRetries,
    Close,
    Command,
    Enforcement,
    FailOver,
    Harden,
    Intent,
    Probe,
    Restore,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.escalation import People
from controlplane.model.incident import MOVES, Incident, Phase, Stage
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ActKind, ResponsePolicy
from controlplane.model.record import (
    CommandIssued,
    CommandRefused,
    Escalated,
    IncidentClosed,
    NoticeIssued,
    Record,
    StageChanged,
)
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import CommandId, Epoch, Nanos, to_nanos

if TYPE_CHECKING:
    from controlplane.decide.recovery import Step


class Draft:
    """Collects the effects of one step, in their order."""

    def __init__(
        self,
        state: State,
        topology: Topology,
        policy: ResponsePolicy,
        now: Nanos,
        *,
        seen: safety.Seen | None = None,
        people: People | None = None,
    ) -> None:
        self.state, self.topology, self.policy, self.now = state, topology, policy, now
        self.seen = seen if seen is not None else safety.Seen(topology)
        self.people = people if people is not None else People()
        self.records: list[Record] = []
        self._commands: list[Command] = []
        self._notices: list[Notice] = []
        self._playbook, self.share = "", policy.share
        self.refusal = ""  # the last one, on record already or not

    def record(self, record: Record) -> None:
        """Put a fact on the list and into the state."""
        fold(self.state, record)
        self.records.append(record)

    @contextmanager
    def by(self, playbook: str, share: Callable[[ActKind, ResponsePolicy], int]) -> Iterator[None]:
        """What is ordered meanwhile is ordered by `playbook`; `share` says how far each kind of act is enforced."""
        self._playbook, self.share = playbook, lambda kind: share(kind, self.policy)
        try:
            yield
        finally:
            self._playbook, self.share = "", self.policy.share

    def again(self, command: Command) -> AbstractContextManager[None]:
        """What is ordered meanwhile goes on with `command`: for whom and for what share of the calls that one was."""
        return self.by(command.playbook, lambda *_: command.percent) if command.playbook else nullcontext()

    def notice(
        self,
        incident: Incident | None,
        severity: str,
        text: str,
        key: str = "",
        *,
        to: tuple[str, ...] | None = None,
    ) -> None:
        """Tell people: `to`, else whoever the ladder of `incident` has reached, else everybody.

        The same key twice is the same news: while it is still on its way it is not sent once more.
        """
        name = incident.id if incident is not None else None
        if incident is not None and to is None:
            to = escalation.audience(self, incident)
        notice = Notice(
            f"{name or 'plane'}:{key or text}",
            name,
            severity,
            text,
            self.now,
            id=f"{self.state.born:x}-{self.state.notices_total + 1}",
            to=to,
            wall_ns=self.now + self.state.wall_offset_ns,
            since_wall_ns=0 if incident is None else incident.opened_at + self.state.wall_offset_ns,
            service="" if incident is None else incident.origin.service,
            cause="" if incident is None else str(incident.cause),
        )
        if notice.key not in self.state.untold:
            self.record(NoticeIssued(at=self.now, notice=notice))
            self.hand_out(notice)

    def hand_out(self, notice: Notice) -> None:
        """Have `notice`, which is on record, delivered."""
        self._notices.append(notice)

    def order(
        self,
        incident: Incident,
        target: Target,
        intent: Intent,
        evidence: str,
        *,
        signal_at: Nanos,
        reflex: bool = False,
        kind: ActKind | None = None,
        undo: Intent | None = None,
        lease_s: float | None = None,
        avoids: float | None = None,
    ) -> CommandId | None:
        """Issue `intent` if every safety rule agrees, and return its id; otherwise put the refusal on record.

        How far the order is enforced is the policy's to say for each kind of act. In shadow it is on record, once per
        incident, for no data plane, and `stage` makes no containment of it.
        `kind`: where the intent alone does not say it, as for a `Weigh` that takes traffic away ("reroute").
        `undo`, `lease_s`: where they are not those of every order. `avoids`: see `Command`.
        """
        act = kind or safety.kind_of(intent)
        if act is None:
            intent = self._no_less(target, intent)
        if act in ("eject", "reroute") and not self._playbook:  # a playbook names endpoints, it finds none bad
            self.seen.verdict(target, incident.cause, self.now)
        verdict = safety.judge(
            safety.question(
                target,
                intent,
                state=self.state,
                topology=self.topology,
                policy=self.policy,
                now=self.now,
                kind=act,
                seen=self.seen,
            )
        )
        if verdict.refused is not None:
            self.refuse(incident, target, intent, *verdict.refused)
            if verdict.refused[0] == "loop_guard":
                self.escalate(incident, verdict.refused[1])
            return None
        share = 100 if act is None else self.share(act)
        if share == 0 and not incident.shadow and self._reported(incident, target, act):
            return None
        return self.overrule(
            incident,
            target,
            intent,
            evidence,
            signal_at=signal_at,
            reflex=reflex,
            kind=act,
            undo=undo,
            lease_s=lease_s,
            avoids=avoids,
            share=share,
            overrides=verdict.overrides,
        )

    def overrule(
        self,
        incident: Incident,
        target: Target,
        intent: Intent,
        evidence: str,
        *,
        signal_at: Nanos,
        reflex: bool = False,
        kind: ActKind | None = None,
        undo: Intent | None = None,
        lease_s: float | None = None,
        avoids: float | None = None,
        share: int = 100,
        overrides: tuple[str, ...] = (),
    ) -> CommandId:
        """Issue `intent` whatever the safety rules say, and return its id: for what a person ordered.

        `share`: percent of the calls to which it applies, 0 in shadow. `overrides`: the rules set aside for it.
        """
        name = CommandId(f"c{self.state.commands_total + 1}")
        enforcement: Enforcement = "shadow" if incident.shadow or not share else "full" if share == 100 else "percent"
        percent = share if enforcement == "percent" else 100
        command = Command(
            id=name,
            epoch=Epoch(self.state.epoch),
            incident=incident.id,
            target=target,
            intent=intent,
            lease_until=self._lease_until(target, intent, kind, lease_s),
            undo=undo if undo is not None else _undo_of(intent),
            charge=safety.charge(intent, self.topology, target=target, kind=kind, percent=percent),
            enforcement=enforcement,
            percent=percent,
            overrides=", ".join(overrides),
            playbook=self._playbook,
            kind=kind,
            avoids=avoids,
            evidence=evidence,
            signal_at=signal_at,
            reflex=reflex,
        )
        if enforcement == "shadow" and not incident.shadow:
            self.record(CommandIssued(at=self.now, command=command))
            text = f"{incident.id} would order, in shadow: {describe(command)}: {evidence}"
            self.notice(incident, "info", text, f"shadow:{name}")
        else:
            self.issue(command)
        if overrides:
            text = f"{describe(command)} goes against {command.overrides}, set aside by a person"
            self.notice(incident, "critical", text, f"overrides:{name}")
        return name

    def _lease_until(self, target: Target, intent: Intent, kind: ActKind | None, lease_s: float | None) -> Nanos:
        """Under a freeze giving back makes nothing last longer."""
        until = Nanos(self.now + to_nanos(self.policy.lease_s if lease_s is None else lease_s))
        held = self.state.in_force.get(str(target))
        if self.state.frozen and kind is None and held is not None and not isinstance(intent, Restore):
            return min(until, held.lease_until)
        return until

    def _in_shadow(self, incident: Incident, command: CommandId) -> bool:
        last = next((one for one in reversed(incident.commands) if one.id == command), None)
        return last is not None and last.enforcement == "shadow"

    def _no_less(self, target: Target, intent: Intent) -> Intent:
        """Where containments apply to a part of the calls only, no step of giving back takes more away than they did:
        who keeps the rest of its share is probed by it."""
        share = self.policy.share("eject" if target.endpoint else "isolate")
        if not 0 < share < 100 or not isinstance(intent, Probe | Weigh):
            return intent
        return Weigh(max(100 - share, intent.percent if isinstance(intent, Weigh) else 0))

    def _reported(self, incident: Incident, target: Target, kind: ActKind | None) -> bool:
        """Whether it is on record that this kind of act would have been ordered."""
        return any(
            command.enforcement == "shadow" and command.kind == kind and command.target == target
            for command in incident.commands
        )

    def issue(self, command: Command) -> None:
        """Put `command` on record, then on the list of acts."""
        self.record(CommandIssued(at=self.now, command=command))
        self._commands.append(command)

    def refuse(self, incident: Incident, target: Target, intent: Intent, rule: str, reason: str) -> None:
        """Record that `rule` forbade `intent`; the same refusal again in the same incident is not news."""
        self.refusal = f"{rule}: {reason}"
        if f"{rule}: {reason}" not in incident.refused:
            self.record(
                CommandRefused(
                    at=self.now, incident=incident.id, target=target, intent=intent, rule=rule, reason=reason
                )
            )

    def escalate(self, incident: Incident, reason: str) -> None:
        """Call a person, once per incident."""
        if not incident.escalated:
            self.record(Escalated(at=self.now, incident=incident.id, reason=reason))
            self.notice(incident, "critical", f"{incident.id} needs a person: {reason}", "escalated")

    def stage(self, incident: Incident, target: Target, step: "Step", command: CommandId | None) -> None:
        """Record that a containment has come to a new stage; an order in shadow contains nothing."""
        if command is not None and not incident.shadow and self._in_shadow(incident, command):
            return
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
                overload=step.concurrency > 0 and step.stage in (Stage.HOLD, Stage.RAMP),
                concurrency=step.concurrency,
                hold_ns=step.hold_ns,
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


def _undo_of(intent: Intent) -> Restore:
    """What takes `intent` back, and nothing else of its target."""
    match intent:
        case FailOver():
            return Restore(what="fail_over")
        case CapRetries():
            return Restore(what="cap_retries")
        case Shed():
            return Restore(what="shed")
        case Tighten():
            return Restore(what="tighten")
        case Close():
            return Restore(what="close")
        case Harden():
            return Restore(what="harden")
        case _:
            return Restore()

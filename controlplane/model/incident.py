"""An incident as people see it, and the table of its phases."""

from enum import StrEnum

import msgspec

from controlplane.model.analysis import Analysis
from controlplane.model.command import Command
from controlplane.model.escalation import Climb, Telling
from controlplane.model.plan import Enacted
from controlplane.model.playbook import Used
from controlplane.model.posture import Finding
from controlplane.model.signal import Cause, ConditionKind, Target
from controlplane.model.unit import CommandId, IncidentId, Nanos

CHILDREN_MAX = 200  # listed per incident; a storm of more says nothing new


class Phase(StrEnum):
    """What an incident waits for; `MOVES` is the whole truth about their order. Words: docs/concepts/lifecycle.md."""

    DETECTION = "detection"
    CONTAINMENT = "containment"
    COMMUNICATION = "communication"
    STABILIZATION = "stabilization"
    RECOVERY = "recovery"
    CLOSED = "closed"

    @classmethod
    def _missing_(cls, value: object) -> "Phase | None":
        """Journals written before these phases were named say what had been reached, not what was waited for."""
        return _REACHED.get(value) if isinstance(value, str) else None


_REACHED = {
    "detected": Phase.DETECTION,
    "contained": Phase.STABILIZATION,
    "recovering": Phase.RECOVERY,
    "verified": Phase.RECOVERY,
}

MOVES: dict[Phase, tuple[Phase, ...]] = {
    Phase.DETECTION: (Phase.CONTAINMENT, Phase.COMMUNICATION, Phase.CLOSED),  # communication: nothing to order
    Phase.CONTAINMENT: (Phase.COMMUNICATION, Phase.CLOSED),
    Phase.COMMUNICATION: (Phase.CONTAINMENT, Phase.STABILIZATION, Phase.CLOSED),
    Phase.STABILIZATION: (Phase.CONTAINMENT, Phase.RECOVERY, Phase.CLOSED),
    Phase.RECOVERY: (Phase.CONTAINMENT, Phase.STABILIZATION, Phase.CLOSED),  # a relapse; harm that is seen again
    Phase.CLOSED: (),  # from before recovery: a person changed the mode, or it is part of another incident
}


class Stage(StrEnum):
    """Stages in which a contained target earns its traffic back; a relapse starts again at HOLD, for longer."""

    HOLD = "hold"
    PROBE = "probe"
    RAMP = "ramp"
    FULL = "full"
    VERIFIED = "verified"


class Moment(msgspec.Struct, frozen=True):
    """One line of an incident's timeline."""

    at: Nanos
    what: str


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of an incident's cause: what it said of which target, when, and by whom it was reported.

    `incident`: it had been an incident of its own, which was merged into this one; empty: it never was.
    """

    target: Target
    cause: Cause
    at: Nanos
    evidence: str
    by: str = ""
    incident: str = ""


class Containment(msgspec.Struct, kw_only=True):
    """A target under containment: where its recovery stands and what was ordered last."""

    target: Target
    stage: Stage
    percent: int
    since: Nanos
    penalty_ns: Nanos
    relapses: int = 0
    command: CommandId | None = None
    overload: bool = False
    concurrency: int = 0
    hold_ns: Nanos = Nanos(0)  # how long a hold lasts: the penalty and its jitter


class Incident(msgspec.Struct, kw_only=True):
    """One failure with one cause. Many alerts of it are one incident: the first opened it, the others are `children`.

    signal_at      the result that decided; times to contain, stabilize and recover count from here
    began_at       the earliest evidence of it; time to detect is from there to `signal_at`. None: not known
    contained_at   all that was ordered was in force, for the first time. None: never, so far
    stabilized_at  harm had stopped spreading, for the first time
    recovered_at   it closed, and all that was held back was verified
    phases         when each phase was entered first; `moved_at`: the present one
    spread_at      when a further target was last drawn in
    taken          a data plane has taken an order that holds something back
    unanswered     orders that no data plane has answered for yet
    untold         notices about it that nobody has acknowledged yet, and when they were issued
    reached        services where failures beyond normal were seen while it was open; `reached_edges`: (caller, callee)
    merged_into    it went on as a child of that incident
    """

    id: IncidentId
    origin: Target
    cause: Cause
    phase: Phase
    opened_at: Nanos
    signal_at: Nanos
    shadow: bool
    first: Child | None = None
    began_at: Nanos | None = None
    masked: bool = False
    masked_reason: str = ""
    version: str = ""
    effective_at: Nanos | None = None
    contained_at: Nanos | None = None
    stabilized_at: Nanos | None = None
    recovered_at: Nanos | None = None
    closed_at: Nanos | None = None
    phases: dict[Phase, Nanos] = msgspec.field(default_factory=dict)
    moved_at: Nanos = Nanos(0)
    spread_at: Nanos = Nanos(0)
    touched: list[Target] = msgspec.field(default_factory=list)
    children: list[Child] = msgspec.field(default_factory=list)
    merged_into: str = ""
    containments: dict[str, Containment] = msgspec.field(default_factory=dict)
    commands: list[Command] = msgspec.field(default_factory=list)
    taken: bool = False
    unanswered: list[CommandId] = msgspec.field(default_factory=list)
    untold: dict[str, Nanos] = msgspec.field(default_factory=dict)
    refused: list[str] = msgspec.field(default_factory=list)
    evidence: list[str] = msgspec.field(default_factory=list)
    timeline: list[Moment] = msgspec.field(default_factory=list)
    user_requests: int = 0
    user_failed: int = 0
    user_slow: int = 0
    fallbacks: int = 0
    reached: list[str] = msgspec.field(default_factory=list)
    reached_edges: list[tuple[str, str]] = msgspec.field(default_factory=list)
    escalated: bool = False
    analysis: Analysis | None = None
    unfinished: dict[ConditionKind, str] = msgspec.field(default_factory=dict)  # what its recovery waits for, and why
    plan: Enacted | None = None
    playbooks: list[Used] = msgspec.field(default_factory=list)  # that fit it
    by_hand: list[str] = msgspec.field(default_factory=list)  # what was left to people, one sentence for each step
    climb: Climb = msgspec.field(default_factory=Climb)  # of its owner's ladder
    told: list[Telling] = msgspec.field(default_factory=list)  # the newest notices about it, and who had them
    findings: list[Finding] = msgspec.field(default_factory=list)  # guards that were degraded in it
    unhelpful: list[str] = msgspec.field(default_factory=list)  # keys of plans that did not help: not tried again

    @property
    def to_detect_ns(self) -> int | None:
        """From the earliest evidence to the deciding signal; None: not known."""
        return None if self.began_at is None else self.signal_at - self.began_at

    @property
    def to_contain_ns(self) -> int | None:
        """From the deciding signal until all that was ordered was in force; None: not reached."""
        return self._after_signal(self.contained_at)

    @property
    def to_stabilize_ns(self) -> int | None:
        """From the deciding signal until harm had stopped spreading; None: not reached."""
        return self._after_signal(self.stabilized_at)

    @property
    def to_recover_ns(self) -> int | None:
        """From the deciding signal until all was verified; None: not reached."""
        return self._after_signal(self.recovered_at)

    @property
    def predicted(self) -> list[str]:
        """Services that the newest assessment expects it to reach; empty without one."""
        return [] if self.analysis is None else sorted({impact.service for impact in self.analysis.blast})

    def alerted(self, target: Target, cause: Cause, by: str) -> bool:
        """Whether `by` has reported that about `target` already, in this incident."""
        return any(one.target == target and one.cause is cause and one.by == by for one in self.alerts())

    def alerts(self) -> list[Child]:
        """What was reported of it, the first one first."""
        return self.children if self.first is None else [self.first, *self.children]

    def command(self, name: CommandId) -> Command | None:
        """Its order of that id, or None."""
        return next((command for command in reversed(self.commands) if command.id == name), None)

    def _after_signal(self, at: Nanos | None) -> int | None:
        return None if at is None else at - self.signal_at

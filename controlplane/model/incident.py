"""An incident as people see it, and the table of its phases."""

from enum import StrEnum

import msgspec

from controlplane.model.analysis import Analysis
from controlplane.model.command import Command
from controlplane.model.plan import Enacted
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import CommandId, IncidentId, Nanos


class Phase(StrEnum):
    """Phases of an incident; `MOVES` is the whole truth about their order."""

    DETECTED = "detected"
    CONTAINED = "contained"
    RECOVERING = "recovering"
    VERIFIED = "verified"
    CLOSED = "closed"


MOVES: dict[Phase, tuple[Phase, ...]] = {
    Phase.DETECTED: (Phase.CONTAINED, Phase.VERIFIED, Phase.CLOSED),  # it may clear before anything was done
    Phase.CONTAINED: (Phase.RECOVERING, Phase.VERIFIED, Phase.CLOSED),  # closed unverified: a person changed the mode
    Phase.RECOVERING: (Phase.CONTAINED, Phase.VERIFIED, Phase.CLOSED),  # a relapse goes back
    Phase.VERIFIED: (Phase.CONTAINED, Phase.CLOSED),
    Phase.CLOSED: (),
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


class Incident(msgspec.Struct, kw_only=True):
    """One failure with one cause. Many alerts of it are one incident."""

    id: IncidentId
    origin: Target
    cause: Cause
    phase: Phase
    opened_at: Nanos
    signal_at: Nanos
    shadow: bool
    masked: bool = False
    masked_reason: str = ""
    version: str = ""
    effective_at: Nanos | None = None
    closed_at: Nanos | None = None
    phases: dict[Phase, Nanos] = msgspec.field(default_factory=dict)
    touched: list[Target] = msgspec.field(default_factory=list)
    containments: dict[str, Containment] = msgspec.field(default_factory=dict)
    commands: list[Command] = msgspec.field(default_factory=list)
    refused: list[str] = msgspec.field(default_factory=list)
    evidence: list[str] = msgspec.field(default_factory=list)
    timeline: list[Moment] = msgspec.field(default_factory=list)
    user_requests: int = 0
    user_failed: int = 0
    user_slow: int = 0
    fallbacks: int = 0
    escalated: bool = False
    analysis: Analysis | None = None
    plan: Enacted | None = None
    by_hand: list[str] = msgspec.field(default_factory=list)  # what was left to people, one sentence for each step
    unhelpful: list[str] = msgspec.field(default_factory=list)  # keys of plans that did not help: not tried again

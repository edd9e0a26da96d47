"""What goes on record: the facts that, folded in order, rebuild the engine's state after a restart.

Records are past tense. A record never changes once written; new meaning is a new type.
"""

from controlplane.model.analysis import Analysis
from controlplane.model.base import RecordBase
from controlplane.model.change import ChangeNoted as ChangeNoted
from controlplane.model.change import RegressionTold as RegressionTold
from controlplane.model.change import VersionFound as VersionFound
from controlplane.model.command import Command, Intent
from controlplane.model.drift import DriftCleared as DriftCleared
from controlplane.model.drift import DriftFound as DriftFound
from controlplane.model.drift import FingerprintNoted as FingerprintNoted
from controlplane.model.escalation import IncidentAcknowledged as IncidentAcknowledged
from controlplane.model.escalation import RungClimbed as RungClimbed
from controlplane.model.incident import Phase, Stage
from controlplane.model.notice import Notice
from controlplane.model.plan import Enacted
from controlplane.model.playbook import PlaybookMatched as PlaybookMatched
from controlplane.model.playbook import PlaybookReliability as PlaybookReliability
from controlplane.model.playbook import PlaybookStepped as PlaybookStepped
from controlplane.model.posture import PostureChanged as PostureChanged
from controlplane.model.posture import PostureCleared as PostureCleared
from controlplane.model.posture import PostureFound as PostureFound
from controlplane.model.recording import Recording
from controlplane.model.signal import Cause, ConditionKind, PersonOrder, Target
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos


class EpochStarted(RecordBase, frozen=True, tag="epoch_started"):
    """An engine began to write. `shift_ns` is added to every time on record so far: zero on the same boot, else the
    distance between two monotonic clocks, reckoned so that no lease becomes longer than it was."""

    epoch: Epoch
    boot: str
    wall_ns: int
    shift_ns: int = 0


class IncidentOpened(RecordBase, frozen=True, tag="incident_opened"):
    """`began_at`: the earliest evidence there is, None: not known. `by`: who reported it."""

    incident: IncidentId
    origin: Target
    cause: Cause
    signal_at: Nanos
    shadow: bool
    evidence: str
    began_at: Nanos | None = None
    by: str = ""


class EvidenceAdded(RecordBase, frozen=True, tag="evidence_added"):
    """More of the same cause; `target` has become part of the incident. `cause` and `version` replace what was held.

    `alert`: it is a child, an alert of its own, of that cause, reported by `by`. None: it only adds to what is known.
    """

    incident: IncidentId
    target: Target
    evidence: str
    cause: Cause | None = None
    version: str = ""
    alert: Cause | None = None
    by: str = ""
    began_at: Nanos | None = None


class OriginMoved(RecordBase, frozen=True, tag="origin_moved"):
    """The dependency graph lays the incident at another service's door than the first verdict did."""

    incident: IncidentId
    origin: Target
    reason: str


class Assessed(RecordBase, frozen=True, tag="assessed"):
    """What the dependency graph says of an incident: whose failure it is, how far it goes, whether it feeds itself, and
    which containment that calls for."""

    incident: IncidentId
    analysis: Analysis


class WindowTaken(RecordBase, frozen=True, tag="window_taken"):
    """The figures that an assessment rests on, of the services near the incident, for who analyses it later."""

    incident: IncidentId
    recording: Recording


class MaskChanged(RecordBase, frozen=True, tag="mask_changed"):
    incident: IncidentId
    masked: bool
    reason: str


class PhaseChanged(RecordBase, frozen=True, tag="phase_changed"):
    incident: IncidentId
    phase: Phase
    reason: str


class CommandIssued(RecordBase, frozen=True, tag="command_issued"):
    """Written before the command acts: the undo is on record before the act."""

    command: Command


class CommandRefused(RecordBase, frozen=True, tag="command_refused"):
    """A safety rule forbade an act that the planner wanted."""

    incident: IncidentId
    target: Target
    intent: Intent
    rule: str
    reason: str


class CommandAcknowledged(RecordBase, frozen=True, tag="command_acknowledged"):
    incident: IncidentId
    command: CommandId
    ok: bool
    reason: str = ""


class LeaseExpired(RecordBase, frozen=True, tag="lease_expired"):
    """A command ran out without being renewed; its target is free of it."""

    incident: IncidentId
    command: CommandId
    target: Target


class StageChanged(RecordBase, frozen=True, tag="stage_changed"):
    """`penalty_ns` is what the next relapse starts from, `hold_ns` how long this hold lasts, jitter included (0: the
    penalty); `relapses` counts since the incident opened."""

    incident: IncidentId
    target: Target
    stage: Stage
    percent: int
    penalty_ns: Nanos
    relapses: int
    reason: str
    overload: bool = False
    concurrency: int = 0
    hold_ns: Nanos = Nanos(0)
    command: CommandId | None = None  # the order that belongs to the stage; None: that of the stage before


class BecameEffective(RecordBase, frozen=True, tag="became_effective"):
    incident: IncidentId
    target: Target
    signal_at: Nanos


class SpreadMeasured(RecordBase, frozen=True, tag="spread_measured"):
    """Where figures showed failures or delays beyond normal since the incident began: services, (caller, callee)."""

    incident: IncidentId
    services: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


class ImpactCounted(RecordBase, frozen=True, tag="impact_counted"):
    """What users saw and how often a fallback answered, since the previous count of this incident."""

    incident: IncidentId
    requests: int = 0
    failed: int = 0
    slow: int = 0
    fallbacks: int = 0


class Escalated(RecordBase, frozen=True, tag="escalated"):
    incident: IncidentId
    reason: str


class IncidentClosed(RecordBase, frozen=True, tag="incident_closed"):
    incident: IncidentId
    reason: str


class OrderTaken(RecordBase, frozen=True, tag="order_taken"):
    """A person's order; see `signal.Ordered`. `until`: None: until it is taken back."""

    order: PersonOrder
    by: str
    reason: str
    target: Target | None = None
    rule: str = ""
    until: Nanos | None = None


class IncidentMerged(RecordBase, frozen=True, tag="incident_merged"):
    """`incident` was `into`'s failure all along: it goes on as a child of that one, with what it holds."""

    incident: IncidentId
    into: IncidentId
    reason: str


class ConditionChanged(RecordBase, frozen=True, tag="condition_changed"):
    """Something that the recovery of `incident` waits for has come up, or is well again."""

    incident: IncidentId
    what: ConditionKind
    well: bool
    reason: str = ""


class PlanEnacted(RecordBase, frozen=True, tag="plan_enacted"):
    """The weighed plan was ordered, or would have been; `runner_up` says what lost, and why."""

    incident: IncidentId
    plan: Enacted
    runner_up: str = ""


class LeftToPeople(RecordBase, frozen=True, tag="left_to_people"):
    """What should be done, and no data plane here can do: one sentence for each step."""

    incident: IncidentId
    steps: tuple[str, ...]
    reason: str


class PlanJudged(RecordBase, frozen=True, tag="plan_judged"):
    """What was seen of a plan that was enacted, beside what was expected of it; see `Enacted.measure` for the unit."""

    incident: IncidentId
    helped: bool
    seen: float
    reason: str


class VersionWithdrawn(RecordBase, frozen=True, tag="version_withdrawn"):
    """`version` of `service` is to be rolled back, by `command`; its traffic stays at a floor until it is released.

    `others` are the versions that the service ran beside it.
    """

    incident: IncidentId
    service: str
    version: str
    command: CommandId
    others: tuple[str, ...] = ()


class VersionProven(RecordBase, frozen=True, tag="version_proven"):
    """After the roll-back what was withdrawn serves well, or is gone."""

    incident: IncidentId
    service: str
    version: str
    reason: str


class VersionReleased(RecordBase, frozen=True, tag="version_released"):
    """What was withdrawn may get traffic again: a person said so, or another version has come."""

    service: str
    version: str
    reason: str


class RollbackEnded(RecordBase, frozen=True, tag="rollback_ended"):
    incident: IncidentId
    command: CommandId
    ok: bool
    reason: str = ""


class PenaltyDecayed(RecordBase, frozen=True, tag="penalty_decayed"):
    """Evidence of health has earned `target` a shorter hold for its next relapse; 0: it starts from the beginning."""

    target: Target
    penalty_ns: Nanos
    reason: str


class NoticeIssued(RecordBase, frozen=True, tag="notice_issued"):
    """On record before anybody is told, so that a crash loses none."""

    notice: Notice


class NoticeDelivered(RecordBase, frozen=True, tag="notice_delivered"):
    """A notifier has the notice, or has given up on it; it is not sent there again. Not `last`: others wait for it."""

    key: str
    by: str
    ok: bool = True
    reason: str = ""
    last: bool = True


class JournalGap(RecordBase, frozen=True, tag="journal_gap"):
    """`records` records before this one were decided and acted on, but are not in this journal."""

    records: int
    reason: str


Record = (
    EpochStarted
    | IncidentOpened
    | EvidenceAdded
    | OriginMoved
    | Assessed
    | WindowTaken
    | MaskChanged
    | PhaseChanged
    | CommandIssued
    | CommandRefused
    | CommandAcknowledged
    | LeaseExpired
    | StageChanged
    | BecameEffective
    | SpreadMeasured
    | ImpactCounted
    | Escalated
    | IncidentClosed
    | OrderTaken
    | IncidentMerged
    | ConditionChanged
    | PlanEnacted
    | LeftToPeople
    | PlanJudged
    | VersionWithdrawn
    | VersionProven
    | VersionReleased
    | RollbackEnded
    | PenaltyDecayed
    | NoticeIssued
    | NoticeDelivered
    | JournalGap
    | FingerprintNoted
    | DriftFound
    | DriftCleared
    | PlaybookMatched
    | PlaybookStepped
    | PlaybookReliability
    | RungClimbed
    | IncidentAcknowledged
    | ChangeNoted
    | VersionFound
    | RegressionTold
    | PostureFound
    | PostureChanged
    | PostureCleared
)

"""The shapes of the admin API's answers: its JSON, its OpenAPI schemas, the tables of the command line."""

import msgspec

from controlplane.admin.people import PeopleView
from controlplane.model.analysis import Analysis
from controlplane.model.playbook import Used
from controlplane.model.service_state import ServiceState


class _View(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Status(_View, frozen=True):
    """Who this plane is, what it may do, and how it is."""

    name: str
    version: str
    ready: bool
    mode: str
    frozen: bool
    frozen_reason: str
    holds: int
    overrides: int
    epoch: int
    incidents_open: int
    guards_degraded: list[str]
    incidents_total: int
    commands_in_force: int
    commands_total: int
    journal: str
    journal_up: bool
    journal_gap_records: int
    degraded: list[str]
    masked: list[str]
    storms: list[str]
    drifted: list[str]
    playbooks_unreliable: list[str]
    services: int
    endpoints: int


class ServiceStates(_View, frozen=True):
    """Every declared service from both sides."""

    services: list[ServiceState]


class TimelineLine(_View, frozen=True):
    at: str
    after_s: float
    what: str


class CommandView(_View, frozen=True):
    """One order, and how long it lasts yet unless it is renewed; 0 once it is over or something newer is in force."""

    id: str
    epoch: int
    incident: str
    target: str
    intent: str
    detail: dict[str, int]
    undo: str
    enforcement: str
    percent: int
    overrides: str
    playbook: str
    charge: float
    evidence: str
    in_force: bool
    lease_remaining_s: float


class ContainmentView(_View, frozen=True):
    target: str
    stage: str
    percent: int
    since: str
    penalty_s: float
    relapses: int


class ClockPoints(_View, frozen=True):
    """Seconds after the signal that decided; null: not reached. These are the points of the response-time histogram."""

    opened_s: float
    effective_s: float | None
    contained_s: float | None
    stabilized_s: float | None
    recovered_s: float | None
    closed_s: float | None


class Times(_View, frozen=True):
    """How long it took; null: not known, or not reached. To detect: from the earliest evidence to the signal that
    decided; the others count from that signal."""

    to_detect_s: float | None
    to_contain_s: float | None
    to_stabilize_s: float | None
    to_recover_s: float | None


class PhaseView(_View, frozen=True):
    """When a phase was entered first, and how long after the signal that decided."""

    phase: str
    at: str
    after_s: float


class ChildView(_View, frozen=True):
    """One further alert of the same cause; `incident`: it had been an incident of its own."""

    target: str
    cause: str
    at: str
    evidence: str
    by: str
    incident: str | None


class EdgeName(_View, frozen=True):
    caller: str
    callee: str


class BlastRadius(_View, frozen=True):
    """Services it was expected to reach (null: nothing foretold it), and those that showed it while it was open."""

    predicted: list[str] | None
    actual: list[str]
    actual_edges: list[EdgeName]


class UserVisible(_View, frozen=True):
    """What users of this process saw while the incident was open."""

    requests: int
    failed: int
    slow: int


class Internal(_View, frozen=True):
    """What users did not see."""

    fallbacks: int
    touched: list[str]
    containments: list[ContainmentView]


class IncidentSummary(_View, frozen=True):
    id: str
    origin: str
    cause: str
    phase: str
    opened: str
    closed: str | None
    duration_s: float
    shadow: bool
    masked: bool
    escalated: bool
    children: int
    merged_into: str | None
    times: Times
    blast_radius: int
    user_visible: UserVisible


class IncidentView(_View, frozen=True):
    """One failure with one cause: what was seen, done and refused, and why."""

    id: str
    origin: str
    cause: str
    phase: str
    opened: str
    closed: str | None
    duration_s: float
    shadow: bool
    masked: bool
    masked_reason: str
    escalated: bool
    bad_version: str
    merged_into: str | None
    clock: ClockPoints
    unfinished: dict[str, str]
    times: Times
    phases: list[PhaseView]
    children: list[ChildView]
    blast_radius: BlastRadius
    user_visible: UserVisible
    internal: Internal
    evidence: list[str]
    commands: list[CommandView]
    refused: list[str]
    timeline: list[TimelineLine]
    playbooks: list[Used]
    explanation: list[str]
    analysis: Analysis | None
    people: PeopleView


class Explanation(_View, frozen=True):
    """An incident in sentences and lines, from what is on record: also one that is no longer in memory."""

    id: str
    explanation: list[str]
    timeline: list[TimelineLine]


class Report(_View, frozen=True):
    """A post-incident report as Markdown, and its timeline as SVG."""

    id: str
    report: str
    picture: str


class IncidentList(_View, frozen=True):
    incidents: list[IncidentSummary]


class CommandList(_View, frozen=True):
    commands: list[CommandView]


class EndpointView(_View, frozen=True):
    name: str
    url: str
    zone: str
    version: str
    state: str | None
    weight_percent: int | None
    in_flight: int | None
    calls: int | None
    failures: int | None


class ServiceView(_View, frozen=True):
    """`open` and the endpoints' counts are null for a service that this process does not call. `withdrawn` is the
    version that was ordered to be rolled back and is not released yet."""

    name: str
    calls: list[str]
    external: bool
    fallback: bool
    policy: str
    open: bool | None
    withdrawn: str | None
    endpoints: list[EndpointView]


class TopologyView(_View, frozen=True):
    entry: str
    services: list[ServiceView]


class GraphEdgeView(_View, frozen=True):
    """One edge, over about the last minute; null: not known. `age_s`: since it was heard of last."""

    caller: str
    callee: str
    origin: str
    soft: bool
    age_s: float | None
    calls_per_s: float | None
    attempts_per_call: float | None
    error_ratio: float | None
    client_latency_s: float | None
    server_latency_s: float | None
    in_flight: int | None
    source: str | None


class GraphServiceView(_View, frozen=True):
    """`virtual`: only ever called, and nobody has said what it is. `onward`: what it calls in turn is known. `named`:
    share of the calls to it whose caller is known. `latency_share`: of its time, spent waiting for known callees."""

    name: str
    declared: bool
    external: bool
    virtual: bool
    onward: bool
    named: float | None
    latency_share: float | None


class GroupView(_View, frozen=True):
    """Targets with a cause they may share: a host, a zone, a version, a third party."""

    kind: str
    name: str
    members: list[str]


class AliasView(_View, frozen=True):
    """A name that means another service: declared, or inferred because it merely relays."""

    name: str
    service: str
    by: str


class GraphView(_View, frozen=True):
    """The dependency graph as it is now. `coverage`: share of calls that known edges account for."""

    entry: str
    coverage: float | None
    services: list[GraphServiceView]
    edges: list[GraphEdgeView]
    groups: list[GroupView]
    aliases: list[AliasView]
    held: list[str]
    evicted: int
    faded: int
    refused: int
    late: int

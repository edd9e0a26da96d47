"""The engine's state as the admin API tells it: in seconds, ISO times and words."""

from datetime import UTC, datetime

from controlplane.admin.people import people
from controlplane.admin.shape import (
    BlastRadius,
    ChildView,
    ClockPoints,
    CommandList,
    CommandView,
    ContainmentView,
    EdgeName,
    EndpointView,
    IncidentList,
    IncidentSummary,
    IncidentView,
    Internal,
    PhaseView,
    ServiceView,
    Status,
    TimelineLine,
    Times,
    TopologyView,
    UserVisible,
)
from controlplane.assembly import Plane
from controlplane.decide.drift.found import drifted
from controlplane.decide.ledger import side_key, side_kind
from controlplane.decide.review.explain import explain
from controlplane.model.command import Command
from controlplane.model.incident import Incident, Phase
from controlplane.model.unit import Nanos, to_seconds

ENDPOINT_STATES = ("healthy", "ejected", "probation")  # index: `_native.guard` endpoint state


class Wall:
    """Turns points of the plane's monotonic clock into wall-clock times, by one reading of both clocks."""

    def __init__(self, plane: Plane) -> None:
        self.now = plane.clock.now()
        self._offset_ns = plane.clock.wall_ns() - self.now

    def iso(self, at: Nanos) -> str:
        """ISO 8601 in UTC, to the microsecond."""
        seconds, nanos = divmod(at + self._offset_ns, 1_000_000_000)
        moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def degraded(plane: Plane) -> list[str]:
    """What does not work now, in words; containment goes on without it."""
    return [*plane.statistics().degraded, *plane.proxies.degraded()]


def status(plane: Plane) -> Status:
    """The state of the whole, in numbers that stand still while nothing happens."""
    from controlplane import __version__

    state = plane.state
    return Status(
        name=plane.topology.entry,
        version=__version__,
        ready=plane.ready,
        mode=state.mode,
        frozen=state.frozen,
        frozen_reason=state.frozen_reason,
        holds=len(state.standing.holds),
        overrides=len(state.standing.overrides),
        epoch=state.epoch,
        incidents_open=len(state.open_incidents()),
        guards_degraded=[str(finding) for finding in state.findings.values()],
        incidents_total=state.incidents_total,
        commands_in_force=len(in_force(plane)),
        commands_total=state.commands_total,
        journal=plane.config.journal.path or "memory",
        journal_up=plane.statistics().journal_ok,
        journal_gap_records=state.journal_gap,
        degraded=degraded(plane),
        storms=[storm.text for storm in plane.storms()],
        masked=[one.line for one in plane.service_states(notable=True) if one.differ],
        drifted=[one.text for one in drifted(state)],
        playbooks_unreliable=[f"{name}: {'; '.join(why)}" for name, why in state.unreliable.items()],
        services=len(plane.config.services),
        endpoints=sum(len(service.endpoints) for service in plane.config.services),
    )


def in_force(plane: Plane) -> list[Command]:
    """Orders whose lease has not run out, oldest target first."""
    now = plane.clock.now()
    orders = (*plane.state.in_force.values(), *plane.state.sides.values())
    return [command for command in orders if command.lease_until > now]


def commands(plane: Plane) -> CommandList:
    """Orders in force."""
    now = plane.clock.now()
    return CommandList(commands=[_command(plane, command, now) for command in in_force(plane)])


def incidents(plane: Plane, which: str, limit: int) -> IncidentList:
    """Incidents, newest first."""
    wall = Wall(plane)
    chosen = [
        incident
        for incident in plane.state.incidents.values()
        if which == "all" or (incident.phase is Phase.CLOSED) == (which == "closed")
    ]
    chosen.sort(key=lambda incident: incident.opened_at, reverse=True)
    return IncidentList(incidents=[_summary(incident, wall) for incident in chosen[:limit]])


def incident_view(plane: Plane, one: Incident) -> IncidentView:
    """Everything about one incident."""
    wall = Wall(plane)
    summary = _summary(one, wall)

    def after_signal(at: Nanos | None) -> float | None:
        return None if at is None else to_seconds(at - one.signal_at)

    return IncidentView(
        id=summary.id,
        origin=summary.origin,
        cause=summary.cause,
        phase=summary.phase,
        opened=summary.opened,
        closed=summary.closed,
        duration_s=summary.duration_s,
        shadow=one.shadow,
        masked=one.masked,
        masked_reason=one.masked_reason,
        escalated=one.escalated,
        bad_version=one.version,
        clock=ClockPoints(
            opened_s=to_seconds(one.opened_at - one.signal_at),
            effective_s=after_signal(one.effective_at),
            contained_s=after_signal(one.contained_at),
            stabilized_s=after_signal(one.stabilized_at),
            recovered_s=after_signal(one.recovered_at),
            closed_s=after_signal(one.closed_at),
        ),
        unfinished={str(what): reason for what, reason in one.unfinished.items()},
        merged_into=summary.merged_into,
        times=summary.times,
        phases=[
            PhaseView(phase=phase, at=wall.iso(at), after_s=to_seconds(at - one.signal_at))
            for phase, at in one.phases.items()
        ],
        children=[
            ChildView(
                target=str(child.target),
                cause=child.cause,
                at=wall.iso(child.at),
                evidence=child.evidence,
                by=child.by,
                incident=child.incident or None,
            )
            for child in one.children
        ],
        blast_radius=BlastRadius(
            predicted=None if one.analysis is None else one.predicted,
            actual=sorted(one.reached),
            actual_edges=[EdgeName(caller=caller, callee=callee) for caller, callee in one.reached_edges],
        ),
        user_visible=summary.user_visible,
        internal=Internal(
            fallbacks=one.fallbacks,
            touched=[str(target) for target in one.touched],
            containments=[
                ContainmentView(
                    target=str(held.target),
                    stage=held.stage,
                    percent=held.percent,
                    since=wall.iso(held.since),
                    penalty_s=to_seconds(held.penalty_ns),
                    relapses=held.relapses,
                )
                for held in one.containments.values()
            ],
        ),
        evidence=list(one.evidence),
        commands=[_command(plane, command, wall.now) for command in one.commands],
        refused=list(one.refused),
        timeline=[
            TimelineLine(at=wall.iso(line.at), after_s=to_seconds(line.at - one.signal_at), what=line.what)
            for line in one.timeline
        ],
        playbooks=one.playbooks,
        explanation=explain(one),
        analysis=one.analysis,
        people=people(plane, one),
    )


def topology(plane: Plane) -> TopologyView:
    """Services, what they call, and how this process sees their endpoints."""
    services = []
    for service in plane.topology.services:
        guard = plane.guard_or_none(service.name)
        endpoints = []
        for index, endpoint in enumerate(service.endpoints):
            seen = guard.endpoint(index) if guard is not None else {}
            state = seen.get("state")
            endpoints.append(
                EndpointView(
                    name=endpoint.name,
                    url=endpoint.url,
                    zone=endpoint.zone,
                    version=endpoint.version,
                    state=None if state is None else ENDPOINT_STATES[state],
                    weight_percent=seen.get("weight"),
                    in_flight=seen.get("in_flight"),
                    calls=seen.get("calls"),
                    failures=seen.get("failures"),
                )
            )
        services.append(
            ServiceView(
                name=service.name,
                calls=list(service.calls),
                external=service.external,
                fallback=service.fallback,
                policy=service.policy,
                open=None if guard is None else guard.is_open(),
                withdrawn=held.version if (held := plane.state.withdrawn.get(service.name)) is not None else None,
                endpoints=endpoints,
            )
        )
    return TopologyView(entry=plane.topology.entry, services=services)


def _summary(one: Incident, wall: Wall) -> IncidentSummary:
    return IncidentSummary(
        id=one.id,
        origin=str(one.origin),
        cause=one.cause,
        phase=one.phase,
        opened=wall.iso(one.opened_at),
        closed=None if one.closed_at is None else wall.iso(one.closed_at),
        duration_s=to_seconds((wall.now if one.closed_at is None else one.closed_at) - one.opened_at),
        shadow=one.shadow,
        masked=one.masked,
        escalated=one.escalated,
        children=len(one.children),
        merged_into=one.merged_into or None,
        times=_times(one),
        blast_radius=len(one.reached),
        user_visible=UserVisible(requests=one.user_requests, failed=one.user_failed, slow=one.user_slow),
    )


def _times(one: Incident) -> Times:
    def seconds(taken_ns: int | None) -> float | None:
        return None if taken_ns is None else to_seconds(taken_ns)

    return Times(
        to_detect_s=seconds(one.to_detect_ns),
        to_contain_s=seconds(one.to_contain_ns),
        to_stabilize_s=seconds(one.to_stabilize_ns),
        to_recover_s=seconds(one.to_recover_ns),
    )


def _command(plane: Plane, command: Command, now: Nanos) -> CommandView:
    intent = command.intent
    side = side_kind(intent)
    holder = (
        plane.state.in_force.get(str(command.target))
        if side is None
        else plane.state.sides.get(side_key(command.target, side))
    )
    lasts = holder is not None and holder.id == command.id and command.lease_until > now
    return CommandView(
        id=command.id,
        epoch=command.epoch,
        incident=command.incident,
        target=str(command.target),
        intent=type(intent).__name__.lower(),
        detail={name: getattr(intent, name) for name in intent.__struct_fields__},
        undo=type(command.undo).__name__.lower(),
        enforcement=command.enforcement,
        percent=command.percent,
        overrides=command.overrides,
        playbook=command.playbook,
        charge=command.charge,
        evidence=command.evidence,
        in_force=lasts,
        lease_remaining_s=to_seconds(command.lease_until - now) if lasts else 0.0,
    )

"""From what an engine did in a made-up minute to what a person asked."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from controlplane.decide.engine import Engine
from controlplane.decide.kind import act_of
from controlplane.decide.playbook.place import upstream
from controlplane.decide.state import describe
from controlplane.model import record as on
from controlplane.model.command import Command
from controlplane.model.foretold import Foretold, Order, PlaybookUse, Refusal, Supposed, Telling
from controlplane.model.incident import Incident
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import PlaybookStepped
from controlplane.model.topology import Topology
from controlplane.model.unit import IncidentId, Nanos, to_seconds

Told = Sequence[tuple[Nanos, Outcome]]


def told_of(
    supposed: Supposed,
    engine: Engine,
    outcomes: Told,
    now: Nanos,
    *,
    figures: Literal["nominal", "live"],
    before: frozenset[IncidentId],
    left: float | None,
) -> Foretold:
    """What is on record of `outcomes`, from `now` on; `before`: the incidents that there were; `left`: what still
    fails in the end."""
    state, topology = engine.state, engine.topology
    service = topology.service(supposed.service)
    about = [one for one in state.incidents.values() if one.id not in before or one.origin.service == supposed.service]
    records = [(at, record) for at, outcome in outcomes for record in outcome.records]
    contained = [to_seconds(one.contained_at - now) for one in about if one.contained_at is not None]
    return Foretold(
        supposed=str(supposed),
        figures=figures,
        mode=state.mode,
        frozen=state.frozen,
        incidents=tuple(_incident(one, before) for one in about),
        contained_s=max(0.0, max(contained)) if contained else None,
        still_failing=left,
        orders=tuple(_orders(records, now)),
        refused=tuple(
            Refusal(
                after_s=to_seconds(at - now),
                what=f"{type(record.intent).__name__.lower()} {record.target}",
                rule=record.rule,
                reason=record.reason,
            )
            for at, record in records
            if isinstance(record, on.CommandRefused)
        ),
        playbooks=tuple(use for one in about for use in _playbooks(one, records)),
        by_hand=tuple(dict.fromkeys(step for one in about for step in one.by_hand)),
        blast=tuple(_blast(supposed, topology, about)),
        told=tuple(
            Telling(after_s=to_seconds(at - now), severity=notice.severity, text=notice.text)
            for at, outcome in outcomes
            for notice in outcome.notices
        ),
        owners=tuple(_owners(service.owner if service is not None else "", about)),
    )


def _incident(one: Incident, before: frozenset[IncidentId]) -> str:
    again = ", which is open already" if one.id in before else ""
    masked = f"; masked: {one.masked_reason}" if one.masked else ""
    return f"{one.id}{again}: {one.origin}, taken for {one.cause}{masked}"


def _orders(records: Iterable[tuple[Nanos, on.Record]], now: Nanos) -> Iterator[Order]:
    """Orders that hold something back; renewals and what is given back are left out."""
    seen = set()
    planned = {name for _, one in records if isinstance(one, on.PlanEnacted) for name in one.plan.commands}
    for at, record in records:
        if not isinstance(record, on.CommandIssued) or act_of(record.command) is None:
            continue
        command = record.command
        if command.id in seen:
            continue
        seen.add(command.id)
        yield Order(
            after_s=to_seconds(at - now),
            what=describe(command),
            by=_by(command, planned=command.id in planned),
            enforcement=f"{command.percent} %" if command.enforcement == "percent" else command.enforcement,
            why=command.evidence,
        )


def _by(command: Command, *, planned: bool) -> str:
    if command.playbook:
        return f"playbook {command.playbook}"
    return "the weighed plan" if planned else "the first act"


def _playbooks(incident: Incident, records: Iterable[tuple[Nanos, on.Record]]) -> Iterator[PlaybookUse]:
    for used in incident.playbooks:
        steps = [
            f"{one.step}. {one.what}: {one.how.replace('_', ' ')}{f' ({one.reason})' if one.reason else ''}"
            for _, one in records
            if isinstance(one, PlaybookStepped) and one.playbook == used.playbook and one.incident == incident.id
        ]
        yield PlaybookUse(
            name=used.playbook,
            shadow=used.shadow,
            unmet=used.unmet,
            steps=tuple(steps),
            owner=used.owner,
            ladder=used.ladder,
        )


def _blast(supposed: Supposed, topology: Topology, about: Iterable[Incident]) -> Iterator[str]:
    """By the topology who could feel it at all, by the assessment how much."""
    expected = {
        one.service: f"{one.expected:.1%} of requests fail"
        if one.metric == "availability"
        else f"+{one.expected:.3g} s"
        for incident in about
        if incident.analysis is not None
        for one in incident.analysis.blast
    }
    failing = topology.service(supposed.service)
    for name in upstream(topology, supposed.service):
        caller = topology.service(name)
        direct = caller is not None and supposed.service in caller.calls
        soft = (
            direct
            and caller is not None
            and (supposed.service in caller.soft or (failing is not None and failing.fallback))
        )
        yield f"{name}{' (can do without)' if soft else ''}{f': {expected[name]}' if name in expected else ''}"


def _owners(owner: str, about: Iterable[Incident]) -> Iterator[str]:
    named = {owner: ""} if owner else {}
    for incident in about:
        for used in incident.playbooks:
            if used.owner:
                named[used.owner] = used.ladder or named.get(used.owner, "")
    for name, ladder in named.items():
        yield f"{name}{f' on ladder {ladder}' if ladder else ''}"

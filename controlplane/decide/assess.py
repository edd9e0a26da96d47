"""What the dependency graph says of an incident: a while after it opened, and again as more of it is seen.

A verdict is about one target as one caller sees it, and is answered at once. Whose failure it is, how far it goes and
what would contain it best shows in the figures of all edges around it, which come about once a second. They are weighed
apart from the response: one incident at a time, in a neighbourhood of bounded size.
"""

from collections.abc import Collection, Iterator

import msgspec
import numpy as np

from controlplane.decide import enact, respond
from controlplane.decide.analysis.analyze import Assessment, assessed
from controlplane.decide.analysis.baseline import median
from controlplane.decide.analysis.local import service_requests
from controlplane.decide.analysis.origin import judge
from controlplane.decide.analysis.recorded import recording_of
from controlplane.decide.analysis.window import Window
from controlplane.decide.blame import LAID_MIN
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.graph.reach import below
from controlplane.decide.plan.neighbourhood import replicas_of
from controlplane.decide.plan.scope import narrowed
from controlplane.model.analysis import Analysis
from controlplane.model.incident import Incident
from controlplane.model.record import Assessed, OriginMoved, WindowTaken
from controlplane.model.signal import Target
from controlplane.model.situation import Situation
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos

AFTER_NS = (1 * SECOND, 5 * SECOND, 30 * SECOND)  # since the incident opened: first figures, more, the settled picture
AGAIN_NS = 30 * SECOND  # and then, for as long as it is open: what was ordered is compared with what was expected
SHARED_MAX = 3  # explanations: more of them explain nothing
REACH_MIN = 0.05  # of the blame at the accused or below it: with less, what fails there is not what was assessed
OWN_MIN = 0.2  # of the blame: who bears that much of it has a cause of its own, and stays an incident of its own
SERVICES_MAX = 64  # around the origin: an assessment takes milliseconds, however large the fleet


def assess(draft: Draft, evidence: Evidence) -> tuple[Incident, Assessment | None] | None:
    """Weigh the incident that has waited longest for it, if one is due. That one, and what was found: None: nothing."""
    due = min(_due(draft, evidence), key=lambda pair: pair[0], default=None)
    if due is None or due[0] > draft.now:
        return None
    evidence.assessed[due[1].id] = _turns(draft.now - due[1].opened_at)
    return due[1], _weigh(draft, evidence, due[1])


def _due(draft: Draft, evidence: Evidence) -> Iterator[tuple[Nanos, Incident]]:
    for incident in draft.state.open_incidents():
        done = evidence.assessed.get(incident.id, 0)
        yield Nanos(incident.opened_at + _turn(done)), incident


def _turn(done: int) -> int:
    """How long after it opened an incident is assessed that was assessed `done` times."""
    return AFTER_NS[done] if done < len(AFTER_NS) else AFTER_NS[-1] + AGAIN_NS * (done - len(AFTER_NS) + 1)


def _turns(age_ns: int) -> int:
    """How many turns an incident of that age has had, or missed: those that a restart slept through are not made up."""
    later = max(0, age_ns - AFTER_NS[-1]) // AGAIN_NS
    return sum(age_ns >= after for after in AFTER_NS) + later


def _weigh(draft: Draft, evidence: Evidence, incident: Incident) -> Assessment | None:
    graph, origin = evidence.graph, evidence.graph.means(incident.origin.service)
    names = _around(draft, evidence, origin)
    window = graph.window(draft.now, incident_at=incident.signal_at, only=names)
    if not window.compares or not _heard(window, origin):
        return None  # nothing was heard before it, nothing since, or nothing of the accused: no ground to say anything
    found = assessed(
        window,
        judge(window),
        pools={service.name: service.pool for service in draft.topology.services if service.pool},
        bears=dict(_bears(draft.topology, window.services)),
        refine=lambda situation: _refined(situation, draft, evidence, incident, _asked(window, situation.origin)),
        forbidden=enact.rule_for(draft, incident),
    )
    analysis = msgspec.structs.replace(found.analysis, shared=_shared(draft, evidence))
    if not analysis.origins or _of_our_doing(analysis, evidence, incident, origin):
        return None
    evidence.analysed_at[incident.id] = draft.now
    early = evidence.assessed[incident.id] <= len(AFTER_NS) and analysis != incident.analysis
    if early or _is_news(analysis, incident.analysis):
        draft.record(WindowTaken(at=draft.now, incident=incident.id, recording=recording_of(window)))
        draft.record(Assessed(at=draft.now, incident=incident.id, analysis=analysis))
        _lay(draft, evidence, incident, analysis)
    return found


def _is_news(analysis: Analysis, before: Analysis | None) -> bool:
    """Whether an assessment says something else than the one on record: figures alone, after a while, do not."""
    if before is None:
        return True
    origins = [[origin.service for origin in one.origins[:1]] for one in (analysis, before)]
    fed = [(one.reproduction_number or 0.0) >= 1 or bool(one.metastable) for one in (analysis, before)]
    return origins[0] != origins[1] or fed[0] != fed[1]


def _around(draft: Draft, evidence: Evidence, origin: str) -> list[str]:
    """The neighbourhood of `origin`, and of the other incidents that run: what fails by them must not look like its."""
    graph = evidence.graph
    names = dict.fromkeys(graph.near(origin, services_max=SERVICES_MAX))
    for other in draft.state.open_incidents():
        if len(names) >= SERVICES_MAX:
            break
        if other.origin.service not in names:
            names |= dict.fromkeys(graph.near(graph.means(other.origin.service), services_max=SERVICES_MAX))
    return list(names)[:SERVICES_MAX]


def _of_our_doing(analysis: Analysis, evidence: Evidence, incident: Incident, accused: str) -> bool:
    """Whether what the graph blames calls the accused, which is held back: what fails there is what we refuse."""
    first = analysis.origins[0].service
    if first == accused or not incident.containments:
        return False
    return accused in below(evidence.graph.callees(), first, services_max=SERVICES_MAX)


def _heard(window: Window, service: str) -> bool:
    """Whether anybody has told of calls to `service` since the incident began. Where its callers only named it, the
    figures know the relays alone, and would blame them."""
    requests = window.service.get("requests")
    if requests is None or service not in window.services:
        return False
    return bool(np.isfinite(requests[window.incident_at :, window.services.index(service)]).any())


def _refined(
    situation: Situation, draft: Draft, evidence: Evidence, incident: Incident, asked: float | None
) -> Situation:
    """`situation` with the endpoints of its origin: those found bad fail, the load is divided by weight.

    `asked` is the service's load. What stands by gets none, and is known to be well only where something asks it.
    """
    service = draft.topology.service(situation.origin)
    if service is None or not service.endpoints:
        return situation
    bad = {target.endpoint for target in incident.touched if target.service == service.name and target.endpoint}
    level = min(one.priority for one in service.endpoints)
    serving = [one for one in service.endpoints if one.priority == level]
    whole = sum(one.weight for one in serving)
    part = sum(one.weight for one in serving if one.name in bad) / whole if bad and whole else 1.0
    each = None if situation.failing is None else min(1.0, situation.failing / part) if part else 1.0
    load = {} if asked is None or not whole else {one.name: asked * one.weight / whole for one in serving}
    failing = {} if each is None else {one.name: each if one.name in bad or not bad else 0.0 for one in serving}
    for one in service.endpoints:
        if one.priority > level:
            load[one.name] = 0.0
            if evidence.is_well(Target(service.name, one.name), draft.now):
                failing[one.name] = 0.0
    return msgspec.structs.replace(
        situation,
        replicas=replicas_of(
            service,
            load=load,
            failing=failing,
            capacity={one.name: one.capacity_per_s for one in service.endpoints if one.capacity_per_s},
        ),
        healthy_floor_percent=draft.policy.healthy_floor_percent,
        **narrowed(service, bad),
    )


def _bears(topology: Topology, names: Collection[str]) -> Iterator[tuple[str, float]]:
    """What each service bears, of those whose endpoints in rotation all say it."""
    for name in names:
        service = topology.service(name)
        endpoints = service.endpoints if service is not None else ()
        level = min((one.priority for one in endpoints), default=0)
        declared = [one.capacity_per_s for one in endpoints if one.priority == level]
        known = [one for one in declared if one is not None]
        if known and len(known) == len(declared):
            yield name, sum(known)


def _asked(window: Window, service: str) -> float | None:
    """Requests per second of `service`: the usual ones, or those since the incident if these are more."""
    if "requests" not in window.service and "requests" not in window.edge:
        return None
    rows = service_requests(window)[:, window.services.index(service)]
    known = [median(part[:, None])[0] for part in (rows[: window.incident_at], rows[window.incident_at :])]
    figures = [float(one) for one in known if np.isfinite(one)]
    return max(figures) / window.bucket_s if figures else None


def _shared(draft: Draft, evidence: Evidence) -> tuple[str, ...]:
    """What the endpoints that fail now, of whatever service, have in common beyond chance, the best one first."""
    everyone = [Target(one.name, each.name) for one in draft.topology.services for each in one.endpoints]
    bad = {target for incident in draft.state.open_incidents() for target in incident.touched if target.endpoint}
    return tuple(
        f"{one.bad} of {one.members} endpoints of {one.kind.replace('_', ' ')} {one.name} fail, "
        f"{one.bad_outside} of {one.outside} others"
        for one in evidence.graph.shared_causes(bad, everyone)
        if one.explains
    )[:SHARED_MAX]


def _lay(draft: Draft, evidence: Evidence, incident: Incident, analysis: Analysis) -> None:
    """Lay the incident to the service below that the graph blames; what one endpoint alone shows stays with it.

    Where that one has an incident already, they are one; unless what fails at the accused is in good part its own.
    """
    if incident.origin.endpoint:
        return
    service = incident.origin.service
    known = below(evidence.graph.callees(), service, services_max=SERVICES_MAX)
    reach = [one for one in analysis.origins if one.service in known]  # what another cause does elsewhere is its own
    whole = sum(one.score for one in reach)
    if whole < REACH_MIN or reach[0].service == service or reach[0].score < LAID_MIN * whole:
        return
    first, share = reach[0], reach[0].score / whole
    why = first.evidence[0] if first.evidence else "its callees' excess is its own"
    reason = f"{share:.0%} of the blame: {first.service} {why}"
    if (there := draft.state.open_at(first.service)) is not None:
        own = sum(one.score for one in reach if one.service == service) / whole
        if own < OWN_MIN and there.shadow is incident.shadow:
            respond.merge(draft, evidence, incident, there, reason)
        return
    text = f"{incident.id} is laid to {first.service}, not {incident.origin}: {reason}"
    draft.record(OriginMoved(at=draft.now, incident=incident.id, origin=Target(first.service), reason=reason))
    draft.notice(incident, "warning", text, f"laid:{first.service}")

"""How far an incident in fact went: who showed failures or delays beyond normal while it was open.

A prediction is worth what it is compared with. What is beyond normal is judged as for blame, on the figures since the
incident began (docs/concepts/evidence.md), of its origin and of everybody above it: a failure travels up the calls.
Figures cost milliseconds, so one incident is looked at in a tick, and only when there may be something new.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from controlplane.decide.analysis.excess import Excess, failures, filled, latencies
from controlplane.decide.analysis.window import Window
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.graph.reach import below
from controlplane.model.incident import Incident, Phase
from controlplane.model.record import SpreadMeasured
from controlplane.model.unit import SECOND, Nanos

FIRST_NS = Nanos(5 * SECOND)  # since it opened: figures come about once a second
EVERY_NS = Nanos(30 * SECOND)  # while it may still spread
SERVICES_MAX = 64  # around the origin


def measure(draft: Draft, evidence: Evidence) -> None:
    """Look up how far the incident went that has waited longest for it, if one is due."""
    at, incident = min(_due(draft, evidence), key=lambda pair: pair[0], default=(draft.now, None))
    if incident is None or at > draft.now:
        return
    evidence.measured_at[incident.id] = draft.now
    graph = evidence.graph
    origin = graph.means(incident.origin.service)
    window = graph.window(draft.now, incident_at=incident.signal_at, only=_above(graph.callees(), origin))
    if not window.compares:
        return  # nothing was heard before it, or nothing since: unknown is never zero
    services, edges = showing(window)
    new = set(services) - set(incident.reached) or set(edges) - set(incident.reached_edges)
    if new:
        draft.record(SpreadMeasured(at=draft.now, incident=incident.id, services=services, edges=edges))


def showing(window: Window) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """(services, edges) that fail or delay beyond normal since the incident of `window` began."""
    names, since = window.services, window.incident_at
    asked = window.service.get("requests")
    counted = asked is not None
    requests = filled(asked, since, (window.buckets, len(names)))
    services = _beyond(
        failures(window.service["error_ratio"], since, requests=requests, counted=counted),
        latencies(window.service["latency_s"], since, requests=requests),
    )
    requests = filled(window.edge.get("requests"), since, (window.buckets, len(window.edges)))
    edges = _beyond(
        failures(window.edge["error_ratio"], since, requests=requests, counted=counted),
        latencies(window.edge["client_latency_s"], since, requests=requests),
    )
    pairs = ((names[caller], names[callee]) for caller, callee in window.edges[edges].tolist())
    return tuple(sorted(names[index] for index in services)), tuple(sorted(pairs))


def _above(calls: Mapping[str, Iterable[str]], service: str) -> list[str]:
    """`service` and all that call it, over however many hops, the nearest first."""
    callers: dict[str, list[str]] = {}
    for caller, callees in calls.items():
        for callee in callees:
            if caller:
                callers.setdefault(callee, []).append(caller)
    return below(callers, service, services_max=SERVICES_MAX)


def _beyond(failing: Excess, late: Excess) -> list[int]:
    """Columns with any mass: beyond the bound, and surprisingly so."""
    return [int(column) for column in np.flatnonzero((failing.mass > 0) | (late.mass > 0))]


def _due(draft: Draft, evidence: Evidence) -> Iterator[tuple[Nanos, Incident]]:
    """Once there are figures, again while it may spread, and a last time when harm has stopped spreading."""
    for incident in draft.state.open_incidents():
        last = evidence.measured_at.get(incident.id)
        if last is None:
            yield Nanos(incident.opened_at + FIRST_NS), incident
        elif incident.phase is not Phase.RECOVERY:
            yield Nanos(last + EVERY_NS), incident
        elif last < incident.moved_at:
            yield incident.moved_at, incident

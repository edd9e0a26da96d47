"""Who will feel an incident, how much and how soon: from its origins up to their callers.

What is the origins' own, by the verdict, goes up the calls as the blast radius does (docs/concepts/blast-radius.md).
Calls whose caller is known to be calm although it should not be are left out: a fallback answers, or nobody waits. A
caller feels it as soon as an answer that it waits for comes late or fails: the quickest way up, each call taking as
long as it takes now.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.baseline import median
from controlplane.decide.analysis.local import service_requests
from controlplane.decide.analysis.mass import Mass, sum_at
from controlplane.decide.analysis.origin import Verdict
from controlplane.decide.analysis.prospect import Prospect, summed
from controlplane.decide.analysis.window import Floats, Window
from controlplane.decide.propagation import blast_radius, time_to_reach
from controlplane.decide.propagation.figures import Blast
from controlplane.model.analysis import Impact

FAILURE_MIN = 0.001  # a smaller share of requests is nothing to warn of
LATENCY_MIN = 0.02  # of the usual latency, likewise
IMPACTS_MAX = 50
LATENCY_MAX_S = 1e6  # where calls run in a circle, times add up without end


class Foresight(msgspec.Struct, frozen=True, kw_only=True):
    """failure, latency (N,): the origins' own; blast: what becomes of it; reach_s (N,): how soon, NaN: unknown."""

    failure: Floats
    latency: Floats
    blast: Blast
    reach_s: Floats


def foresee(window: Window, verdict: Verdict, origins: list[int], prospect: Prospect) -> Foresight:
    """What becomes of what is wrong with `origins`, if nothing is done."""
    failure = np.minimum(1.0, _own(window, verdict.failing, origins))
    failure[[v for v in origins if verdict.local.silent[v]]] = 1.0
    latency = _own(window, verdict.seconds, origins)
    graph, calls, soft, need = prospect.graph, np.nan_to_num(prospect.calls, nan=1.0), prospect.soft, prospect.fraction
    blast = blast_radius(graph, failure=failure, latency=latency, fraction=need, calls=calls, soft=soft)
    need = need * ~_calm(prospect, verdict.failing, need * blast.failure[graph.indices])
    calls = calls * ~_calm(prospect, verdict.seconds, calls * np.minimum(blast.latency, LATENCY_MAX_S)[graph.indices])
    blast = blast_radius(graph, failure=failure, latency=latency, fraction=need, calls=calls, soft=soft)
    hop = waits(window, prospect, slice(window.incident_at, None))
    reach = time_to_reach(prospect.graph, blast, hop=np.nan_to_num(hop))
    if not np.isfinite(hop).any():
        reach = np.where(blast.origin, reach, np.nan)
    return Foresight(failure=failure, latency=latency, blast=blast, reach_s=reach)


def impacts(window: Window, verdict: Verdict, found: Foresight) -> tuple[Impact, ...]:
    """What services are expected to show, the worst first: failures, then delays."""
    fails, waits = found.blast.failure, np.minimum(found.blast.latency, LATENCY_MAX_S)
    usual = np.nan_to_num(verdict.seconds.seen.centre)

    def said(service: int, metric: str, expected: float) -> Impact:
        seconds = found.reach_s[service]
        after = float(seconds) if np.isfinite(seconds) else None
        return Impact(window.services[service], "availability" if metric == "failure" else "latency", expected, after)

    failing = [said(v, "failure", float(fails[v])) for v in np.flatnonzero(fails >= FAILURE_MIN).tolist()]
    slow = np.flatnonzero((waits > 0) & (waits >= LATENCY_MIN * usual)).tolist()
    late = [said(v, "latency", float(waits[v])) for v in slow]
    for each in (failing, late):
        each.sort(key=lambda impact: (-impact.expected, impact.service))
    return tuple(failing[:IMPACTS_MAX] + late[:IMPACTS_MAX])


def _calm(prospect: Prospect, mass: Mass, reaching: Floats) -> NDArray[np.bool_]:
    """Edges (E,) whose caller should exceed its bound by what reaches it, is known, and does not."""
    callers, seen = prospect.graph.callers, mass.seen
    calm = np.isfinite(seen.seen) & (seen.seen <= seen.bound)
    return np.asarray(calm[callers] & (reaching > (seen.bound - seen.centre)[callers]))


def waits(window: Window, prospect: Prospect, rows: slice) -> Floats:
    """Seconds (E,) that a call takes in `rows`, as its caller waits; else as its callee works; NaN where unknown."""
    graph = prospect.graph
    client, served = window.edge.get("client_latency_s"), window.service.get("latency_s")
    taken = np.full(graph.edges, np.nan)
    if served is not None:
        taken = median(served[rows])[graph.indices]
    if client is not None:
        seen = median(client[rows])
        waited = summed(graph, prospect.place, np.nan_to_num(seen))
        known = summed(graph, prospect.place, np.isfinite(seen).astype(float))
        taken = np.where(known > 0, waited / np.maximum(1.0, known), taken)
    return np.asarray(np.maximum(0.0, taken))


def _own(window: Window, mass: Mass, origins: list[int]) -> Floats:
    """Of each origin what is its own, per request: failing share or seconds."""
    own = np.zeros(len(window.services))
    left = np.maximum(mass.local, mass.mass - sum_at(window.edges[:, 0], mass.edge, len(own)))
    beyond = np.nan_to_num(mass.seen.seen - mass.seen.centre)
    usual = median(service_requests(window)[: window.incident_at])
    asked = usual * (len(service_requests(window)) - window.incident_at)
    for v in origins:
        if left[v] > 0 and asked[v] > 0:
            own[v] = left[v] / asked[v]  # also of what only its callers see
        if mass.mass[v] > 0:
            own[v] = max(own[v], min(1.0, left[v] / mass.mass[v]) * beyond[v])
    return own

"""What to do about an incident that a window shows: the planner's choice, from what the window knows.

Whether retries keep the failure up is asked of the load-failure loop; what would help is weighed in harmed requests
(docs/concepts/containment.md). A recording knows no endpoints and no fallbacks; the live engine adds them (`refine`).
"""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.foresee import Foresight, waits
from controlplane.decide.analysis.prospect import Prospect
from controlplane.decide.analysis.window import Floats, Window
from controlplane.decide.feedback.loop import Loop, from_telemetry
from controlplane.decide.feedback.retries import Retries, contain_retries
from controlplane.decide.plan.choose import Rule, choose
from controlplane.decide.plan.neighbourhood import neighbourhood, retry_cut
from controlplane.decide.propagation import blast_radius, time_to_impact
from controlplane.model.plan import Choice
from controlplane.model.situation import Situation

Refine = Callable[[Situation], Situation]
"""Adds to a situation what a window does not hold: endpoints, their part that fails, who may be touched."""


def loop_of(prospect: Prospect) -> Loop | None:
    """The load-failure loop of normal operation; None where requests, or the capacity below retries, are not known.

    Calls that nobody saw are not in it. A processor's share that exceeds 1 in normal operation is no share: unknown.
    """
    graph, seen = prospect.graph, prospect.traffic > 0.0
    if not seen.any() or np.isnan(prospect.attempts[seen]).any():
        return None
    used = np.zeros(graph.services, dtype=bool)
    used[graph.callers[seen]] = used[graph.indices[seen]] = True
    return from_telemetry(
        graph.indptr,
        graph.indices,
        requests=np.where(used, prospect.requests, 0.0),
        utilisation=np.where(prospect.utilisation <= 1.0, prospect.utilisation, np.nan),
        edge_requests=np.where(seen, prospect.traffic, 0.0),
        attempts=np.where(seen, prospect.attempts, 1.0),
        need=np.where(prospect.soft, 0.0, prospect.fraction),
    )


def feedback(prospect: Prospect, found: Foresight) -> Retries | None:
    """Whether the failure feeds itself, and which retries to stop where it does; None: the signals do not tell."""
    loop = loop_of(prospect)
    return None if loop is None else contain_retries(loop, np.clip(found.blast.failure, 0.0, 1.0))


def contain(
    window: Window,
    origin: int,
    prospect: Prospect,
    found: Foresight,
    retries: Retries | None,
    *,
    usual: Floats,
    pools: Mapping[str, int] | None = None,
    refine: Refine | None = None,
    forbidden: Rule | None = None,
) -> tuple[Situation, Choice]:
    """The containment for a failure at `origin`, and what it was chosen from.

    `usual` (N,): seconds that a request of each service takes in normal operation. `pools`: how many requests a service
    works on at a time, where that is known; without any nobody can say when one is full.
    """
    graph, entry = prospect.graph, window.entry
    failing = float(found.failure[origin])
    near = neighbourhood(
        window.services,
        graph.indptr,
        graph.indices,
        origin=origin,
        traffic=prospect.traffic,
        requests=prospect.requests,
        entries=() if entry is None else (entry,),
        soft=prospect.soft,
        blast=found.blast.failure if failing > 0 else None,
        impact_s=_impact(window, origin, prospect, found, usual, pools) if pools else None,
    )
    cut = None
    if retries is not None:
        cut = retry_cut(
            window.services,
            graph.indptr,
            graph.indices,
            retries.edges.tolist(),
            before=retries.before.reproduction_number,
            after=retries.after.reproduction_number,
            metastable=retries.before.metastable,
        )
    late = failing <= 0  # slow and answered: nobody would be helped by a refusal
    situation = msgspec.structs.replace(
        near,
        failing=1.0 if late else failing,
        slow=1.0 if late else None,
        late=1.0 if late else None,
        retries=cut,
        usual_s=_longest(waits(window, prospect, slice(None, window.incident_at)), graph.indices == origin),
        taking_s=_longest(waits(window, prospect, slice(window.incident_at, None)), graph.indices == origin),
    )
    if refine is not None:
        situation = refine(situation)
    return situation, choose(situation, forbidden=forbidden)


def _longest(seconds: Floats, among: NDArray[np.bool_]) -> float | None:
    """The longest of the known times `among` these edges; None where none is known."""
    known = seconds[among & np.isfinite(seconds)]
    return float(known.max()) if len(known) else None


def _impact(
    window: Window, origin: int, prospect: Prospect, found: Foresight, usual: Floats, pools: Mapping[str, int]
) -> Floats:
    """Seconds (N,) until the pool of each service is full of requests that wait for `origin`; NaN: unknown."""
    graph = prospect.graph
    alone = np.zeros(graph.services)
    alone[origin] = 1.0
    need, nothing = prospect.fraction, np.zeros(graph.services)
    reach = blast_radius(graph, failure=alone, latency=nothing, fraction=need, calls=need)
    limit = np.array([float(pools.get(name, 0)) or np.nan for name in window.services])
    return time_to_impact(
        graph,
        found.blast,
        arrivals=prospect.requests,
        in_flight=prospect.requests * usual,
        capacity=limit,
        stuck=np.clip(reach.failure, 0.0, 1.0),
        hop=np.nan_to_num(waits(window, prospect, slice(window.incident_at, None))),
    )

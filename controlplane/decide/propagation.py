"""How trouble travels over a call graph: blame down the calls, blast up them, and how long until it fills a pool.

Two currents in opposite directions. *Blame*: the excess that users saw flows from where they saw it down the edges that
carry excess, and what a service's callees do not explain stays with it. *Blast*: what fails or slows flows up to
everybody who needs it. `controlplane.decide.spread` keeps both up to date while single figures change.
"""

import numpy as np
from numpy.typing import ArrayLike

from controlplane.decide.callgraph import CallGraph, Floats, GraphLike, as_graph
from controlplane.decide.figures import Blame, Blast, EdgeLike, known, masses, per_edge, per_service

__all__ = ["Blame", "Blast", "CallGraph", "blame_flow", "blast_radius", "time_to_impact", "time_to_reach"]

ROUNDS_MAX = 10_000  # of a cycle that does not settle


def blame_flow(
    graph: GraphLike, *, excess: ArrayLike, edge_excess: EdgeLike, local: ArrayLike | None = None, source: ArrayLike
) -> Blame:
    """Each service's share of the excess mass in `source`.

    A service's own mass is max(local, excess - what goes out on its edges), never below 0. Blame that arrives at it stays
    in proportion to that, and goes on to its callees in proportion to `edge_excess`.

    Shapes  excess, local, source (n,); edge_excess (E,) in CSR order, or a CSR of the graph's structure, or (n, n).
    Units   mass: failing requests, or excess seconds, of one window; the same for all of them. share + unexplained is 1,
            or all is 0 where nobody saw anything.
    NaN     unknown. An edge that is unknown takes no blame. A service whose excess and local are both unknown keeps none:
            what no callee takes on is unexplained. An unknown source saw nothing.
    Raises  ValueError naming the argument: a wrong shape, a negative or infinite mass.
    Source  docs/concepts/blame.md, equations 2 to 4.
    """
    graph = as_graph(graph)
    return _blame(
        graph,
        masses("excess", per_service(graph, "excess", excess)),
        masses("edge_excess", per_edge(graph, "edge_excess", edge_excess)),
        masses("local", per_service(graph, "local", np.full(graph.services, np.nan) if local is None else local)),
        masses("source", per_service(graph, "source", source)),
    )


def blast_radius(
    graph: GraphLike,
    *,
    failure: ArrayLike,
    latency: ArrayLike,
    fraction: EdgeLike,
    calls: EdgeLike | None = None,
    soft: EdgeLike | None = None,
) -> Blast:
    """What trouble in some services becomes for everybody who needs them.

    failure_u = 1 - (1 - own_u) x product over hard edges of (1 - fraction x failure_callee); latency_u = own_u + sum over all
    edges of calls x latency_callee. In a cycle: the least solution; infinite latency where calls beget themselves.

    Shapes  failure, latency (n,); fraction, calls, soft (E,) in CSR order, or a CSR of the graph's structure, or (n, n).
    Units   failure: share of the service's own requests failing, 0 to 1. latency: excess seconds a request. fraction: share
            of the caller's requests that need the callee, 0 to 1. calls: calls per request of the caller; `fraction` when
            not given. soft: not zero where the caller has a fallback; no edge when not given.
    Raises  ValueError naming the argument: a wrong shape, NaN, a share outside 0 to 1, a negative or infinite number.
    Source  docs/concepts/blast-radius.md, equations 1 and 2.
    """
    graph = as_graph(graph)
    need = known("fraction", per_edge(graph, "fraction", fraction), 1.0)
    repeated = need if calls is None else known("calls", per_edge(graph, "calls", calls))
    if soft is not None:
        need = np.where(known("soft", per_edge(graph, "soft", soft)) != 0, 0.0, need)
    own = known("failure", per_service(graph, "failure", failure), 1.0)
    slow = known("latency", per_service(graph, "latency", latency))
    return _blast(graph, own, slow, need, repeated)


def time_to_reach(
    graph: GraphLike, blast: Blast, *, hop: EdgeLike | None = None, onset: ArrayLike | None = None
) -> Floats:
    """Seconds until the trouble is felt at each service: the quickest way up the edges from one that has its own.

    Shapes  hop (E,) in CSR order; onset (n,).
    Units   hop: seconds from when a callee is in trouble until its caller feels it (for a callee that hangs, the caller's
            time-out); 0 when not given. onset: seconds until trouble of a service's own begins, infinite for none; when
            not given 0 for `blast.origin`. The result is infinite where trouble never comes.
    Raises  ValueError naming the argument: a wrong shape, NaN, something negative.
    Source  docs/concepts/blast-radius.md, equation 3.
    """
    graph = as_graph(graph)
    step = np.zeros(graph.edges) if hop is None else known("hop", per_edge(graph, "hop", hop))
    given = np.where(blast.origin, 0.0, np.inf) if onset is None else onset
    begin = known("onset", per_service(graph, "onset", given), infinite=True)
    return _reach(graph, (blast.failure > 0) | (blast.latency > 0), step, begin)


def time_to_impact(
    graph: GraphLike,
    blast: Blast,
    *,
    arrivals: ArrayLike,
    in_flight: ArrayLike,
    capacity: ArrayLike,
    stuck: ArrayLike | None = None,
    hop: EdgeLike | None = None,
    onset: ArrayLike | None = None,
) -> Floats:
    """Seconds until each service's pool is full of requests that wait for the trouble.

    By Little's law `blast.latency` adds arrivals x latency to what is in flight. Where that fits under capacity the pool
    never fills. Where it does not, stuck requests pile up at arrivals x stuck a second against capacity - in_flight.

    Shapes  arrivals, in_flight, capacity, stuck, onset (n,); hop (E,) in CSR order.
    Units   arrivals: requests a second. in_flight: requests, before the trouble. capacity: requests at a time. stuck: share
            of the service's requests that wait, 0 to 1; 1 when not given, which is the soonest. hop, onset: see
            time_to_reach. The result is in seconds from the onset; infinite = never; NaN = unknown.
    NaN     arrivals, in_flight, capacity, stuck: unknown, and so is the result where the service is in the blast.
    Raises  ValueError naming the argument: a wrong shape, something negative, a share above 1.
    Source  docs/concepts/blast-radius.md, equation 4.
    """
    graph = as_graph(graph)
    reach = time_to_reach(graph, blast, hop=hop, onset=onset)
    rate = masses("arrivals", per_service(graph, "arrivals", arrivals))
    busy = masses("in_flight", per_service(graph, "in_flight", in_flight))
    limit = masses("capacity", per_service(graph, "capacity", capacity), infinite=True)
    share = np.ones(graph.services) if stuck is None else masses("stuck", per_service(graph, "stuck", stuck), 1.0)
    room = np.maximum(limit - busy, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = rate * share
        more = np.where(rate == 0, 0.0, rate * blast.latency)
        seconds = np.where(more <= room, np.inf, np.where(growth > 0, reach + room / growth, np.inf))
    seconds[np.isnan(rate) | np.isnan(busy) | np.isnan(limit) | np.isnan(share)] = np.nan
    seconds[blast.latency == 0] = np.inf
    return seconds


# slow and plain; replaced by the compiled core


def _blame(graph: CallGraph, excess: Floats, edge_excess: Floats, local: Floats, source: Floats) -> Blame:
    out = np.nan_to_num(edge_excess)
    callers = graph.callers
    total = np.bincount(callers, out, graph.services)
    own = np.fmax(np.fmax(local, excess - total), 0.0)
    own[np.isnan(own)] = 0.0
    whole = own + total
    with np.errstate(invalid="ignore", divide="ignore"):
        stay = np.where(whole > 0, own / whole, 0.0)
        go = np.where(whole[callers] > 0, out / whole[callers], 0.0)
    pending = np.nan_to_num(source)
    seen = float(pending.sum())
    share = np.zeros(graph.services)
    if seen == 0:
        return Blame(share, 0.0)
    pending = pending / seen
    for _ in range(ROUNDS_MAX):
        share += pending * stay
        pending = np.bincount(graph.indices, pending[callers] * go, graph.services)
        if pending.sum() <= 1e-13:
            break
    return Blame(share, max(0.0, 1.0 - float(share.sum())))


def _blast(graph: CallGraph, own: Floats, slow: Floats, need: Floats, calls: Floats) -> Blast:
    callers = graph.callers
    failure, latency = own.copy(), slow.copy()
    for turn in range(ROUNDS_MAX):
        through = np.ones(graph.services)
        np.multiply.at(through, callers, 1 - need * failure[graph.indices])
        failing = 1 - (1 - own) * through
        slower = slow + np.bincount(callers, calls * latency[graph.indices], graph.services)
        same = np.abs(failing - failure).max(initial=0) <= 1e-13
        if same and (np.abs(slower - latency) <= 1e-13 * slower).all():
            break
        if turn == ROUNDS_MAX - 1:
            slower[slower > latency] = np.inf
        failure, latency = failing, slower
    return Blast(failure, latency, (own > 0) | (slow > 0))


def _reach(graph: CallGraph, hurt: np.ndarray[tuple[int], np.dtype[np.bool_]], hop: Floats, onset: Floats) -> Floats:
    callers = graph.callers
    reach = np.where(hurt, onset, np.inf)
    for _ in range(ROUNDS_MAX):
        sooner = reach.copy()
        np.minimum.at(sooner, callers, reach[graph.indices] + hop)
        sooner[~hurt] = np.inf
        if np.array_equal(sooner, reach):
            break
        reach = sooner
    return reach

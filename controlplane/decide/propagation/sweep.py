"""How trouble travels over a call graph: blame down the calls, blast up them, and how long until it fills a pool.

Two currents in opposite directions. *Blame*: the excess that users saw flows from where they saw it down the edges that
carry excess, and what a service's callees do not explain stays with it. *Blast*: what fails or slows flows up to
everybody who needs it. These functions sweep the whole graph; `Propagation` follows single changes.
"""

from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane.decide.propagation.callgraph import CallGraph, Floats, GraphLike, as_graph
from controlplane.decide.propagation.figures import (
    Blame,
    Blast,
    EdgeLike,
    flags_per_edge,
    known,
    masses,
    per_edge,
    per_service,
)


def blame_flow(
    graph: GraphLike, *, excess: ArrayLike, edge_excess: EdgeLike, local: ArrayLike | None = None, source: ArrayLike
) -> Blame:
    """Each service's share of the excess mass in `source`.

    A service's own mass is max(local, excess - what goes out on its edges), never below 0. Blame that arrives at it
    stays in proportion to that, and goes on to its callees in proportion to `edge_excess`.

    Shapes  excess, local, source (n,); edge_excess (E,) in CSR order, or a CSR of the graph's structure, or (n, n).
    Units   mass: failing requests, or excess seconds, of one window; the same for all of them. share + unexplained is
            1, or all is 0 where nobody saw anything.
    NaN     unknown. An edge that is unknown takes no blame. A service whose excess and local are both unknown keeps
            none: what no callee takes on is unexplained. An unknown source saw nothing.
    Raises  ValueError naming the argument: a wrong shape, a negative or infinite mass.
    Source  docs/concepts/blame.md, equations 2 to 4.
    """
    graph = as_graph(graph)
    mass = _mass(graph, excess, edge_excess, local, source)
    share = np.empty(graph.services)
    unexplained, wrong = graph.flows.sweep(mass, share, None, None, None)
    if wrong:
        _refuse_mass(mass)
    return Blame(share, unexplained)


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

    failure_u = 1 - (1 - own_u) x product over hard edges of (1 - fraction x failure_callee); latency_u = own_u + sum
    over all edges of calls x latency_callee. In a cycle: the least solution; infinite latency where calls beget more.

    Shapes  failure, latency (n,); fraction, calls, soft (E,) in CSR order, or a CSR of the graph's structure, or (n, n)
    Units   failure: share of the service's own requests failing, 0 to 1. latency: excess seconds a request. fraction:
            share of the caller's requests that need the callee, 0 to 1. calls: calls per request of the caller;
            `fraction` when not given. soft: true where the caller has a fallback; nowhere when not given.
    Raises  ValueError naming the argument: a wrong shape, NaN, a share outside 0 to 1, a negative or infinite number.
    Source  docs/concepts/blast-radius.md, equations 1 and 2.
    """
    graph = as_graph(graph)
    trouble = _trouble(graph, failure, latency, fraction, calls, soft)
    failing, slower = np.empty(graph.services), np.empty(graph.services)
    if graph.flows.sweep(None, None, trouble, failing, slower)[1]:
        _refuse_trouble(trouble)
    return Blast(failing, slower, (trouble[0] > 0) | (trouble[1] > 0))


def time_to_reach(
    graph: GraphLike, blast: Blast, *, hop: EdgeLike | None = None, onset: ArrayLike | None = None
) -> Floats:
    """Seconds until the trouble is felt at each service: the quickest way up the edges from one that has its own.

    Shapes  hop (E,) in CSR order; onset (n,).
    Units   hop: seconds from when a callee is in trouble until its caller feels it (for a callee that hangs, the
            caller's time-out), infinite where nothing passes; 0 when not given. onset: seconds until a service's own
            trouble begins, infinite for none; when not given 0 for `blast.origin`. The result is infinite for never.
    Raises  ValueError naming the argument: a wrong shape, NaN, something negative.
    Source  docs/concepts/blast-radius.md, equation 3.
    """
    graph = as_graph(graph)
    step = None if hop is None else known("hop", per_edge(graph, "hop", hop), infinite=True)
    given = np.where(blast.origin, 0.0, np.inf) if onset is None else onset
    begin = known("onset", per_service(graph, "onset", given), infinite=True)
    reach = np.empty(graph.services)
    graph.flows.reach(_is_hurt(graph, blast), step, begin, reach)
    return reach


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

    By Little's law `blast.latency` adds arrivals x latency to what is in flight. Where that fits under capacity the
    pool never fills. Where not, stuck requests pile up at arrivals x stuck a second against capacity - in_flight.

    Shapes  arrivals, in_flight, capacity, stuck, onset (n,); hop (E,) in CSR order.
    Units   arrivals: requests a second. in_flight: requests, before the trouble. capacity: requests at a time, infinite
            for no limit. stuck: share of the service's requests that wait, 0 to 1; 1 when not given, which is the
            soonest. hop, onset: see time_to_reach. The result: seconds from the onset; infinite = never; NaN = unknown.
    NaN     arrivals, in_flight, capacity, stuck: unknown, and so is the result where trouble makes the service wait.
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
        seconds = np.where((more <= room) | (growth == 0), np.inf, reach + room / growth)
    seconds[np.isnan(rate) | np.isnan(busy) | np.isnan(limit) | np.isnan(share)] = np.nan
    seconds[blast.latency == 0] = np.inf
    return seconds


def _is_hurt(graph: CallGraph, blast: Blast) -> NDArray[np.uint8]:
    if blast.failure.shape != (graph.services,) or blast.latency.shape != (graph.services,):
        raise ValueError(
            f"blast: of {len(blast.failure)} services; it takes the blast of this graph's {graph.services}"
        )
    return ((blast.failure > 0) | (blast.latency > 0)).view(np.uint8)


def _mass(
    graph: CallGraph, excess: ArrayLike, edge_excess: EdgeLike, local: ArrayLike | None, source: ArrayLike
) -> tuple[Floats, Floats, Floats | None, Floats]:
    return (
        per_service(graph, "excess", excess),
        per_edge(graph, "edge_excess", edge_excess),
        None if local is None else per_service(graph, "local", local),
        per_service(graph, "source", source),
    )


def _trouble(
    graph: CallGraph,
    failure: ArrayLike,
    latency: ArrayLike,
    fraction: EdgeLike,
    calls: EdgeLike | None,
    soft: EdgeLike | None,
) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.uint8] | None]:
    need = per_edge(graph, "fraction", fraction)
    return (
        per_service(graph, "failure", failure),
        per_service(graph, "latency", latency),
        need,
        need if calls is None else per_edge(graph, "calls", calls),
        None if soft is None else flags_per_edge(graph, "soft", soft),
    )


def _refuse_mass(mass: tuple[Floats, Floats, Floats | None, Floats]) -> NoReturn:
    """The sweep looks at every figure anyway, and says only that one is wrong; this says which."""
    for name, values in zip(("excess", "edge_excess", "local", "source"), mass, strict=True):
        if values is not None:
            masses(name, values)
    raise ValueError("excess, edge_excess, source: their sums are beyond any float; measure in a larger unit")


def _refuse_trouble(trouble: tuple[Floats, Floats, Floats, Floats, NDArray[np.uint8] | None]) -> None:
    """The same; the sweep takes -0.0 for wrong as well, and then nothing is."""
    known("failure", trouble[0], 1.0)
    known("latency", trouble[1])
    known("fraction", trouble[2], 1.0)
    known("calls", trouble[3])

"""The incident's neighbourhood out of a whole call graph: what lies between the origin and the protected entries.

The same function serves a recording and the live graph. Its cost follows the neighbourhood, once the graph's callers
are indexed: `callers_of` sorts all edges, and whoever asks again passes what it gave.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.model.situation import Call, Replica, RetryCut, Situation
from controlplane.model.topology import Service

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


class Callers(msgspec.Struct, frozen=True):
    """The graph by callee: positions `start[v] : start[v + 1]` of `edge` and `caller` are the calls to v."""

    start: NDArray[np.int64]
    edge: NDArray[np.int64]
    caller: NDArray[np.int64]


def callers_of(indptr: Ints, indices: Ints) -> Callers:
    """The CSR graph of callers turned round; O(edges log edges), once for each graph."""
    services = len(indptr) - 1
    edge = np.argsort(indices, kind="stable").astype(np.int64)
    caller = np.repeat(np.arange(services, dtype=np.int64), np.diff(indptr))[edge]
    start = np.zeros(services + 1, dtype=np.int64)
    np.cumsum(np.bincount(indices, minlength=services), out=start[1:])
    return Callers(start, edge, caller)


def neighbourhood(
    names: Sequence[str],
    indptr: Ints,
    indices: Ints,
    *,
    origin: int,
    traffic: Floats,
    requests: Floats,
    entries: Collection[int] = (),
    soft: NDArray[np.bool_] | None = None,
    blast: Floats | None = None,
    impact_s: Floats | None = None,
    callers: Callers | None = None,
) -> Situation:
    """The part of a situation that the graph knows: calls between the origin and the entries, and their figures.

    Shapes  rows of the CSR graph are callers: names, requests, blast, impact_s (n,); traffic, soft (E,) in CSR order.
    Units   traffic and requests per second; blast is a share; impact_s in seconds. NaN: unknown. No `entries`: every
            service above the origin that nobody calls.
    Raises  ValueError when shapes disagree, or origin or an entry is not a row.
    """
    _check(len(names), indptr, indices, origin, entries, traffic, requests)
    callers = callers if callers is not None else callers_of(indptr, indices)
    above, edges = _above(callers, origin)
    if entries:
        kept = _below(indptr, indices, above, [entry for entry in entries if entry in above])
        edges = [(caller, at) for caller, at in edges if caller in kept and int(indices[at]) in kept]
        above = kept | {origin, *entries}
    return Situation(
        origin=names[origin],
        requests={names[at]: _known(requests[at]) for at in sorted(above)},
        calls=tuple(
            Call(
                caller=names[caller],
                callee=names[int(indices[at])],
                traffic=_known(traffic[at]),
                soft=bool(soft is not None and soft[at]),
            )
            for caller, at in edges
        ),
        entries=tuple(sorted(names[entry] for entry in set(entries))),
        blast={} if blast is None else {names[at]: _known(blast[at]) for at in sorted(above)},
        impact_s={} if impact_s is None else {names[at]: _known(impact_s[at]) for at in sorted(above)},
    )


def retry_cut(
    names: Sequence[str],
    indptr: Ints,
    indices: Ints,
    edges: Collection[int],
    *,
    before: float,
    after: float,
    metastable: bool = False,
) -> RetryCut | None:
    """The retry containment (feedback/retries.py) by names: `edges` are CSR positions. None where there are none."""
    if not len(edges):
        return None
    caller = np.searchsorted(indptr, np.asarray(edges), side="right") - 1
    pairs = tuple((names[int(c)], names[int(indices[at])]) for c, at in zip(caller, edges, strict=True))
    return RetryCut(edges=pairs, before=before, after=after, metastable=metastable)


def replicas_of(
    service: Service,
    *,
    load: Mapping[str, float],
    failing: Mapping[str, float],
    capacity: Mapping[str, float] | None = None,
) -> tuple[Replica, ...]:
    """The declared endpoints of `service` with the figures there are, by name; the others stay unknown."""
    return tuple(
        Replica(
            name=one.name,
            zone=one.zone,
            version=one.version,
            priority=one.priority,
            weight=one.weight,
            load=load.get(one.name),
            failing=failing.get(one.name),
            capacity=(capacity or {}).get(one.name),
        )
        for one in service.endpoints
    )


def _above(callers: Callers, origin: int) -> tuple[set[int], list[tuple[int, int]]]:
    """The origin and every service that calls it, over however many hops, and the (caller, edge) pairs between them."""
    above, front, edges = {origin}, [origin], []
    for node in front:
        for at in range(int(callers.start[node]), int(callers.start[node + 1])):
            caller = int(callers.caller[at])
            edges.append((caller, int(callers.edge[at])))
            if caller not in above:
                above.add(caller)
                front.append(caller)
    return above, edges


def _below(indptr: Ints, indices: Ints, within: set[int], entries: Sequence[int]) -> set[int]:
    """The services `within` that the entries reach: only by way of them do users see anything."""
    found, front = set(entries), list(entries)
    for node in front:
        for at in range(int(indptr[node]), int(indptr[node + 1])):
            callee = int(indices[at])
            if callee in within and callee not in found:
                found.add(callee)
                front.append(callee)
    return found


def _known(figure: float | None) -> float | None:
    return None if figure is None or math.isnan(figure) else float(figure)


def _check(
    services: int,
    indptr: Ints,
    indices: Ints,
    origin: int,
    entries: Collection[int],
    traffic: Floats,
    requests: Floats,
) -> None:
    if len(indptr) != services + 1 or len(requests) != services:
        raise ValueError(f"{services} services, {len(indptr) - 1} rows and {len(requests)} requests: must be the same")
    if len(indices) != len(traffic):
        raise ValueError(f"{len(indices)} edges and {len(traffic)} figures of traffic: must be the same")
    for node in (origin, *entries):
        if not 0 <= node < services:
            raise ValueError(f"service {node} is not among the {services} services 0 to {services - 1}")

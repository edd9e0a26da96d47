"""Masses on the call graph: what each service and each call exceeds normal operation by, in one unit.

A unit of mass is a second that users wait longer, a request that fails, or a line in an error log. Where calls are not
observed themselves, a callee's mass lies on the edges that lead to it in proportion to its callers' mass: those who
suffer called it. Services of which nothing is known let mass through and keep none.

Source  docs/concepts/evidence.md
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.baseline import median
from controlplane.decide.analysis.excess import Excess, excess, failures, latencies
from controlplane.decide.analysis.local import Local, edge_requests, service_requests
from controlplane.decide.analysis.window import Floats, Window

CONDUITS_MAX = 4  # services of which nothing is known, one behind the other


class Mass(msgspec.Struct, frozen=True):
    """One unit of mass on the graph.

    Shapes  mass, local, surprise, proven: (N,); edge: (E,).
    mass, edge  beyond the bound, of each service and of each call; edge is the caller's view where it is known
    local       proven to be the service's own, whatever its callees show
    surprise    of the service's own evidence; 1 is the bound
    proven      by the network or by callers: does not rest on the tail of the service's own distribution
    """

    mass: Floats
    edge: Floats
    local: Floats
    surprise: Floats
    proven: NDArray[np.bool_]
    seen: Excess


def nothing(services: int, edges: int) -> Mass:
    """No mass anywhere."""
    zero = np.zeros(services)
    return Mass(zero, np.zeros(edges), zero, zero, np.zeros(services, bool), _unknown(services))


def seconds(window: Window, local: Local) -> Mass:
    """Excess seconds: of services by what they take, of calls by what their callers wait."""
    values, at = window.service.get("latency_s"), window.incident_at
    found = _unknown(len(window.services))
    if values is not None:
        found = latencies(values, at, requests=service_requests(window))
    edge = _split(window.edges, _conducted(window.edges, found))
    client = window.edge.get("client_latency_s")
    if client is not None:
        waiting = latencies(client, at, requests=edge_requests(window))
        edge = np.where(np.isfinite(waiting.seen), waiting.mass, edge)
    of_caller = local.accused == window.edges[:, 0]
    edge = np.maximum(0.0, edge - np.where(of_caller, local.network, 0.0))
    surprise = np.maximum(found.surprise, local.proof_s)
    return Mass(found.mass, edge, local.seconds, surprise, local.proven, found)


def failing(window: Window, silent: NDArray[np.bool_]) -> Mass:
    """Failing requests beyond the usual."""
    values, at = window.service.get("error_ratio"), window.incident_at
    counted = "requests" in window.service
    found = _unknown(len(window.services))
    if values is not None:
        found = failures(values, at, requests=service_requests(window), counted=counted)
    edge, local, surprise = (
        _split(window.edges, _conducted(window.edges, found)),
        np.zeros_like(found.mass),
        found.surprise,
    )
    ratios = window.edge.get("error_ratio")
    if ratios is not None:
        seen = failures(ratios, at, requests=edge_requests(window), counted="requests" in window.edge)
        known = np.isfinite(seen.seen)
        edge = np.where(known, seen.mass, edge)
        callees = window.edges[:, 1]
        # callers see it fail, itself it sees nothing: it, or its network
        local = np.maximum(0.0, sum_at(callees, np.where(known, edge, 0.0), len(local)) - found.mass)
        clearest = np.zeros_like(local)
        np.maximum.at(clearest, callees, np.where(known & (edge > 0), seen.surprise, 0.0))
        surprise = np.where(local > 0, np.maximum(surprise, clearest), surprise)
    mass = Mass(found.mass, edge, local, surprise, local > 0, found)
    return _to_silent(window.edges, mass, silent) if silent.any() else mass


def logs(window: Window) -> Mass:
    """Lines in error logs beyond the usual."""
    values = window.service.get("error_logs")
    found = _unknown(len(window.services))
    if values is not None:
        floor = np.sqrt(np.nan_to_num(median(values[: window.incident_at])) + 1.0)  # a count's own deviation
        found = excess(values, window.incident_at, requests=np.ones_like(values), floor=floor)
    edge = _split(window.edges, _conducted(window.edges, found))
    return Mass(found.mass, edge, np.zeros_like(found.mass), found.surprise, found.mass > 0, found)


def _unknown(services: int) -> Excess:
    zero, unknown = np.zeros(services), np.full(services, np.nan)
    return Excess(unknown, unknown, unknown, zero, zero, zero)


def _conducted(edges: NDArray[np.int64], found: Excess) -> Floats:
    """Masses, with those of services of which nothing is known filled in: what passes through them, at most.

    No more than all of their callees have, and no more than all of their callers suffer.
    """
    dark = ~np.isfinite(found.seen)
    if not dark.any():
        return found.mass
    bounds = []
    for end, other in ((0, 1), (1, 0)):
        mass = found.mass.copy()
        for _ in range(CONDUITS_MAX):
            near = sum_at(edges[:, end], mass[edges[:, other]], len(mass))
            mass = np.where(dark, near, found.mass)
        none = np.bincount(edges[:, end], minlength=len(mass)) == 0
        bounds.append(np.where(dark & none & (end == 1), np.inf, mass))  # nobody calls it: users do
    return np.minimum(bounds[0], bounds[1])


def _split(edges: NDArray[np.int64], mass: Floats) -> Floats:
    """Each callee's mass on the edges that lead to it, in proportion to its callers' mass."""
    callers, callees = edges[:, 0], edges[:, 1]
    suffering = sum_at(callees, mass[callers], len(mass))[callees]
    return np.where(suffering > 0, mass[callees] * mass[callers] / np.where(suffering > 0, suffering, 1.0), 0.0)


def sum_at(ends: NDArray[np.int64], weights: Floats, services: int) -> Floats:
    """Of each service the weights of the edges that have it at their `ends`."""
    return np.bincount(ends, weights=weights, minlength=services).astype(np.float64)


def _to_silent(edges: NDArray[np.int64], failing: Mass, silent: NDArray[np.bool_]) -> Mass:
    """A caller's failures that nothing else explains belong to callees that went silent, also behind unknown ones."""
    callers, callees = edges[:, 0], edges[:, 1]
    services = len(failing.mass)
    dark = ~np.isfinite(failing.seen.seen) & ~silent
    mute = silent.copy()
    for _ in range(CONDUITS_MAX):
        mute |= dark & (sum_at(callers, mute[callees].astype(np.float64), services) > 0)
    towards = mute[callees].astype(np.float64)
    ways = np.maximum(1.0, sum_at(callers, towards, services))
    left = np.maximum(0.0, failing.mass - sum_at(callers, failing.edge, services))
    edge, local, surprise = failing.edge, failing.local, failing.surprise
    clearest = np.where(left > 0, surprise, 0.0)
    for _ in range(CONDUITS_MAX + 1):
        passed = left[callers] * towards / ways[callers]
        left = sum_at(callees, passed, services)
        heard = np.zeros(services)
        np.maximum.at(heard, callees, np.where(passed > 0, clearest[callers], 0.0))
        edge = edge + passed
        local = np.where(silent, local + left, local)
        surprise = np.where(silent, np.maximum(surprise, heard), surprise)
        left, clearest = np.where(dark, left, 0.0), heard
        if not left.any():
            break
    return Mass(failing.mass, edge, local, surprise, failing.proven | (silent & (local > 0)), failing.seen)

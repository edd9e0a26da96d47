"""Evidence that a service bears about itself, which no callee explains away.

    self time    what it spends in itself, less what the network on its own calls accounts for
    network      what its callers wait longer than it works: it lies between the two ends, and one of them is accused
    saturation   of its processor, beyond what the growth of its requests accounts for
    lost calls   it answers its requests without making the calls that they usually need
    silence      nothing is known of it any more, while its callers are still seen

Source  docs/concepts/evidence.md
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.baseline import median
from controlplane.decide.analysis.excess import COUNT_SPREADS, Excess, excess, filled, latencies
from controlplane.decide.analysis.window import Floats, Window

NETWORK_FLOOR = 0.05  # of what the caller waits
SATURATION_FLOOR = 0.05  # of the median
CALLS_FLOOR = 0.05  # of the usual calls per request
CHANCE = 0.01  # that all of an incident's buckets of a service are missing, as others are
COUNT_MIN = 20.0  # usual requests per bucket from which none at all is silence: by chance, one time in e^20
SILENT = 0.05  # of the usual requests: less than this is silence
RARE = 0.01  # calls per request below this are no habit of the caller


class Local(msgspec.Struct, frozen=True):
    """Shapes  seconds, proof_s, saturation, lost, lost_surprise: (N,); network, accused: (E,); silent: (N,) bool.

    seconds        excess seconds proven to be of the service itself or of the network at its end
    proof_s        surprise of the strongest of those proofs
    proven         (N,) bool: the network's part of it alone is beyond its bound
    network        excess seconds between the two ends of an edge; accused: index of the end held responsible
    saturation     surprise; lost: requests answered without their calls, with its surprise
    """

    seconds: Floats
    proof_s: Floats
    proven: NDArray[np.bool_]
    network: Floats
    accused: NDArray[np.int64]
    saturation: Floats
    lost: Floats
    lost_surprise: Floats
    silent: NDArray[np.bool_]
    self_time: Excess | None
    between: Excess | None
    cpu: Excess | None
    calls: Excess | None


def local_evidence(window: Window) -> Local:
    """Everything the window's services prove about themselves."""
    services, edges = len(window.services), len(window.edges)
    between = _between(window)
    network = between.mass if between is not None else np.zeros(edges)
    accused = _accused(window.edges, between, services)
    caller = window.edges[:, 0]
    seconds = np.bincount(accused, weights=network, minlength=services).astype(np.float64)
    proof = np.zeros(services)
    if between is not None:
        np.maximum.at(proof, accused, np.where(network > 0, between.surprise, 0.0))
    proven = proof >= 1.0
    self_time = _self_time(window)
    if self_time is not None:
        abroad = np.bincount(caller, weights=network, minlength=services)
        own = np.maximum(0.0, self_time.mass - abroad)
        part = own / np.where(self_time.mass > 0, self_time.mass, 1.0)
        seconds, proof = seconds + own, np.maximum(proof, self_time.surprise * part)
    cpu = _saturation(window)
    calls = _calls(window)
    lost, lost_surprise = _lost(window, calls)
    return Local(
        seconds=seconds,
        proof_s=proof,
        proven=proven,
        network=network,
        accused=accused,
        saturation=cpu.surprise if cpu is not None else np.zeros(services),
        lost=lost,
        lost_surprise=lost_surprise,
        silent=_silent(window),
        self_time=self_time,
        between=between,
        cpu=cpu,
        calls=calls,
    )


def service_requests(window: Window) -> Floats:
    """Requests (T, N) without gaps; where services do not count them, the calls that lead to them."""
    requests, calls = window.service.get("requests"), window.edge.get("requests")
    shape = (window.buckets, len(window.services))
    if requests is None and calls is not None:
        requests = np.zeros(shape)
        np.add.at(requests.T, window.edges[:, 1], np.nan_to_num(calls).T)
        requests = np.where(requests > 0, requests, np.nan)
    return filled(requests, window.incident_at, shape)


def edge_requests(window: Window) -> Floats:
    """Calls (T, E) without gaps."""
    return filled(window.edge.get("requests"), window.incident_at, (window.buckets, len(window.edges)))


def _self_time(window: Window) -> Excess | None:
    values = window.service.get("self_time_s")
    return None if values is None else latencies(values, window.incident_at, requests=service_requests(window))


def _between(window: Window) -> Excess | None:
    """Client time less server time of each edge. Allowed to vary by a share of what the caller waits anyway."""
    client, server = window.edge.get("client_latency_s"), window.edge.get("server_latency_s")
    if client is None or server is None:
        return None
    floor = NETWORK_FLOOR * np.maximum(0.0, median(client[: window.incident_at]))
    return excess(client - server, window.incident_at, requests=edge_requests(window), floor=floor)


def _accused(edges: NDArray[np.int64], between: Excess | None, services: int) -> NDArray[np.int64]:
    """Of each edge the end whose other edges suffer, too; the callee, unless most of the caller's other edges do."""
    accused = edges[:, 1].copy()
    if between is None:
        return accused
    known = np.isfinite(between.seen).astype(float)
    bad = np.where(between.surprise > 1.0, known, 0.0)
    ends = edges.ravel()
    touching = np.bincount(ends, weights=np.repeat(known, 2), minlength=services)
    suffering = np.bincount(ends, weights=np.repeat(bad, 2), minlength=services)
    others = touching[edges] - known[:, None]
    support = (suffering[edges] - bad[:, None]) / np.maximum(1.0, others)
    return np.where((support[:, 0] > 0.5) & (support[:, 0] > support[:, 1]), edges[:, 0], accused)


def _saturation(window: Window) -> Excess | None:
    values = window.service.get("saturation")
    if values is None:
        return None
    at = window.incident_at
    floor = SATURATION_FLOOR * np.abs(median(values[:at]))
    requests = service_requests(window)
    growth = np.nan_to_num(median(requests[at:]) / np.maximum(median(requests[:at]), 1e-12), nan=1.0)
    fair = values.copy()
    fair[at:] /= np.maximum(1.0, growth)
    return excess(fair, at, requests=np.ones_like(values), floor=floor)


def _calls(window: Window) -> Excess | None:
    """Calls per request of the caller, negated: what is beyond the bound is lost."""
    service, edge = window.service.get("requests"), window.edge.get("requests")
    if service is None or edge is None:
        return None
    asked = service[:, window.edges[:, 0]]
    each = -edge / np.where(asked > 0, asked, np.nan)
    floor = CALLS_FLOOR * np.abs(median(each[: window.incident_at]))
    found = excess(each, window.incident_at, requests=np.nan_to_num(asked), floor=floor)
    expected = np.nan_to_num(-found.centre * found.requests)
    missing = expected + np.nan_to_num(found.seen * found.requests)
    by_count = missing / (COUNT_SPREADS * np.sqrt(CALLS_FLOOR * expected + 1.0))
    surprise = np.where(-np.nan_to_num(found.centre) > RARE, np.minimum(found.surprise, by_count), 0.0)
    mass = np.where(surprise > 1.0, found.mass, 0.0)
    return Excess(found.centre, found.bound, found.seen, found.requests, surprise, mass)


def _lost(window: Window, calls: Excess | None) -> tuple[Floats, Floats]:
    """(lost calls, surprise) of each service: its callers' when all of them lose calls, else the caller's own.

    A request that goes wrong early makes fewer calls. If that happens to every caller of one callee that has several,
    the callee is what they share; if to one caller only, it is the caller. Several such callees share by lost calls.
    """
    services = len(window.services)
    lost, surprise = np.zeros(services), np.zeros(services)
    if calls is None:
        return lost, surprise
    callers, callees = window.edges[:, 0], window.edges[:, 1]
    losing = np.zeros(services, bool)
    losing[callers[calls.surprise > 1.0]] = True
    habitual = -np.nan_to_num(calls.centre) > RARE
    telling = habitual & (np.bincount(callers[habitual], minlength=services)[callers] > 1)
    askers = np.bincount(callees[telling], minlength=services)
    shared = (askers > 1) & (np.bincount(callees[telling & losing[callers]], minlength=services) == askers)
    for caller in np.flatnonzero(losing):
        mine = np.flatnonzero((callers == caller) & (calls.mass > 0))
        behind = [edge for edge in mine if shared[callees[edge]]]
        whole = float(calls.mass[mine].sum())
        strongest = float(calls.surprise[mine].max(initial=0.0))
        if not behind:
            lost[caller] += whole
            surprise[caller] = max(surprise[caller], strongest)
            continue
        parts = calls.mass[behind] / calls.mass[behind].sum()
        np.add.at(lost, callees[behind], whole * parts)
        np.maximum.at(surprise, callees[behind], strongest)
    return lost, surprise


def _silent(window: Window) -> NDArray[np.bool_]:
    """Services of which hardly a request is known any more, while they regularly were and others still are.

    A bucket that is missing proves nothing where buckets are missing anyway: all of the incident's missing must have
    been less likely than CHANCE, by the normal buckets (Laplace's rule: one more missing, one more known).
    """
    requests = window.service.get("requests")
    if requests is None:
        return np.zeros(len(window.services), bool)
    normal, incident = requests[: window.incident_at], requests[window.incident_at :]
    seen = np.isfinite(incident) & (incident > SILENT * np.nan_to_num(median(normal)))
    lively = np.isfinite(normal).any(axis=1)  # a bucket in which nothing was known tells of no service
    missing = lively.sum() - np.isfinite(normal[lively]).sum(axis=0)
    by_chance = ((missing + 1.0) / (lively.sum() + 2.0)) ** seen.any(axis=1).sum()
    nothing = np.isfinite(incident) & (incident <= SILENT * np.nan_to_num(median(normal)))
    certain = nothing.any(axis=0) & (np.nan_to_num(median(normal)) > COUNT_MIN)
    silent: NDArray[np.bool_] = ~seen.any(axis=0) & seen.any() & ((by_chance < CHANCE) | certain)
    return silent

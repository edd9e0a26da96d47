"""Where it began: three flows of excess mass down the call graph and two proofs that need no graph, weighed together.

Each witness divides what it saw among the services (its share) and says how surprising the service's own evidence is.
Seconds, failures, log lines and processor shares have no common unit, so their masses are never added: within one witness mass
decides, between witnesses surprise does,

    support(v) = sum over witnesses of share(v) * ln surprise(v)        score(v) = support(v) / sum of support

Source  docs/concepts/evidence.md
"""

import msgspec
import numpy as np

from controlplane.decide._flow import share_of_blame
from controlplane.decide.evidence_local import Local, edge_requests, local_evidence, service_requests
from controlplane.decide.excess import Excess, excess, failures, latencies, median
from controlplane.decide.window import Floats, Window
from controlplane.model.recording import Metric

ACCUSE = 2.0  # surprise from which a service is accused; 1, the bound, is enough to explain a caller's excess
UNSEEN = 2.0  # times as much where the users' entry shows nothing: time alone, without the network's proof
MATERIAL = 0.002  # of all the seconds that users wait: less is not what anybody noticed
BREACHED = 1.0  # surprise at the entry that makes it the place where the users saw it
CONDUITS_MAX = 4  # services of which nothing is known, one behind the other
ALIAS_CALLS = 0.1  # a load balancer's requests equal those of the service behind it within this share
ALIAS_TIME = 0.1  # and it takes no longer than that service, within this share


class Witness(msgspec.Struct, frozen=True):
    """share (N,), sums to 1 at most; surprise (N,) of each service's own evidence; excess (N,) it speaks of."""

    name: str
    share: Floats
    surprise: Floats
    seen: Excess | None = None
    edge_mass: Floats | None = None
    unexplained: float = 0.0


class Verdict(msgspec.Struct, frozen=True):
    """score (N,); 0: not an origin. `witnesses` by name; `local` is what services bear about themselves."""

    score: Floats
    unexplained: float
    witnesses: dict[str, Witness]
    local: Local
    alias: np.ndarray


class _Unit(msgspec.Struct):
    """One unit of mass on the graph: of services, of edges, proven local, and the surprise of what is a service's own."""

    mass: Floats
    edge: Floats
    local: Floats
    surprise: Floats
    seen: Excess | None
    proven: np.ndarray  # bool: by the network, or by callers: needs no tail of the service's own distribution


def judge(window: Window) -> Verdict:
    """Weigh everything the window shows."""
    local = local_evidence(window)
    alias = aliases(window)
    seconds, failing, logs = _seconds(window, local), _failures(window, local.silent), _logs(window)
    witnesses = {
        "seconds": _follow(window, seconds, failing, "latency"),
        "failures": _follow(window, failing, seconds, "availability"),
        "logs": _follow(window, logs, None, None),
    }
    witnesses["saturation"] = _proof("saturation", local.saturation, local.saturation, local.cpu)
    witnesses["lost calls"] = _proof("lost calls", local.lost, local.lost_surprise, local.calls)
    support = np.zeros(len(window.services))
    for witness in witnesses.values():
        support += witness.share * np.log(np.maximum(1.0, witness.surprise))
    support = _behind(support, alias, local)
    whole = float(support.sum())
    if whole <= 0:
        return Verdict(support, 0.0, witnesses, local, alias)
    heard = [w for w in witnesses.values() if w.share.any()]
    weights = [float((w.share * np.log(np.maximum(1.0, w.surprise))).sum()) for w in heard]
    unexplained = float(np.average([w.unexplained for w in heard], weights=weights))
    return Verdict(support / whole * (1.0 - unexplained), unexplained, witnesses, local, alias)


def aliases(window: Window) -> np.ndarray:
    """Of each service the one it merely stands in front of, else itself: a load balancer adds neither calls nor time."""
    services = len(window.services)
    alias = np.arange(services)
    requests, latency = window.service.get("requests"), window.service.get("latency_s")
    if requests is None or latency is None or not len(window.edges):
        return alias
    asked, took = median(requests[: window.incident_at]), median(latency[: window.incident_at])
    callers, callees = window.edges[:, 0], window.edges[:, 1]
    one_out = np.bincount(callers, minlength=services)[callers] == 1
    one_in = np.bincount(callees, minlength=services)[callees] == 1
    same_calls = np.abs(asked[callers] - asked[callees]) <= ALIAS_CALLS * asked[callees]
    same_time = took[callers] <= (1.0 + ALIAS_TIME) * took[callees]
    front = one_out & one_in & same_calls & same_time
    alias[callers[front]] = callees[front]
    return alias


def _behind(support: Floats, alias: np.ndarray, local: Local) -> Floats:
    moved = support.copy()
    for front in np.flatnonzero(alias != np.arange(len(alias))):
        if local.saturation[front] <= 1.0 and local.seconds[front] <= 0:
            moved[alias[front]] += moved[front]
            moved[front] = 0.0
    return moved


def _proof(name: str, amount: Floats, surprise: Floats, seen: Excess | None) -> Witness:
    real = np.where(surprise >= ACCUSE, np.maximum(0.0, amount), 0.0)
    whole = float(real.sum())
    return Witness(name, real / whole if whole > 0 else real, surprise, seen)


def _seconds(window: Window, local: Local) -> _Unit:
    values, at = window.service.get("latency_s"), window.incident_at
    found = latencies(values, at, requests=service_requests(window)) if values is not None else _nothing(window)
    edge = _split(window.edges, _conducted(window.edges, found))
    client = window.edge.get("client_latency_s")
    if client is not None:
        waiting = latencies(client, at, requests=edge_requests(window))
        edge = np.where(np.isfinite(waiting.seen), waiting.mass, edge)
    of_caller = local.accused == window.edges[:, 0]
    edge = np.maximum(0.0, edge - np.where(of_caller, local.network, 0.0))
    return _Unit(found.mass, edge, local.seconds, np.maximum(found.surprise, local.proof_s), found, local.proven)


def _failures(window: Window, silent: np.ndarray) -> _Unit:
    values, at = window.service.get("error_ratio"), window.incident_at
    found = failures(values, at, requests=service_requests(window)) if values is not None else _nothing(window)
    callees = window.edges[:, 1]
    edge, local, surprise = _split(window.edges, _conducted(window.edges, found)), np.zeros_like(found.mass), found.surprise
    ratios = window.edge.get("error_ratio")
    if ratios is not None:
        failing = failures(ratios, at, requests=edge_requests(window))
        known = np.isfinite(failing.seen)
        edge = np.where(known, failing.mass, edge)
        # callers see it fail, itself it sees nothing: it, or its network
        local = np.maximum(0.0, _arrival(window.edges, np.where(known, edge, 0.0), len(local)) - found.mass)
        clearest = np.zeros_like(local)
        np.maximum.at(clearest, callees, np.where(known & (edge > 0), failing.surprise, 0.0))
        surprise = np.where(local > 0, np.maximum(surprise, clearest), surprise)
    unit = _Unit(found.mass, edge, local, surprise, found, local > 0)
    _to_silent(window.edges, unit, silent, dark=~np.isfinite(found.seen))
    return unit


def _logs(window: Window) -> _Unit:
    values = window.service.get("error_logs")
    found = _nothing(window)
    if values is not None:
        floor = np.sqrt(np.nan_to_num(median(values[: window.incident_at])) + 1.0)  # a count's own deviation
        found = excess(values, window.incident_at, requests=np.ones_like(values), floor=floor)
    edge = _split(window.edges, _conducted(window.edges, found))
    return _Unit(found.mass, edge, np.zeros_like(found.mass), found.surprise, found, found.mass > 0)


def _nothing(window: Window) -> Excess:
    zero, unknown = np.zeros(len(window.services)), np.full(len(window.services), np.nan)
    return Excess(unknown, unknown, unknown, zero, zero, zero)


def _conducted(edges: np.ndarray, found: Excess) -> Floats:
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
            near = np.bincount(edges[:, end], weights=mass[edges[:, other]], minlength=len(mass))
            mass = np.where(dark, near, found.mass)
        none = np.bincount(edges[:, end], minlength=len(mass)) == 0
        bounds.append(np.where(dark & none & (end == 1), np.inf, mass))  # nobody calls it: users do
    return np.minimum(*bounds)


def _split(edges: np.ndarray, mass: Floats) -> Floats:
    """Each callee's mass on the edges that lead to it, in proportion to its callers' mass: those who suffer called it."""
    callers, callees = edges[:, 0], edges[:, 1]
    suffering = np.bincount(callees, weights=mass[callers], minlength=len(mass))[callees]
    return np.where(suffering > 0, mass[callees] * mass[callers] / np.where(suffering > 0, suffering, 1.0), 0.0)


def _arrival(edges: np.ndarray, weights: Floats, services: int) -> Floats:
    return np.bincount(edges[:, 1], weights=weights, minlength=services)


def _to_silent(edges: np.ndarray, failing: _Unit, silent: np.ndarray, *, dark: np.ndarray) -> None:
    """A caller's failures that nothing else explains belong to callees that went silent, also behind unknown ones."""
    callers, callees = edges[:, 0], edges[:, 1]
    services = len(failing.mass)
    mute = silent.copy()
    for _ in range(CONDUITS_MAX):
        mute |= dark & (np.bincount(callers, weights=mute[callees].astype(float), minlength=services) > 0)
    if not mute.any():
        return
    left = np.maximum(0.0, failing.mass - np.bincount(callers, weights=failing.edge, minlength=services))
    towards = mute[callees].astype(float)
    count = np.maximum(1.0, np.bincount(callers, weights=towards, minlength=services))
    clearest = np.where(left > 0, failing.surprise, 0.0)
    for _ in range(CONDUITS_MAX + 1):
        passed = left[callers] * towards / count[callers]
        left = np.bincount(callees, weights=passed, minlength=services)
        heard = np.zeros(services)
        np.maximum.at(heard, callees, np.where(passed > 0, clearest[callers], 0.0))
        failing.edge = failing.edge + passed
        failing.local = np.where(silent, failing.local + left, failing.local)
        failing.surprise = np.where(silent, np.maximum(failing.surprise, heard), failing.surprise)
        failing.proven = failing.proven | (silent & (left > 0))
        left, clearest = np.where(dark & ~silent, left, 0.0), heard
        if not left.any():
            return


def _follow(window: Window, unit: _Unit, other: _Unit | None, metric: Metric | None) -> Witness:
    """The unit's mass from where users saw it, or from wherever no caller's excess accounts for it, down to its origins.

    What fails because it waits, and what waits because it retries: a service's failures that no callee's failures explain
    go on as its excess seconds do, and the other way round. So the flow has two floors, one per unit, and four kinds of edges.
    """
    source, gate = _source(window, unit, metric)
    services, edges = len(unit.mass), window.edges
    if other is None:
        other = _Unit(*(np.zeros_like(part) for part in (unit.mass, unit.edge, unit.local, unit.mass)), None, unit.mass < 0)
    over, under = _crossing(edges, unit, other), _crossing(edges, other, unit)
    floors = np.concatenate([edges, edges + services, edges + [0, services], edges + [services, 0]])
    out, other_out = (np.bincount(edges[:, 0], weights=over_, minlength=services) for over_ in (over, under))
    share, unexplained = share_of_blame(
        floors,
        excess=np.concatenate([unit.mass - out, other.mass - other_out]),
        edge_excess=np.concatenate([unit.edge, other.edge, over, under]),
        local=np.concatenate([unit.local, other.local]),
        source=np.concatenate([source, np.zeros(services)]),
    )
    surprise = np.where(share[services:] > share[:services], other.surprise, unit.surprise)
    whole = share[:services] + share[services:]
    kept = np.where(surprise >= gate, whole, 0.0)
    accused = float(kept.sum())
    if accused > 0:
        kept *= (1.0 - unexplained) / accused
    return Witness(metric or "logs", kept, surprise, unit.seen, unit.edge, unexplained)


def _crossing(edges: np.ndarray, unit: _Unit, other: _Unit) -> Floats:
    """Of each edge the mass of `unit` at its caller that changes over to `other` at its callee."""
    callers, services = edges[:, 0], len(unit.mass)
    left = np.maximum(0.0, unit.mass - np.maximum(unit.local, np.bincount(callers, weights=unit.edge, minlength=services)))
    out = np.bincount(callers, weights=other.edge, minlength=services)
    whole = np.maximum(other.mass, out + other.local)[callers]
    return left[callers] * np.where(whole > 0, other.edge / np.where(whole > 0, whole, 1.0), 0.0)


def _source(window: Window, unit: _Unit, metric: Metric | None) -> tuple[Floats, Floats]:
    """(mass to be explained, surprise needed) of each service."""
    source, services = np.zeros_like(unit.mass), len(unit.mass)
    breached = (unit.mass > 0) & (unit.surprise >= BREACHED)
    doors = _entries(window)
    if window.entry is not None and metric and breached[window.entry] and metric == (window.metric or metric):
        source[window.entry] = unit.mass[window.entry]
        return source, np.ones(services)
    arriving = _arrival(window.edges, unit.edge, services)
    hidden = np.maximum(0.0, np.maximum(unit.mass, unit.local) - arriving)
    hidden = np.maximum(hidden, np.where(unit.mass > 0, 0.0, unit.local))
    gate = np.full(services, ACCUSE)
    if metric == "latency":
        if not breached[doors].any():
            gate = np.where(unit.proven, gate, gate * UNSEEN)
        waited = float(np.nansum((unit.seen.seen * unit.seen.requests)[doors])) if unit.seen is not None else 0.0
        gate = np.where(hidden < MATERIAL * waited, gate * UNSEEN, gate)
    return np.where(unit.surprise >= BREACHED, hidden, 0.0), gate


def _entries(window: Window) -> np.ndarray:
    """Where users come in: the named entry, else every service that calls and is not called."""
    if window.entry is not None:
        return np.array([window.entry])
    services = len(window.services)
    calls, called = (np.bincount(window.edges[:, end], minlength=services) > 0 for end in (0, 1))
    return np.flatnonzero(calls & ~called)

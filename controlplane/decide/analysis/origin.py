"""Where it began: flows of excess mass down the call graph and proofs that need no graph, weighed together.

Each witness divides what it saw among the services (its share) and says how surprising the service's own evidence is.
Seconds, failures, log lines and processor shares have no common unit, so their masses are never added: within one
witness mass decides, between witnesses surprise does,

    support(v) = sum over witnesses of share(v) * ln surprise(v)        score(v) = support(v) / sum of support

Source  docs/concepts/evidence.md
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.baseline import median
from controlplane.decide.analysis.excess import SEVERAL
from controlplane.decide.analysis.flow import share_of_blame
from controlplane.decide.analysis.local import Local, local_evidence, service_requests
from controlplane.decide.analysis.mass import Mass, failing, logs, nothing, seconds, sum_at
from controlplane.decide.analysis.window import Floats, Window
from controlplane.model.recording import Metric

ACCUSE = 2.0  # surprise from which a service is accused; 1, the bound, is enough to explain a caller's excess
UNSEEN = 2.0  # times as much for time that the users' entry does not show, and for a hot processor nobody waits for
MATERIAL = 0.002  # of all the seconds that users wait: of less mass, twice the surprise is asked
FEW = 1.5  # and again where the incident has too few buckets to tell a spike from a change
BREACHED = 1.0  # surprise at the entry that makes it the place where the users saw it
ALIAS_CALLS = 0.1  # a load balancer's requests equal those of the service behind it within this share
ALIAS_TIME = 0.1  # and it takes no longer than that service, within this share


class Witness(msgspec.Struct, frozen=True):
    """share (N,), sums to 1 - unexplained, or to 0; surprise (N,) of each service's own evidence."""

    share: Floats
    surprise: Floats
    unexplained: float = 0.0


class Verdict(msgspec.Struct, frozen=True):
    """score (N,), 0: not an origin; scores and `unexplained` sum to 1, or to 0 where nothing is accused.

    `alias[v]` is the service that v merely stands in front of, else v.
    """

    score: Floats
    unexplained: float
    seconds: Mass
    failing: Mass
    logs: Mass
    local: Local
    alias: NDArray[np.int64]
    witnesses: dict[str, Witness]


def judge(window: Window) -> Verdict:
    """Weigh everything the window shows."""
    local, alias = local_evidence(window), aliases(window)
    time, failed, lines = seconds(window, local), failing(window, local.silent), logs(window)
    felt = (time.mass + time.local > 0) | (failed.mass + failed.local > 0) | (local.lost > 0)
    hot = np.where(felt | (local.saturation >= ACCUSE * UNSEEN), local.saturation, 0.0)
    witnesses = {
        "seconds": _follow(window, time, failed, "latency"),
        "failures": _follow(window, failed, time, "availability"),
        "logs": _follow(window, lines, nothing(len(window.services), len(window.edges)), None),
        "saturation": _proof(hot, local.saturation),
        "lost calls": _proof(local.lost, local.lost_surprise),
    }
    weights = {name: witness.share * np.log(np.maximum(1.0, witness.surprise)) for name, witness in witnesses.items()}
    support = _behind(sum(weights.values(), np.zeros(len(window.services))), alias, local)
    whole, unexplained = float(support.sum()), 0.0
    if whole > 0:
        unexplained = sum(witnesses[name].unexplained * float(part.sum()) for name, part in weights.items()) / whole
        support = support / whole * (1.0 - unexplained)
    return Verdict(support, unexplained, time, failed, lines, local, alias, witnesses)


def aliases(window: Window) -> NDArray[np.int64]:
    """Of each service the one it merely stands in front of, else itself: balancers add neither calls nor time."""
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
    for _ in range(2):  # up to four balancers, one behind the other
        alias = alias[alias]
    return alias


def _behind(support: Floats, alias: NDArray[np.int64], local: Local) -> Floats:
    """A load balancer's blame is that of the service behind it, unless it bears evidence of its own."""
    moved = support.copy()
    for front in np.flatnonzero(alias != np.arange(len(alias))):
        if local.saturation[front] <= 1.0 and local.seconds[front] <= 0:
            moved[alias[front]] += moved[front]
            moved[front] = 0.0
    return moved


def _proof(amount: Floats, surprise: Floats) -> Witness:
    real = np.where(surprise >= ACCUSE, np.maximum(0.0, amount), 0.0)
    whole = float(real.sum())
    return Witness(real / whole if whole > 0 else real, surprise)


def _follow(window: Window, mass: Mass, other: Mass, metric: Metric | None) -> Witness:
    """The mass from where users saw it, or from wherever no caller's excess accounts for it, down to its origins.

    What fails because it waits, and what waits because it retries: a service's failures that no callee's failures
    explain go on as its excess seconds do, and the other way round. So the flow has two floors, one per unit.
    """
    source, gate = _source(window, mass, metric)
    services, edges = len(mass.mass), window.edges
    share, unexplained = share_of_blame(
        np.concatenate([edges, edges + services, edges + np.array([0, services]), edges + np.array([services, 0])]),
        excess=np.concatenate([mass.mass, other.mass]),
        edge_excess=np.concatenate(
            [mass.edge, other.edge, _crossing(edges, mass, other), _crossing(edges, other, mass)]
        ),
        local=np.concatenate([mass.local, other.local]),
        source=np.concatenate([source, np.zeros(services)]),
    )
    surprise = np.where(share[services:] > share[:services], other.surprise, mass.surprise)
    accused = np.where(surprise >= gate, share[:services] + share[services:], 0.0)
    whole = float(accused.sum())
    if whole > 0:  # what ends at services whose excess may be chance accuses nobody, and excuses nobody
        accused *= (1.0 - unexplained) / whole
    return Witness(accused, surprise, unexplained if whole > 0 else 0.0)


def _crossing(edges: NDArray[np.int64], mass: Mass, other: Mass) -> Floats:
    """Of each edge the mass at its caller that changes over to the `other` unit at its callee."""
    callers, services = edges[:, 0], len(mass.mass)
    left = np.maximum(0.0, mass.mass - np.maximum(mass.local, sum_at(callers, mass.edge, services)))
    whole = np.maximum(other.mass, sum_at(callers, other.edge, services) + other.local)[callers]
    return left[callers] * np.where(whole > 0, other.edge / np.where(whole > 0, whole, 1.0), 0.0)


def _source(window: Window, mass: Mass, metric: Metric | None) -> tuple[Floats, Floats]:
    """(mass to be explained, surprise needed to be accused) of each service."""
    services = len(mass.mass)
    breached = (mass.mass > 0) & (mass.surprise >= BREACHED)
    if window.entry is not None and metric and breached[window.entry] and metric == (window.metric or metric):
        source = np.zeros(services)
        source[window.entry] = mass.mass[window.entry]
        return source, np.full(services, BREACHED)
    out = sum_at(window.edges[:, 0], mass.edge, services)
    shows = np.minimum(1.0, mass.mass / np.where(out > 0, out, 1.0))  # accounts for no more than it shows
    arriving = sum_at(window.edges[:, 1], mass.edge * shows[window.edges[:, 0]], services)
    hidden = np.maximum(0.0, np.maximum(mass.mass, mass.local) - arriving)
    hidden = np.maximum(hidden, np.where(mass.mass > 0, 0.0, mass.local))
    gate = np.full(services, ACCUSE)
    if metric == "latency":
        doors = _entries(window, mass)
        if not breached[doors].any():
            few = window.incident_at + SEVERAL > len(service_requests(window))
            gate = np.where(mass.proven, gate, gate * UNSEEN * (FEW if few else 1.0))
        waited = float(np.nansum((mass.seen.seen * mass.seen.requests)[doors]))
        gate = np.where(hidden < MATERIAL * waited, gate * UNSEEN, gate)
    return np.where(mass.surprise >= BREACHED, hidden, 0.0), gate


def _entries(window: Window, mass: Mass) -> NDArray[np.int64]:
    """Where users come in: the named entry if it is known, else every service that calls and is not called."""
    if window.entry is not None and np.isfinite(mass.seen.seen[window.entry]):
        return np.array([window.entry])
    calls, called = (np.bincount(window.edges[:, end], minlength=len(window.services)) > 0 for end in (0, 1))
    return np.flatnonzero(calls & ~called).astype(np.int64)

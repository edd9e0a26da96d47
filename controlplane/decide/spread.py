"""Who will feel an incident, and how much: from its origins up to their callers.

A caller's request fails with its own share, or with any callee it needs; times add up:

    failure_u = 1 - (1 - own_u) * product over callees c of (1 - fraction_uc * failure_c)
    latency_u = own_u + sum over callees c of calls_uc * latency_c

Calls whose caller is known to be calm although it should not be are left out: a fallback answers, or nobody waits.

own: the origin's own, by the verdict; calls_uc: calls per request of u in normal operation; fraction = min(1, calls).
Source  docs/concepts/blast-radius.md
"""

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.evidence_local import service_requests
from controlplane.decide.excess import median
from controlplane.decide.mass import Mass, sum_at
from controlplane.decide.origin import Verdict
from controlplane.decide.window import Floats, Window
from controlplane.model.analysis import Impact

FAILURE_MIN = 0.001  # a smaller share of requests is nothing to warn of
LATENCY_MIN = 0.02  # of the usual latency, likewise
IMPACTS_MAX = 50
LATENCY_MAX_S = 1e6  # where calls run in a circle, times add up without end


def foresee(window: Window, verdict: Verdict, origins: list[int]) -> tuple[Impact, ...]:
    """What services are expected to show if nothing is done, the worst first; times to impact are not foreseen here."""
    calls = calls_per_request(window)
    failure = np.minimum(1.0, _own(window, verdict.failing, origins))
    failure[[v for v in origins if verdict.local.silent[v]]] = 1.0
    latency = _own(window, verdict.seconds, origins)
    fails, waits = _spread(window, failure, latency, np.minimum(1.0, calls), calls)
    hard = ~_masked(window, verdict.failing, np.minimum(1.0, calls) * fails[window.edges[:, 1]])
    awaited = ~_masked(window, verdict.seconds, calls * waits[window.edges[:, 1]])
    fails, waits = _spread(window, failure, latency, np.minimum(1.0, calls) * hard, calls * awaited)
    usual = np.nan_to_num(verdict.seconds.seen.centre)
    found = [Impact(window.services[v], "availability", float(fails[v])) for v in np.flatnonzero(fails >= FAILURE_MIN)]
    slow = np.flatnonzero((waits > 0) & (waits >= LATENCY_MIN * usual))
    delays = [Impact(window.services[v], "latency", float(waits[v])) for v in slow]
    found.sort(key=lambda impact: (-impact.expected, impact.service))
    delays.sort(key=lambda impact: (-impact.expected, impact.service))
    return tuple(found[:IMPACTS_MAX] + delays[:IMPACTS_MAX])


def _spread(window: Window, failure: Floats, latency: Floats, fraction: Floats, calls: Floats) -> tuple[Floats, Floats]:
    """(failing share, excess seconds) of every service, callers after callees until nothing changes."""
    caller, callee = window.edges[:, 0], window.edges[:, 1]
    services = len(window.services)
    fails, waits = failure, latency
    for _ in range(services):
        keeps = np.ones(services)
        np.multiply.at(keeps, caller, 1.0 - fraction * fails[callee])
        worse = 1.0 - (1.0 - failure) * keeps
        longer = np.minimum(latency + sum_at(caller, calls * waits[callee], services), LATENCY_MAX_S)
        settled = np.allclose(worse, fails, atol=1e-9) and np.allclose(longer, waits, rtol=1e-6)
        fails, waits = worse, longer
        if settled:
            break
    return fails, waits


def _masked(window: Window, mass: Mass, reaching: Floats) -> NDArray[np.bool_]:
    """Edges whose caller should exceed its bound by what reaches it, is known, and does not: fallback or background."""
    caller, seen = window.edges[:, 0], mass.seen
    calm = np.isfinite(seen.seen) & (seen.seen <= seen.bound)
    return calm[caller] & (reaching > (seen.bound - seen.centre)[caller])


def calls_per_request(window: Window) -> Floats:
    """Calls (E,) per request of the caller in normal operation; from the services' own counts where calls are not seen.

    A callee's requests are then divided among its callers in proportion to theirs; 1 where nothing is counted.
    """
    at = window.incident_at
    requests, calls = window.service.get("requests"), window.edge.get("requests")
    if requests is None or not len(window.edges):
        return np.ones(len(window.edges))
    usual = median(requests[:at])
    asked = usual[window.edges[:, 0]]
    seen = median(calls[:at]) if calls is not None else np.full(len(window.edges), np.nan)
    callers = sum_at(window.edges[:, 1], np.nan_to_num(asked), len(window.services))[window.edges[:, 1]]
    divided = usual[window.edges[:, 1]] / np.where(callers > 0, callers, np.nan)
    each = np.where(np.isfinite(seen), seen / np.where(asked > 0, asked, np.nan), divided)
    return np.where(np.isfinite(each), each, 1.0)


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

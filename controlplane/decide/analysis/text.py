"""What is held against a service, in sentences with the numbers they rest on."""

import numpy as np

from controlplane.decide.analysis.excess import Excess
from controlplane.decide.analysis.mass import Mass, sum_at
from controlplane.decide.analysis.origin import Verdict
from controlplane.decide.analysis.window import Window

_NETWORK_MAX = 3  # of the callers that wait on the network, the ones named
_PART_MIN = 0.005  # a smaller share is said to be none


def sentences(window: Window, verdict: Verdict, service: int) -> tuple[str, ...]:
    """Everything that speaks against `service`, the most surprising first."""
    said = [
        *_failing(window, verdict, service),
        *_slow(window, verdict, service),
        *_own(window, verdict, service),
        *_network(window, verdict, service),
        *_hot(verdict, service),
        *_lost(window, verdict, service),
        *_logs(verdict, service),
    ]
    said.sort(key=lambda pair: -pair[0])
    told = [sentence for _, sentence in said]
    if verdict.local.silent[service]:
        told.append("nothing is heard of it since the incident began, although it is usually known in every bucket")
    fronts = [window.services[front] for front in np.flatnonzero(verdict.alias == service) if front != service]
    if fronts:
        told.append(f"stands behind {', '.join(fronts)}, which adds neither calls nor time: its blame is counted here")
    return tuple(told)


Said = list[tuple[float, str]]


def _failing(window: Window, verdict: Verdict, service: int) -> Said:
    mass, seen = verdict.failing, verdict.failing.seen
    said: Said = []
    if mass.mass[service] > 0:
        ratio, usually = share(seen.seen[service]), share(seen.centre[service])
        beyond = f"{count(mass.mass[service])} requests beyond the bound, {_explained(window, mass, service)}"
        said.append((_surprise(seen, service), f"fails {ratio} of its requests, usually {usually}: {beyond}"))
    if mass.local[service] > 0:
        what = (
            "fail without any answer of its own" if verdict.local.silent[service] else "fail in its callers' eyes only"
        )
        said.append((float(mass.surprise[service]), f"{count(mass.local[service])} requests to it {what}"))
    return said


def _slow(window: Window, verdict: Verdict, service: int) -> Said:
    mass, seen = verdict.seconds, verdict.seconds.seen
    if mass.mass[service] <= 0:
        return []
    took, usually = time(seen.seen[service]), time(seen.centre[service])
    beyond = f"{count(mass.mass[service])} excess seconds over {count(seen.requests[service])} requests"
    explained = _explained(window, mass, service)
    return [(_surprise(seen, service), f"takes {took} per request, usually {usually}: {beyond}, {explained}")]


def _explained(window: Window, mass: Mass, service: int) -> str:
    out = sum_at(window.edges[:, 0], mass.edge, len(window.services))[service]
    part = min(1.0, float(out / mass.mass[service]))
    return f"{part:.0%} of them its callees'" if part >= _PART_MIN else "none of them its callees'"


def _own(window: Window, verdict: Verdict, service: int) -> Said:
    seen = verdict.local.self_time
    if seen is None or seen.mass[service] <= 0:
        return []
    abroad = sum_at(window.edges[:, 0], verdict.local.network, len(window.services))[service]
    own = float(seen.mass[service] - abroad)
    if own <= 0:
        return []
    took, usually = time(seen.seen[service]), time(seen.centre[service])
    beyond = f"{count(own)} excess seconds that no call of its own accounts for"
    surprise = _surprise(seen, service) * own / float(seen.mass[service])
    return [(surprise, f"spends {took} per request in itself, usually {usually}: {beyond}")]


def _network(window: Window, verdict: Verdict, service: int) -> Said:
    local, seen = verdict.local, verdict.local.between
    if seen is None:
        return []
    edges = np.flatnonzero((local.accused == service) & (local.network > 0))
    said: Said = []
    for edge in sorted(edges, key=lambda each: -local.network[each])[:_NETWORK_MAX]:
        caller, callee = (window.services[end] for end in window.edges[edge])
        longer, usually = time(seen.seen[edge]), time(max(0.0, float(seen.centre[edge])))
        beyond = f"{count(local.network[edge])} excess seconds between them"
        text = f"{caller} waits {longer} longer for {callee} than {callee} works, usually {usually}: {beyond}"
        said.append((_surprise(seen, int(edge)), text))
    return said


def _hot(verdict: Verdict, service: int) -> Said:
    seen = verdict.local.cpu
    if seen is None or verdict.witnesses["saturation"].share[service] <= 0:
        return []
    level, usually = f"{seen.seen[service]:.3g}", f"{seen.centre[service]:.3g}"
    beyond = f"{seen.surprise[service]:.3g} times the deviation that is tolerated"
    return [(_surprise(seen, service), f"processor at {level} for the requests it has, usually {usually}: {beyond}")]


def _lost(window: Window, verdict: Verdict, service: int) -> Said:
    local = verdict.local
    if local.calls is None or verdict.witnesses["lost calls"].share[service] <= 0:
        return []
    own = local.calls.mass[window.edges[:, 0] == service].sum() > 0
    whose = "its requests usually make" if own else "its callers' requests usually make once it has answered"
    return [(float(local.lost_surprise[service]), f"{count(local.lost[service])} calls are missing that {whose}")]


def _logs(verdict: Verdict, service: int) -> Said:
    seen = verdict.logs.seen
    if verdict.logs.mass[service] <= 0:
        return []
    level, usually = f"{seen.seen[service]:.3g}", f"{seen.centre[service]:.3g}"
    return [(_surprise(seen, service), f"logs {level} errors per bucket, usually {usually}")]


def _surprise(seen: Excess, column: int) -> float:
    return float(seen.surprise[column])


def time(seconds: float) -> str:
    """Seconds as a person reads them."""
    return f"{seconds:.3g} s" if abs(seconds) >= 1.0 else f"{seconds * 1000:.3g} ms"


def share(ratio: float) -> str:
    """A share in per cent."""
    return f"{ratio * 100:.3g} %"


def count(amount: float) -> str:
    """A count; small ones with their fraction."""
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"

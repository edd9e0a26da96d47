"""Propagation in plain dictionaries and loops: slow, short, and written from the formulas of docs/concepts alone."""

import math

Edges = dict[tuple[int, int], float]
ROUNDS = 20_000


def blame(
    services: int, edges: Edges, excess: list[float], local: list[float], source: list[float]
) -> tuple[list[float], float]:
    """(share, unexplained): a pulse of blame is followed until nothing is left of it."""
    flow = {pair: mass for pair, mass in edges.items() if mass > 0}
    out = {v: sum(mass for (caller, _), mass in flow.items() if caller == v) for v in range(services)}
    own = {
        v: max(
            0.0 if math.isnan(local[v]) else local[v],
            0.0 if math.isnan(excess[v]) else excess[v] - out[v],
            0.0,
        )
        for v in range(services)
    }
    seen = {v: mass for v, mass in enumerate(source) if mass > 0}
    total = sum(seen.values())
    share = [0.0] * services
    unexplained = 0.0
    pulse = {v: mass / total for v, mass in seen.items()}
    for _ in range(ROUNDS):
        after: dict[int, float] = {}
        for v, mass in pulse.items():
            if own[v] + out[v] == 0:
                unexplained += mass
                continue
            share[v] += mass * own[v] / (own[v] + out[v])
            for (caller, callee), carried in flow.items():
                if caller == v:
                    after[callee] = after.get(callee, 0.0) + mass * carried / (own[v] + out[v])
        pulse = after
        if sum(pulse.values()) < 1e-15:
            break
    return share, unexplained + sum(pulse.values())


def blast(
    services: int, need: Edges, calls: Edges, failure: list[float], latency: list[float]
) -> tuple[list[float], list[float]]:
    """(failure, latency): the formulas, over and over from nothing, until they hold. `need` has hard edges only."""
    failing, slower = [0.0] * services, [0.0] * services
    for _ in range(ROUNDS):
        keep = [1.0 - own for own in failure]
        more = list(latency)
        for (caller, callee), fraction in need.items():
            keep[caller] *= 1.0 - fraction * failing[callee]
        for (caller, callee), count in calls.items():
            more[caller] += count * slower[callee]
        new = [1.0 - kept for kept in keep]
        settled = max(map(abs, (a - b for a, b in zip(new, failing, strict=True))), default=0.0) < 1e-15 and all(
            abs(a - b) <= 1e-15 * a for a, b in zip(more, slower, strict=True)
        )
        failing, slower = new, more
        if settled:
            break
    return failing, slower


def reach(services: int, hop: Edges, hurt: list[bool], onset: list[float]) -> list[float]:
    """The quickest way up, by trying every edge as often as there are services."""
    at = [onset[v] if hurt[v] else math.inf for v in range(services)]
    for _ in range(services):
        for (caller, callee), seconds in hop.items():
            if hurt[caller]:
                at[caller] = min(at[caller], at[callee] + seconds)
    return at


def impact(
    reached: float, latency: float, arrivals: float, in_flight: float, capacity: float, stuck: float, step: float
) -> float:
    """When one pool is full, by filling it step by step until the first of those stuck would leave."""
    holds = (
        latency / stuck if stuck else 0.0
    )  # the mean over all requests is `latency`, so those that wait wait so long
    waiting, at = 0.0, 0.0
    while at < holds:
        if in_flight + waiting >= capacity:
            return reached + at
        at += step
        waiting += arrivals * stuck * step
    return math.inf

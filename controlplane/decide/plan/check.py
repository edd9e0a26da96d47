"""Whether a situation can be true at all: nothing acts on invalid data."""

import math
from collections.abc import Iterator

from controlplane.model.situation import Situation


def invalid(situation: Situation) -> str:
    """The first figure that cannot be, by name, with what would be right; empty when all can."""
    return next(_problems(situation), "")


def _problems(situation: Situation) -> Iterator[str]:
    if not situation.origin:
        yield "origin is empty: it must name a service"
    if not 0 < situation.horizon_s < math.inf:
        yield f"horizon_s is {situation.horizon_s}: it must be more than 0"
    yield from _share("failing", situation.failing)
    yield from _share("slow", situation.slow)
    yield from _share("late", situation.late)
    for name, share in situation.blast.items():
        yield from _share(f"blast of {name}", share)
    for name, rate in situation.requests.items():
        yield from _rate(f"requests of {name}", rate)
    for name, seconds in situation.impact_s.items():
        if seconds is not None and not seconds >= 0:
            yield f"impact_s of {name} is {seconds}: it must be 0 or more"
    for call in situation.calls:
        yield from _rate(f"traffic of {call.caller} -> {call.callee}", call.traffic)
        yield from _share(f"fallback_cost of {call.caller} -> {call.callee}", call.fallback_cost)
    edges = [(call.caller, call.callee) for call in situation.calls]
    if len(set(edges)) < len(edges):
        yield f"call {' -> '.join(min(edge for edge in edges if edges.count(edge) > 1))} is there twice"
    names = [one.name for one in situation.replicas]
    if len(set(names)) < len(names):
        yield f"endpoint {min(name for name in names if names.count(name) > 1)} is there twice"
    for one in situation.replicas:
        yield from _rate(f"load of {one.name}", one.load)
        yield from _rate(f"capacity of {one.name}", one.capacity)
        yield from _rate(f"weight of {one.name}", one.weight)
        yield from _share(f"failing of {one.name}", one.failing)
    for name in sorted(set(situation.endpoints) - set(names)):
        yield f"endpoint {name} is bad, but none of {situation.origin}"
    yield from _rate("capacity", situation.capacity)
    yield from _rate("usual_s", situation.usual_s)
    yield from _rate("taking_s", situation.taking_s)
    for amount in situation.demand:
        yield from _rate("demand", amount)
    if situation.retries is not None:
        yield from _rate("retries.before", situation.retries.before)
        yield from _rate("retries.after", situation.retries.after)
        yield from _rate("retries.rescued", situation.retries.rescued)
        yield from _share("retries.trigger", situation.retries.trigger)


def _share(name: str, figure: float | None) -> Iterator[str]:
    if figure is not None and not 0 <= figure <= 1:
        yield f"{name} is {figure}: a share is from 0 to 1, or None where unknown"


def _rate(name: str, figure: float | None) -> Iterator[str]:
    if figure is not None and not 0 <= figure < math.inf:
        yield f"{name} is {figure}: it must be 0 or more, or None where unknown"

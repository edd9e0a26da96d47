"""The traffic of a made-up minute: calls per second of each edge, and what of it fails as things stand."""

from collections.abc import Iterable, Mapping
from typing import Final

from controlplane.decide.kind import share_out
from controlplane.decide.ledger import side_key
from controlplane.decide.playbook.place import serving
from controlplane.decide.state import State
from controlplane.model.command import FailOver, Isolate, Probe
from controlplane.model.graph import Edge
from controlplane.model.signal import Target
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import SECOND

NOMINAL_PER_S: Final = 100.0  # users' requests, where nothing is known of any
CALLS_MAX: Final = 100_000  # of one edge in a second: a graph of many ways must not make a number that is none
Pair = tuple[str, str]
USERS = ""


def nominal(topology: Topology) -> dict[Pair, float]:
    """Each request makes each declared call once, from the users down; each service counts its callers' requests."""
    rates: dict[Pair, float] = {(USERS, topology.entry): NOMINAL_PER_S}
    arriving: dict[str, float] = {topology.entry: NOMINAL_PER_S}
    for name in _downwards(topology):
        service = topology.service(name)
        for callee in service.calls if service is not None else ():
            rates[name, callee] = min(CALLS_MAX, arriving.get(name, 0.0))
            arriving[callee] = min(CALLS_MAX, arriving.get(callee, 0.0) + rates[name, callee])
    return {pair: rate for pair, rate in rates.items() if rate > 0}


def known(edges: Iterable[Edge], topology: Topology) -> dict[Pair, float]:
    """What was heard of each edge, per second; {} where too little is known to tell."""
    found: dict[Pair, float] = {}
    for edge in edges:
        if edge.calls and edge.over_ns and topology.service(edge.callee) is not None:
            found[edge.caller, edge.callee] = min(CALLS_MAX, edge.calls * SECOND / edge.over_ns)
    if found and (USERS, topology.entry) not in found:
        leaving = [rate for (caller, _), rate in found.items() if caller == topology.entry]
        if leaving:
            found[USERS, topology.entry] = max(leaving)  # each request makes at least the call that is made most often
    return found


def failing(service: Service, bad: Iterable[str], state: State) -> float | None:
    """Share of the calls to `service` that fail, as its endpoints are held back now; None: nobody calls it any more."""
    whole = state.in_force.get(service.name)
    if whole is not None and isinstance(whole.intent, Isolate | Probe):
        return None
    names = set(bad)
    if not service.endpoints:
        return 1.0
    kept = {one.name: one.weight * (1 - _out(state, service.name, one.name)) for one in serving(service)}
    total = sum(kept.values())
    spare = [one.name for one in service.endpoints if one.name not in kept]
    over = state.sides.get(side_key(Target(service.name), "fail_over"))
    moved = over.intent.percent / 100 if over is not None and isinstance(over.intent, FailOver) and spare else 0.0
    if not total:  # all of them are out: the guard panics, or those that stand by serve
        rest = spare or list(kept)
        return sum(name in names for name in rest) / len(rest)
    here = sum(weight for name, weight in kept.items() if name in names) / total
    there = sum(name in names for name in spare) / len(spare) if spare else 0.0
    return (1 - moved) * here + moved * there


def carried(shares: Mapping[str, float], topology: Topology, rates: Mapping[Pair, float]) -> dict[Pair, float]:
    """Share of each edge's calls that fail: a caller fails with its callee, unless it can do without."""
    found = dict(shares)
    for name in reversed(_downwards(topology)):
        service = topology.service(name)
        well = 1.0
        for callee in service.calls if service is not None else ():
            below = topology.service(callee)
            soft = service is not None and callee in service.soft
            if not soft and not (below is not None and below.fallback):
                well *= 1 - found.get(callee, 0.0)
        found[name] = max(found.get(name, 0.0), 1 - well)
    return {pair: found.get(pair[1], 0.0) for pair in rates}


def _out(state: State, service: str, endpoint: str) -> float:
    command = state.in_force.get(str(Target(service, endpoint)))
    return 0.0 if command is None else share_out(command.intent)


def _downwards(topology: Topology) -> list[str]:
    """Services in an order in which callers come before callees, as far as there are no cycles."""
    done: dict[str, bool] = {}
    order: list[str] = []
    stack = [(one.name, False) for one in reversed(topology.services)]
    while stack:
        name, left = stack.pop()
        if left:
            order.append(name)
        elif name not in done:
            done[name] = True
            stack.append((name, True))
            service = topology.service(name)
            stack += [(callee, False) for callee in reversed(service.calls if service is not None else ())]
    return order[::-1]

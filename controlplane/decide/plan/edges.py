"""Options at the calls above the origin: to refuse them at once, by the cheapest cut, so that nothing spreads on.

The price of an edge is the useful traffic that is lost if its calls are refused:

    price = traffic * (1 - harmed share of the callee) * loss * worth of the caller's requests

with the share as it is before any pool has filled: a service that would fill up gets well by the cut, it is not lost
already. The loss is 1 for a hard call and the fallback's cost for a soft one. A request of a caller is worth the share
of it that reaches a user undamped: 1 at an entry, less where a fallback stands between. What must not be cut, or whose
traffic nobody knows even a bound of, has no price and is not cut.
"""

import math
from collections.abc import Sequence

import msgspec

from controlplane.decide.plan.capacity import SMALL
from controlplane.decide.plan.cut import minimum_cut
from controlplane.decide.plan.harm import UNHARMED, Spread
from controlplane.decide.plan.proposal import Edge, Proposal, spared
from controlplane.decide.plan.weigh import Scale
from controlplane.model.plan import Act
from controlplane.model.signal import Target
from controlplane.model.situation import Call

MICRO = 1_000_000  # prices are whole millionths of a request per second: sums agree exactly
ENTRIES_MAX = 8  # entries that are also tried one by one
PRUNED_MAX = 8  # calls of a cut of which it is asked whether they are better let through


def at_edges(spread: Spread, scale: Scale) -> list[Proposal]:
    """Ways to isolate: the cheapest cut, around the origin, where fallbacks answer, and for one entry alone.

    Of the best of these and of the origin's callers also what is left without the calls that are better let through: to
    part origin and users altogether may cost more than it saves.
    """
    origin, entries = spread.situation.origin, spread.entries
    whole = Act(do="isolate", target=Target(origin))
    if origin in entries:
        return [Proposal(acts=(whole,), rule="no_cut", why=f"{origin} is itself what users call")]
    if not spread.calls:
        return [Proposal(acts=(whole,), rule="no_cut", why=f"nothing is known to call {origin}")]
    found: dict[tuple[Edge, ...], Proposal] = {}
    cheapest = cut_between(spread, entries)
    if cheapest is not None:
        _add(spread, found, cheapest, f"the cheapest cut between {origin} and {', '.join(entries)}")
    around = [call for call in spread.calls if call.callee == origin]
    if all(call.cuttable for call in around):
        _add(spread, found, around, f"every caller of {origin} refuses at once")
    soft = [call for call in spread.calls if call.soft and call.cuttable]
    if soft:
        _add(spread, found, soft, "only calls that a fallback answers")
    if 1 < len(entries) <= ENTRIES_MAX:
        for entry in entries:
            calls = cut_between(spread, (entry,))
            if calls:
                _add(spread, found, calls, f"the cheapest cut between {origin} and {entry} alone")
    if not found:
        return [Proposal(acts=(whole,), rule="no_cut", why="every way to the users has a call that must not be cut")]
    best = max(found, key=lambda edges: (_net(scale, found[edges]), edges))
    for edges in dict.fromkeys((best, tuple(sorted(_ends(call) for call in around)))):
        if edges in found:
            kept = _pruned(spread, scale, found[edges])
            _add(spread, found, kept, f"{found[edges].why}, without those that are better let through")
    return list(found.values())


def cut_between(spread: Spread, entries: Sequence[str]) -> list[Call] | None:
    """The cheapest calls to refuse so that the failure reaches none of `entries`; None where that cannot be."""
    names = sorted({spread.situation.origin, *entries, *(name for call in spread.calls for name in _ends(call))})
    node = {name: at for at, name in enumerate(names)}
    worth = worth_of(spread, entries)
    prices = [price(spread, call, worth.get(call.caller, 0.0)) for call in spread.calls]
    cut = minimum_cut(
        len(names),
        [(node[call.callee], node[call.caller]) for call in spread.calls],
        [None if one is None else round(one * MICRO) for one in prices],
        node[spread.situation.origin],
        [node[entry] for entry in entries],
    )
    return None if cut is None else [spread.calls[at] for at in cut.arcs]


def price(spread: Spread, call: Call, worth: float) -> float | None:
    """Users' requests per second that are lost if `call` is refused; None: not to be cut."""
    traffic = call.traffic if call.traffic is not None else spread.situation.requests.get(call.caller)
    if not call.cuttable or traffic is None:
        return None
    useful = 1 - spread.at_once.get(call.callee, UNHARMED).lasting
    return traffic * useful * worth * (call.fallback_cost if call.soft else 1.0)


def worth_of(spread: Spread, entries: Sequence[str]) -> dict[str, float]:
    """How much of a user's request each request of a service is: 1 at the entries, damped by fallbacks below."""
    worth = dict.fromkeys(entries, 1.0)
    into: dict[str, list[Call]] = {}
    for call in spread.calls:
        into.setdefault(call.callee, []).append(call)
    for name in spread.callers_first():
        if name in worth:
            continue
        shares = [(call.traffic, worth.get(call.caller, 0.0) * _loss(call)) for call in into.get(name, ())]
        total = sum(traffic for traffic, _ in shares if traffic is not None)
        if total > 0 and all(traffic is not None for traffic, _ in shares):
            worth[name] = sum((traffic or 0.0) * share for traffic, share in shares) / total
        else:  # unknown shares: as much as the dearest of them
            worth[name] = max((share for _, share in shares), default=0.0)
    return worth


def _add(spread: Spread, found: dict[tuple[Edge, ...], Proposal], calls: Sequence[Call], why: str) -> None:
    edges = tuple(sorted((call.caller, call.callee) for call in calls))
    if not edges or edges in found:
        return
    origin = spread.situation.origin
    around = {(call.caller, call.callee) for call in spread.calls if call.callee == origin}
    if set(edges) == around:
        acts: tuple[Act, ...] = (Act(do="isolate", target=Target(origin)),)
    else:
        acts = tuple(Act(do="isolate", target=Target(callee), caller=caller) for caller, callee in edges)
    vain = spread.now.vain
    relief = sum(spared(call.traffic or 0.0, vain * spread.at_once[call.callee].lasting) for call in calls)
    found[edges] = Proposal(acts=acts, answer=spread.now, refused=edges, relief=relief, why=why)


def _pruned(spread: Spread, scale: Scale, proposal: Proposal) -> list[Call]:
    """Its calls without those that are better let through, judged one after the other, the dearest first."""
    worth = worth_of(spread, spread.entries)
    calls = [call for call in spread.calls if _ends(call) in proposal.refused]
    dearest = sorted(calls, key=lambda call: (-(price(spread, call, worth[call.caller]) or 0.0), _ends(call)))
    best = _net(scale, proposal)
    for call in dearest[:PRUNED_MAX]:
        fewer = [one for one in calls if one is not call]
        net = _net(scale, msgspec.structs.replace(proposal, refused=tuple(_ends(one) for one in fewer)))
        if fewer and net > best + SMALL:
            calls, best = fewer, net
    return calls


def _net(scale: Scale, proposal: Proposal) -> float:
    net = scale.weigh(proposal).net
    return -math.inf if net is None else net


def _loss(call: Call) -> float:
    return call.fallback_cost if call.soft else 1.0


def _ends(call: Call) -> tuple[str, str]:
    return call.caller, call.callee

"""From acts to orders: what a data plane in process can carry out, and what is left to people.

Traffic is steered by weights and by a share that fails over: nobody chooses which sibling gets what. So what is moved
is cut, once more, to what every sibling (every standby) bears beside its weight, and rounded towards less. A part never
loses all of its traffic: what stays shows when it is well again.
"""

import math
from collections.abc import Collection, Sequence

import msgspec

from controlplane.decide import safety
from controlplane.decide.ledger import SIDES, apart
from controlplane.decide.plan import capacity
from controlplane.decide.plan.choose import Rule
from controlplane.decide.plan.options import REROUTE_MAX
from controlplane.decide.state import State
from controlplane.model.command import (
    CapRetries,
    Command,
    Eject,
    FailOver,
    Intent,
    Isolate,
    Limit,
    RollBack,
    Shed,
    Tighten,
    Weigh,
)
from controlplane.model.plan import Act
from controlplane.model.policy import ActKind, ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.situation import Replica, Situation
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos

STEERING = ("reroute", "fail_over")
WEIGHT_MIN = 1  # percent: an endpoint whose traffic is steered away keeps some
STEERED_MIN = 5  # percent of a weight: less is not worth an order

KINDS: dict[type[Intent], ActKind] = {
    Eject: "eject",
    Isolate: "isolate",
    Limit: "limit",
    Weigh: "reroute",
    RollBack: "roll_back",
    **SIDES,
}

Pair = tuple[Target, Intent]


class Orders(msgspec.Struct, frozen=True):
    """`ordered`: what the data plane of one process can be told; `left`: acts for others, an adapter or a person."""

    ordered: tuple[Pair, ...] = ()
    left: tuple[Act, ...] = ()


def orders(acts: Sequence[Act], topology: Topology, *, caller: str = "", situation: Situation | None = None) -> Orders:
    """The orders by which the process named `caller` carries out its part of `acts`, in the order of the acts.

    Calls are refused, and retries stopped, for the calls of that process; edges of other callers are left. `situation`
    is what the acts were chosen from; without it shares are taken as they stand, and not checked for room again.
    """
    ordered: dict[tuple[Target, ActKind], Intent] = {}
    left: list[Act] = []
    done: set[str] = set()
    for act in acts:
        found: list[Pair] = []
        service = topology.service(act.target.service)
        if act.do in STEERING:
            if act.target.service in done or service is None:
                continue
            done.add(act.target.service)
            steering = [each for each in acts if each.do in STEERING and each.target.service == service.name]
            found = _steered(steering, service, situation)
            left += [] if found else steering
        elif act.do == "shed":
            found = _shed(act, acts, situation) if act.target.service != caller else []
            left += [] if found and act.part != "critical" else [act]
        elif (pair := _single(act, service, caller)) is not None:
            found = [pair]
        else:
            left.append(act)
        for target, intent in found:
            ordered.setdefault((target, KINDS[type(intent)]), intent)
    return Orders(tuple((target, intent) for (target, _), intent in ordered.items()), tuple(left))


def instruction(act: Act) -> str:
    """What a person has to do to carry `act` out, in one sentence."""
    where, share = act.target, "" if act.percent is None else f"{act.percent:.3g} % of "
    amount = "" if act.amount is None else f" ({act.amount:.4g} requests/s)"
    part = f", {act.part}," if act.part else ""
    match act.do:
        case "isolate":
            return f"in {act.caller or 'every caller'}, refuse the calls to {where} at once"
        case "cap_retries":
            return f"in {act.caller or 'every caller'}, stop the retries of calls to {where}"
        case "tighten":
            return f"in every caller, wait {act.deadline_ms} ms for {where} at most"
        case "shed":
            return f"at {where}, refuse {share}the requests{part}{amount}, the least important first"
        case "eject":
            return f"take {where} out of rotation"
        case "roll_back":
            return f"roll {where} back from {act.part} to {act.to}"
        case _:
            return f"move {share}the traffic of {where}{part} to {act.to}{amount}"


def rule_of(
    state: State, topology: Topology, policy: ResponsePolicy, now: Nanos, seen: safety.Seen | None = None
) -> Rule:
    """The safety rules as `choose` asks them: acts of one option are judged together, as if ordered one by one."""

    def forbidden(acts: tuple[Act, ...]) -> tuple[str, str] | None:
        if state.frozen:
            return "freeze", f"a person froze automation: {state.frozen_reason or 'no reason given'}"
        strange = [act.target.service for act in acts if topology.service(act.target.service) is None]
        if strange:
            return "invalid_data", f"{strange[0]} is not in the topology"
        ahead = msgspec.structs.replace(state, in_force=dict(state.in_force), issued_at=list(state.issued_at))
        for target, intent in orders(acts, topology, caller=topology.entry).ordered:
            kind = KINDS[type(intent)]
            refused = safety.forbidden(
                target, intent, state=ahead, topology=topology, policy=policy, now=now, kind=kind, seen=seen
            )
            if refused is not None:
                return refused
            ahead.issued_at.append(now)
            if not apart(intent):
                ahead.in_force[str(target)] = _as_if(
                    target, intent, safety.charge(intent, topology, target=target, kind=kind)
                )
        return None

    return forbidden


def _single(act: Act, service: Service | None, caller: str) -> Pair | None:
    """The order of an act that needs no other one; None: it is not this process's to carry out."""
    target, mine = act.target, not act.caller or act.caller == caller
    match act.do:
        case "eject" if target.endpoint:
            return target, Eject()
        case "isolate" if mine and target.service != caller:
            return target, Isolate()
        case "cap_retries" if mine and target.service != caller:
            return target, CapRetries()
        case "tighten" if mine and act.deadline_ms is not None:
            return target, Tighten(act.deadline_ms)
        case "roll_back" if service is not None and service.deployer:
            to = act.to.removeprefix("version ") if act.to.startswith("version ") else ""
            return Target(target.service), RollBack(act.part.removeprefix("version "), to)
    return None


def _shed(act: Act, acts: Sequence[Act], situation: Situation | None) -> list[Pair]:
    """Classes of requests as one order: what is refused of all that is less important than what is kept.

    With figures by class the share is of those classes; without, of everything, which refuses no more than was meant.
    Critical requests are refused by no order: that is left.
    """
    parts = [one for one in acts if one.do == "shed" and one.target == act.target]
    if any(one.percent is None for one in parts):
        return []
    named = {one.part: one.amount or 0.0 for one in parts}
    demand = situation.demand if situation is not None else ()
    if "" in named or len(demand) < 2:
        percent = min(100, math.floor(sum(one.percent or 0.0 for one in parts if one.part != "critical")))
        return [(act.target, Shed("critical", percent))] if percent else []
    if set(named) == {"sheddable"}:
        share, keep = named["sheddable"] / demand[0] if demand[0] else 0.0, "default"
    else:
        both = demand[0] + demand[1]
        share, keep = (named.get("sheddable", 0.0) + named.get("default", 0.0)) / both if both else 0.0, "critical"
    percent = min(100, math.floor(100 * share + 1e-6))
    return [(act.target, Shed("default" if keep == "default" else "critical", percent))] if percent else []


def _steered(acts: Sequence[Act], service: Service, situation: Situation | None) -> list[Pair]:
    """Weights of the endpoints that lose traffic, and the share that goes over to what stands by."""
    if any(act.percent is None for act in acts):
        return []
    if situation is None or situation.origin != service.name:
        kept = max(100 * (1 - REROUTE_MAX), 100 - sum(act.percent or 0.0 for act in acts))
        names = [name for act in acts for name in _members(service, act)]
        return [(Target(service.name, name), Weigh(math.ceil(kept))) for name in dict.fromkeys(names)]
    level = min(one.priority for one in situation.replicas)
    bad_names = {name for act in acts for name in _members(service, act)}
    rotation = [one for one in situation.replicas if one.priority == level]
    bad = [one for one in rotation if one.name in bad_names]
    good = [one for one in rotation if one.name not in bad_names]
    load, others = _load(bad), _load(good)
    if not bad or load is None or others is None or not load:
        return []
    failing = max(one.failing or 0.0 for one in bad)
    most = REROUTE_MAX * load
    wanted = min(most, sum(act.amount or 0.0 for act in acts if act.do == "reroute"))
    moved = _fitting(wanted, good, failing, in_rotation=True)
    over = min(most - moved, sum(act.amount or 0.0 for act in acts if act.do == "fail_over"))
    over = _fitting(over, _next_level(situation.replicas, level), failing, in_rotation=False)
    share = math.floor(100 * over / (load + others) + 1e-6)
    over = (load + others) * share / 100  # what the share really takes over: the weights have to fit to that
    found: list[Pair] = []
    weight, beside = sum(one.weight for one in bad), sum(one.weight for one in good)
    if weight and beside and others + moved > 0:
        kept = math.ceil(100 * ((load - moved - over) / weight) / ((others + moved) / beside) - 1e-6)
        if kept <= 100 - STEERED_MIN:
            found += [(Target(service.name, one.name), Weigh(max(WEIGHT_MIN, kept))) for one in bad]
    if share >= 1:
        found.append((Target(service.name), FailOver(share)))
    return found


def _fitting(amount: float, others: Sequence[Replica], failing: float, *, in_rotation: bool) -> float:
    """How much of `amount` they bear when a balancer shares it by weight; nothing where one of them is no better."""
    if amount <= capacity.SMALL or len(capacity.healthier(others, failing)) < len(others):
        return 0.0
    return sum(capacity.by_weight(amount, others, in_rotation=in_rotation).values())


def _next_level(replicas: Collection[Replica], level: int) -> list[Replica]:
    above = [one.priority for one in replicas if one.priority > level]
    return [one for one in replicas if above and one.priority == min(above)]


def _load(replicas: Sequence[Replica]) -> float | None:
    loads = [one.load for one in replicas]
    return None if None in loads else sum(load for load in loads if load is not None)


def _members(service: Service, act: Act) -> list[str]:
    """The endpoints that `act` takes traffic from."""
    if act.target.endpoint:
        return [act.target.endpoint]
    words = act.part.split(", ") if act.part else []
    zones = {word.removeprefix("zone ") for word in words if word.startswith("zone ")}
    versions = {word.removeprefix("version ") for word in words if word.startswith("version ")}
    names = {word for word in words if not word.startswith(("zone ", "version "))}
    return [
        one.name
        for one in service.endpoints
        if (not names or one.name in names)
        and (not zones or one.zone in zones)
        and (not versions or one.version in versions)
    ]


def _as_if(target: Target, intent: Intent, charge: float) -> Command:
    return Command(
        id=CommandId("planned"),
        epoch=Epoch(0),
        incident=IncidentId("planned"),
        target=target,
        intent=intent,
        lease_until=Nanos(0),
        charge=charge,
    )

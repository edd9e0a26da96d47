"""From acts to orders: the intents a data plane takes today, and the safety rules asked about all acts of an option."""

import msgspec

from controlplane.decide import safety
from controlplane.decide.plan.choose import Rule
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject, Intent, Isolate, Limit, Weigh
from controlplane.model.plan import Act
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos


class Orders(msgspec.Struct, frozen=True):
    """`ordered`: what the data plane of one process can be told; `left`: acts for others, an adapter or a person."""

    ordered: tuple[tuple[Target, Intent], ...] = ()
    left: tuple[Act, ...] = ()


def orders(acts: tuple[Act, ...], policy: ResponsePolicy, *, caller: str = "") -> Orders:
    """The orders by which the process named `caller` carries out its part of `acts`.

    A service is isolated, or limited without retries, for the calls of that process; an endpoint whose traffic is moved
    is weighed down to the share that stays. Whole zones and versions, and edges of other callers, are left.
    """
    ordered: dict[Target, Intent] = {}
    left: list[Act] = []
    for act in acts:
        target = act.target
        mine = not act.caller or act.caller == caller
        match act.do:
            case "eject" if target.endpoint:
                ordered[target] = Eject()
            case "isolate" if mine:
                ordered[target] = Isolate()
            case "cap_retries" | "shed" if mine:
                ordered.setdefault(target, Limit(policy.overload_concurrency))
            case "reroute" | "fail_over" if target.endpoint and act.percent is not None:
                kept = ordered.get(target)
                percent = kept.percent if isinstance(kept, Weigh) else 100
                ordered[target] = Weigh(max(0, round(percent - act.percent)))
            case _:
                left.append(act)
    return Orders(tuple(ordered.items()), tuple(left))


def rule_of(state: State, topology: Topology, policy: ResponsePolicy, now: Nanos) -> Rule:
    """The safety rules as `choose` asks them: acts of one option are judged together, as if ordered one by one."""

    def forbidden(acts: tuple[Act, ...]) -> tuple[str, str] | None:
        if state.frozen:
            return "freeze", f"a person froze automation: {state.frozen_reason or 'no reason given'}"
        strange = [act.target.service for act in acts if topology.service(act.target.service) is None]
        if strange:
            return "invalid_data", f"{strange[0]} is not in the topology"
        ahead = msgspec.structs.replace(state, in_force=dict(state.in_force), issued_at=list(state.issued_at))
        for target, intent in orders(acts, policy, caller=topology.entry).ordered:
            refused = safety.forbidden(target, intent, state=ahead, topology=topology, policy=policy, now=now)
            if refused is not None:
                return refused
            ahead.issued_at.append(now)
            ahead.in_force[str(target)] = _as_if(target, intent, safety.charge(intent, topology))
        return None

    return forbidden


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

"""From acts to orders: the intents a data plane takes today, and the safety rules asked about all acts of an option."""

import msgspec

from controlplane.decide import safety
from controlplane.decide.choose import Rule
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject, Intent, Isolate, Limit, Weigh
from controlplane.model.plan import Act
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import CommandId, Epoch, IncidentId, Nanos


def intent_of(act: Act, policy: ResponsePolicy) -> tuple[Target, Intent] | None:
    """The order that carries out `act`; None where no data plane here can, and a person or an adapter must.

    A whole service is isolated for all callers of this process; a limited one sends no retries. Traffic of one endpoint
    is weighed down to what stays there.
    """
    match act.do:
        case "eject" if act.target.endpoint:
            return act.target, Eject()
        case "isolate":
            return act.target, Isolate()
        case "cap_retries":
            return act.target, Limit(policy.overload_concurrency)
        case "shed":
            return act.target, Limit(policy.overload_concurrency)
        case "reroute" | "fail_over" if act.target.endpoint and act.percent is not None:
            return act.target, Weigh(max(0, round(100 - act.percent)))
        case _:
            return None


def rule_of(state: State, topology: Topology, policy: ResponsePolicy, now: Nanos) -> Rule:
    """The safety rules as `choose` asks them: acts of one option are judged together, as if ordered one by one."""

    def forbidden(acts: tuple[Act, ...]) -> tuple[str, str] | None:
        ahead = msgspec.structs.replace(state, in_force=dict(state.in_force), issued_at=list(state.issued_at))
        for at, act in enumerate(acts):
            order = intent_of(act, policy)
            if order is None:
                if state.frozen:
                    return "freeze", f"a person froze automation: {state.frozen_reason or 'no reason given'}"
                if topology.service(act.target.service) is None:
                    return "invalid_data", f"{act.target.service} is not in the topology"
                continue
            target, intent = order
            refused = safety.forbidden(target, intent, state=ahead, topology=topology, policy=policy, now=now)
            if refused is not None:
                return refused
            ahead.issued_at.append(now)
            ahead.in_force[str(target)] = _as_if(target, intent, f"planned {at}", safety.charge(intent, topology))
        return None

    return forbidden


def _as_if(target: Target, intent: Intent, name: str, charge: float) -> Command:
    return Command(
        id=CommandId(name),
        epoch=Epoch(0),
        incident=IncidentId(""),
        target=target,
        intent=intent,
        lease_until=Nanos(0),
        charge=charge,
    )

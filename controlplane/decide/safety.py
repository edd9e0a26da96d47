"""The rules that stand before every command. Automation is the hazard: each rule has a name, and a refusal names it.

A rule only ever forbids. Taking containment back (`Restore`, `Probe`, `Weigh`) is not charged: it frees traffic.
"""

from controlplane.decide.state import State
from controlplane.model.command import Eject, Intent, Isolate, Limit, Restore
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos

Refused = tuple[str, str]
"""(rule, reason)"""


def forbidden(
    target: Target,
    intent: Intent,
    *,
    state: State,
    topology: Topology,
    policy: ResponsePolicy,
    now: Nanos,
) -> Refused | None:
    """The first rule that forbids `intent`, with the numbers that decided; None when all agree."""
    if state.frozen:
        return "freeze", f"a person froze automation: {state.frozen_reason or 'no reason given'}"
    if isinstance(intent, Restore):
        return None
    if topology.service(target.service) is None:
        return "invalid_data", f"{target.service} is not in the topology"
    recent = sum(1 for at in state.issued_at if at > now - 60 * SECOND)
    if isinstance(intent, Eject | Isolate | Limit) and recent >= policy.commands_per_minute_max:
        return "velocity_limit", f"{recent} commands in the last minute, {policy.commands_per_minute_max} allowed"
    if isinstance(intent, Eject):
        return _healthy_floor(target, state, topology, policy) or _blast_budget(target, state, topology, policy)
    return None


def charge(intent: Intent, topology: Topology) -> float:
    """Share of all endpoints that `intent` takes out of service.

    Isolating or limiting a service is charged nothing: it is ordered only where every endpoint of it fails already, so
    no useful traffic is given up, and a small mesh with one dead third party must be able to act.
    """
    total = topology.endpoints_total
    return 1 / total if isinstance(intent, Eject) and total else 0.0


def _ejected(state: State, service: str) -> set[str]:
    return {
        command.target.endpoint
        for command in state.in_force.values()
        if command.target.service == service and isinstance(command.intent, Eject)
    }


def _healthy_floor(target: Target, state: State, topology: Topology, policy: ResponsePolicy) -> Refused | None:
    """Never below the floor, and never the last one, whatever the floor says."""
    service = topology.service(target.service)
    assert service is not None
    known = {endpoint.name for endpoint in service.endpoints}
    if target.endpoint not in known:
        return "invalid_data", f"{target} is not in the topology"
    left = len(known) - len(_ejected(state, target.service) | {target.endpoint})
    if left < 1 or left * 100 < policy.healthy_floor_percent * len(known):
        need = f"{policy.healthy_floor_percent} % must stay"
        return "healthy_floor", f"{left} of {len(known)} endpoints of {target.service} would be left, {need}"
    return None


def _blast_budget(target: Target, state: State, topology: Topology, policy: ResponsePolicy) -> Refused | None:
    held = [command for command in state.in_force.values() if isinstance(command.intent, Eject)]
    others = sum(command.charge for command in held if command.target != target)
    wanted = others + charge(Eject(), topology)
    if wanted * 100 > policy.blast_budget_percent + 1e-9:
        return (
            "blast_budget",
            f"{wanted:.0%} of all endpoints would be ejected, {policy.blast_budget_percent} % allowed",
        )
    return None

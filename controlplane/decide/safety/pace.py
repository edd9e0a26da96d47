"""How fast and how far automation goes: acts in a minute, and the share of everything that is held at a time.

What an act is **charged**, as a share of all declared endpoints: an ejected endpoint 1, one that is weighed down what
it loses, an isolated service all of its own (a third party without declared endpoints counts as one), a fail-over or
shedding the percentage of the service that it moves or refuses. Limits, retry caps, deadlines and roll-backs take no
endpoint out of service and cost nothing. At a percentage of the calls an act costs that percentage.
"""

from bisect import bisect_right

from controlplane.decide.kind import act_of, share_out
from controlplane.decide.safety.ask import Ask, No
from controlplane.decide.standing import MINUTE_NS
from controlplane.decide.state import State
from controlplane.model.command import Command, Eject, FailOver, Intent, Isolate, Probe, Shed, Weigh
from controlplane.model.policy import ActKind
from controlplane.model.signal import Target
from controlplane.model.topology import Topology
from controlplane.model.unit import Nanos

_GIVEN_BACK = (Probe, Weigh)
TRAFFIC: frozenset[ActKind | None] = frozenset({None, "eject", "isolate", "limit", "reroute"})


def velocity_limit(ask: Ask) -> No | None:
    """So many acts in a minute, of all and about one service. Giving back neither counts nor is counted."""
    if ask.kind is None:
        return None
    policy, since = ask.policy, Nanos(ask.now - MINUTE_NS)
    recent = _since(ask.state.issued_at, since)
    if recent >= policy.commands_per_minute_max:
        return No(f"{recent} commands in the last minute, {policy.commands_per_minute_max} allowed")
    name = ask.target.service
    here = _since(ask.state.standing.acts.get(name, []), since)
    if here >= policy.service_commands_per_minute_max:
        allowed = policy.service_commands_per_minute_max
        return No(f"{here} commands about {name} in the last minute, {allowed} allowed")
    return None


def blast_budget(ask: Ask) -> No | None:
    """So much of everything at a time. The first act that is about a whole service is always allowed: where one
    service is most of the mesh it must be possible to act on it."""
    if ask.kind is None:
        return None
    wanted = charge(ask.intent, ask.topology, target=ask.target, kind=ask.kind, percent=ask.percent)
    if wanted <= 0:
        return None
    allowed = ask.policy.blast_budget_percent
    charged, services = 0.0, False
    for one in held(ask.state):
        if one.target.service == ask.target.service and _replaced(ask, one):
            continue
        share = kept_away(one, ask.topology)
        charged += share
        services = services or (share > 0 and not one.target.endpoint)
    if (charged + wanted) * 100 <= allowed + 1e-9:
        return None
    if not ask.target.endpoint and not services:
        return None
    return No(f"{charged + wanted:.0%} of all endpoints would be held, {allowed} % allowed")


def kept_away(command: Command, topology: Topology) -> float:
    """Share of all endpoints that an order in force keeps from traffic now: on probation still all of what it was."""
    if type(command.intent) not in _GIVEN_BACK:
        return command.charge
    service = topology.service(command.target.service)
    size = 1 if command.target.endpoint or service is None else max(1, len(service.endpoints))
    return share_out(command.intent) * size * command.percent / 100 / max(1, topology.endpoints_total)


def charge(
    intent: Intent,
    topology: Topology,
    *,
    target: Target | None = None,
    kind: ActKind | None = None,
    percent: int = 100,
) -> float:
    """Share of all endpoints that `intent` takes out of normal service."""
    total = topology.endpoints_total
    if not total:
        return 0.0
    service = topology.service(target.service) if target is not None else None
    size = max(1, len(service.endpoints)) if service is not None else 1
    match intent:
        case Eject():
            taken = 1.0
        case Weigh() if kind is not None:
            taken = (100 - intent.percent) / 100
        case Isolate():
            taken = float(size)
        case FailOver() | Shed():
            taken = size * intent.percent / 100
        case _:
            taken = 0.0
    return taken * percent / 100 / total


def held(state: State) -> list[Command]:
    """Orders in force: of traffic, and beside it."""
    return [*state.in_force.values(), *getattr(state, "sides", {}).values()]


def _replaced(ask: Ask, command: Command) -> bool:
    """Whether the act would take the place of `command`: of traffic there is one order per target, beside it one of
    each kind."""
    kind = act_of(command)
    return command.target == ask.target and (kind == ask.kind or {kind, ask.kind} <= TRAFFIC)


def _since(times: list[Nanos], since: Nanos) -> int:
    """How many of `times`, oldest first, are after `since`."""
    return len(times) - bisect_right(times, since)

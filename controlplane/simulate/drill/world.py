"""From a declared topology, and what a playbook waits for, to a world in which that goes wrong.

What nobody declares is assumed, the same for every playbook: 10 ms of work for a request, 100 users' requests a second
or fewer where a declared capacity is smaller, and of what declares no capacity twice what it needs.
"""

import math
from typing import Final

from controlplane.decide.playbook.place import serving
from controlplane.decide.whatif.grammar import members, of_match
from controlplane.decide.whatif.traffic import NOMINAL_PER_S, nominal
from controlplane.model.config import Config
from controlplane.model.foretold import Supposed
from controlplane.model.playbook import Playbook
from controlplane.model.signal import Cause
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.sim.fault import Change, Fault, What
from controlplane.sim.mesh import Call, Mesh, Node, Replica
from controlplane.sim.scenario import Load, Scenario

WORK_S: Final = 0.01
NET_S: Final = 0.0005
UTILISATION: Final = 0.5  # of what declares no capacity
OF_CAPACITY: Final = 0.6  # of the smallest declared one is asked for, at most
BEGINS_S: Final = 20.0  # by then the guards have learned what is normal
LASTS_S: Final = 20.0
SECONDS: Final = 50
SLOWER: Final = 40.0  # 10 ms become 400
SEED: Final = 1

_GOES_WRONG: Final[dict[Cause, tuple[tuple[What, float, float], ...]]] = {  # what, its value, and its value when well
    Cause.SLOW: (("slow", SLOWER, 1.0),),
    Cause.STALLED: (("hangs", 1.0, 0.0),),
    Cause.UNREACHABLE: (("down", 1.0, 0.0),),
    Cause.OVERLOAD: (("slow", 100.0, 1.0),),
}
_FAILS: Final[tuple[tuple[What, float, float], ...]] = (("errors", 1.0, 0.0),)


def scenario_of(playbook: Playbook, config: Config) -> Scenario:
    """The world in which `playbook` is rehearsed. The same configuration gives the same world.

    Raises ValueError where nothing that can go wrong in it would fit.
    """
    topology = config.topology()
    supposed = of_match(playbook.match, topology)
    service = topology.service(supposed.service)
    if service is None:
        raise ValueError(f"{supposed.service} is not a declared service")
    if playbook.match.cause == (Cause.ALERT,):
        raise ValueError("it waits for an alert of somebody else, and a simulated world has nobody to raise one")
    rate = _rate(topology)
    mesh = Mesh(nodes=tuple(_node(one, topology, config, rate) for one in topology.services), entry=topology.entry)
    return Scenario(
        seed=SEED,
        fault_class=playbook.name,
        mesh=mesh,
        load=Load(rate_per_s=rate, amplitude=0.0),
        faults=(_fault(playbook, supposed, service),),
        pauses=(),
        seconds=SECONDS,
    )


def broken(playbook: Playbook, topology: Topology) -> tuple[str, ...]:
    """The endpoints that go wrong."""
    supposed = of_match(playbook.match, topology)
    service = topology.service(supposed.service)
    return members(supposed, service) if service is not None else ()


def _fault(playbook: Playbook, supposed: Supposed, service: Service) -> Fault:
    bad = members(supposed, service)
    cause = playbook.match.cause[0] if playbook.match.cause else Cause.ERRORS
    replicas = [number for number, one in enumerate(service.endpoints) if one.name in bad] or [0]
    ends_s = BEGINS_S + LASTS_S
    changes = [
        Change(at_s=at_s, what=what, value=value, service=service.name, replica=replica)
        for what, wrong, well in _GOES_WRONG.get(cause, _FAILS)
        for replica in replicas
        for at_s, value in ((BEGINS_S, wrong), (ends_s, well))
    ]
    return Fault(
        name=playbook.name,
        origin=service.name,
        begins_s=BEGINS_S,
        ends_s=ends_s,
        changes=tuple(changes),
        text=f"{supposed}: {', '.join(bad) or service.name}",
    )


def _rate(topology: Topology) -> float:
    """Users' requests a second: so many that nobody is asked for more than a part of what it declares."""
    asked = nominal(topology)
    scale = 1.0
    for service in topology.services:
        able = [one.capacity_per_s for one in serving(service)]
        arriving = sum(rate for (_, callee), rate in asked.items() if callee == service.name)
        if able and arriving and all(able):
            scale = min(scale, OF_CAPACITY * sum(one or 0.0 for one in able) / arriving)
    return NOMINAL_PER_S * scale


def _node(service: Service, topology: Topology, config: Config, rate: float) -> Node:
    asked = nominal(topology)
    arriving = rate / NOMINAL_PER_S * sum(each for (_, callee), each in asked.items() if callee == service.name)
    held_s = _held_s(service.name, topology, ())
    first = serving(service)
    each = arriving / max(1, len(first))
    endpoints = service.endpoints or (Endpoint(name=f"{service.name}-1", url="http://127.0.0.1:1"),)
    return Node(
        name=service.name,
        work_s=WORK_S,
        errors=0.0,
        external=service.external,
        replicas=tuple(
            Replica(
                name=one.name,
                workers=(workers := max(2, math.ceil((one.capacity_per_s or each / UTILISATION) * held_s))),
                queue_max=10 * workers,
                zone=one.zone,
                version=one.version,
                priority=one.priority,
            )
            for one in endpoints
        ),
        calls=tuple(_call(service, callee, topology, config) for callee in service.calls),
    )


def _call(service: Service, callee: str, topology: Topology, config: Config) -> Call:
    called = topology.service(callee)
    policy = config.policy(called) if called is not None else None
    return Call(
        callee=callee,
        soft=callee in service.soft or (called is not None and called.fallback),
        timeout_s=min(policy.attempt_timeout_s, 1.0) if policy is not None else 1.0,
        attempts=policy.attempts if policy is not None else 1,
    )


def _held_s(name: str, topology: Topology, above: tuple[str, ...]) -> float:
    """How long a request holds a worker: its own work, and what it waits for below."""
    service = topology.service(name)
    below = [callee for callee in service.calls if callee not in (*above, name)] if service is not None else []
    return WORK_S + sum(2 * NET_S + _held_s(callee, topology, (*above, name)) for callee in below)

"""Policies by name, each in a world of its own: production's, and those of text books under the same clients."""

from collections.abc import Callable, Sequence

import msgspec

from controlplane.model.policy import ResponsePolicy
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND
from controlplane.sim.run import FleetPolicy, Simulation
from controlplane.sim.textbook.calls import ATTEMPTS
from controlplane.sim.textbook.fleet import POLICIES, Fleet
from controlplane.simulate.fleet import Ours
from controlplane.simulate.plane import Watch

OURS = "ours"
NAMES = (OURS, *POLICIES)


class Client(msgspec.Struct):
    """What a textbook edge is told: the same attempts and time-outs as ours."""

    attempts: int
    attempt_timeout_ns: int
    priorities: Sequence[int]


def fleet_of(
    name: str, simulation: Simulation, *, watch: Callable[[Topology, ResponsePolicy], Watch] | None = None
) -> FleetPolicy:
    """The policy of that name for `simulation`; `watch` is asked for who watches each plane of `ours`.

    Raises  ValueError for a name that is not known.
    """
    if name == OURS:
        return Ours(simulation, watch=watch)
    if name not in POLICIES:
        raise ValueError(f"no policy {name!r}; known: {', '.join(NAMES)}")
    calls = {(caller, call.callee): call for caller, call in simulation.edges}

    def client(caller: str, callee: str) -> Client:
        node = simulation.scenario.mesh.node(callee)
        timeout_ns = round(calls[caller, callee].timeout_s * SECOND)
        return Client(ATTEMPTS, timeout_ns, tuple(replica.priority for replica in node.replicas))

    return Fleet(name, client, seed=simulation.scenario.seed)

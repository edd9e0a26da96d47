"""`ours`: a plane in every service that calls others, as its processes on one host would share it."""

from collections.abc import Callable
from zlib import crc32

from controlplane.model.policy import GuardPolicy, ResponsePolicy
from controlplane.model.topology import Topology
from controlplane.model.unit import Nanos
from controlplane.sim.run import BEGIN_NS, Simulation
from controlplane.simulate.edge import GuardedEdge
from controlplane.simulate.plane import Plane, Watch

GUARD = GuardPolicy(attempts=3, attempt_timeout_s=1.0)
RESPONSE = ResponsePolicy()


class Ours:
    """The fleet policy of production. `watch` makes who watches a plane."""

    name = "ours"

    def __init__(
        self,
        simulation: Simulation,
        *,
        guard: GuardPolicy = GUARD,
        policy: ResponsePolicy = RESPONSE,
        watch: Callable[[Topology, ResponsePolicy], Watch] | None = None,
    ) -> None:
        self.rung = False
        self._world = simulation.world
        mesh = simulation.scenario.mesh
        self._calls = {(caller, call.callee): call for caller, call in simulation.edges}
        self.planes: dict[str, Plane] = {}
        self._guard, self._policy, self._watch = guard, policy, watch
        for caller in mesh.callers():
            seed = simulation.scenario.seed ^ crc32(caller.encode())
            self.planes[caller] = self.plane(mesh.topology(caller), seed)
        self._entry = mesh.entry

    def plane(self, topology: Topology, seed: int) -> Plane:
        """The plane of the service that is the entry of `topology`."""
        watch = self._watch(topology, self._policy) if self._watch is not None else None
        return Plane(topology, self._guard, self._policy, seed=seed, now=BEGIN_NS, rang=self.rang, watch=watch)

    def edge(self, caller: str, callee: str) -> GuardedEdge:
        """The guarded calls of `caller` to `callee`."""
        guards = self.planes[caller].guards
        call = self._calls[caller, callee]
        return GuardedEdge(guards, guards.services[callee], call, self._world)

    def ended(self, service: str) -> Callable[[bool, bool], None] | None:
        """Who counts the requests to `service`: the middleware of its plane."""
        plane = self.planes.get(service)
        if plane is None:
            return None
        count = plane.guards.entry.ended

        def ended(failed: bool, slow: bool) -> None:
            count(failed=failed, slow=slow)

        return ended

    def wake_at(self) -> int:
        """The earliest time at which a plane wants to be asked."""
        return min(plane.wake_at() for plane in self.planes.values())

    def wake(self, now: int) -> None:
        """Ask every plane that is due or has rung."""
        self.rung = False
        for plane in self.planes.values():
            if plane.rung or plane.wake_at() <= now:
                plane.wake(Nanos(now))

    def rang(self) -> None:
        """A plane wants to be asked soon."""
        self.rung = True

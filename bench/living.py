"""One world, lived in by one policy after the other: the part of a campaign that a process does for itself."""

import time
from random import Random

import msgspec

from controlplane.bench.campaign.run import HEALTHY, OURS, Run
from controlplane.model.policy import ResponsePolicy
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from controlplane.sim.bound import bound
from controlplane.sim.invariant import Invariants, garbage
from controlplane.sim.run import BEGIN_NS, FleetPolicy, Simulation
from controlplane.sim.scenario import Scenario, draw
from controlplane.simulate.fleet import Ours
from controlplane.simulate.peer import fleet_of
from controlplane.simulate.plane import Plane

GARBAGE_EVERY_NS = 5 * SECOND  # an invalid signal to one plane or another


class Job(msgspec.Struct, frozen=True):
    """One seed and who lives in it. `fault_class` empty: what the seed draws."""

    seed: int
    fault_class: str
    policies: tuple[str, ...]
    seconds: float


def live(job: Job) -> list[Run]:
    """Every policy of the job in its world."""
    scenario = draw(job.seed, job.fault_class or None, seconds=round(job.seconds))
    least = bound(scenario)
    return [_lived(scenario, policy, least) for policy in job.policies]


def _lived(scenario: Scenario, policy: str, least: float) -> Run:
    begun = time.perf_counter()
    simulation = Simulation(scenario)
    watched = Watched(simulation, scenario.seed) if policy == OURS else None
    fleet: FleetPolicy = fleet_of(policy, simulation) if watched is None else watched
    result = simulation.run(fleet)
    blast = result.blast(scenario.faults[0].origin if scenario.faults else "")
    return Run(
        seed=scenario.seed,
        fault_class=scenario.fault_class,
        policy=policy,
        requests=result.requests,
        failed=result.failed,
        slow=result.slow,
        blast_services=blast[0],
        blast_seconds=float(blast[1]),
        calls=result.attempts,
        acts=sum(watch.acts for watch in watched.watches) if watched else 0,
        incidents=watched.incidents if watched else 0,
        wall_s=time.perf_counter() - begun,
        bound=least,
        violations=tuple(watched.violations()) if watched else (),
    )


class Watched(Ours):
    """The production planes, each under the eyes of the invariants, with an invalid signal now and then."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.watches: list[Invariants] = []
        self._random = Random(seed)
        self._garbage_at = BEGIN_NS + GARBAGE_EVERY_NS
        super().__init__(simulation, watch=self._watch)

    @property
    def incidents(self) -> int:
        """How many were opened, by all planes."""
        return sum(plane.engine.state.incidents_total for plane in self.planes.values())

    def violations(self) -> list[str]:
        """What broke, in the order of time."""
        found = sorted((one for watch in self.watches for one in watch.violations), key=lambda one: one.at)
        return [f"{(one.at - BEGIN_NS) / SECOND:.3f} s {one.plane}: {one.rule}: {one.what}" for one in found]

    def wake_at(self) -> int:
        """As production; and in time for garbage."""
        return min(super().wake_at(), self._garbage_at)

    def wake(self, now: int) -> None:
        """As production; then the guards are looked at."""
        if now >= self._garbage_at:
            self._garbage_at = now + GARBAGE_EVERY_NS
            plane = self._random.choice(list(self.planes.values()))
            plane.tell(garbage(Nanos(now), self._random, plane.topology))
        super().wake(now)
        for plane, watch in zip(self.planes.values(), self.watches, strict=True):
            if plane.engine.state.in_force:
                self._look(plane, watch, Nanos(now))

    def _look(self, plane: Plane, watch: Invariants, now: Nanos) -> None:
        for service in {command.target.service for command in plane.engine.state.in_force.values()}:
            guarded = plane.guards.services.get(service)
            if guarded is not None:
                watch.usable(service, [not guarded.guard.is_ejected(at) for at in range(len(guarded.endpoints))], now)

    def _watch(self, topology: Topology, policy: ResponsePolicy) -> Invariants:
        self.watches.append(Invariants(topology.entry, topology, policy))
        return self.watches[-1]


HEALTHY_SECONDS = 120.0


def healthy(job: Job) -> list[Run]:
    """A healthy world, ours alone: see `live`."""
    assert job.fault_class == HEALTHY
    return live(job)

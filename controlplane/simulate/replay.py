"""One seed under one policy, with everything that is worth telling of it."""

import msgspec

from controlplane.model.command import Command
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Signal
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from controlplane.sim.invariant import Invariants
from controlplane.sim.run import BEGIN_NS, RunResult, Simulation
from controlplane.sim.scenario import Scenario
from controlplane.simulate.peer import fleet_of
from controlplane.simulate.timeline import Moment, Teller, course


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """`acts` are the orders of all planes, renewals apart; textbook policies give none, they only refuse or avoid."""

    policy: str
    result: RunResult
    blast_services: int
    blast_seconds: int
    acts: int
    violations: tuple[str, ...]
    timeline: tuple[Moment, ...]


class _Watch:
    """A teller and the invariants, side by side."""

    def __init__(self, teller: Teller, invariants: Invariants) -> None:
        self.teller, self.invariants = teller, invariants

    def decided(self, signal: Signal | None, outcome: Outcome, now: Nanos) -> None:
        """Both hear it."""
        self.teller.decided(signal, outcome, now)
        self.invariants.decided(signal, outcome, now)

    def applied(self, command: Command, now: Nanos) -> None:
        """Both hear it."""
        self.teller.applied(command, now)
        self.invariants.applied(command, now)


def replay(scenario: Scenario, policy: str) -> Replay:
    """The world of `scenario` under `policy`. Raises ValueError for a policy that is not known."""
    moments: list[Moment] = []
    watches: list[_Watch] = []

    def watch(topology: Topology, response: ResponsePolicy) -> _Watch:
        invariants = Invariants(topology.entry, topology, response)
        watches.append(_Watch(Teller(topology.entry, moments), invariants))
        return watches[-1]

    simulation = Simulation(scenario)
    result = simulation.run(fleet_of(policy, simulation, watch=watch))
    services, seconds = result.blast(scenario.faults[0].origin if scenario.faults else "")
    broken = sorted(
        (one.at, f"{(one.at - BEGIN_NS) / SECOND:.3f} s {one.plane}: {one.rule}: {one.what}")
        for watched in watches
        for one in watched.invariants.violations
    )
    return Replay(
        policy=policy,
        result=result,
        blast_services=services,
        blast_seconds=seconds,
        acts=sum(watched.teller.orders for watched in watches),
        violations=tuple(text for _, text in broken),
        timeline=tuple(course(scenario, result, moments)),
    )

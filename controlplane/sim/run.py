"""One policy in one world: the kernel is wired, runs, and is counted.

A fleet policy answers `edge(caller, callee)` with an edge policy, `wake_at()` with when it wants to think, thinks in
`wake(now)`, and says by `rung` that it wants to think soon. An edge policy has

    begin(priority, deadline_ns) -> token or None    a call; None: refused, False: too late for whoever asked
    again(token, avoid) -> token or None             another attempt after a failure; None: no more
    succeed(token)  fail(token, kind)  relay(token, cause)  fell_back()
    token.endpoint, token.attempt                    which replica; whose attempt it is (the kernel's)

and is told of failures as the guard names them: 1 an error, 2 a time-out, 3 an overload.
"""

from typing import Any, Protocol

import msgspec

from controlplane._native.guard import set_test_clock
from controlplane._native.world import World
from controlplane.model.unit import SECOND
from controlplane.sim.fault import NATIVE, Change
from controlplane.sim.scenario import Scenario

BEGIN_NS = 1_000 * SECOND
REACT_NS = 300_000  # from a reflex's ring to an order in force: deciding, and the journal's append
WELL_SHARE = 0.95
CALLS_MIN = 5  # a second with fewer says nothing


class FleetPolicy(Protocol):
    """See the head of this file."""

    rung: bool

    def edge(self, caller: str, callee: str) -> Any:
        """The policy of the calls of `caller` to `callee`."""

    def wake_at(self) -> int | None:
        """When it wants to think."""

    def wake(self, now: int) -> None:
        """Think."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What users saw. `unhealthy_s`: by service, the seconds in which less than 95 % of the calls to it went well."""

    requests: int
    failed: int
    slow: int
    calls: int
    attempts: int
    events: int
    fallbacks: int
    unhealthy_s: dict[str, int]
    failed_by_second: tuple[int, ...] = ()
    open: int = 0

    def blast(self, origin: str) -> tuple[int, int]:
        """(services beside the origin that were unhealthy, the seconds of it)."""
        others = {name: seconds for name, seconds in self.unhealthy_s.items() if name != origin and seconds}
        return len(others), sum(others.values())


class Simulation:
    """A world that runs; `fleet` is made by `policy`, which gets the simulation to read its clock and move attempts."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        mesh, load = scenario.mesh, scenario.load
        self.names = [node.name for node in mesh.nodes]
        index = {name: at for at, name in enumerate(self.names)}
        self.edges = [(caller, call) for caller, call in mesh.edges()]
        self.world = World(
            [
                (
                    node.name,
                    node.work_s * 1e9,
                    node.sigma,
                    node.errors,
                    [(one.workers, one.queue_max) for one in node.replicas],
                )
                for node in mesh.nodes
            ],
            [
                (index[caller], index[call.callee], call.soft, round(call.timeout_s * 1e9), call.low, call.high)
                for caller, call in self.edges
            ],
            seed=scenario.seed,
            entry=index[mesh.entry],
            seconds=scenario.seconds,
            rate_per_s=load.rate_per_s,
            amplitude=load.amplitude,
            period_s=load.period_s,
            net_ns=round(mesh.net_s * 1e9),
            patience_ns=round(load.patience_s * 1e9),
            slow_ns=round(load.slow_s * 1e9),
            react_ns=REACT_NS,
            begin_ns=BEGIN_NS,
        )
        first = 0
        self.first: dict[str, int] = {}
        for node in mesh.nodes:
            self.first[node.name] = first
            first += len(node.replicas)
        set_test_clock(BEGIN_NS)
        for change in (*scenario.pauses, *(one for fault in scenario.faults for one in fault.changes)):
            self._change(change)

    def _change(self, change: Change) -> None:
        replica = -1 if change.what == "load" else self.first[change.service] + change.replica
        self.world.fault(BEGIN_NS + round(change.at_s * 1e9), NATIVE[change.what], replica, change.value)

    def run(self, fleet: FleetPolicy) -> RunResult:
        """All of it, and as long afterwards as users wait."""
        self.begin(fleet)
        try:
            self.world.run(BEGIN_NS + self.scenario.seconds * SECOND)
        finally:
            set_test_clock(-1)
        return self.result()

    def begin(self, fleet: FleetPolicy) -> None:
        """Have `fleet` protect the world, which then runs as far as it is told."""
        policies = [fleet.edge(caller, call.callee) for caller, call in self.edges]
        ended = [getattr(fleet, "ended", lambda _: None)(name) for name in self.names]
        self.world.set_fleet(fleet, policies, ended)

    def result(self) -> RunResult:
        """What was counted so far."""
        world = self.world
        counts = {name: world.counts(at) for at, name in enumerate(self.names)}
        entry = counts[self.scenario.mesh.entry]
        return RunResult(
            requests=world.users,
            failed=world.users_failed,
            slow=world.users_slow,
            calls=world.logical_calls,
            attempts=world.attempts,
            events=world.events,
            fallbacks=world.fallbacks,
            unhealthy_s={
                name: sum(calls >= CALLS_MIN and failed > (1 - WELL_SHARE) * calls for calls, failed in each)
                for name, each in counts.items()
            },
            failed_by_second=tuple(failed for _, failed in entry[: self.scenario.seconds]),
            open=world.users_open(),
        )

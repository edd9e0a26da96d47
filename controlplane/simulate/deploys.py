"""Simulated deploys: a new version beside an old one, well or not, under what goes wrong for both alike.

The production engine and guards run in virtual time. Each seed draws a small mesh, its users, which replicas run the
new version, and one kind of noise: none, a slow or failing dependency below, a spike of load, retries that pile up, and
in every world cold caches of the new version, a share of failing calls when all is well, and processes that pause.
"""

from random import Random
from typing import Final

import msgspec

from controlplane.decide.change.noted import WATCH_NS
from controlplane.model import record as on
from controlplane.model.change import Changed
from controlplane.model.command import Command
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Signal
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from controlplane.sim.fault import Change, Fault
from controlplane.sim.mesh import Call, Mesh, Node, Replica
from controlplane.sim.run import BEGIN_NS, Simulation
from controlplane.sim.scenario import Load, Scenario
from controlplane.simulate.fleet import Ours

NOISES: Final = ("none", "dependency_slow", "dependency_errors", "load_spike", "both_slow", "both_errors")
SECONDS: Final = 40
DEPLOY_S: Final = 4.0
NOISE_S: Final = (10.0, 28.0)
SERVICE: Final = "orders"
NEW: Final = "v2"
POLICY: Final = ResponsePolicy(enforcement={"roll_back": 100})


class Deploy(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one. Times in seconds after the deploy; None: it did not happen.

    `found`: the comparison side by side; `rolled_back`: the roll-back was asked for, by whatever evidence.
    """

    seed: int
    noise: str
    bad: float
    members: int
    calls: int
    failed: int
    found_s: float | None
    rolled_back_s: float | None


class _Seen:
    """A watch that notes the first finding and the first roll-back."""

    def __init__(self) -> None:
        self.found_at: Nanos | None = None
        self.rolled_back_at: Nanos | None = None

    def decided(self, signal: Signal | None, outcome: Outcome, now: Nanos) -> None:
        """Look through what was decided."""
        del signal
        for record in outcome.records:
            if isinstance(record, on.VersionFound):
                self.found_at = self.found_at or now
            by_hand = isinstance(record, on.LeftToPeople) and any("roll" in step for step in record.steps)
            if by_hand or isinstance(record, on.VersionWithdrawn):
                self.rolled_back_at = self.rolled_back_at or now

    def applied(self, command: Command, now: Nanos) -> None:
        """Nothing to note."""


def world(seed: int, *, noise: str | None = None, bad: float = 0.0) -> tuple[Scenario, str]:
    """The world of that seed, and its noise. `bad`: the share of calls to the new version that fail beside."""
    draws = Random(seed)  # noqa: S311 - chance, and no cryptography
    chosen = noise or NOISES[seed % len(NOISES)]
    replicas = draws.choice((3, 4, 6))
    members = draws.randint(1, max(1, replicas // 2))
    rate = draws.uniform(90, 130)
    work, below = draws.uniform(0.004, 0.01), draws.uniform(0.004, 0.01)
    errors = draws.choice((0.0, 0.002, 0.01, 0.02))
    zones = draws.choice((("",), ("a", "b")))

    def node(name: str, count: int, work_s: float, held_s: float, newer: int, calls: tuple[Call, ...] = ()) -> Node:
        workers = max(4, round(rate * held_s * 4 / count))
        return Node(
            name=name,
            work_s=work_s,
            errors=errors if name == SERVICE else 0.001,
            calls=calls,
            replicas=tuple(
                Replica(
                    name=f"{name}-{at + 1}",
                    workers=workers,
                    queue_max=10 * workers,
                    zone=zones[at // 2 % len(zones)],
                    version=(NEW if at < newer else "v1") if newer else "",
                )
                for at in range(count)
            ),
        )

    mesh = Mesh(
        nodes=(
            node("gateway", 2, 0.001, 0.05, 0, (Call(callee=SERVICE, timeout_s=2.0),)),
            node(SERVICE, replicas, work, work + below, members, (Call(callee="stock"),)),
            node("stock", 3, below, below, 0),
        ),
        entry="gateway",
    )
    changes = list(_noise(draws, chosen, replicas))
    cold = draws.uniform(1.5, 4.0)
    ends = DEPLOY_S + draws.uniform(5, 20)
    for member in range(members):
        changes += _during("slow", cold, SERVICE, member, (DEPLOY_S, ends), well=1.0)
        if bad:
            changes.append(Change(at_s=DEPLOY_S, what="errors", value=bad, service=SERVICE, replica=member))
    changes.sort(key=lambda one: one.at_s)
    pauses = [
        Change(
            at_s=draws.uniform(1, SECONDS),
            what="pause",
            value=draws.uniform(0.01, 0.06) * 1e9,
            service=one.name,
            replica=at,
        )
        for one in mesh.nodes
        for at in range(len(one.replicas))
    ]
    fault = Fault(name=chosen, origin="stock", begins_s=NOISE_S[0], ends_s=NOISE_S[1], changes=tuple(changes))
    scenario = Scenario(
        seed=seed,
        fault_class=chosen,
        mesh=mesh,
        load=Load(rate_per_s=rate, amplitude=0.1),
        faults=(fault,),
        pauses=tuple(pauses),
        seconds=SECONDS,
    )
    return scenario, chosen


def run(seed: int, *, noise: str | None = None, bad: float = 0.0) -> Deploy:
    """One deploy from before it until the noise is over."""
    scenario, chosen = world(seed, noise=noise, bad=bad)
    seen: dict[str, _Seen] = {}

    def watch(topology: Topology, policy: ResponsePolicy) -> _Seen:
        del policy
        return seen.setdefault(topology.entry, _Seen())

    simulation = Simulation(scenario)
    fleet = Ours(simulation, policy=POLICY, watch=watch)
    plane = fleet.planes["gateway"]
    at = Nanos(BEGIN_NS + round(DEPLOY_S * SECOND))
    begins = Nanos(BEGIN_NS)
    plane.tell(Changed(at=begins, id=f"deploy {seed}", service=SERVICE, made_at=begins, version=NEW, by="pipeline"))
    plane.guards.versions.compare(SERVICE, BEGIN_NS, BEGIN_NS + WATCH_NS)
    result = simulation.run(fleet)
    found, back = seen["gateway"].found_at, seen["gateway"].rolled_back_at
    members = sum(one.version == NEW for one in scenario.mesh.node(SERVICE).replicas)
    return Deploy(
        seed=seed,
        noise=chosen,
        bad=bad,
        members=members,
        calls=result.calls,
        failed=result.failed,
        found_s=None if found is None else round((found - at) / SECOND, 3),
        rolled_back_s=None if back is None else round((back - at) / SECOND, 3),
    )


def _noise(draws: Random, name: str, replicas: int) -> list[Change]:
    """What goes wrong for both versions alike."""
    found: list[Change] = []
    match name:
        case "dependency_slow":
            factor = draws.uniform(5, 40)
            for at in range(3):
                found += _during("slow", factor, "stock", at, NOISE_S, well=1.0)
        case "dependency_errors":
            share = draws.uniform(0.05, 0.6)
            for at in range(3):
                found += _during("errors", share, "stock", at, NOISE_S, well=0.0)
        case "load_spike":
            found += [
                Change(at_s=NOISE_S[0], what="load", value=draws.uniform(1.5, 4)),
                Change(at_s=NOISE_S[1], what="load", value=1.0),
            ]
        case "both_slow":
            factor = draws.uniform(3, 20)
            for at in range(replicas):
                found += _during("slow", factor, SERVICE, at, NOISE_S, well=1.0)
        case "both_errors":
            share = draws.uniform(0.02, 0.5)
            for at in range(replicas):
                found += _during("errors", share, SERVICE, at, NOISE_S, well=0.0)
    return found


def _during(
    what: str, value: float, service: str, replica: int, span: tuple[float, float], *, well: float
) -> list[Change]:
    return [
        msgspec.convert({"at_s": at_s, "what": what, "value": now, "service": service, "replica": replica}, Change)
        for at_s, now in ((span[0], value), (span[1], well))
    ]

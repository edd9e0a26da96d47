"""One playbook in its world, three times: with it in force, with the engine alone, and with nobody acting.

Every service that calls others has a plane of this configuration; so whoever sees the failure has the playbook. It
passes if it fitted, its preconditions held, each step was taken and none refused, what failed was contained, no
invariant of safe automation broke, and users were not worse off than without it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from controlplane.model.command import Command
from controlplane.model.config import Config
from controlplane.model.drill import Harm, Line
from controlplane.model.incident import Incident
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Playbook, PlaybookMatched, PlaybookReliability, PlaybookStepped
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Signal
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos
from controlplane.sim.fault import NATIVE
from controlplane.sim.invariant import Invariants
from controlplane.sim.run import BEGIN_NS, RunResult, Simulation
from controlplane.sim.scenario import Scenario
from controlplane.simulate.drill.world import broken, scenario_of
from controlplane.simulate.fleet import Ours
from controlplane.simulate.plane import Plane
from controlplane.simulate.timeline import Moment, Teller, course

WORSE_SHARE: Final = 0.02  # of the harm without it, and
WORSE_MIN: Final = 5  # so many requests more are chance, and no harm of the playbook's
ROLLED_BACK_NS: Final = 2 * SECOND  # from the deployer's call to replicas that serve well

FAILING: Final = ("refused",)


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen. `failed`: why it did not pass."""

    failed: tuple[str, ...]
    contained_s: float | None
    with_it: Harm
    without: Harm
    unattended: Harm
    timeline: tuple[Line, ...]


class _Watch:
    """Everything that one plane decided, in words and as it is."""

    def __init__(self, plane: str, topology: Topology, policy: ResponsePolicy, moments: list[Moment]) -> None:
        self.plane, self.records, self._moments = plane, list[Record](), moments
        self.invariants = Invariants(plane, topology, policy)
        self._teller = Teller(plane, moments)

    def decided(self, signal: Signal | None, outcome: Outcome, now: Nanos) -> None:
        """Keep it."""
        self._teller.decided(signal, outcome, now)
        self.invariants.decided(signal, outcome, now)
        self.records += outcome.records
        for record in outcome.records:
            if text := _words(record):
                self._moments.append(Moment(record.at - BEGIN_NS, self.plane, text))

    def applied(self, command: Command, now: Nanos) -> None:
        """Keep it."""
        self.invariants.applied(command, now)


class _Fleet(Ours):
    """A plane of the same configuration in every service that calls others."""

    def __init__(
        self,
        simulation: Simulation,
        config: Config,
        policy: ResponsePolicy,
        playbooks: Sequence[Playbook],
        rolled_back: Callable[[Command], None],
    ) -> None:
        self._config, self._playbooks, self._rolled_back = config, tuple(playbooks), rolled_back
        self.moments: list[Moment] = []
        self.watches: list[_Watch] = []
        super().__init__(simulation, policy=policy)

    def plane(self, topology: Topology, seed: int) -> Plane:
        """With everything that is declared, as the caller sees it."""
        mine = msgspec.structs.replace(self._config.topology(), entry=topology.entry)
        watch = _Watch(mine.entry, mine, self._policy, self.moments)
        self.watches.append(watch)
        return Plane(
            mine,
            {"default": self._config.policies.get("default", self._guard), **self._config.policies},
            self._policy,
            seed=seed,
            now=BEGIN_NS,
            rang=self.rang,
            watch=watch,
            playbooks=[one for one in self._playbooks if one.match.service != mine.entry],
            rolled_back=self._rolled_back,
        )


def rehearse(playbook: Playbook, config: Config) -> Rehearsal:
    """Rehearse `playbook` as if it were enforced, beside the others of `config` as they are declared.

    Raises ValueError where nothing that can go wrong would fit it.
    """
    scenario = scenario_of(playbook, config)
    policy = msgspec.structs.replace(config.response_policy(), mode="enforce")
    enforced = msgspec.structs.replace(playbook, enforce=True)
    books = [enforced if one.name == playbook.name else one for one in config.playbooks]
    others = [one for one in config.playbooks if one.name != playbook.name]
    fleet, result = _run(scenario, config, policy, books, playbook)
    _, without = _run(scenario, config, policy, others, playbook)
    idle = msgspec.structs.replace(policy, mode="observe")
    _, unattended = _run(scenario, config, idle, (), playbook)
    used = [(fleet.planes[one.plane].engine.state.incidents, one) for one in fleet.watches if _fitted(one, playbook)]
    incidents = [one for known, _ in used for one in known.values() if _in(one, playbook)]
    failed = list(_failed(playbook, [watch for _, watch in used], incidents))
    broke = [one for watch in fleet.watches for one in watch.invariants.violations]
    failed += [f"an invariant broke: {one.rule}: {one.what}" for one in broke[:3]]
    harm, alone = _harm(result), _harm(without)
    if harm.harmed > alone.harmed * (1 + WORSE_SHARE) + WORSE_MIN:
        failed.append(f"users were worse off: {harm.harmed} requests harmed with it, {alone.harmed} without")
    return Rehearsal(
        failed=tuple(failed),
        contained_s=_contained_s(scenario, playbook, incidents, [watch for _, watch in used]),
        with_it=harm,
        without=alone,
        unattended=_harm(unattended),
        timeline=tuple(
            Line(after_s=one.at_ns / SECOND - scenario.faults[0].begins_s, who=one.who, text=one.text)
            for one in course(scenario, result, fleet.moments)
        ),
    )


def _run(
    scenario: Scenario, config: Config, policy: ResponsePolicy, playbooks: Sequence[Playbook], about: Playbook
) -> tuple[_Fleet, RunResult]:
    simulation = Simulation(scenario)

    def rolled_back(command: Command) -> None:
        service = config.topology().service(command.target.service)
        names = broken(about, config.topology())
        for number, one in enumerate(service.endpoints if service is not None else ()):
            if one.name in names and service is not None:
                at = simulation.world.now + ROLLED_BACK_NS
                simulation.world.fault(at, NATIVE["errors"], simulation.first[service.name] + number, 0.0)

    fleet = _Fleet(simulation, config, policy, playbooks, rolled_back)
    return fleet, simulation.run(fleet)


def _failed(playbook: Playbook, watches: Sequence[_Watch], incidents: Sequence[Incident]) -> list[str]:
    if not watches:
        return ["it never fitted: what was to trigger it opened no incident that it matches"]
    used = [one for incident in incidents for one in incident.playbooks if one.playbook == playbook.name]
    if all(one.unmet for one in used):
        return [f"it was not used: {reason}" for reason in dict.fromkeys(r for one in used for r in one.unmet)]
    found = []
    for number in range(1, len(playbook.steps) + 1):
        taken = [
            record
            for watch in watches
            for record in watch.records
            if isinstance(record, PlaybookStepped) and record.playbook == playbook.name and record.step == number
        ]
        if not taken:
            found.append(f"step {number} was never due")
        elif refused := [one for one in taken if one.how == "refused"]:
            found.append(f"step {number} ({refused[0].what}) was refused: {refused[0].reason}")
    if all(one.contained_at is None for one in incidents):
        found.append("what failed was never contained")
    return found


def _contained_s(
    scenario: Scenario, playbook: Playbook, incidents: Sequence[Incident], watches: Sequence[_Watch]
) -> float | None:
    """From the failure until it was contained and the playbook's orders were in force."""
    begins = BEGIN_NS + scenario.faults[0].begins_s * SECOND
    ordered = [
        record.at
        for watch in watches
        for record in watch.records
        if isinstance(record, PlaybookStepped) and record.playbook == playbook.name and record.how == "ordered"
    ]
    held = [one.contained_at for one in incidents if one.contained_at is not None]
    return None if not held else max(min(held), *(ordered or held[:1]), 0) / SECOND - begins / SECOND


def _fitted(watch: _Watch, playbook: Playbook) -> bool:
    return any(isinstance(one, PlaybookMatched) and one.playbook == playbook.name for one in watch.records)


def _in(incident: Incident, playbook: Playbook) -> bool:
    return any(one.playbook == playbook.name for one in incident.playbooks)


def _harm(result: RunResult) -> Harm:
    return Harm(requests=result.requests, failed=result.failed, slow=result.slow)


def _words(record: Record) -> str:
    match record:
        case PlaybookMatched():
            said = f"is not used: {'; '.join(record.unmet)}" if record.unmet else "is used"
            return f"{record.incident} playbook {record.playbook} fits and {said}"
        case PlaybookStepped():
            why = f": {record.reason}" if record.reason else ""
            return f"{record.incident} playbook {record.playbook} step {record.step}, {record.what}: {record.how}{why}"
        case PlaybookReliability(reasons=reasons) if reasons:
            return f"playbook {record.playbook} is unreliable: {'; '.join(reasons)}"
    return ""

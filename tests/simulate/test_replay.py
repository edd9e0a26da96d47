"""A seed replayed: the same bytes every time, whoever else runs in the process, with a timeline a person can read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane._native.guard import now_ns, set_test_clock
from controlplane.cli import main
from controlplane.model.unit import SECOND
from controlplane.sim.run import BEGIN_NS, RunResult, Simulation
from controlplane.sim.scenario import draw
from controlplane.simulate.fleet import Ours
from controlplane.simulate.peer import NAMES, fleet_of
from controlplane.simulate.replay import replay

SECONDS = 55


def lived(seed: int) -> RunResult:
    """A world alone in the process."""
    simulation = Simulation(draw(seed, "leaf_slow", seconds=SECONDS))
    return simulation.run(Ours(simulation))


def test_the_same_seed_is_the_same_output_in_every_process(tmp_path: Path) -> None:
    """Byte for byte, printed and as JSON, whatever hashes strings have."""
    found = []
    for number, hashing in enumerate(("0", "4711")):
        file, plot = tmp_path / f"{number}.json", tmp_path / f"{number}.svg"
        asked = ["simulate", "--seed", "3", "--fault", "leaf_slow", "--seconds", str(SECONDS)]
        done = subprocess.run(
            [sys.executable, "-m", "controlplane", *asked, "--json", file, "--plot", plot],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            check=True,
        )
        found.append((done.stdout, file.read_bytes(), plot.read_bytes()))
    assert found[0] == found[1]
    assert b"detected" in found[0][0]


def test_worlds_that_take_turns_are_as_if_each_were_alone() -> None:
    """Two worlds in one process, a second of one after a second of the other."""
    alone = [lived(seed) for seed in (3, 4)]
    together = [Simulation(draw(seed, "leaf_slow", seconds=SECONDS)) for seed in (3, 4)]
    try:
        for simulation in together:
            set_test_clock(BEGIN_NS)
            simulation.begin(Ours(simulation))
        for second in range(1, SECONDS + 1):
            for simulation in together:
                simulation.world.run(BEGIN_NS + second * SECOND)
    finally:
        set_test_clock(-1)
    assert [simulation.result() for simulation in together] == alone


def test_the_clock_runs_again_after_a_world() -> None:
    """Whoever simulates gets the real time back."""
    lived(3)
    assert now_ns() != BEGIN_NS + SECONDS * SECOND
    first = now_ns()
    assert now_ns() >= first


def test_planes_share_nothing_but_answers() -> None:
    """A plane's guards, engine and state are its own; what another plane knows came with an answer."""
    simulation = Simulation(draw(3, "leaf_slow", seconds=SECONDS))
    fleet = Ours(simulation)
    simulation.run(fleet)
    planes = list(fleet.planes.values())
    assert len(planes) > 1
    assert len({id(plane.engine.state) for plane in planes}) == len(planes)
    callers = {name: {call.callee for caller, call in simulation.edges if caller == name} for name in fleet.planes}
    for name, plane in fleet.planes.items():
        called = {service for service, guarded in plane.guards.services.items() if guarded.guard.describe()["calls"]}
        assert called <= callers[name]
        for command in plane.engine.state.in_force.values():
            assert command.target.service in callers[name]


@pytest.mark.parametrize("policy", NAMES)
def test_every_policy_lives_in_the_same_world(policy: str) -> None:
    """As many users come at the same times, whoever protects the mesh."""
    scenario = draw(6, "replica_errors", seconds=45)
    told = replay(scenario, policy)
    assert told.result.requests == replay(scenario, "plain").result.requests
    assert not told.violations
    assert told.timeline[0].text.startswith("begins: replica_errors")


def test_a_timeline_tells_the_incident_from_its_fault_to_its_orders() -> None:
    """A dead replica: the fault, its detection, the order against it, in the order of time."""
    told = replay(draw(9, "replica_down", seconds=SECONDS), "ours")
    kinds = [moment.text.split()[0] if moment.who == "fault" else moment.text.split()[1] for moment in told.timeline]
    assert kinds.index("begins:") < kinds.index("detected:") < kinds.index("orders")
    assert [moment.at_ns for moment in told.timeline] == sorted(moment.at_ns for moment in told.timeline)


def test_wrong_usage_is_refused_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2 and what would be right."""
    for asked, reason in (
        (["--seed", "-1"], "between 0 and"),
        (["--seed", "1", "--fault", "nonsense"], "invalid choice"),
        (["--seed", "1", "--seconds", "0"], "between 1 and"),
        ([], "--seed"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["simulate", *asked])
        assert ended.value.code == 2
        assert reason in capsys.readouterr().err


def test_figures_can_be_read_by_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has the scenario, and of each policy the figures of the table."""
    file = tmp_path / "seed.json"
    asked = ["simulate", "--seed", "2", "--fault", "healthy", "--policy", "plain", "--seconds", "5"]
    assert main([*asked, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["scenario"]["fault_class"] == "healthy"
    assert [run["policy"] for run in found["runs"]] == ["plain"]
    assert f"{found['runs'][0]['result']['requests']:,}" in capsys.readouterr().out
    assert fleet_of("plain", Simulation(draw(2))).rung is False

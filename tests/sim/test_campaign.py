"""A small campaign inside the tests: fifty seeds with ours under watch, a few with the textbook policies beside.

Short form: 45 simulated seconds, in which the fault begins at 40 and the guards' answer is seen, instead of 120; five
seeds longer. `make campaign` has all of it.
"""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import campaign
from bench.living import Job, Watched, live
from controlplane.bench.campaign.run import HEALTHY, OURS, Run
from controlplane.sim.run import Simulation
from controlplane.sim.scenario import CLASSES, draw
from controlplane.sim.textbook.fleet import POLICIES

SEEDS, SECONDS = 50, 46.0
WHOLE = (1, 4, 5, 8, 11)  # lived for 80 s: long enough for recoveries to begin


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Ours, in fifty worlds."""
    jobs = [Job(seed, "", (OURS,), 80.0 if seed in WHOLE else SECONDS) for seed in range(SEEDS)]
    return [run for job in jobs for run in live(job)]


def test_no_invariant_breaks(runs: list[Run]) -> None:
    """With an invalid signal to one plane or another every five seconds."""
    assert {run.seed: run.violations for run in runs if run.violations} == {}
    assert sum(run.acts for run in runs) > 150, "a campaign in which nothing is done proves nothing"


def test_every_class_is_met(runs: list[Run]) -> None:
    """Fifty seeds draw each fault class three times or more."""
    classes = [run.fault_class for run in runs]
    assert all(classes.count(name) >= 3 for name in CLASSES)


def test_nothing_is_done_where_nothing_is_wrong(runs: list[Run]) -> None:
    """No act and no incident on healthy seeds."""
    healthy = [run for run in runs if run.fault_class == HEALTHY]
    assert [(run.seed, run.acts, run.incidents) for run in healthy if run.false_acts] == []
    assert sum(run.calls for run in healthy) > 100_000


def test_a_seed_is_a_run() -> None:
    """The same seed twice gives the same figures, whoever lives in it."""
    job = Job(4, "", (OURS, "envoy_outlier"), SECONDS)
    first, second = live(job), live(job)
    assert [(run.policy, run.failed, run.calls, run.acts) for run in first] == [
        (run.policy, run.failed, run.calls, run.acts) for run in second
    ]


def test_the_watch_is_on_in_the_campaign() -> None:
    """An engine that forgets its leases is found out by the campaign's own watchers."""
    watched = Watched(Simulation(draw(5, seconds=1)), seed=5)
    plane, watch = next(iter(watched.planes.values())), watched.watches[0]
    engine_policy = plane.engine.policy
    assert watch.policy == engine_policy
    watch.policy = type(engine_policy)(lease_s=0.001)
    simulation = Simulation(draw(5, seconds=46))
    whole = Watched(simulation, seed=5)
    for one in whole.watches:
        one.policy = watch.policy
    simulation.run(whole)
    assert any(" lease: " in text for text in whole.violations())


def test_the_command_writes_table_figures_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two worlds, two policies, a little healthy traffic: everything that `make campaign` leaves behind."""
    figures, picture, page = tmp_path / "figures.json", tmp_path / "campaign.svg", tmp_path / "table.md"
    asked = ["--classes", "replica_down,capacity_loss", "--seeds", "2", "--policies", f"{OURS},consecutive_5xx"]
    asked += ["--seconds", "44", "--processes", "1", "--healthy-calls", "1e4"]
    assert campaign.main([*asked, "--json", str(figures), "--plot", str(picture), "--table", str(page)]) == 0
    found = {row["name"]: row for row in json.loads(figures.read_text())}
    assert {"sim.replica_down", "sim.capacity_loss", "sim.capacity_loss.blast", "sim.healthy"} <= set(found)
    assert found["sim.healthy"]["value"] == 0
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")
    assert "`capacity_loss`" in page.read_text()
    assert "0 false actions" in capsys.readouterr().out


def test_every_textbook_policy_lives_in_a_world() -> None:
    """Same world, same users: the number of requests differs by none, since nobody's policy changes who comes."""
    found = live(Job(4, "", tuple(POLICIES), 43.0))
    assert [run.policy for run in found] == list(POLICIES)
    assert len({run.requests for run in found}) <= 2, "requests end a little later under one policy than another"


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is known."""
    with pytest.raises(SystemExit):
        campaign.main(["--classes", "gremlins"])
    assert "not among" in capsys.readouterr().err

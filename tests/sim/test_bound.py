"""What is lost at best: by hand where that is possible, and never more than anybody loses."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.sim.bound import bound, packed
from controlplane.sim.run import Simulation
from controlplane.sim.scenario import HEALTHY, SIMPLE, Scenario, draw
from controlplane.simulate.peer import fleet_of


def users(scenario: Scenario) -> float:
    """How many come without a fault, on average: the day is a whole one in 90 s."""
    return scenario.load.rate_per_s * 90


def test_a_healthy_world_loses_the_entry_s_own_errors() -> None:
    """Nobody tries those again."""
    scenario = draw(3, HEALTHY, seconds=90)
    entry = scenario.mesh.node(scenario.mesh.entry)
    assert bound(scenario) == pytest.approx(users(scenario) * entry.errors)


@pytest.mark.parametrize("fault", [name for name in SIMPLE if name != "zone_out"])
def test_what_others_can_bear_need_not_be_lost(fault: str) -> None:
    """One replica, a version or a third party behind a fallback: the rest has room, as leaves are planned."""
    scenario = draw(1, fault)
    entry = scenario.mesh.node(scenario.mesh.entry)
    assert bound(scenario) <= 1.3 * scenario.load.rate_per_s * scenario.seconds * entry.errors + 1


def test_who_needs_what_is_dead_is_lost_and_nobody_else() -> None:
    """A leaf that hangs takes exactly the routes that cannot do without it."""
    scenario = draw(4, "shared_dependency", seconds=90)
    fault = scenario.faults[0]
    dead = tuple(
        msgspec.structs.replace(one, what="hangs", value=float(one.at_s == fault.begins_s)) for one in fault.changes
    )
    fault = msgspec.structs.replace(fault, changes=dead)
    scenario = msgspec.structs.replace(scenario, faults=(fault,))
    mesh = scenario.mesh
    needs = [
        route.high - route.low
        for route in mesh.node(mesh.entry).calls
        if any(call.callee == fault.origin and not call.soft for call in mesh.node(route.callee).calls)
    ]
    assert needs
    lost = scenario.load.rate_per_s * (fault.ends_s - fault.begins_s) * sum(needs)
    swing = 1 + scenario.load.amplitude
    # those of the last moments are served within their patience once it answers again
    assert 0.8 * lost / swing < bound(scenario) < lost * swing + users(scenario) * 0.003


@pytest.mark.parametrize(("seed", "fault"), [(1002, "leaf_slow"), (1000, "capacity_loss"), (1007, "overload_burst")])
@pytest.mark.parametrize("policy", ["plain", "ours"])
def test_nobody_loses_less_but_by_chance(seed: int, fault: str, policy: str) -> None:
    """Whoever lives in the world; the bound is a mean, so a twentieth and twenty requests are chance."""
    scenario = draw(seed, fault)
    simulation = Simulation(scenario)
    assert simulation.run(fleet_of(policy, simulation)).failed > 0.95 * bound(scenario) - 20


@settings(max_examples=50, deadline=None)
@given(
    wanted=st.lists(st.floats(1, 100), min_size=1, max_size=3),
    held=st.lists(st.floats(0.01, 2), min_size=6, max_size=6),
    there=st.lists(st.floats(1, 100), min_size=2, max_size=2),
    seed=st.integers(0, 1000),
)
def test_a_packing_fits_and_no_drawn_one_is_larger(
    wanted: list[float], held: list[float], there: list[float], seed: int
) -> None:
    """Against ten thousand points of the box, each shrunk until it fits."""
    most, room = np.array(wanted), np.array(there)
    table = np.array(held)[: 2 * len(wanted)].reshape(2, len(wanted))
    best = packed(most, table, room)
    points = np.random.default_rng(seed).random((10_000, len(wanted))) * most
    over = np.maximum(1.0, (points @ table.T / room).max(axis=1))
    drawn = (points / over[:, None]).sum(axis=1).max()
    assert best >= drawn - 1e-6
    assert best <= most.sum() + 1e-6

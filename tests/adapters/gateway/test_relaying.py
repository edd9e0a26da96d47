"""A replica that alone passes on failures of others has lost its own way to them; one among many is no culprit."""

from collections.abc import Iterator

import pytest

from controlplane._native.guard import EJECTED, HEALTHY, set_test_clock
from controlplane.model.signal import Tripped
from controlplane.model.unit import MILLISECOND
from tests.adapters.gateway.world import Answer, World

EVERY_NS = MILLISECOND // 2
GOOD = Answer(20 * MILLISECOND)
RELAYED = Answer(MILLISECOND, "relayed")


@pytest.fixture
def world() -> Iterator[World]:
    """Three endpoints at 2,000 calls a second."""
    yield healthy(enforced=1)
    set_test_clock(-1)


def healthy(*, enforced: int) -> World:
    world = World(3, enforced=enforced)
    world.run(2_000, EVERY_NS, lambda _: GOOD)
    world.guards.drain()
    return world


def test_a_replica_that_relays_alone_is_out(world: World) -> None:
    """As it answers first it would draw most calls; it draws no more than its part, and is out after two seconds."""
    block = world.run(6_000, EVERY_NS, lambda endpoint: RELAYED if endpoint == 0 else GOOD)
    assert world.states() == [EJECTED, HEALTHY, HEALTHY]
    assert block.failed < 4_000 / 3 * 1.2
    told = [signal for signal in world.guards.drain() if isinstance(signal, Tripped)]
    assert [str(signal.target) for signal in told] == ["orders/o0"]


@pytest.mark.parametrize("share", [2, 4, 10], ids=["half", "a-quarter", "a-tenth"])
def test_where_all_relay_some_nobody_is_out(world: World, share: int) -> None:
    """A dependency fails some calls, whoever passes them on."""
    asked = 0

    def behave(_: int) -> Answer:
        nonlocal asked
        asked += 1
        return Answer(19 * MILLISECOND, "relayed") if asked * 2_654_435_761 % 2**32 < 2**32 // share else GOOD

    world.run(6_000, EVERY_NS, behave)
    assert world.states() == [HEALTHY] * 3


def test_where_all_relay_nobody_is_out_and_nothing_is_held_against_the_service(world: World) -> None:
    """The dependency is dead: no ejection, no row about a cap, and the edge stays closed."""
    block = world.run(4_000, EVERY_NS, lambda _: RELAYED)
    assert world.states() == [HEALTHY] * 3
    assert block.refused == 0
    assert not [signal for signal in world.guards.drain() if isinstance(signal, Tripped)]
    state = world.service.guard.describe()
    assert (state["open"], state["failures"], state["window_failures"]) == (0, 0, 0)


def test_one_that_relays_for_a_moment_is_left_alone(world: World) -> None:
    """Its own guard holds it back from an overloaded dependency, and lets it go on a second later."""
    world.run(2_000, EVERY_NS, lambda endpoint: RELAYED if endpoint == 0 else GOOD)
    assert world.states() == [HEALTHY] * 3
    world.run(4_000, EVERY_NS, lambda _: GOOD)
    assert world.states() == [HEALTHY] * 3


def test_two_of_three_that_relay_are_left_alone(world: World) -> None:
    """When more than one does, it is not the endpoint; yet their haste draws no calls to them."""
    block = world.run(4_000, EVERY_NS, lambda endpoint: GOOD if endpoint == 0 else RELAYED)
    assert world.states() == [HEALTHY] * 3
    assert block.shares[0] > 0.25


@pytest.mark.parametrize("enforced", [0, 1])
def test_quick_errors_draw_no_calls(enforced: int) -> None:
    """Two of three fail within a millisecond and may not both be out: the good one keeps its share."""
    try:
        world = healthy(enforced=enforced)
        bad = Answer(MILLISECOND, "error")
        block = world.run(400, EVERY_NS, lambda endpoint: GOOD if endpoint == 0 else bad)
        assert block.shares[0] > 0.25
    finally:
        set_test_clock(-1)

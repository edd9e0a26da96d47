"""Latency that changes for everybody is no outage; a hang still is."""

from collections.abc import Iterator

import pytest

from controlplane._native.guard import EJECTED, HEALTHY, set_test_clock
from controlplane.adapters.gateway.learn import crept_p99_ns, stall_ns
from controlplane.model.policy import GuardPolicy
from controlplane.model.unit import MILLISECOND, SECOND
from tests.adapters.gateway.world import Answer, World

EVERY_NS = 5 * MILLISECOND


@pytest.fixture
def world() -> Iterator[World]:
    """Three endpoints that have always answered within 20 ms."""
    world = World(3)
    world.run(3_000, EVERY_NS, lambda _: Answer(20 * MILLISECOND))
    assert (world.service.stall_s, world.service.slow_ns) == (0.2, 200 * MILLISECOND)
    yield world
    set_test_clock(-1)


@pytest.mark.parametrize("latency_ms", [190, 250, 500, 1_500, 5_000])
def test_no_call_is_refused_because_answers_take_longer(world: World, latency_ms: int) -> None:
    """A heavier endpoint or a slower disk makes every answer late: all are still asked for, from the first on."""
    for _ in range(8):
        block = world.run(500, EVERY_NS, lambda _: Answer(latency_ms * MILLISECOND))
        assert block.refused == 0
    assert not world.service.guard.is_open()


def test_longer_answers_become_normal(world: World) -> None:
    """Some minutes later nothing is suspected any more: nobody is out, and nothing is slow."""
    for _ in range(5):
        world.run(400, 100 * MILLISECOND, lambda _: Answer(500 * MILLISECOND))
    for _ in range(5):
        world.run(400, 100 * MILLISECOND, lambda _: Answer(500 * MILLISECOND))
    assert world.service.slow_ns > 500 * MILLISECOND
    world.run(400, 100 * MILLISECOND, lambda _: Answer(500 * MILLISECOND))
    assert world.states() == [HEALTHY] * 3
    assert not world.service.suspect(world.now)


def test_one_that_hangs_is_out_as_fast_as_ever(world: World) -> None:
    """Its siblings answer, so the mark stays where it was: out within half a second."""
    began = world.now
    while world.states()[0] == HEALTHY and world.now < began + 20 * SECOND:
        world.run(1, EVERY_NS, lambda endpoint: hung() if endpoint == 0 else Answer(20 * MILLISECOND))
    assert world.now - began < SECOND // 2
    assert world.states() == [EJECTED, HEALTHY, HEALTHY]


def test_one_that_hangs_among_the_slow_is_out_too(world: World) -> None:
    """Where 300 ms have become usual, it takes four times as long to be sure."""
    world.run(1_000, EVERY_NS, lambda _: Answer(300 * MILLISECOND))
    began = world.now
    while HEALTHY in world.states()[:1] and world.now < began + 20 * SECOND:
        world.run(1, EVERY_NS, lambda endpoint: hung() if endpoint == 0 else Answer(300 * MILLISECOND))
    assert world.now - began < 3 * SECOND
    assert world.states()[0] == EJECTED


def test_a_service_that_hangs_is_cut_off_by_its_time_outs(world: World) -> None:
    """Nothing comes back at all: the edge opens when calls have ended so, and not before."""
    world.run(1_990, EVERY_NS, lambda _: hung())
    assert not world.service.guard.is_open()
    world.run(100, EVERY_NS, lambda _: hung())
    assert world.service.guard.is_open()


def test_a_service_that_came_back_slower_is_let_in(world: World) -> None:
    """The probes of the open edge take longer than any call before, and are judged by how they end."""
    world.run(2_100, EVERY_NS, lambda _: hung())
    assert world.service.guard.is_open()
    refused = [world.run(1_000, EVERY_NS, lambda _: Answer(600 * MILLISECOND)).refused for _ in range(10)]
    assert refused[-1] == 0
    assert not world.service.guard.is_open()


def test_an_answer_as_late_as_the_others_is_not_overdue() -> None:
    """The mark follows the median of what is answered now, and never comes later than the time-out."""
    policy = GuardPolicy()
    assert stall_ns(policy, 20 * MILLISECOND, 20 * MILLISECOND) == 200 * MILLISECOND
    assert stall_ns(policy, 20 * MILLISECOND, 500 * MILLISECOND) == 2 * SECOND
    assert stall_ns(policy, 20 * MILLISECOND, 30 * SECOND) == 10 * SECOND
    assert stall_ns(GuardPolicy(stall_s=0.7), 20 * MILLISECOND, 500 * MILLISECOND) == 700 * MILLISECOND


def test_suspect_windows_teach_at_a_creep() -> None:
    """A hundredth a second, no further than the median bears, never down, and nothing before there is a p99."""
    second = crept_p99_ns(1_000_000, 50_000_000, 50_000_000, 1.0)
    assert second == 1_010_000
    assert crept_p99_ns(1_000_000, 50_000_000, 50_000_000, 1e6) < 2_000_000
    assert crept_p99_ns(1_000_000, 50_000_000, 300_000, 1.0) == 1_000_000
    assert crept_p99_ns(1_000_000, 500_000, 500_000, 1.0) == 1_000_000
    assert crept_p99_ns(0, 500_000, 500_000, 1.0) == 0


def hung() -> Answer:
    return Answer(10 * SECOND, "timeout")

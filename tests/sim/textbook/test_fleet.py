"""A textbook policy for a whole mesh."""

from time import perf_counter_ns

import pytest

from controlplane.sim.textbook.fleet import POLICIES, Fleet
from tests.sim.textbook.client import SECOND, Client, Clock, sent, sent_to


@pytest.mark.parametrize("policy", POLICIES)
def test_every_edge_is_one_policy_of_its_own(policy: str) -> None:
    """The same edge twice is the same object; another caller has another one."""
    fleet = Fleet(policy, lambda caller, callee: Client(), seed=1, clock=Clock())
    edge = fleet.edge("a", "b")
    assert type(edge) is POLICIES[policy]
    assert fleet.edge("a", "b") is edge
    assert fleet.edge("c", "b") is not edge


def test_sweeps_come_every_ten_seconds_and_only_where_there_are_any() -> None:
    """Envoy's interval; a breaker has none."""
    clock = Clock()
    fleet = Fleet("envoy_outlier", lambda caller, callee: Client(), seed=1, clock=clock)
    edge = fleet.edge("a", "b")
    for _ in range(5):
        edge.fail(sent_to(edge, 0), 1)
    assert fleet.wake_at() == 10 * SECOND
    clock.now = 30 * SECOND
    fleet.wake(clock.now)
    assert fleet.wake_at() == 40 * SECOND
    assert sent_to(edge, 0).endpoint == 0
    breakers = Fleet("ratio_breaker", lambda caller, callee: Client(), seed=1, clock=clock)
    breakers.edge("a", "b")
    assert breakers.wake_at() is None


@pytest.mark.alone
@pytest.mark.parametrize("policy", POLICIES)
def test_a_call_costs_microseconds(policy: str) -> None:
    """A thousand calls of the quickest of ten rounds take less than 20 us each: a campaign makes a billion."""
    edge = Fleet(policy, lambda caller, callee: Client(), seed=1, clock=Clock()).edge("a", "b")
    rounds = []
    for _ in range(10):
        begun = perf_counter_ns()
        for _ in range(1_000):
            edge.succeed(sent(edge))
        rounds.append(perf_counter_ns() - begun)
    assert min(rounds) / 1_000 < 20_000

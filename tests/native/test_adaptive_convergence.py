"""The limit finds what a service bears, follows it, and shares it: throughput, and a bound on the latency."""

import math
import random
from collections.abc import Callable

import pytest

from controlplane._native.adaptive import AdaptiveLimit
from tests.native.queue_simulation import MILLISECOND, SECOND, Caller, World, bimodal, exponential, steady

SERVICE_NS = 10 * MILLISECOND
Service = Callable[[random.Random], int]


def ours() -> AdaptiveLimit:
    return AdaptiveLimit(SECOND)


def slowdown_expected(servers: int) -> float:
    """Where a queue of 1 + 1.5 roots of the limit ends: in service times, as derived on the concept's page."""
    root = (1.5 + math.sqrt(2.25 + 4 * (servers + 1))) / 2
    return root * root / servers


@pytest.mark.parametrize("load", [1.5, 3.0])
@pytest.mark.parametrize("servers", [2, 5, 10, 50])
@pytest.mark.parametrize("service", [exponential(SERVICE_NS), steady(SERVICE_NS)], ids=["exponential", "steady"])
def test_an_overloaded_service_works_at_its_capacity_and_its_queue_stays_short(
    service: Service, servers: int, load: float
) -> None:
    """At least 90 % of the capacity ends as answers; mean latency is at most 1.5 times what the mathematics says."""
    caller = Caller(ours(), load * servers * 100)
    world = World(servers, service, [caller])
    world.run(40)
    span = world.run(20)
    assert caller.answered_per_s(*span) >= 0.9 * servers * 100
    assert caller.mean_latency_ns(*span) <= 1.5 * slowdown_expected(servers) * SERVICE_NS


@pytest.mark.parametrize("load", [1.5, 3.0])
def test_a_cache_in_front_does_not_deceive_it(load: float) -> None:
    """Nine calls of ten take 2 ms, one 82: means are noisy, and the base is taken no lower than their noise allows."""
    caller = Caller(ours(), load * 1000)
    world = World(10, bimodal(2 * MILLISECOND, 82 * MILLISECOND, 0.1), [caller])
    world.run(40)
    span = world.run(40)
    assert caller.answered_per_s(*span) >= 0.9 * 1000
    assert caller.mean_latency_ns(*span) <= 3 * SERVICE_NS


@pytest.mark.parametrize("servers", [10, 50])
def test_capacity_that_halves_and_comes_back_is_followed(servers: int) -> None:
    """Latency is back (to twice what is expected) ten seconds after the loss, throughput three after the return."""
    caller = Caller(ours(), 2 * servers * 100)
    world = World(servers, exponential(SERVICE_NS), [caller])
    world.run(30)
    world.servers = servers // 2
    world.run(10)
    halved = world.run(10)
    assert caller.answered_per_s(*halved) >= 0.9 * servers // 2 * 100
    assert caller.mean_latency_ns(*halved) <= 2 * slowdown_expected(servers // 2) * SERVICE_NS
    world.servers = servers
    world.run(3)
    assert caller.answered_per_s(*world.run(5)) >= 0.9 * servers * 100


@pytest.mark.parametrize("times", [2, 3, 10])
def test_latency_that_grows_for_all_leaves_the_limit_in_place(times: int) -> None:
    """As many calls are borne as before, each only takes longer; back again, all is as it was."""
    caller = Caller(ours(), 1500)
    world = World(10, exponential(SERVICE_NS), [caller])
    world.run(30)
    world.service = exponential(times * SERVICE_NS)
    world.run(15)
    assert caller.answered_per_s(*world.run(30)) >= 0.9 * 1000 / times
    world.service = exponential(SERVICE_NS)
    world.run(25)
    back = world.run(15)
    assert caller.answered_per_s(*back) >= 0.9 * 1000
    assert caller.mean_latency_ns(*back) <= 1.5 * slowdown_expected(10) * SERVICE_NS


@pytest.mark.parametrize(("callers", "servers", "slowdown"), [(4, 40, 3.0), (8, 20, 6.0)])
def test_limits_that_know_nothing_of_one_another_share_and_do_not_push_each_other_up(
    callers: int, servers: int, slowdown: float
) -> None:
    """Each gets at least half of an even share, and the queue of all is no longer at the end than after a minute."""
    each = [Caller(ours(), 1.5 * servers * 100 / callers) for _ in range(callers)]
    world = World(servers, exponential(SERVICE_NS), each, seed=3)
    world.run(60)
    early, late = world.run(20), (world.run(60), world.run(20))[1]
    shares = [caller.answered_per_s(*late) for caller in each]
    assert sum(shares) >= 0.9 * servers * 100
    assert min(shares) >= 0.5 * sum(shares) / callers
    before, after = (sum(caller.mean_latency_ns(*span) for caller in each) / callers for span in (early, late))
    assert after <= 1.3 * before
    assert after <= slowdown * SERVICE_NS


def test_a_load_that_fits_is_hardly_refused() -> None:
    """At half of the capacity nothing is, and the limit is in the end where it was."""
    caller = Caller(ours(), 500)
    world = World(10, exponential(SERVICE_NS), [caller])
    world.run(120)
    assert caller.refused == 0
    assert caller.limit.limit == 20


def test_a_quiet_edge_neither_drifts_nor_freezes() -> None:
    """Two calls a second for an hour move nothing; cut by time-outs, it grows again when a crowd comes."""
    limit = ours()
    caller = Caller(limit, 2, timeout_ns=SECOND)
    world = World(10, exponential(SERVICE_NS), [caller])
    world.run(3600)
    assert limit.limit == 20
    world.service = lambda _: 3600 * SECOND
    caller.rate = 200
    world.run(60)
    assert limit.limit == 1
    world.servers, world.service = 10_010, exponential(SERVICE_NS)
    caller.rate = 500
    world.run(30)
    assert limit.limit >= 8

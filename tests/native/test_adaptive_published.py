"""Where published adaptive limits are known to fail: each fails here in its own words, and ours does not.

The service has exponential service times of 10 ms unless it says otherwise; `queue_simulation` runs it in virtual time.
"""

import statistics
from collections import Counter

from controlplane._native.adaptive import AdaptiveLimit
from tests.native.queue_simulation import OVERLOAD, SECOND, Caller, Limit, World, exponential, steady
from tests.native.rival_limits import EnvoyGradient, Gradient2, Vegas

SERVICE_NS = 10_000_000


def ours() -> AdaptiveLimit:
    return AdaptiveLimit(SECOND)


def world(
    limit: Limit, servers: int, load: float, *, varies: bool = True, queue_max: int = 1_000_000
) -> tuple[World, Caller]:
    """A service of `servers` under `load` times its capacity."""
    caller = Caller(limit, load * servers * SECOND / SERVICE_NS)
    service = exponential(SERVICE_NS) if varies else steady(SERVICE_NS)
    return World(servers, service, [caller], queue_max=queue_max), caller


def slowdown(caller: Caller, span: tuple[int, int]) -> float:
    """Mean latency in service times."""
    return caller.mean_latency_ns(*span) / SERVICE_NS


def drift(limit: Limit) -> tuple[float, float]:
    """The slowdown in the first and the last third of a quarter of an hour, a fifth too much being asked."""
    where, caller = world(limit, 2, 1.2)
    first, _, last = where.run(300), where.run(300), where.run(300)
    return slowdown(caller, first), slowdown(caller, last)


def test_netflix_134_mild_overload_does_not_make_it_climb() -> None:
    """The long average follows the short one up, and the queue term climbs with it; our base rises by proof only."""
    first, last = drift(Gradient2())
    assert last > 2 * first
    first, last = drift(ours())
    assert last < 1.2 * first
    assert last < 5


def limit_when_all_time_out(limit: Limit) -> int:
    """A service that answers nobody within a second, for two minutes."""
    caller = Caller(limit, 1000, timeout_ns=SECOND)
    World(10, lambda _: 3600 * SECOND, [caller]).run(120)
    return limit.limit


def test_netflix_137_stable_timeouts_do_not_look_like_a_stable_latency() -> None:
    """A latency of exactly the timeout has a gradient of one; calls in vain have no latency here."""
    assert limit_when_all_time_out(Gradient2()) > 100
    assert limit_when_all_time_out(ours()) == 1


def test_netflix_165_the_latency_without_load_is_not_learned_under_load() -> None:
    """Forgotten and taken anew amid a queue, it grows with every turn; a check shrinks before it believes."""
    slow = {}
    for name, limit in (("theirs", Vegas(probe_calls=2000)), ("ours", ours())):
        where, caller = world(limit, 10, 1.5, varies=False)
        where.run(60)
        slow[name] = slowdown(caller, where.run(30))
    assert slow["theirs"] > 10
    assert slow["ours"] < 3


def test_netflix_165_a_service_that_is_slower_for_all_keeps_its_limit() -> None:
    """Never forgotten, the least latency makes five times slower look like a queue, and the limit collapses."""
    share = {}
    for name, limit in (("theirs", Vegas()), ("ours", ours())):
        where, caller = world(limit, 50, 1.5)
        where.run(20)
        where.service = exponential(5 * SERVICE_NS)
        where.run(20)
        share[name] = caller.answered_per_s(*where.run(40)) / 1000
    assert share["theirs"] < 0.3
    assert share["ours"] > 0.9


def test_netflix_176_drops_are_not_quick_answers() -> None:
    """A full queue says no in no time, which lowers the average latency and so raises the limit."""
    dropped = {}
    for name, limit in (("theirs", Gradient2()), ("ours", ours())):
        where, caller = world(limit, 10, 3, queue_max=5)
        where.run(20)
        since_ns, _ = where.run(40)
        ended = [call.outcome for call in caller.ended if call.t_ns >= since_ns]
        dropped[name] = ended.count(OVERLOAD) / len(ended)
    assert dropped["theirs"] > 0.6
    assert dropped["ours"] < 0.5 * dropped["theirs"]


def test_envoy_11579_calls_from_before_a_shrink_teach_nothing_about_it() -> None:
    """Counted, they carry the old queue into the measured least latency, which climbs from turn to turn."""
    old_epoch = EnvoyGradient(limit_min=20, buffer=1.0, old_epoch=True)
    where, caller = world(old_epoch, 20, 1.5)
    where.run(60)
    assert slowdown(caller, where.run(60)) > 20
    assert old_epoch.least_seen[-1] > 5 * old_epoch.least_seen[0]
    limit = ours()
    where, caller = world(limit, 20, 1.5)
    where.run(60)
    assert slowdown(caller, where.run(60)) < 2.5
    assert limit.describe()["base_ns"] < 1.3 * SERVICE_NS


def test_envoy_46532_a_high_floor_of_the_measurement_is_no_floor_of_the_limit() -> None:
    """50 in flight to measure with keeps 50 in flight at ten servers; our checks are relative, our floor is one."""
    slow = {}
    for name, limit in (("theirs", EnvoyGradient(limit_min=50)), ("ours", ours())):
        where, caller = world(limit, 10, 1.5)
        where.run(20)
        slow[name] = slowdown(caller, where.run(40))
    assert slow["theirs"] > 4
    assert slow["ours"] < 2.7


def test_envoy_46532_a_low_floor_of_the_measurement_refuses_nearly_all_meanwhile() -> None:
    """Three in flight at fifty servers leave a twentieth of the capacity; a check stops where it begins to cost."""
    worst = {}
    for name, limit in (("theirs", EnvoyGradient()), ("ours", ours())):
        where, caller = world(limit, 50, 1.5)
        where.run(20)
        tenths = [where.run(0.1) for _ in range(300)]
        answers = Counter((call.t_ns - tenths[0][0]) * 10 // SECOND for call in caller.ended)
        shares = [answers[tenth] / 500 for tenth in range(300)]
        worst[name] = min(shares)
        assert statistics.mean(shares) > 0.85
    assert worst["theirs"] < 0.15
    assert worst["ours"] > 0.3

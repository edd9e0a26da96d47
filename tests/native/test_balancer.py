"""The better of two: load, latency, ejection, recovery."""

import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest

from controlplane._native import balancer as native
from controlplane._native.balancer import Balancer, ramp_next_ns, ramp_percent

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
START = 1_000 * SECOND


class StoodClock:
    """The balancer's clock, standing until it is moved."""

    def __init__(self) -> None:
        self.now_ns = START
        native.set_test_clock(self.now_ns)

    def advance(self, ns: int) -> None:
        """Let `ns` nanoseconds pass."""
        self.now_ns += ns
        native.set_test_clock(self.now_ns)


@pytest.fixture
def clock() -> Iterator[StoodClock]:
    """The balancer's clock at 1,000 s; afterwards the real one runs again."""
    yield StoodClock()
    native.set_test_clock(-1)


def equals(count: int) -> list[tuple[int, int, int]]:
    """So many endpoints that do not differ."""
    return [(1, 0, 0)] * count


def drawn(balancer: Balancer, calls: int) -> Counter[int]:
    """How often each endpoint was picked for calls that end at once."""
    seen = Counter[int]()
    for _ in range(calls):
        endpoint = balancer.pick()
        seen[endpoint] += 1
        balancer.cancelled(endpoint)
    return seen


def call(balancer: Balancer, endpoint: int, latency_ns: int) -> None:
    """One call to `endpoint`, whatever it takes to be given it."""
    others = []
    while (picked := balancer.pick()) != endpoint:
        others.append(picked)
    assert balancer.done(endpoint, latency_ns) == 1
    for other in others:
        balancer.cancelled(other)


def test_equals_share_equally(clock) -> None:
    """Endpoints without history, and those whose latency differs by noise only."""
    balancer = Balancer(equals(4))
    assert all(abs(count - 1_000) < 150 for count in drawn(balancer, 4_000).values())
    for endpoint in range(4):
        call(balancer, endpoint, (10 + 2 * endpoint) * MILLISECOND)
    assert all(abs(count - 1_000) < 150 for count in drawn(balancer, 4_000).values())


def test_two_choices_spread_load_better_than_one() -> None:
    """64 calls to each of 64 endpoints: the fullest stays within three of the mean."""
    balancer = Balancer(equals(64))
    held = Counter(balancer.pick() for _ in range(64 * 64))
    assert max(held.values()) <= 64 + 8  # one draw alone would reach about 64 + 20
    assert min(held.values()) >= 64 - 14
    assert balancer.describe()["in_flight"] == 64 * 64


def test_load_settles_in_proportion_to_weight() -> None:
    """A heavier endpoint has as many more calls in flight: a call weighs less on it."""
    balancer = Balancer([(1, 0, 0), (2, 0, 0), (5, 0, 0)])
    held = Counter(balancer.pick() for _ in range(800))
    assert all(abs(held[endpoint] - share) <= 30 for endpoint, share in enumerate((100, 200, 500)))


def test_an_overflow_level_is_not_filled_because_it_is_idle() -> None:
    """10 % of the calls belong to the second level: they stay near that, though its endpoints have less in flight."""
    balancer = Balancer([(1, 0, 0)] * 9 + [(1, 1, 0)], overprovision_percent=100, ejected_percent_max=50)
    balancer.set_percent(0, 10)
    held = Counter(balancer.pick() for _ in range(2_000))
    assert 150 < held[9] < 260


def test_a_slow_endpoint_gets_little_but_not_nothing(clock) -> None:
    """It is avoided at once, and still tried: what is never called is never judged."""
    balancer = Balancer(equals(2))
    call(balancer, 0, 100 * MILLISECOND)
    call(balancer, 1, MILLISECOND)
    assert 30 < drawn(balancer, 2_000)[0] < 160


def test_a_fast_endpoint_that_is_full_is_no_longer_better(clock) -> None:
    """Calls in flight times latency: at five times the latency, the slow one gets a sixth of the load."""
    balancer = Balancer(equals(2))
    call(balancer, 0, 50 * MILLISECOND)
    call(balancer, 1, 10 * MILLISECOND)
    held = Counter(balancer.pick() for _ in range(600))
    assert 90 < held[0] < 140


def test_the_worse_is_believed_at_once_the_better_slowly(clock) -> None:
    """Peak-EWMA: one slow answer sets the average, a fast one moves it by how long ago that was."""
    balancer = Balancer(equals(1))
    call(balancer, 0, 10 * MILLISECOND)
    call(balancer, 0, 100 * MILLISECOND)
    assert balancer.endpoint(0)["ewma_ns"] == 100 * MILLISECOND
    call(balancer, 0, 10 * MILLISECOND)
    assert balancer.endpoint(0)["ewma_ns"] == 100 * MILLISECOND
    clock.advance(1_024 << 20)
    call(balancer, 0, 10 * MILLISECOND)
    assert balancer.endpoint(0)["ewma_ns"] == 55 * MILLISECOND
    for _ in range(40):
        clock.advance(SECOND)
        call(balancer, 0, 10 * MILLISECOND)
    assert balancer.endpoint(0)["ewma_ns"] < 11 * MILLISECOND


def test_an_old_peak_fades_against_news(clock) -> None:
    """Each 4.3 s without news halve a lead; while neither has news it stands."""
    balancer = Balancer(equals(2))
    call(balancer, 0, 40 * MILLISECOND)
    call(balancer, 1, 4 * MILLISECOND)
    clock.advance(60 * SECOND)
    assert drawn(balancer, 2_000)[0] < 160
    native.set_test_clock(START + (2 << 32))
    call(balancer, 1, 4 * MILLISECOND)
    assert drawn(balancer, 2_000)[0] < 160
    native.set_test_clock(START + (3 << 32))
    call(balancer, 1, 4 * MILLISECOND)
    assert drawn(balancer, 2_000)[0] > 800


def test_old_news_never_make_an_endpoint_look_faster(clock) -> None:
    """One that was not called for an hour is as good as the other, not better."""
    balancer = Balancer(equals(2))
    call(balancer, 0, 10 * MILLISECOND)
    clock.advance(3_600 * SECOND)
    call(balancer, 1, 10 * MILLISECOND)
    assert abs(drawn(balancer, 2_000)[0] - 1_000) < 150


def test_a_failure_teaches_no_latency(clock) -> None:
    """An endpoint that fails fast must not attract calls by that."""
    balancer = Balancer(equals(1))
    assert balancer.failed(balancer.pick()) == 1
    assert balancer.endpoint(0) == {
        "weight": 1, "percent": 100, "usable": 1, "until_ns": 0, "in_flight": 0, "ewma_ns": 0
    }  # fmt: skip


def test_what_is_not_in_flight_does_not_end(clock) -> None:
    """A second end of one call is told by a 0, learns nothing, and leaves the count right."""
    balancer = Balancer(equals(1))
    assert balancer.done(0, 5) == balancer.failed(0) == balancer.cancelled(0) == 0
    assert balancer.done(balancer.pick(), 7) == 1
    assert balancer.done(0, 9) == 0
    assert balancer.endpoint(0)["ewma_ns"] == 7
    assert balancer.describe()["in_flight"] == 0


def test_a_second_attempt_goes_elsewhere() -> None:
    """Even where the endpoint to avoid has nearly all of the odds; where there is no other, -1 says so."""
    balancer = Balancer([(100_000, 0, 0), (1, 0, 0), (1, 0, 0)])
    assert {balancer.pick_avoiding(0) for _ in range(200)} == {1, 2}
    assert {balancer.pick_avoiding(1) for _ in range(50)} == {0}
    assert Balancer(equals(1)).pick_avoiding(0) == -1


def test_an_ejected_endpoint_is_back_on_trial_and_earns_its_share(clock) -> None:
    """Nothing until its time is over, a tenth until it is verified, then more by tenths of the window."""
    balancer = Balancer(equals(10), slow_start_ns=10 * SECOND)
    assert balancer.eject(3, clock.now_ns + SECOND) == 1
    assert not drawn(balancer, 500)[3]
    assert balancer.describe()["due_ns"] == clock.now_ns + SECOND
    clock.advance(SECOND)
    assert balancer.endpoint(3)["percent"] == 10
    clock.advance(1_000 * SECOND)
    assert balancer.endpoint(3)["percent"] == 10
    balancer.recovered(3)
    seen = [balancer.endpoint(3)["percent"]]
    for _ in range(10):
        clock.advance(SECOND)
        seen.append(balancer.endpoint(3)["percent"])
    assert seen == [10, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert balancer.describe()["due_ns"] is None
    assert abs(drawn(balancer, 5_000)[3] - 500) < 120


def test_good_calls_on_trial_verify_it(clock) -> None:
    """Five in a row; a failure begins the count anew."""
    balancer = Balancer(equals(2), slow_start_ns=10 * SECOND)
    balancer.eject(1, clock.now_ns + 1)
    clock.advance(1)
    for _ in range(4):
        call(balancer, 1, MILLISECOND)
    while (endpoint := balancer.pick()) != 1:
        pass
    balancer.failed(endpoint)
    for _ in range(4):
        call(balancer, 1, MILLISECOND)
    clock.advance(9 * SECOND)
    assert balancer.endpoint(1)["percent"] == 10
    call(balancer, 1, MILLISECOND)
    clock.advance(5 * SECOND)
    assert balancer.endpoint(1)["percent"] == 50


def test_without_slow_start_it_is_back_at_once(clock) -> None:
    """Zero turns it off."""
    balancer = Balancer(equals(2), slow_start_ns=0)
    assert balancer.eject(0, clock.now_ns + 1) == 1
    clock.advance(1)
    assert balancer.endpoint(0)["percent"] == 100


def test_ejection_has_a_cap_and_leaves_one(clock) -> None:
    """A share of all, one in any case, never the last usable; what is over makes room again."""
    until = clock.now_ns + SECOND
    balancer = Balancer(equals(20), ejected_percent_max=10)
    assert [balancer.eject(k, until) for k in (0, 1, 2)] == [1, 1, 0]
    assert balancer.eject(1, until + 5) == 1  # it is out already: only longer
    assert [Balancer(equals(5), ejected_percent_max=0).eject(0, until) for _ in range(2)] == [1, 1]
    assert Balancer(equals(1)).eject(0, until) == 0
    pair = Balancer(equals(2), ejected_percent_max=100)
    pair.set_usable(1, 0)
    assert pair.eject(0, until) == 0
    assert pair.endpoint(0)["until_ns"] == 0
    clock.advance(SECOND)
    assert balancer.eject(2, until + SECOND) == 1
    assert balancer.eject(3, clock.now_ns) == 0


def test_the_ramp_has_at_most_ten_steps() -> None:
    """The next step is where it says, and no step lies between."""
    for window_ns in (1, 7, 10, 999, 60 * SECOND):
        age, seen = 0, [ramp_percent(0, window_ns)]
        while age < window_ns:
            following = ramp_next_ns(age, window_ns)
            assert ramp_percent(following - 1, window_ns) == seen[-1]
            age = following
            seen.append(ramp_percent(age, window_ns))
        assert age == window_ns
        assert seen[-1] == 100
        assert len(seen) <= 10
        assert seen == sorted(set(seen))


def test_the_same_seed_chooses_the_same() -> None:
    """Two balancers with one seed and the same calls agree, another seed and another worker differ."""
    one, two, other, sibling = (
        [made.pick() for _ in range(64)]
        for made in (
            Balancer(equals(5), seed=7),
            Balancer(equals(5), seed=7),
            Balancer(equals(5), seed=8),
            Balancer(equals(5), seed=7, worker=1, workers=2),
        )
    )
    assert one == two
    assert other != one != sibling


def test_a_pick_keeps_no_memory() -> None:
    """100,000 calls, and rebuilt tables among them: neither blocks nor traced bytes grow."""
    balancer = Balancer(equals(300))

    def live(calls: int) -> None:
        for index in range(calls):
            endpoint = balancer.pick()
            if index % 100 == 0:
                balancer.set_weight(endpoint, 1 + index % 7)
            balancer.done(endpoint, 1_000_000)

    live(10_000)
    blocks = sys.getallocatedblocks()
    live(100_000)
    assert sys.getallocatedblocks() - blocks < 10
    tracemalloc.start()
    try:
        live(100)
        traced, _ = tracemalloc.get_traced_memory()
        live(10_000)
        assert tracemalloc.get_traced_memory()[0] - traced < 1_000
    finally:
        tracemalloc.stop()

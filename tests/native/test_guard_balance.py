"""Which endpoint gets the call."""

from collections import Counter

from controlplane._native.guard import ERROR, HEALTHY, PROBATION, Guard, Permit
from tests.native.traffic import MILLISECOND, SECOND, admitted, permit_to, states


def shares(guard: Guard, calls: int) -> Counter[int]:
    """How often each endpoint was chosen for calls that end at once."""
    chosen: Counter[int] = Counter()
    for _ in range(calls):
        permit = admitted(guard.try_acquire())
        chosen[permit.endpoint] += 1
        permit.cancel()
    return chosen


def answer_after(clock, guard: Guard, endpoint: int, ns: int) -> None:
    """One call to `endpoint` that takes `ns`."""
    permit = permit_to(guard, endpoint)
    clock.advance(ns)
    permit.success()


def test_equals_share_equally(clock) -> None:
    """Endpoints without history, and those whose latency differs by noise only, get the same."""
    guard = Guard(endpoints=4)
    assert all(abs(count - 1_000) < 150 for count in shares(guard, 4_000).values())
    for endpoint in range(4):
        answer_after(clock, guard, endpoint, (10 + 2 * endpoint) * MILLISECOND)
    assert all(abs(count - 1_000) < 150 for count in shares(guard, 4_000).values())


def test_calls_in_flight_count(clock) -> None:
    """The endpoint with fewer calls in flight is preferred: eight calls at once spread two by two, or nearly so."""
    guard = Guard(endpoints=4)
    held = [admitted(guard.try_acquire()) for _ in range(40)]
    assert max(Counter(permit.endpoint for permit in held).values()) <= 14


def test_a_slow_endpoint_gets_little_but_not_nothing(clock) -> None:
    """It is avoided at once, and still tried: what is never called is never judged."""
    guard = Guard(endpoints=2)
    answer_after(clock, guard, 0, 100 * MILLISECOND)
    answer_after(clock, guard, 1, MILLISECOND)
    assert 30 < shares(guard, 2_000)[0] < 160


def test_an_old_peak_fades(clock) -> None:
    """Without news a slow answer is forgotten within seconds."""
    guard = Guard(endpoints=2)
    answer_after(clock, guard, 0, 10 * MILLISECOND)
    for _ in range(10):
        clock.advance(SECOND)
        answer_after(clock, guard, 1, 4 * MILLISECOND)
    assert shares(guard, 2_000)[0] > 800


def test_the_same_seed_chooses_the_same(clock) -> None:
    """Two guards with one seed and the same calls agree, another seed differs."""
    one, two, other = (
        [admitted(guard.try_acquire()).endpoint for _ in range(64)]
        for guard in (Guard(endpoints=5, seed=7), Guard(endpoints=5, seed=7), Guard(endpoints=5, seed=8))
    )
    assert one == two != other


def test_observing_avoids_what_it_is_told_to_avoid(clock) -> None:
    """A configured retry goes elsewhere in observe mode too."""
    guard = Guard(endpoints=3, enforced=0)
    assert {admitted(guard.try_again(1)).endpoint for _ in range(200)} == {0, 2}
    assert admitted(Guard(endpoints=1, enforced=0).try_again(0)).endpoint == 0


def test_probes_that_say_nothing_do_not_keep_others_from_theirs(clock) -> None:
    """Of several on probation the one that has waited longest is asked: all have their turn, however rare calls are."""
    guard = Guard(endpoints=3, probe_successes=3)
    guard.probe(0, 1_000 * SECOND)
    guard.probe(1, 1_000 * SECOND)
    for _ in range(6):
        clock.advance(100 * MILLISECOND)
        permit = admitted(guard.try_acquire())
        if permit.endpoint == 0:
            permit.cancel()  # a failure that it only relays, say
        else:
            permit.success()
    assert states(guard, 3) == [PROBATION, HEALTHY, HEALTHY]


def test_a_panic_uses_all_endpoints_also_those_on_probation(clock) -> None:
    """Where one of four is healthy it must not carry all: beyond its probes an endpoint on probation gets its share."""
    guard = Guard(endpoints=4, panic_percent=50, ejected_percent_max=100)
    for endpoint in range(3):
        guard.probe(endpoint, 1_000 * SECOND)
    held = [admitted(guard.try_acquire()) for _ in range(40)]
    assert sum(permit.probe for permit in held) == 3
    assert max(Counter(permit.endpoint for permit in held).values()) <= 14
    assert guard.endpoint(0)["state"] == PROBATION


def busy(clock, guard: Guard, endpoints: list[int], each: int) -> dict[int, list[Permit]]:
    """A hundred answers of 100 ms from each endpoint, so that this is typical; then `each` calls in flight."""
    for _ in range(100):
        for endpoint in endpoints:
            answer_after(clock, guard, endpoint, 100 * MILLISECOND)
    return {endpoint: [permit_to(guard, endpoint) for _ in range(each)] for endpoint in endpoints}


def test_a_stray_error_of_a_busy_endpoint_leaves_nobody_idle(clock) -> None:
    """As busy as the others it is charged what they cost: its queue must not move to its siblings."""
    for relayed in (False, True):
        guard = Guard(endpoints=3, failure_percent=0)
        held = busy(clock, guard, [0, 1, 2], 50)
        clock.advance(100 * MILLISECOND)
        stray = held[1].pop()
        if relayed:
            stray.relayed()
        else:
            stray.failure(ERROR)
        assert guard.endpoint(1)["ewma_ns"] < 200 * MILLISECOND
        chosen = Counter(admitted(guard.try_acquire()).endpoint for _ in range(30))
        assert chosen[1] >= 5


def test_who_fails_fast_and_so_is_idle_does_not_draw_calls(clock) -> None:
    """Charged what a call costs elsewhere, queue and all."""
    guard = Guard(endpoints=3, failure_percent=0)
    held = busy(clock, guard, [0, 2], 50)
    permit_to(guard, 1).failure(ERROR)
    assert guard.endpoint(1)["ewma_ns"] > 1_000 * MILLISECOND
    assert all(len(permits) == 50 for permits in held.values()), "still under way"

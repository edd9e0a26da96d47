"""One guard in one memory, used from several places as several processes do: one limit, one breaker, one truth."""

import mmap
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import EDGE_OPENED, ERROR, EVENT_WORDS, EVENTS_MAX, Guard
from tests.native.traffic import MILLISECOND, SECOND, admitted, drain, kinds, refused

Seats = Callable[..., list[Guard]]
WORKERS = 4


def memory_for(endpoints: int, workers: int = WORKERS) -> memoryview:
    """Zeroed words, as a mapping gives them."""
    return memoryview(mmap.mmap(-1, 8 * Guard.words(endpoints, workers))).cast("q")


def seats(endpoints: int = 0, **policy: int) -> list[Guard]:
    """One guard, attached WORKERS times."""
    memory = memory_for(endpoints)
    return [
        Guard(endpoints=endpoints, memory=memory, worker=worker, workers=WORKERS, **policy) for worker in range(WORKERS)
    ]


def test_the_concurrency_limit_is_one_for_all(clock) -> None:
    """What one holds, the others cannot; what one gives back, any may take."""
    guards = seats(concurrency_max=3)
    held = [admitted(guards[worker].try_acquire()) for worker in (0, 1, 1)]
    assert [refused(guard.try_acquire()).part for guard in guards] == ["concurrency"] * WORKERS
    held[1].success()
    assert admitted(guards[3].try_acquire())
    assert guards[2].in_flight == 2


def test_the_rate_is_one_for_all(clock) -> None:
    """A burst of five is five, wherever it is asked for."""
    guards = seats(rate_interval_ns=SECOND, rate_burst=5)
    assert [bool(guards[turn % WORKERS].try_acquire()) for turn in range(8)] == [True] * 5 + [False] * 3


def test_a_trip_in_one_is_effective_in_all(clock) -> None:
    """The next call anywhere is refused, and everybody reads of it, once."""
    guards = seats(breaker_consecutive=3)
    for worker in (0, 1, 2):
        told = admitted(guards[worker].try_acquire()).failure(ERROR)
    assert told == 1
    assert [refused(guard.try_acquire()).part for guard in guards] == ["open"] * WORKERS
    for guard in guards:
        assert (EDGE_OPENED, -1) in kinds(guard)
        assert kinds(guard) == []


@pytest.mark.parametrize("probes", [1, 3])
def test_of_a_hundred_calls_when_it_lapses_exactly_the_quota_goes(clock, probes: int) -> None:
    """From all places together, and no more while those are out."""
    guards = seats(breaker_consecutive=1, probes_max=probes)
    admitted(guards[0].try_acquire()).failure(ERROR)
    clock.advance(refused(guards[1].try_acquire()).retry_after_ns)
    answers = [guards[turn % WORKERS].try_acquire() for turn in range(100)]
    assert sum(map(bool, answers)) == probes
    assert {answer.part for answer in answers if not answer} == {"probing"}


def test_a_dead_worker_gives_back_what_it_held(clock) -> None:
    """Its calls in flight, of the edge and of endpoints, and its probe; saying so twice changes nothing."""
    guards = seats(2, concurrency_max=2, breaker_consecutive=1, probe_timeout_ns=1_000 * SECOND)
    held = [admitted(guards[1].try_acquire()) for _ in range(2)]
    assert refused(guards[0].try_acquire()).part == "concurrency"
    for _ in range(2):
        guards[0].reclaim(1)
        assert guards[0].in_flight == 0
        assert [guards[0].endpoint(index)["in_flight"] for index in range(2)] == [0, 0]
    admitted(guards[0].try_acquire()).failure(ERROR)
    clock.advance(refused(guards[0].try_acquire()).retry_after_ns)
    held.append(admitted(guards[1].try_acquire()))
    assert held[-1].probe
    assert refused(guards[0].try_acquire()).part == "probing"
    guards[0].reclaim(1)
    assert admitted(guards[2].try_acquire()).probe


def test_who_leaves_goes_on_alone(clock) -> None:
    """With the state as it was and nothing in flight; what it does then, and its old permits, touch nobody else."""
    leaver, other, *_ = seats(1, concurrency_max=3, breaker_consecutive=1)
    held = admitted(leaver.try_acquire())
    theirs = admitted(other.try_acquire())
    assert (leaver.is_shared, other.in_flight) == (True, 2)
    leaver.leave()
    leaver.leave()
    assert (leaver.is_shared, leaver.in_flight, leaver.policy()) == (False, 0, other.policy())
    other.reclaim(0)  # as whoever finds the place empty does
    assert held.success() == 0
    del held
    admitted(leaver.try_acquire()).failure(ERROR)
    assert (leaver.is_open(), other.is_open(), other.in_flight) == (True, False, 1)
    assert theirs.success() == 0
    assert (leaver.in_flight, other.in_flight) == (0, 0)


def test_nobody_reclaims_itself(clock) -> None:
    """That would forget calls that are under way."""
    with pytest.raises(ValueError, match=r"worker 2 is this process itself"):
        seats()[2].reclaim(2)


def test_who_attaches_later_finds_the_policy_and_the_state(clock) -> None:
    """Its own policy does not overwrite the one in force."""
    memory = memory_for(1)
    first = Guard(endpoints=1, memory=memory, worker=0, workers=WORKERS, concurrency_max=7, breaker_consecutive=1)
    admitted(first.try_acquire()).failure(ERROR)
    later = Guard(endpoints=1, memory=memory, worker=3, workers=WORKERS, concurrency_max=9)
    assert later.policy() == first.policy()
    assert later.policy()["concurrency_max"] == 7
    assert later.is_open()
    assert later.describe() == first.describe()


def test_memory_of_another_geometry_is_refused(clock) -> None:
    """And so is one that is too small, of other items, or not on a line of its own."""
    memory = memory_for(3)
    Guard(endpoints=3, memory=memory, workers=WORKERS)
    with pytest.raises(ValueError, match="another layout than 2 endpoints and 4 workers"):
        Guard(endpoints=2, memory=memory, workers=WORKERS)
    with pytest.raises(ValueError, match=r"must hold \d+ words, not 100"):
        Guard(memory=memory[:100])
    with pytest.raises(ValueError, match="multiple of 64 bytes"):
        Guard(memory=memory_for(3)[1:], workers=1)
    with pytest.raises(TypeError, match="int64"):
        Guard(memory=memoryview(bytearray(10**6)))
    with pytest.raises(BufferError):
        Guard(memory=bytes(10**6))


def test_a_slow_reader_loses_the_oldest_rows_and_knows_how_many(clock) -> None:
    """The ring does not wait; another reader, who was quick, has lost nothing."""
    quick, slow, *_ = seats(1, endpoint_consecutive=1, failure_percent=0)
    for turn in range(EVENTS_MAX + 50):
        permit = admitted(quick.try_acquire())
        permit.failure(ERROR)
        assert len(drain(quick)) == 1, turn
    assert (quick.events_lost, slow.events_lost) == (0, 50)
    rows = drain(slow)
    assert len(rows) == EVENTS_MAX
    assert [row.seq for row in rows] == list(range(51, EVENTS_MAX + 51))


def test_a_writer_that_died_in_a_row_holds_up_nobody(clock) -> None:
    """A row that was claimed and never written is stepped over, after a moment in which it might still come."""
    memory = memory_for(0)
    guard = Guard(memory=memory, workers=WORKERS, breaker_consecutive=1)
    before = array("q", memory)
    admitted(guard.try_acquire()).failure(ERROR)
    assert len(drain(guard)) == 1
    written = [index for index, word in enumerate(memory) if word == 1 and before[index] == 0]
    ends = [index for index in written if index < 400]  # of struct edge: one of these counts the rows
    clock.advance(refused(guard.try_acquire()).retry_after_ns)
    probe = admitted(guard.try_acquire())
    assert [row.seq for row in drain(guard)] == [2]
    memory[row_counter(guard, memory, ends)] += 1  # the claim of a process that was killed
    clock.advance(10 * SECOND)
    guard.describe()  # the probe never came back: a row behind the hole
    assert drain(guard) == []
    clock.advance(11 * MILLISECOND)
    assert [row.seq for row in drain(guard)] == [4]
    assert guard.events_lost == 1
    assert probe.success() == 0


def row_counter(guard: Guard, memory: memoryview, candidates: list[int]) -> int:
    """The word that counts rows: the one of `candidates` that makes `events_lost` move when it runs far ahead."""
    for index in candidates:
        kept, memory[index] = memory[index], memory[index] + 10 * EVENTS_MAX
        moved = guard.events_lost
        memory[index] = kept
        if moved:
            return index
    raise AssertionError("no word counts rows")


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, WORKERS - 1),
            st.sampled_from(["acquire", "again", "success", "failure", "cancel", "stalled", "wait"]),
            st.integers(0, 400),
        ),
        max_size=120,
    )
)
def test_several_places_are_one_guard(steps: list[tuple[int, str, int]]) -> None:
    """Whatever is asked wherever: the answers and the counts are those of one private guard."""
    native.set_test_clock(now := 1_000 * SECOND)
    policy = {
        "rate_interval_ns": 20 * MILLISECOND, "rate_burst": 10, "concurrency_max": 6, "failure_percent": 0,
        "slow_ns": 100 * MILLISECOND, "retry_percent": 30, "retry_floor_per_s": 2,
    }  # fmt: skip
    try:
        alone, shared = Guard(**policy), seats(**policy)
        held = []
        for worker, step, span in steps:
            if step in {"acquire", "again"}:
                ask = (lambda guard: guard.try_acquire()) if step == "acquire" else (lambda guard: guard.try_again(-1))
                one, other = ask(alone), ask(shared[worker])
                assert bool(one) == bool(other)
                if one and other:
                    held.append((one, other))
                else:
                    assert (one.part, one.retry_after_ns) == (other.part, other.retry_after_ns)
            elif step == "wait":
                native.set_test_clock(now := now + span * MILLISECOND)
            elif held:
                for permit in held[span % len(held)] if step == "stalled" else held.pop(span % len(held)):
                    permit.failure(ERROR) if step == "failure" else getattr(permit, step)()
                del permit
            assert alone.describe() == shared[worker].describe()
            assert alone.refusals() == shared[worker].refusals()
        assert list(alone.latency_counts()[0]) == list(shared[0].latency_counts()[0])
        assert EVENT_WORDS == 8
    finally:
        native.set_test_clock(-1)


def test_who_looks_at_the_words_may_go_on_after_the_guard_has_left(clock) -> None:
    """What was shown stays mapped as long as somebody looks, and no longer."""
    pages = mmap.mmap(-1, 8 * Guard.words(0, 2))
    guard = Guard(memory=memoryview(pages).cast("q"), workers=2)
    seen = guard.buffer
    guard.leave()
    with pytest.raises(BufferError):
        pages.close()
    seen.release()
    pages.close()


def test_words_that_contradict_their_own_layout_are_refused(clock) -> None:
    """The number alone is right: whoever wrote over the rest, what follows would go by offsets that lead anywhere."""
    memory = memory_for(2)
    Guard(endpoints=2, memory=memory, workers=WORKERS)
    for at in range(1, 18):  # words, endpoints ... the histogram's shape, the standing in force
        was, memory[at] = memory[at], memory[at] ^ 0xFF
        with pytest.raises(ValueError, match="another layout"):
            Guard(endpoints=2, memory=memory, worker=1, workers=WORKERS)
        memory[at] = was
    assert Guard(endpoints=2, memory=memory, worker=1, workers=WORKERS).try_acquire()


@pytest.mark.parametrize("garbage", [-1, 1, (1 << 62) + 1, -(1 << 63), 1 << 62])
def test_an_arrival_time_that_another_process_made_up_is_at_most_a_full_debt(clock, garbage: int) -> None:
    """Also where it is of terms that never were: it costs some refusals, and no process its life."""
    memory = memory_for(0)
    guard = Guard(memory=memory, workers=WORKERS, rate_interval_ns=SECOND, rate_burst=2)
    before = array("q", memory)
    admitted(guard.try_acquire()).success()
    tat = next(at for at in range(18, len(memory)) if memory[at] == 2 * (clock.now_ns + SECOND) and not before[at])
    memory[tat] = garbage
    assert [bool(guard.try_acquire()) for _ in range(3)][2] is False
    clock.advance(2 * SECOND)
    assert guard.try_acquire()

"""The keyed limiter: bounded, exact for each key, and nothing a flood could reset."""

import mmap
import sys
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import limiter as native
from controlplane._native.limiter import KeyedRateLimiter, RateLimiter

START = 1_000_000_000
TERMS, NAMES, TATS = 16, 16, 24  # words: the head; the first set's names and TATs


@pytest.fixture(autouse=True)
def standing_clock() -> Iterator[None]:
    """The limiters' clock stands until a test moves it."""
    native.set_test_clock(START)
    yield
    native.set_test_clock(-1)


def mapped(slots: int) -> memoryview:
    """Zeroed words, as a mapping gives them."""
    return memoryview(mmap.mmap(-1, 8 * KeyedRateLimiter.words(slots))).cast("q")


@given(
    calls=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 30)), max_size=200),
    interval_ns=st.integers(1, 60),
    burst=st.integers(1, 3),
    full=st.sampled_from(["refuse", "admit"]),
)
@settings(max_examples=200, deadline=None)
def test_twelve_keys_in_eight_slots_each_have_their_own_limit(
    calls: list[tuple[int, int]], interval_ns: int, burst: int, full: str
) -> None:
    """As a dictionary of limiters in which only eight may owe at a time: the ninth is refused, or let through."""
    now = START
    limiter = KeyedRateLimiter(interval_ns, burst, slots=8, on_full=full)  # type: ignore[arg-type]
    tats: dict[int, int] = {}
    crowded = 0
    for key, gap in calls:
        now += gap
        native.set_test_clock(now)
        tats = {name: tat for name, tat in tats.items() if tat > now}
        if key not in tats and len(tats) == 8:
            crowded += 1
            wait_ns = 0 if full == "admit" else min(tats.values()) - now
        else:
            wait_ns = max(0, tats.get(key, now) - now - (burst - 1) * interval_ns)
            if not wait_ns:
                tats[key] = max(tats.get(key, now), now) + interval_ns
        assert limiter.acquire_wait_ns(key) == wait_ns
    assert limiter.statistics() == {
        "slots": 8,
        "live": len([tat for tat in tats.values() if tat > now]),
        "full": crowded,
    }


def test_a_flood_of_keys_neither_frees_a_denied_key_nor_grows_memory() -> None:
    """A hundred thousand other keys later it is denied as before, and no block of memory was added."""
    limiter = KeyedRateLimiter(1_000_000, 2, slots=1_024)
    while limiter.try_acquire("denied"):
        pass
    blocks = sys.getallocatedblocks()
    for key in range(100_000):
        limiter.try_acquire(key)
        if not key % 1_000:
            assert not limiter.try_acquire("denied")
    assert sys.getallocatedblocks() - blocks < 20
    seen = limiter.statistics()
    assert seen["live"] == seen["slots"] == 1_024
    assert seen["full"] == 100_000 - 1_023


@pytest.mark.parametrize(
    "keys", [["ab", b"ab"], [97, "a", b"a", b"a\0\0\0\0\0\0\0"], ["é", "é".encode()], ["\ud800", "€"]]
)
def test_keys_of_different_types_are_different(keys: list[str | bytes | int]) -> None:
    """A str, its bytes and an int are never one key; a lone surrogate is a key like another."""
    limiter = KeyedRateLimiter(1_000, 1, slots=1_024)
    assert [limiter.try_acquire(key) for key in keys + keys] == [True] * len(keys) + [False] * len(keys)


def test_a_key_is_a_str_bytes_or_a_small_int() -> None:
    """Whatever else is refused by name."""
    limiter = KeyedRateLimiter(1_000, 1, slots=8)
    for wrong in (1.5, None, True, ("a",)):
        with pytest.raises(TypeError, match="key must be a str, bytes or int, not"):
            limiter.try_acquire(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key must be between"):
        limiter.try_acquire(1 << 63)
    assert limiter.try_acquire(-(1 << 63))


def test_two_tables_place_keys_differently() -> None:
    """Each has a secret of its own, so nobody can prepare keys that collide."""
    memories = [mapped(64), mapped(64)]
    for memory in memories:
        KeyedRateLimiter(1_000, 1, slots=64, memory=memory).try_acquire("key")
    assert memories[0][8:10] != memories[1][8:10]
    assert list(memories[0][NAMES:]) != list(memories[1][NAMES:])


def moving_since(ns: int) -> int:
    """The TAT word of a slot that somebody began to claim."""
    return ns - (1 << 63)


@pytest.mark.parametrize("since_ns", [START - 1_000_000, START + 10**15])
@pytest.mark.parametrize("named", [False, True])
def test_a_claimer_killed_halfway_leaves_no_slot_stuck(since_ns: int, named: bool) -> None:
    """Killed before or after it wrote the name: the key and the slot are free for the next, a millisecond later."""
    memory = mapped(8)
    limiter = KeyedRateLimiter(1_000, 1, slots=8, memory=memory)
    assert limiter.try_acquire("key")
    slot = next(way for way in range(8) if memory[NAMES + way])
    for way in range(8):  # all are moving, the one of the key among them
        memory[TATS + way] = moving_since(since_ns)
    if not named:
        memory[NAMES + slot] = 0
    native.set_test_clock(START)
    answers = []
    for _ in range(2):
        native.set_test_clock(START + 1 + len(answers))  # who freed a slot did so for the next nanosecond
        answers.append(limiter.acquire_wait_ns("key"))
    assert 0 in answers
    native.set_test_clock(START + 500)
    assert limiter.acquire_wait_ns("key") > 0
    assert all(memory[TATS + way] >= 0 for way in range(8) if memory[NAMES + way])


def test_a_lapsed_slot_is_given_away_and_its_old_key_is_fresh() -> None:
    """Which it would have been anyway."""
    limiter = KeyedRateLimiter(1_000, 1, slots=8)
    assert all(limiter.try_acquire(key) for key in range(8))
    assert not limiter.try_acquire(8)
    native.set_test_clock(START + 1_000)
    assert all(limiter.try_acquire(key) for key in range(8, 16))
    native.set_test_clock(START + 2_000)
    assert limiter.try_acquire(0)


def test_the_words_are_those_that_were_announced() -> None:
    """`words` says what a table takes, rounded up to a power of two of slots; less is refused."""
    assert KeyedRateLimiter.words(8) == TERMS + 16
    assert KeyedRateLimiter.words(9) == KeyedRateLimiter.words(16) == TERMS + 32
    with pytest.raises(ValueError, match="slots must be between 8 and"):
        KeyedRateLimiter.words(7)
    with pytest.raises(ValueError, match="on_full must be 'refuse' or 'admit', not 'maybe'"):
        KeyedRateLimiter(1, 1, slots=8, on_full="maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", [False, True])
def test_a_million_calls_keep_no_memory(keys: bool) -> None:
    """Admitted or refused, a call adds no block."""
    native.set_test_clock(-1)
    limiter = KeyedRateLimiter(1_000, 10, slots=1_024).try_acquire if keys else RateLimiter(1_000, 10).try_acquire
    names = ("first",) if keys else ()
    counts = array("q", [0, 0])
    for _ in range(100):
        counts[limiter(*names)] += 1
    before = sys.getallocatedblocks()
    for _ in range(1_000_000):
        counts[limiter(*names)] += 1
    assert sys.getallocatedblocks() - before < 20
    assert all(counts)

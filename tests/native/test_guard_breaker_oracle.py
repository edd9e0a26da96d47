"""The breaker against a slow one in plain Python that keeps every result."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import guard as native
from controlplane._native.guard import ERROR, OPEN, PROBING, Guard, Permit
from tests.native.traffic import SECOND

WINDOW, SLOW = 1_000, 50  # ns


@dataclass
class PlainBreaker:
    """The rules as they are written down, with lists instead of sums."""

    consecutive_max: int
    calls_min: int
    failure_percent: int
    slow_percent: int
    probes_max: int
    successes: int
    state: str = "closed"
    generation: int = 0
    until: int = 0
    consecutive: int = 0
    probing: int = 0
    passed: int = 0
    results: list[tuple[int, bool, bool]] = field(default_factory=list)  # (bucket, failed, slow)

    def move(self, state: str) -> None:
        """Each move begins a generation, with nothing held against anybody."""
        self.state, self.generation = state, self.generation + 1
        self.consecutive = self.probing = self.passed = 0
        self.results.clear()

    def asks(self, now: int) -> str:
        """ "": admitted, or the part that refuses."""
        if self.state == "open" and now >= self.until:
            self.move("half")
        if self.state == "open":
            return "open"
        if self.state == "half":
            if self.probing == self.probes_max:
                return "probing"
            self.probing += 1
        return ""

    def ended(self, now: int, generation: int, *, failed: bool, slow: bool) -> bool:
        """True when it opens now."""
        if generation != self.generation:
            return False
        if self.state == "half":
            self.probing -= 1
            if failed or (slow and self.slow_percent):
                self.move("open")
                return True
            self.passed += 1
            if self.passed == self.successes:
                self.move("closed")
            return False
        self.consecutive = self.consecutive + 1 if failed else 0
        bucket = now // (WINDOW // 10)
        self.results.append((bucket, failed, slow))
        seen = [result for result in self.results if result[0] > bucket - 10]
        calls, failures, slows = len(seen), sum(result[1] for result in seen), sum(result[2] for result in seen)
        full = calls >= self.calls_min
        opens = (
            (self.consecutive_max and self.consecutive >= self.consecutive_max)
            or (full and self.failure_percent and failures * 100 >= self.failure_percent * calls)
            or (full and self.slow_percent and slows * 100 >= self.slow_percent * calls)
        )
        if opens:
            self.move("open")
        return bool(opens)


moves = st.lists(
    st.one_of(
        st.just(("call", 0)),
        st.tuples(st.sampled_from(["success", "failure", "cancel"]), st.integers(min_value=0, max_value=3)),
        st.tuples(st.just("wait"), st.sampled_from([1, 49, 50, 100, 100, 101, 300, 1_000])),
    ),
    max_size=120,
)


@given(
    moves,
    st.sampled_from([0, 3]),
    st.integers(min_value=1, max_value=6),
    st.sampled_from([0, 30, 50, 100]),
    st.sampled_from([0, 50]),
    st.integers(min_value=1, max_value=3),
    st.integers(min_value=1, max_value=3),
)
@settings(max_examples=200, deadline=None)
def test_the_breaker_decides_as_the_plain_one(
    script: list[tuple[str, int]],
    consecutive: int,
    calls_min: int,
    failure_percent: int,
    slow_percent: int,
    probes_max: int,
    successes: int,
) -> None:
    """Admission for admission and opening for opening, with results that arrive in any order and of any age."""
    plain = PlainBreaker(consecutive, calls_min, failure_percent, slow_percent, probes_max, successes)
    try:
        now = SECOND
        native.set_test_clock(now)
        guard = Guard(
            breaker_consecutive=consecutive,
            window_ns=WINDOW,
            window_calls_min=calls_min,
            failure_percent=failure_percent,
            slow_percent=slow_percent,
            slow_ns=SLOW,
            open_ns=1_000,
            open_max_ns=4_000,
            probes_max=probes_max,
            probe_successes=successes,
        )
        held: list[tuple[Permit, int]] = []
        for what, number in script:
            if what == "wait":
                now += number
                native.set_test_clock(now)
            elif what == "call":
                answer, expected = guard.try_acquire(), plain.asks(now)
                if isinstance(answer, Permit):
                    assert expected == ""
                    held.append((answer, plain.generation))
                else:
                    assert {OPEN: "open", PROBING: "probing"}[answer.reason] == expected
            elif held:
                permit, generation = held.pop(number % len(held))
                plain_asked = plain.state == "open" and now >= plain.until
                if plain_asked:
                    plain.move("half")
                if what == "cancel":
                    permit.cancel()
                    plain.probing -= generation == plain.generation and plain.state == "half"
                    continue
                slow = what == "success" and now - permit.start_ns >= SLOW
                _ = permit.success() if what == "success" else permit.failure(ERROR)
                if plain.ended(now, generation, failed=what == "failure", slow=slow):
                    answer = guard.try_acquire()
                    assert not isinstance(answer, Permit)
                    assert 900 <= answer.retry_after_ns <= 4_000
                    plain.until = now + answer.retry_after_ns
                seen = guard.describe()
                assert (seen["open"], seen["probing"]) == (plain.state == "open", plain.state == "half")
    finally:
        native.set_test_clock(-1)

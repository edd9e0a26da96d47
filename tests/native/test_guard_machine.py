"""Any sequence of calls, results, orders and time keeps the guard's promises, and two guards that live it agree."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controlplane._native import guard as native
from controlplane._native.guard import EJECTED, HEALTHY, NO_ENDPOINT, PROBATION, Guard, Permit, Refusal
from tests.native.traffic import MILLISECOND, SECOND

INDEX = st.integers(min_value=0, max_value=9)
LEASE = st.sampled_from([0, MILLISECOND, SECOND, 30 * SECOND])


class GuardMachine(RuleBasedStateMachine):
    """Two guards with one seed; every step is done to both."""

    @initialize(
        endpoints=st.integers(min_value=0, max_value=5),
        seed=st.integers(),
        slow_ns=st.sampled_from([0, 10 * MILLISECOND]),
        breaker_consecutive=st.sampled_from([0, 4]),
        probes_max=st.sampled_from([1, 3]),
        enforced=st.sampled_from([0, 1, 1, 1]),
    )
    def begin(self, endpoints: int, enforced: int, **policy: int) -> None:
        """A small policy, so that short runs reach every state."""
        self.now = SECOND
        native.set_test_clock(self.now)
        self.endpoints, self.enforced, self.probes_max = endpoints, enforced, policy["probes_max"]
        self.guards = [
            Guard(
                endpoints=endpoints,
                sites=[(1, index % 2, 0) for index in range(endpoints)],
                enforced=enforced,
                rate_interval_ns=MILLISECOND,
                rate_burst=20,
                concurrency_max=8,
                window_ns=SECOND,
                window_calls_min=6,
                open_ns=SECOND,
                eject_ns=SECOND,
                ejected_percent_max=40,
                probe_successes=2,
                probe_timeout_ns=SECOND,
                **policy,
            )
            for _ in range(2)
        ]
        self.held: list[tuple[Permit, Permit]] = []
        self.overdue: list[tuple[Permit, Permit]] = []

    def teardown(self) -> None:
        """The real clock again."""
        native.set_test_clock(-1)

    def took(self, one: Permit | Refusal, two: Permit | Refusal) -> None:
        """Keep what was admitted."""
        assert type(one) is type(two)
        if isinstance(one, Permit) and isinstance(two, Permit):
            assert one.endpoint == two.endpoint
            self.held.append((one, two))
        elif isinstance(one, Refusal) and isinstance(two, Refusal):
            assert (one.reason, one.retry_after_ns) == (two.reason, two.retry_after_ns)
            assert one.retry_after_ns >= 0

    @rule(ns=st.sampled_from([1, MILLISECOND, 20 * MILLISECOND, SECOND // 10, SECOND, 20 * SECOND]))
    def time_passes(self, ns: int) -> None:
        """Both guards read the same clock."""
        self.now += ns
        native.set_test_clock(self.now)

    @rule(calls=st.integers(min_value=1, max_value=12))
    def calls(self, calls: int) -> None:
        """First calls; among endpoints one is always usable."""
        for _ in range(calls):
            one, two = (guard.try_acquire() for guard in self.guards)
            assert not isinstance(one, Refusal) or (one.reason != NO_ENDPOINT and self.enforced)
            self.took(one, two)

    @rule(avoid=INDEX)
    def retry(self, avoid: int) -> None:
        """A retry, elsewhere where it can."""
        avoid = min(avoid, self.endpoints - 1)
        one, two = (guard.try_again(avoid) for guard in self.guards)
        self.took(one, two)

    @rule(avoid=INDEX)
    def redrive(self, avoid: int) -> None:
        """A second life, never there."""
        avoid = min(avoid, self.endpoints - 1)
        one, two = (guard.try_redrive(avoid) for guard in self.guards)
        assert not isinstance(one, Permit) or one.endpoint != avoid
        self.took(one, two)

    @rule(
        results=st.lists(st.sampled_from(["success", "failure", "cancel", "stalled", "drop", "answered"]), max_size=12)
    )
    def results(self, results: list[str]) -> None:
        """The oldest calls end, each in its way."""
        for result in results[: len(self.held)]:
            pair = self.held.pop(0)
            told = {
                permit.failure(1)
                if result == "failure"
                else getattr(permit, "cancel" if result == "drop" else result)()
                for permit in pair
            }
            assert len(told) == 1
            if result == "stalled":
                self.overdue.append(pair)
            if result in {"stalled", "answered"}:
                self.held.append(pair)

    @rule(endpoint=INDEX, kind=st.sampled_from(["failure", "stalled", "success"]))
    def one_endpoint(self, endpoint: int, kind: str) -> None:
        """Everything in flight on one endpoint ends alike."""
        for pair in [pair for pair in self.held if pair[0].endpoint == endpoint]:
            for permit in pair:
                _ = permit.failure(2) if kind == "failure" else getattr(permit, kind)()
            if kind == "stalled":
                self.overdue.append(pair)
            else:
                self.held.remove(pair)

    @rule(endpoint=INDEX, lease=LEASE, percent=st.sampled_from([0, 10, 100]), order=st.sampled_from("epwirlfcstb"))
    def order(self, endpoint: int, lease: int, percent: int, order: str) -> None:
        """Any order at any time."""
        target = endpoint if endpoint < self.endpoints else -1
        for guard in self.guards:
            if order == "e" and target >= 0:
                guard.eject(target, lease, self.now)
            elif order == "p":
                guard.probe(target, lease)
            elif order == "w":
                guard.weigh(target, percent, lease)
            elif order == "i":
                guard.isolate(lease, self.now)
            elif order == "r":
                guard.restore(target)
            elif order == "l":
                guard.limit(1 + percent, lease, self.now)
            elif order == "f":
                guard.fail_over(max(1, percent), lease, self.now)
            elif order == "c":
                guard.cap_retries(percent, lease, self.now)
            elif order == "s":
                guard.shed(endpoint % 2, max(1, percent), lease, self.now)
            elif order == "t":
                guard.tighten(MILLISECOND, lease, self.now, max(1, percent))
            elif order == "b":
                guard.restore_part(-1, 1 + endpoint % 4)

    @rule(on=st.sampled_from([0, 1]))
    def enforce(self, on: int) -> None:
        """Between observing and enforcing."""
        self.enforced = on
        for guard in self.guards:
            guard.enforce(on)

    @invariant()
    def slots_are_those_of_permits(self) -> None:
        """What is in flight is what is held, for the edge and for each endpoint."""
        guard = self.guards[0]
        assert guard.in_flight == len(self.held)
        for index in range(self.endpoints):
            loads = [pair for pair in self.held if pair[0].endpoint == index and pair not in self.overdue]
            assert guard.endpoint(index)["in_flight"] == len(loads)

    @invariant()
    def one_endpoint_is_healthy(self) -> None:
        """Never empty, by reflex or by order; and while observing all are healthy."""
        states = [self.guards[0].endpoint(index)["state"] for index in range(self.endpoints)]
        assert not states or HEALTHY in states
        assert self.enforced or set(states) <= {HEALTHY}

    @invariant()
    def probes_are_few(self) -> None:
        """No endpoint on probation, and no half-open edge, has more probes out than allowed."""
        guard = self.guards[0]
        for index in range(self.endpoints):
            seen = guard.endpoint(index)
            assert seen["state"] in {HEALTHY, EJECTED, PROBATION}
            assert seen["evidence_mnat"] >= 0 <= seen["slow_evidence_mnat"]
        seen = guard.describe()
        assert 0 <= seen["window_failures"] + seen["window_slow"] <= seen["window_calls"]
        assert not (seen["open"] and seen["probing"])

    @invariant()
    def side_orders_end(self) -> None:
        """None while observing; and one that is told to be in force has a lease that has not ended."""
        seen = self.guards[0].describe()
        sides = (seen["fail_over"], seen["shed"], seen["deadline_ns"], seen["retry_cap"] + 1, seen["failed_over"])
        assert self.enforced or not any(sides)
        assert seen["failed_over"] <= seen["fail_over"]

    @invariant()
    def both_lived_the_same(self) -> None:
        """Word for word."""
        for guard in self.guards:
            guard.describe()
            for index in range(self.endpoints):
                guard.endpoint(index)
        assert bytes(self.guards[0].buffer) == bytes(self.guards[1].buffer)


TestGuardMachine = GuardMachine.TestCase
TestGuardMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

"""Entries of the access log, told: whose word each is, and that each call counts once."""

import pytest

from controlplane._native.guard import ERROR, OVERLOAD, STALLED, SUCCESS, TIMEOUT
from controlplane.adapters.proxies.envoy.accesslog import CALLS_MAX, AccessLogService
from controlplane.adapters.proxies.envoy.logs import Entry, Flag
from controlplane.adapters.proxies.envoy.tell import told
from controlplane.adapters.proxies.observe import Whose
from controlplane.model.signal import Target
from controlplane.model.unit import MILLISECOND, Nanos
from tests.integration.envoy_world import Judge

AT = ("10.0.0.1", 80)
ENDPOINTS = {("orders", AT): "o1"}
ONE = Target("orders", "o1")


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> Nanos:
        return Nanos(self.at)

    def wall_ns(self) -> int:
        return 0

    def boot(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("entry", "whose", "outcome"),
    [
        (Entry(status=200), Whose.ENDPOINT, SUCCESS),
        (Entry(status=404), Whose.ENDPOINT, SUCCESS),
        (Entry(status=500), Whose.ENDPOINT, ERROR),
        (Entry(status=503), Whose.ENDPOINT, OVERLOAD),
        (Entry(status=429), Whose.ENDPOINT, OVERLOAD),
        (Entry(status=503, flags=frozenset({Flag.UPSTREAM_CONNECTION_FAILURE})), Whose.ENDPOINT, ERROR),
        (Entry(status=503, flags=frozenset({Flag.UPSTREAM_REMOTE_RESET})), Whose.ENDPOINT, ERROR),
        (Entry(status=504, flags=frozenset({Flag.UPSTREAM_REQUEST_TIMEOUT})), Whose.ENDPOINT, TIMEOUT),
        (Entry(status=503, flags=frozenset({Flag.NO_HEALTHY_UPSTREAM})), Whose.PROXY, ERROR),
        (Entry(status=503, flags=frozenset({Flag.UPSTREAM_OVERFLOW})), Whose.PROXY, ERROR),
        (Entry(status=429, flags=frozenset({Flag.RATE_LIMITED})), Whose.PROXY, ERROR),
        (Entry(status=503, flags=frozenset({Flag.FAULT_INJECTED})), Whose.PROXY, ERROR),
        (Entry(status=403, flags=frozenset({Flag.UNAUTHORIZED})), Whose.PROXY, ERROR),
        (Entry(status=0, flags=frozenset({Flag.DOWNSTREAM_CONNECTION_TERMINATION})), Whose.CLIENT, STALLED),
        (Entry(status=0, attempt=True), Whose.CLIENT, STALLED),
        (Entry(ended=False), Whose.CLIENT, STALLED),
        (Entry(status=500, headers={"controlplane-refused": "rate"}), Whose.REFUSED, ERROR),
        (Entry(status=500, headers={"controlplane-cause": "db"}), Whose.RELAYED, ERROR),
        (Entry(status=200, headers={"controlplane-cause": "db"}), Whose.ENDPOINT, SUCCESS),
    ],
    ids=lambda value: str(value) if isinstance(value, Entry) else "",
)
def test_whose_word_an_answer_is(entry: Entry, whose: Whose, outcome: int) -> None:
    """The endpoint's, somebody's further down, a guard's, Envoy's own, or nobody's."""
    entry.cluster, entry.address = "orders.contained" if entry.status == 404 else "orders", AT
    call = told(entry, ENDPOINTS)
    assert (call.service, call.endpoint, call.whose, call.outcome) == ("orders", "o1", whose, outcome)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(cluster="orders.contained", status=503, flags=frozenset({Flag.UPSTREAM_OVERFLOW})),
        Entry(status=503, details="unconditional_drop_overload"),
        Entry(cluster="orders.contained", status=503, details="drop_overload"),
        Entry(route="controlplane.shed.orders", status=503),
    ],
)
def test_what_the_plane_ordered_is_a_refusal(entry: Entry) -> None:
    """A limit of ours, a share of ours, a priority that was shed."""
    assert told(entry, ENDPOINTS).whose is Whose.REFUSED


def test_an_answer_without_an_endpoint_is_nobodys() -> None:
    """A 503 that Envoy made up is no evidence, whatever its flags are."""
    assert told(Entry(cluster="orders", status=503), ENDPOINTS).whose is Whose.PROXY


class Heard:
    """A service of logs, its judge and its clock."""

    def __init__(self, *, entry: bool = True) -> None:
        self.judge, self.clock = Judge(stall_s=0.2), Clock()
        self.logs = AccessLogService(self.judge, lambda: ENDPOINTS, self.clock, entry=entry)

    def tell(self, *, whole: bool = False, **more: object) -> None:
        self.logs.tell(Entry(**{"cluster": "orders", "address": AT, "request": "r", **more}), whole=whole)  # type: ignore[arg-type]

    @property
    def outcomes(self) -> list[int]:
        return [outcome for _, outcome, _ in self.judge.results]


def test_a_call_and_its_attempts_count_once() -> None:
    """Attempts are evidence, each of its own endpoint; the whole call is what the user saw."""
    it = Heard()
    it.tell(attempt=True, status=500)
    it.tell(attempt=True, status=200)
    it.tell(whole=True, status=200)
    assert it.outcomes == [ERROR, SUCCESS]
    assert it.judge.users == [False]


def test_a_call_that_hangs_counts_once_however_it_is_told() -> None:
    """Overdue while it is open; then neither its end, nor the time-out of the whole call, nor more of the same."""
    it = Heard()
    for _ in range(5):
        it.tell(ended=False, attempt=True)
        it.clock.at += 100 * MILLISECOND
    assert it.outcomes == [STALLED]
    late = frozenset({Flag.UPSTREAM_REQUEST_TIMEOUT})
    it.tell(attempt=True, latency_ns=500 * MILLISECOND)
    it.tell(whole=True, status=504, flags=late, latency_ns=500 * MILLISECOND)
    assert it.outcomes == [STALLED]
    assert it.judge.users == [True]


def test_a_time_out_is_told_by_the_whole_call_in_either_order() -> None:
    """The attempt does not say why it was given up; the whole call does, before or after it."""
    late = {"status": 504, "flags": frozenset({Flag.UPSTREAM_REQUEST_TIMEOUT}), "latency_ns": 300 * MILLISECOND}
    it = Heard()
    it.tell(whole=True, **late)
    it.tell(attempt=True, latency_ns=300 * MILLISECOND)
    assert it.outcomes == [TIMEOUT]
    it = Heard()
    it.tell(attempt=True, latency_ns=300 * MILLISECOND)
    it.tell(whole=True, **late)
    assert it.outcomes == [STALLED]
    it = Heard()
    it.tell(attempt=True, latency_ns=50 * MILLISECOND)  # a deadline shorter than what is overdue
    it.tell(whole=True, **{**late, "latency_ns": 50 * MILLISECOND})
    assert it.outcomes == [TIMEOUT]


def test_a_client_that_leaves_early_says_nothing() -> None:
    """And one that leaves an overdue call says what the call was."""
    it = Heard()
    left = frozenset({Flag.DOWNSTREAM_CONNECTION_TERMINATION})
    it.tell(flags=left, latency_ns=50 * MILLISECOND)
    assert it.outcomes == []
    it.tell(flags=left, latency_ns=250 * MILLISECOND, request="s")
    assert it.outcomes == [STALLED]
    assert it.judge.users == []


def test_strangers_are_counted_and_open_calls_are_bounded() -> None:
    """Results from where nobody is declared are not told of anybody; what never ends is forgotten."""
    it = Heard(entry=False)
    it.tell(address=("10.9.9.9", 1), status=200)
    assert it.logs.strangers == 1
    for number in range(CALLS_MAX + 10):
        it.tell(ended=False, request=str(number))
    assert len(it.logs._open) == CALLS_MAX

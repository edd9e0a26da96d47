"""Sentences for people, and the notices that go with them."""

from controlplane.decide.engine import Engine
from controlplane.decide.review.case import recall
from controlplane.decide.review.explain import explain
from controlplane.decide.state import State, fold
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import ConditionChanged
from controlplane.model.signal import Cause, Effective, EntrySampled, Ordered, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, IncidentId, Nanos
from tests.decide.review.cases import case_of, records_of

START = Nanos(1_000 * SECOND)
SICK = Target("orders", "a")


def engine() -> Engine:
    orders = Service(name="orders", endpoints=tuple(Endpoint(name=name, url=f"http://{name}:1") for name in "abc"))
    web = Service(name="web", endpoints=(), calls=("orders",))
    made = Engine(Topology(services=(web, orders), entry="web"), ResponsePolicy())
    made.start(START, boot="1", wall_ns=START)
    return made


def test_an_open_incident_does_not_count_requests_that_are_not_counted_yet() -> None:
    """Good requests are counted at the close: before it, "of 0 requests" would be untrue."""
    one = engine()
    one.step(Tripped(at=START, target=SICK, cause=Cause.ERRORS, calls=5, failures=5, contained=True), START)
    one.step(EntrySampled(at=START, requests=300, failed=0, slow=0), START)
    lines = explain(next(iter(one.state.incidents.values())))
    assert "Users: 0 failed and 0 slow so far." in lines


def test_effective_claims_what_is_measured() -> None:
    """In force or felt, whichever is first (decision 0006): not that a request was there at that moment."""
    one = engine()
    one.step(Tripped(at=START, target=SICK, cause=Cause.ERRORS, calls=5, failures=5, contained=True), START)
    one.step(Effective(at=Nanos(START + 43_000), target=SICK, signal_at=START), START)
    lines = explain(next(iter(one.state.incidents.values())))
    assert "From 0.043 ms after the deciding signal on, no call was treated as before." in lines


def test_the_same_order_again_is_news() -> None:
    """Two freezes with the same reason have different keys: whoever drops repeats must not drop the second."""
    one = engine()
    keys = set()
    for second in (1, 2):
        at = Nanos(START + second * SECOND)
        keys |= {notice.key for notice in one.step(Ordered(at=at, order="freeze", by="me", reason="x"), at).notices}
    assert len(keys) == 2


def test_how_surely_and_for_which_reason_is_said() -> None:
    """The test's rate of false alarms, the reason of each order, and whose reflex it was."""
    one = engine()
    one.step(Tripped(at=START, target=SICK, cause=Cause.ERRORS, calls=5, failures=5, contained=True), START)
    text = "\n".join(explain(next(iter(one.state.incidents.values()))))
    assert "once in 1,000,000 calls" in text
    assert "eject orders/a [c1] because a fails, its siblings do not (the guard had acted by reflex" in text


def test_an_open_incident_says_what_its_recovery_waits_for() -> None:
    """In the first line which conditions, further down why."""
    records = records_of("incomplete-queue")
    closed = next(index for index, record in enumerate(records) if isinstance(record, ConditionChanged) and record.well)
    case = recall(records[:closed], IncidentId("i1"))
    assert case is not None
    lines = explain(case.incident, case)
    assert "its recovery is incomplete (queue)" in lines[0]
    assert "Waits for queue: 48 calls wait where 5 are usual." in lines


def test_a_closed_incident_says_what_its_recovery_waited_for() -> None:
    """How long, and why."""
    case = case_of("incomplete-queue")
    assert "Recovery waited for: queue for 6.8 s (48 calls wait where 5 are usual; it is well)." in explain(
        case.incident, case
    )
    assert "is closed" in explain(case.incident)[0]


def test_the_explanation_from_the_journal_is_the_one_from_memory() -> None:
    """What is on record is all that it needs."""
    records = records_of("reviewed-afterwards")
    again = State()
    for record in records:
        fold(again, record)
    assert explain(again.incidents[IncidentId("i1")]) == explain(case_of("reviewed-afterwards").incident)

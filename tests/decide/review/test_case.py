"""An incident out of a journal: found among others, across restarts, with wall-clock times that are right."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.decide.review.case import concerns, family, recall
from controlplane.decide.review.timing import phases
from controlplane.decide.review.wall import lasted, utc
from controlplane.model import record as on
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import SECOND, Epoch, IncidentId, Nanos
from tests.decide.review.cases import case_of, records_of


def opened(name: str, at: int) -> on.IncidentOpened:
    return on.IncidentOpened(
        at=Nanos(at), incident=IncidentId(name), origin=Target("a"), cause=Cause.ERRORS, signal_at=Nanos(at - SECOND),
        shadow=False, evidence="5 of 5",
    )  # fmt: skip


def test_the_records_that_concern_it_are_enough() -> None:
    """Of a journal with three incidents only one's records are needed to tell its story."""
    records = records_of("penalty-outlives-the-incident")
    for name in ("i1", "i2", "i3"):
        incident = IncidentId(name)
        whole = recall(records, incident)
        few = recall([one for one in records if concerns(one, frozenset({incident}))], incident)
        assert whole is not None
        assert few is not None
        assert (few.lines, few.incident.id, few.began_ns) == (whole.lines, name, whole.began_ns)
        assert len(few.entries) < len(records)


def test_who_is_not_on_record_is_nobody() -> None:
    """No case, and no error."""
    assert recall(records_of("one-bad-replica"), IncidentId("i9")) is None


def test_times_are_those_of_the_wall_across_a_new_boot() -> None:
    """The monotonic clock began anew in between; the wall clock says how long it really took."""
    incident, wall = IncidentId("i1"), 1_700_000_000 * SECOND
    records: list[on.Record] = [
        on.EpochStarted(at=Nanos(500 * SECOND), epoch=Epoch(1), boot="a", wall_ns=wall),
        opened("i1", 510 * SECOND),
        on.EpochStarted(
            at=Nanos(3 * SECOND), epoch=Epoch(2), boot="b", wall_ns=wall + 60 * SECOND, shift_ns=-547 * SECOND
        ),
        on.IncidentClosed(at=Nanos(5 * SECOND), incident=incident, reason="over"),
    ]
    case = recall(records, incident)
    assert case is not None
    assert case.began_ns == wall + 9 * SECOND
    assert [line.wall_ns - wall for line in case.lines] == [10 * SECOND, 60 * SECOND, 62 * SECOND]
    assert case.lines[1].what == "the engine started again, epoch 2"
    assert [round(span.from_s) for span in phases(case)] == [1, 53]


def test_what_was_merged_into_it_belongs_to_it() -> None:
    """Children, and children of children; nobody else's."""
    merges: list[on.Record] = [
        on.IncidentMerged(at=Nanos(1), incident=IncidentId("i2"), into=IncidentId("i1"), reason="x"),
        on.IncidentMerged(at=Nanos(2), incident=IncidentId("i3"), into=IncidentId("i2"), reason="x"),
        on.IncidentMerged(at=Nanos(3), incident=IncidentId("i5"), into=IncidentId("i4"), reason="x"),
    ]
    assert family(merges, IncidentId("i1")) == {"i1", "i2", "i3"}
    assert family(merges, IncidentId("i3")) == {"i3"}


def test_orders_of_people_are_part_of_the_story_while_it_is_open() -> None:
    """A freeze in the middle is told; one after the end is not."""
    told = [line.what for line in case_of("reviewed-afterwards").lines]
    assert "alice ordered freeze: is this our deploy?" in told
    later = on.OrderTaken(at=Nanos(2_000 * SECOND), order="freeze", by="bob", reason="next week")
    case = recall([*records_of("reviewed-afterwards"), later], IncidentId("i1"))
    assert case is not None
    assert not any("bob" in line.what for line in case.lines)
    assert case.ends_ns == case_of("reviewed-afterwards").ends_ns


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2400, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_wall_clock_times_are_those_of_the_calendar(moment: datetime) -> None:
    """Against the standard library's calendar, leap years and all."""
    whole = int(moment.timestamp())
    wall_ns = whole * SECOND + moment.microsecond * 1000
    assert utc(wall_ns) == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "goes on"),
        (0.0012, "1.2 ms"),
        (1.0, "1.0 s"),
        (119.94, "119.9 s"),
        (150.0, "2 min 30 s"),
        (7_260.0, "2 h 1 min"),
    ],
)
def test_durations_are_said_in_a_person_s_unit(seconds: float | None, said: str) -> None:
    """Milliseconds, seconds, minutes, hours."""
    assert lasted(seconds) == said

"""The post-incident report: the same text from the same records, complete, and harmless whatever the names are."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.decide.review.case import Case, recall
from controlplane.decide.review.markdown import plain
from controlplane.decide.review.picture import draw
from controlplane.decide.review.report import follow_ups, report
from controlplane.decide.review.saved import saved, sentence
from controlplane.decide.review.timing import response_times, shares, waits
from controlplane.model import record as on
from controlplane.model.command import Eject
from controlplane.model.signal import Cause, Target
from controlplane.model.unit import SECOND, Epoch, IncidentId, Nanos
from tests.decide.review.cases import case_of

HERE = Path(__file__).parent
HOSTILE = "a|b\n# x <script>alert(1)</script> [y](http://evil) `z` @team www.evil ![i](j) \x1b[31m"


@pytest.mark.parametrize(("name", "write"), [("report.md", report), ("timeline.svg", draw)])
def test_a_scenario_s_report_is_the_one_that_was_read_and_believed(
    name: str, write: object, pytestconfig: pytest.Config
) -> None:
    """Byte for byte; `pytest --rewrite-scenarios` writes it anew, for somebody to read again."""
    case = case_of("reviewed-afterwards")
    text = report(case, picture="timeline.svg") if write is report else draw(case)
    if pytestconfig.getoption("--rewrite-scenarios"):
        (HERE / name).write_text(text)
    assert text == (HERE / name).read_text()


def test_every_stage_order_and_wait_of_the_journal_is_in_it() -> None:
    """Counted against the records themselves."""
    case = case_of("reviewed-afterwards")
    kinds = [type(entry.record) for entry in case.entries]
    text = report(case)
    assert len(shares(case)) == kinds.count(on.StageChanged)
    issued = {entry.record.command.id for entry in case.entries if isinstance(entry.record, on.CommandIssued)}
    assert all(rf"\[{command}\]" in text for command in issued)
    assert [span.what for span in waits(case)] == ["consistency"]
    refused = [entry.record.rule for entry in case.entries if isinstance(entry.record, on.CommandRefused)]
    assert all(text.count(f"| {rule} |") >= 1 for rule in refused)
    assert "freeze" in refused


def test_an_estimate_says_that_it_is_one_and_what_it_rests_on() -> None:
    """Foreseen share x requests while it was open, beside what was seen; without figures there is no number."""
    case = case_of("reviewed-afterwards")
    found = saved(case)
    assert found is not None
    assert found.foreseen == round(found.share * case.incident.user_requests)
    assert found.seen == case.incident.user_failed == 9
    assert sentence(case).startswith("Estimated: without a response 14.5% of the 3500 users' requests at web")
    unknown = case_of("one-bad-replica")
    assert saved(unknown) is None
    assert "not estimated: the dependency graph had no figures" in report(unknown)
    assert sentence(case_of("observe-only")) == "Nothing was done, so nothing was saved"


def test_response_times_are_those_of_the_records() -> None:
    """A histogram's percentiles, right to a thousandth."""
    figures = {one.what: one for one in response_times(case_of("one-bad-replica"))}
    assert figures["signal to effect"].count == 1
    assert figures["signal to effect"].max_ms == pytest.approx(1.0, rel=1e-3)
    assert figures["signal to decision"].p50_ms == 0


def test_follow_ups_are_facts() -> None:
    """Each point is on record; where nothing asks for a person, that is said."""
    assert follow_ups(case_of("one-bad-replica")) == ["Nothing on record asks for a person."]
    assert "Order c2 was not taken: unreachable." in follow_ups(case_of("reviewed-afterwards"))
    lost = follow_ups(case_of("incomplete-told-by-nobody"))
    assert any("Whether queue is well again is unknown" in point for point in lost)


def hostile_case() -> Case:
    """An incident whose every name and sentence comes from somebody who means ill."""
    target, at = Target(HOSTILE, HOSTILE), Nanos(SECOND)
    incident = IncidentId("i1")
    records: list[on.Record] = [
        on.EpochStarted(at=at, epoch=Epoch(1), boot="b", wall_ns=1_700_000_000 * SECOND),
        on.IncidentOpened(
            at=at, incident=incident, origin=target, cause=Cause.ERRORS, signal_at=at, shadow=False, evidence=HOSTILE
        ),
        on.CommandRefused(at=at, incident=incident, target=target, intent=Eject(), rule=HOSTILE, reason=HOSTILE),
        on.Escalated(at=at, incident=incident, reason=HOSTILE),
        on.ConditionChanged(at=at, incident=incident, what="queue", well=False, reason=HOSTILE),
        on.IncidentClosed(at=Nanos(2 * SECOND), incident=incident, reason=HOSTILE),
    ]
    case = recall(records, incident)
    assert case is not None
    return case


def test_hostile_names_mark_nothing_up() -> None:
    """No tag, no link, no mention, no heading, no cell that ends early, no control character."""
    text = report(hostile_case())
    assert "<script" not in text
    assert "\x1b" not in text
    assert "@team" not in text
    assert "http://" not in text
    assert not re.search(r"(?<!\\)\[y", text)
    assert not re.search(r"(?<!\\)`", text)
    assert [line for line in text.splitlines() if line.startswith("# x")] == []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(columns) == 1, table


@given(st.text())
def test_no_text_whatever_breaks_a_line_or_a_cell(text: str) -> None:
    """Every sign that could mark something up is escaped, and what is read is what was meant."""
    said = plain(text)
    assert "\n" not in said
    assert "<" not in said
    assert not re.search(r"(?<!\\)(\\\\)*[|`\[\]*]", said)
    read = html.unescape(re.sub(r"\\(.)", r"\1", said))
    assert read == "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def test_a_picture_of_hostile_names_is_well_formed_and_runs_nothing() -> None:
    """It parses as XML, has no element but drawing, and the names are its text."""
    root = ET.fromstring(draw(hostile_case()))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "rect", "text", "title", "path", "g", "circle"}
    assert "alert(1)" in "".join(root.itertext())


def test_many_targets_stay_a_picture() -> None:
    """Twelve lanes, and a line that says how many more there are."""
    case = hostile_case()
    stages = [
        on.StageChanged(
            at=Nanos(SECOND + n), incident=case.incident.id, target=Target("s", f"e{n}"), stage="hold", percent=0,
            penalty_ns=Nanos(SECOND), relapses=0, reason="contained",
        )
        for n in range(40)
    ]  # fmt: skip
    records = [entry.record for entry in case.entries]
    crowded = recall([*records[:-1], *stages, records[-1]], case.incident.id)
    assert crowded is not None
    picture = draw(crowded)
    assert "and 28 targets more" in picture
    assert picture.count("<rect") < 30

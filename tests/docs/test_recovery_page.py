"""The pages about recovery and review say what the code does."""

import re
from pathlib import Path
from typing import get_args

from controlplane.decide import penalty, recovery, unfinished
from controlplane.model.signal import ConditionKind
from controlplane.model.unit import SECOND
from tests.decide.review.cases import case_of

DOCS = Path(__file__).parents[2] / "docs"


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    """Shares, patience, jitter, silence: each constant where the page names it."""
    page = " ".join((DOCS / "concepts" / "recovery.md").read_text().split())
    assert f"at most {recovery.DIRTY_PERCENT} % failed" in page
    assert recovery.PATIENCE == 4
    assert "four steps of time" in page
    assert recovery.PROBED_AGAIN == 12
    assert "one in twelve steps" in page
    assert recovery.DIRTY_FAILURES_MIN == 2
    assert "at least two, and no verdict came" in page
    assert f"{penalty.STEPS_OF_CALLS} x `ramp_calls_min`" in page
    assert f"more than {penalty.GAP_NS // SECOND} s apart" in page
    assert f"up to {penalty.JITTER_PERCENT} % longer" in page
    assert f"for {unfinished.STALE_NS // SECOND} s is shown as *stale*" in page
    assert f"After {unfinished.GIVE_UP_NS // SECOND} s it holds the incident no longer" in page


def test_every_condition_has_its_row() -> None:
    """No kind more, none less."""
    page = (DOCS / "concepts" / "recovery.md").read_text()
    table = page.partition("| Condition |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(get_args(ConditionKind))


def test_the_explanation_of_the_page_is_a_real_one() -> None:
    """Line by line, as far as the page does not cut it short."""
    from controlplane.decide.review.explain import explain

    case = case_of("reviewed-afterwards")
    lines = explain(case.incident, case)
    page = (DOCS / "how-to" / "review-an-incident.md").read_text()
    shown = page.partition("$ controlplane explain i1\n")[2].partition("```")[0].splitlines()
    assert len(shown) == 10
    for line in shown:
        begin = line.removesuffix("...")
        assert any(one.startswith(begin) for one in lines), line

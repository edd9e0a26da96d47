"""Cases for the tests of reviews: a scenario's records, through their encoding, as a journal would give them back."""

from pathlib import Path

import msgspec

from controlplane.decide.review.case import Case, recall
from controlplane.model.record import Record
from controlplane.model.unit import IncidentId
from tests.scenarios.transcript import Run, parse

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def records_of(scenario: str) -> list[Record]:
    """Everything that the scenario put on record."""
    run = Run(parse((SCENARIOS / f"{scenario}.txt").read_text().partition("-" * 100)[0]))
    run.play()
    return msgspec.json.decode(msgspec.json.encode(run.records), type=list[Record])


def case_of(scenario: str, incident: str = "i1") -> Case:
    """One incident of the scenario."""
    case = recall(records_of(scenario), IncidentId(incident))
    assert case is not None
    return case

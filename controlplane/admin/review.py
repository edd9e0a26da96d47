"""Incidents as they are on record: explained, and reported."""

from controlplane.admin.shape import Explanation, Report, TimelineLine
from controlplane.admin.view import Wall
from controlplane.assembly import Plane
from controlplane.decide.review import picture
from controlplane.decide.review.case import Case
from controlplane.decide.review.explain import explain
from controlplane.decide.review.report import report as write
from controlplane.decide.review.wall import utc
from controlplane.model.incident import Incident
from controlplane.model.unit import to_seconds


def explanation(case: Case) -> Explanation:
    """The incident in sentences, and its timeline."""
    return Explanation(
        id=case.incident.id,
        explanation=explain(case.incident, case),
        timeline=[
            TimelineLine(at=utc(one.wall_ns), after_s=case.after_s(one.wall_ns), what=one.what) for one in case.lines
        ],
    )


def remembered(plane: Plane, incident: Incident) -> Explanation:
    """The same from memory alone, which knows less of it."""
    wall = Wall(plane)
    return Explanation(
        id=incident.id,
        explanation=explain(incident),
        timeline=[
            TimelineLine(at=wall.iso(one.at), after_s=to_seconds(one.at - incident.signal_at), what=one.what)
            for one in incident.timeline
        ],
    )


def report(case: Case, address: str) -> Report:
    """The report, which finds its picture at `address`, and the picture."""
    return Report(id=case.incident.id, report=write(case, picture=address), picture=picture.draw(case))

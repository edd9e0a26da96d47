"""Explanations and reports over the admin API, from what is on record."""

import pytest

from controlplane.assembly import Plane
from controlplane.decide.review.case import recall
from controlplane.decide.review.report import report
from controlplane.model.errors import JournalError
from controlplane.model.record import Record
from controlplane.model.unit import IncidentId
from controlplane.testing import MemoryJournal
from tests.admin.test_app import CONFIG, a_plane, admin, trip
from tests.decide.review.cases import records_of

pytestmark = pytest.mark.anyio


async def test_an_incident_that_left_memory_is_explained_and_reported_from_the_journal() -> None:
    """The engine has forgotten it; the file has not."""
    records = records_of("one-bad-replica")
    async with a_plane(list(enumerate(records, 1))) as plane, admin(plane) as client:
        del plane.state.incidents[IncidentId("i1")]
        assert (await client.get("/v1/incidents/i1")).status_code == 404
        explained = (await client.get("/v1/incidents/i1/explain")).json()
        assert explained["explanation"][0] == "i1: orders/orders-1 is closed; cause: errors."
        assert explained["timeline"][-1]["what"] == "closed: every containment is verified"
        answer = (await client.get("/v1/incidents/i1/report", params={"picture": "i1.svg"})).json()
        case = recall(records, IncidentId("i1"))
        assert case is not None
        assert answer["report"] == report(case, picture="i1.svg")
        assert answer["picture"].startswith("<svg ")


async def test_who_is_not_on_record_is_not_found_and_a_bad_address_is_refused() -> None:
    """404 and 400, each with the value."""
    async with a_plane() as plane, admin(plane) as client:
        name = await trip(plane)
        assert (await client.get("/v1/incidents/i99/explain")).status_code == 404
        assert (await client.get("/v1/incidents/i99/report")).status_code == 404
        wrong = await client.get(f"/v1/incidents/{name}/report", params={"picture": "http://evil/x.svg"})
        assert wrong.status_code == 400
        assert "not a relative address" in wrong.json()["detail"]


class Mute(MemoryJournal):
    """A journal that can be written and not read, once it is told to be."""

    mute = False

    async def read_after(self, number: int, *, limit: int) -> list[tuple[int, Record]]:
        """Raises JournalError when told to."""
        if self.mute:
            raise JournalError("the disk does not answer")
        return await super().read_after(number, limit=limit)


async def test_a_journal_that_does_not_answer_leaves_what_memory_knows() -> None:
    """Explained from memory; a report, which would be half of one, is refused for now."""
    journal = Mute()
    async with Plane(CONFIG, seed=1, journal=journal) as plane, admin(plane) as client:
        name = await trip(plane)
        journal.mute = True
        explained = (await client.get(f"/v1/incidents/{name}/explain")).json()
        assert explained["explanation"][0].startswith(name)
        assert explained["timeline"][0]["after_s"] >= 0
        refused = await client.get(f"/v1/incidents/{name}/report")
        assert refused.status_code == 503
        assert "the disk does not answer" in refused.json()["detail"]

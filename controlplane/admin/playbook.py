"""Playbooks over the admin API: how each stands, what would be done, and a rehearsal of one in shadow."""

import anyio.to_thread
import msgspec

from controlplane.adapters.drills import DrillLog
from controlplane.admin.problem import Problem
from controlplane.assembly import Plane
from controlplane.assembly.foresee import rehearse, what_if
from controlplane.decide.playbook.fingerprint import topology_print
from controlplane.decide.playbook.shelf import Standing, standings
from controlplane.decide.whatif.grammar import TEXT_MAX
from controlplane.model.drill import Drill
from controlplane.model.errors import JournalError
from controlplane.model.foretold import Foretold


class PlanQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`what_if`, as in "orders fails in eu-1b"."""

    what_if: str


class DrillQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The playbook to rehearse."""

    playbook: str


class PlaybookList(msgspec.Struct, frozen=True, kw_only=True):
    """All playbooks, and the fingerprint of the topology that a rehearsal is held against."""

    topology: str
    playbooks: list[Standing]


async def playbooks(plane: Plane) -> PlaybookList:
    """How each playbook stands now."""
    try:
        drills = await anyio.to_thread.run_sync(DrillLog(plane.config.drills.path).latest)
    except JournalError:
        drills = {}  # whoever rehearses hears of it; how a playbook stands otherwise can be told all the same
    found = standings(plane.config.playbooks, plane.topology, drills, plane.state.unreliable)
    return PlaybookList(topology=topology_print(plane.topology), playbooks=list(found))


async def plan(plane: Plane, question: PlanQuestion) -> Foretold:
    """What would be done; nothing is. Raises Problem."""
    _steers(plane)
    if len(question.what_if) > TEXT_MAX:
        raise Problem(400, f"what_if is longer than {TEXT_MAX} characters")
    try:
        return await what_if(plane, question.what_if)
    except ValueError as error:
        raise Problem(400, f"what_if: {error}") from error


async def drill(plane: Plane, question: DrillQuestion) -> Drill:
    """Rehearse one playbook against the state as it is. Raises Problem."""
    _steers(plane)
    try:
        return await rehearse(plane, question.playbook)
    except KeyError as error:
        known = ", ".join(one.name for one in plane.config.playbooks) or "none"
        raise Problem(404, f"no playbook {question.playbook[:80]!r}; there are: {known}") from error


def _steers(plane: Plane) -> None:
    if not plane.ready:
        raise Problem(503, plane.trouble or "the control loop is not running", headers={"retry-after": "1"})

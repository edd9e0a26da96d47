"""Who was told what of an incident, and who has taken it, as the admin API tells it."""

import msgspec
from starlette.requests import Request

from controlplane.admin.problem import Problem, read_json
from controlplane.assembly import Plane
from controlplane.decide.escalation import due_in_ns
from controlplane.model.errors import ControlPlaneError
from controlplane.model.incident import Incident
from controlplane.model.unit import IncidentId, Nanos, to_seconds


class _View(msgspec.Struct, frozen=True, kw_only=True):
    pass


class DeliveredView(_View, frozen=True):
    """A notifier had it `after_s` seconds after the deciding signal, or has given up: `reason`."""

    by: str
    after_s: float
    ok: bool
    reason: str


class ToldView(_View, frozen=True):
    """One notice: its event id, to whom (null: everybody), what, and who had it."""

    id: str
    after_s: float
    severity: str
    to: list[str] | None
    text: str
    delivered: list[DeliveredView]


class PeopleView(_View, frozen=True):
    """`ladder` empty: everybody is told. `rung` counts from 1, 0: none yet. `next_s`: until the next rung, unless
    somebody acknowledges; null: none is to come."""

    ladder: str
    rung: int
    called: list[str]
    acknowledged_by: str
    acknowledged_after_s: float | None
    next_s: float | None
    told: list[ToldView]


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take an incident: its ladder is climbed no further while containment holds."""

    by: str = msgspec.field()
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.by.strip() or len(self.by) > 200 or len(self.reason) > 2000:
            raise ValueError("by is a name of 1 to 200 characters, reason at most 2000")


def people(plane: Plane, one: Incident) -> PeopleView:
    """What is on record of it."""

    def after_s(at: Nanos) -> float:
        return to_seconds(Nanos(at - one.signal_at))

    climb = one.climb
    left_ns = due_in_ns(plane.config.people(), one, plane.clock.now())
    return PeopleView(
        ladder=climb.ladder,
        rung=climb.rung + 1,
        called=list(climb.told),
        acknowledged_by=climb.acknowledged_by,
        acknowledged_after_s=None if climb.acknowledged_at is None else after_s(climb.acknowledged_at),
        next_s=None if left_ns is None else to_seconds(left_ns),
        told=[
            ToldView(
                id=told.notice.id,
                after_s=after_s(told.notice.at),
                severity=told.notice.severity,
                to=None if told.notice.to is None else list(told.notice.to),
                text=told.notice.text,
                delivered=[
                    DeliveredView(by=had.by, after_s=after_s(had.at), ok=had.ok, reason=had.reason)
                    for had in told.delivered
                ],
            )
            for told in one.told
        ],
    )


async def acknowledge(plane: Plane, request: Request) -> Incident:
    """Take the incident that the path names, for whoever the body names."""
    body = await read_json(request, Acknowledge)
    wanted = request.path_params["id"]
    if not plane.ready:
        raise Problem(503, plane.trouble or "the control loop is not running", headers={"retry-after": "1"})
    try:
        await plane.acknowledge(IncidentId(wanted), by=body.by, reason=body.reason)
    except KeyError:
        raise Problem(404, f"no incident {wanted[:80]!r} is known") from None
    except ValueError as error:
        raise Problem(409, f"there is nothing to acknowledge: {error}") from error
    except ControlPlaneError as error:
        raise Problem(503, str(error), headers={"retry-after": "1"}) from error
    return plane.state.incidents[IncidentId(wanted)]
